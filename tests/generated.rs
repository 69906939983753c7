//! Crates that are written by tests, to be built as their users' would be: by cargo, with flags and editions of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// A crate in a folder of its own that depends on `scope-runtime` and `tokio`.
pub struct Crate {
    folder: PathBuf,
}

impl Crate {
    /// Writes a library of this code, or writes it anew.
    ///
    /// # Errors
    ///
    /// The folder can't be written to.
    pub fn new(folder: PathBuf, edition: &str, code: &str) -> io::Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let runtime = fs::canonicalize(workspace.join("scope-runtime"))?;
        let manifest = format!(
            "[package]\nname = \"generated\"\nversion = \"0.0.0\"\nedition = \"{edition}\"\n\n\
             [dependencies]\nscope-runtime = {{ path = {runtime:?} }}\n\
             tokio = {{ version = \"1\", default-features = false, features = [\"rt\", \"time\"] }}\n\n\
             [workspace]\n"
        );
        fs::create_dir_all(folder.join("src"))?;
        fs::write(folder.join("Cargo.toml"), manifest)?;
        // So that it is built with what the workspace is built with, and without a network.
        fs::copy(workspace.join("Cargo.lock"), folder.join("Cargo.lock"))?;
        let generated = Self { folder };
        generated.write(code)?;
        Ok(generated)
    }

    /// Replaces the code.
    ///
    /// # Errors
    ///
    /// The folder can't be written to.
    pub fn write(&self, code: &str) -> io::Result<()> {
        fs::write(self.folder.join("src/lib.rs"), code)
    }

    /// Where it is built.
    pub fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    /// A cargo command for it.
    pub fn cargo(&self, command: &str) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg(command).arg("--offline").current_dir(&self.folder);
        cargo.env("CARGO_TARGET_DIR", self.target()).env_remove("RUSTFLAGS");
        cargo
    }
}
