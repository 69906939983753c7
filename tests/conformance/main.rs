//! Runs golden programs on the library and compares their traces with Trio's.
//!
//! ```text
//! cargo run -q -p scope-tests --bin conformance -- PATH…
//! ```
//!
//! A path is a golden file, or a folder of them. Prints the first difference of each program that
//! disagrees, and how many programs passed and failed. The exit code is 1 if any failed, 2 if the
//! command was called wrongly.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use scope_tests::conformance::golden::{self, Golden, Verdict};
use scope_tests::conformance::interpret::Way;

const USAGE: &str = "usage: conformance PATH…   (golden files, or folders of them)";

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    match files(&paths) {
        Ok(files) if run(&files) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(mistake) => {
            eprintln!("error: {mistake}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The golden files that the command line asks for.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    if paths.is_empty() {
        return Err("no path was given".to_owned());
    }
    let mut files = Vec::new();
    for path in paths {
        let found = golden::files(path).map_err(|error| format!("{}: {error}", path.display()))?;
        if found.is_empty() {
            return Err(format!("{}: no golden file in this folder", path.display()));
        }
        files.extend(found);
    }
    Ok(files)
}

/// Runs them all; whether none failed.
fn run(files: &[PathBuf]) -> bool {
    let (mut passed, mut failed) = (0, 0);
    let mut apart = BTreeMap::new();
    for file in files {
        match check(file) {
            Ok(Verdict::Agrees) => passed += 1,
            Ok(Verdict::Apart(reason)) => *apart.entry(reason).or_insert(0) += 1,
            Ok(Verdict::Disagrees(way, disagreement)) => {
                failed += 1;
                println!("{} ({way}): {disagreement}", file.display());
            }
            Err(error) => {
                failed += 1;
                println!("{}: {error}", file.display());
            }
        }
    }
    for (reason, count) in apart {
        println!("not comparable: {count} ({reason})");
    }
    println!("{passed} passed, {failed} failed");
    failed == 0
}

fn check(file: &Path) -> Result<Verdict, Box<dyn std::error::Error>> {
    Ok(Golden::read(file)?.check(&Way::ALL))
}
