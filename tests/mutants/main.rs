//! Whether the tests can fail: `cargo run --release -p scope-tests --bin mutants`.
//!
//! Each entry of `list.txt` breaks one rule in one place of the library. All are built at once, into a copy of the
//! workspace under `target/mutants`: there, `if crate::mutant(7) { broken } else { whole }` stands in place of the code, and
//! the environment variable `MUTANT` says which one is broken. Then the tests are run once as they are, and once for each
//! mutant, until the first one fails. Those of the runtime are judged by the conformance tests, the behaviour tests and the
//! model; those of the macros by the macros' own tests, since expansion is over when the others run.
//!
//! With arguments only the mutants with these numbers are run, or those whose title contains one of these words.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Error};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

mod list;

use list::{Mutant, Part};

/// How long a test may take, compared with the longest one when nothing is broken; and at the least.
const PATIENCE: u32 = 10;
const LEAST_PATIENCE: Duration = Duration::from_secs(30);

/// A mutant that never stops to ask for memory must not take the machine along. In KiB, of address space.
const MEMORY: u64 = 16 << 20;

/// What the code asks in the copy.
const SWITCH: &str = "
/// Whether this mutant is the one to be run.
pub(crate) fn mutant(number: u32) -> bool {
    static CHOSEN: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let chosen = || std::env::var(\"MUTANT\").ok().and_then(|number| number.parse().ok()).unwrap_or(0);
    *CHOSEN.get_or_init(chosen) == number
}
";

/// A test binary, and where its tests expect to be run.
struct Judge {
    name: String,
    binary: PathBuf,
    at: PathBuf,
    libraries: String,
    /// Only the tests with this in their names.
    filter: Option<&'static str>,
    /// How long it may say nothing.
    patience: Duration,
}

enum Verdict {
    /// All tests passed; the longest time without news.
    Passed(Duration),
    Killed(String),
}

impl Judge {
    /// Runs the tests until the first one fails.
    fn run(&self, mutant: usize, filter: Option<&str>) -> io::Result<Verdict> {
        let mut child = Command::new("sh")
            .args(["-c", &format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\"")])
            .arg(&self.binary)
            .args(filter.or(self.filter))
            .current_dir(&self.at)
            .env("CARGO_MANIFEST_DIR", &self.at)
            .env("MUTANT", mutant.to_string())
            // The tests of a crate of macros find std in a library of the compiler's.
            .env("LD_LIBRARY_PATH", &self.libraries)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or_else(|| Error::other("it has no output"))?;
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    break;
                }
            }
        });
        let mut longest = Duration::ZERO;
        let killed = loop {
            let since = Instant::now();
            match told.recv_timeout(self.patience) {
                Ok(line) => {
                    // It says nothing of how far the test has come.
                    longest = longest.max(since.elapsed());
                    if let Some(test) =
                        line.strip_prefix("test ").and_then(|line| line.strip_suffix(" ... FAILED"))
                    {
                        break Some(test.to_owned());
                    }
                }
                Err(RecvTimeoutError::Timeout) => break Some("a hang".to_owned()),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        if let Some(by) = killed {
            // It may have come to its end meanwhile.
            let _ = child.kill();
            child.wait()?;
            return Ok(Verdict::Killed(by));
        }
        let status = child.wait()?;
        Ok(if status.success() { Verdict::Passed(longest) } else { Verdict::Killed(status.to_string()) })
    }
}

/// Copies what differs, so that what was built from the rest stays built.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    write(to, &fs::read(from)?)
}

fn write(to: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(to).is_ok_and(|known| known == content) {
        return Ok(());
    }
    fs::write(to, content)
}

/// A copy of the workspace in which the mutants of one part can be switched on.
fn make(workspace: &Path, to: &Path, part: Part, mutants: &[Mutant]) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut files: BTreeMap<&str, Vec<(usize, &Mutant)>> = BTreeMap::new();
    for (at, mutant) in mutants.iter().enumerate().filter(|(_, mutant)| mutant.part() == part) {
        files.entry(&mutant.file).or_default().push((at + 1, mutant));
    }
    let root = format!("{}/src/lib.rs", part.package());
    files.entry(&root).or_default();
    let mut changed = BTreeMap::new();
    for (file, mutants) in files {
        let mut code = list::mutated(&fs::read_to_string(workspace.join(file))?, &mutants)
            .map_err(|why| Error::other(format!("{file}: {why}")))?;
        if file == root {
            code += SWITCH;
        }
        changed.insert(workspace.join(file), code);
    }
    copy_workspace(workspace, to, &changed)
}

fn copy_workspace(workspace: &Path, to: &Path, changed: &BTreeMap<PathBuf, String>) -> io::Result<()> {
    fn copy_but(from: &Path, to: &Path, changed: &BTreeMap<PathBuf, String>) -> io::Result<()> {
        if let Some(code) = changed.get(from) {
            return write(to, code.as_bytes());
        }
        if !from.is_dir() {
            return copy(from, to);
        }
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            if name != "target" && name != ".git" {
                copy_but(&from.join(&name), &to.join(&name), changed)?;
            }
        }
        Ok(())
    }
    copy_but(workspace, to, changed)
}

/// Builds test binaries in a copy: their names, and where they are.
fn build(copy: &Path, target: &Path, what: &[&str]) -> io::Result<Vec<(String, PathBuf)>> {
    let built = Command::new(env!("CARGO"))
        .args(["test", "--no-run", "--locked", "--message-format", "json"])
        .args(what)
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        .stderr(Stdio::inherit())
        .output()?;
    let lines = String::from_utf8_lossy(&built.stdout).into_owned();
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let (mut binaries, mut errors) = (Vec::new(), String::new());
    for message in messages {
        if let (Some(path), Some(true)) =
            (message["executable"].as_str(), message["profile"]["test"].as_bool())
        {
            let name = message["target"]["name"].as_str().unwrap_or_default();
            binaries.push((name.to_owned(), PathBuf::from(path)));
        }
        if message["message"]["level"] == "error" {
            let _infallible =
                write!(errors, "{}", message["message"]["rendered"].as_str().unwrap_or_default());
        }
    }
    if built.status.success() {
        Ok(binaries)
    } else {
        Err(Error::other(format!("it does not build:\n{errors}")))
    }
}

/// What judges the mutants of one part, the fastest first. All must pass while nothing is broken.
fn judges(part: Part, copy: &Path, target: &Path) -> io::Result<Vec<Judge>> {
    let (package, names, what): (_, &[(&str, Option<&str>)], &[&str]) = match part {
        Part::Runtime => (
            "tests",
            &[("conformance", None), ("behaviour", None), ("model", Some("random_programs"))],
            &["-p", "scope-tests", "--test", "conformance", "--test", "behaviour", "--test", "model"],
        ),
        Part::Macros => ("scope-macros", &[("scope_macros", None)], &["-p", "scope-macros", "--lib"]),
    };
    let built = build(copy, target, what)?;
    let libraries =
        Command::new("rustc").args(["--print", "target-libdir"]).current_dir(copy).output()?.stdout;
    let libraries = String::from_utf8_lossy(&libraries).trim().to_owned();
    let mut judges = Vec::new();
    for (name, filter) in names {
        let (_, binary) = built
            .iter()
            .find(|(built, _)| built == name)
            .ok_or_else(|| Error::other(format!("there is no test `{name}`")))?;
        let (name, binary, at) = ((*name).to_owned(), binary.clone(), copy.join(package));
        let (libraries, patience) = (libraries.clone(), Duration::from_secs(900));
        let mut judge = Judge { name, binary, at, libraries, filter: *filter, patience };
        match judge.run(0, None)? {
            Verdict::Passed(longest) => judge.patience = LEAST_PATIENCE.max(longest * PATIENCE),
            Verdict::Killed(by) => {
                return Err(Error::other(format!("with nothing broken, {} fails: {by}", judge.name)));
            }
        }
        judges.push(judge);
    }
    Ok(judges)
}

fn main() -> io::Result<ExitCode> {
    let workspace = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?;
    let mutants = list::read(include_str!("list.txt")).map_err(Error::other)?;
    let words: Vec<String> = env::args().skip(1).collect();
    let is_chosen = |number: usize, mutant: &Mutant| {
        let says = |word: &String| {
            word.parse().map_or_else(|_| mutant.title.contains(word.as_str()), |only: usize| only == number)
        };
        words.is_empty() || words.iter().any(says)
    };
    let scratch = workspace.join("target/mutants");
    let (mut killed, mut explained, mut survived) = (0, 0, 0);
    for part in [Part::Macros, Part::Runtime] {
        let chosen: Vec<_> = (1..)
            .zip(&mutants)
            .filter(|(number, mutant)| mutant.part() == part && is_chosen(*number, mutant))
            .collect();
        if chosen.is_empty() {
            continue;
        }
        let copy = scratch.join(part.package());
        make(&workspace, &copy, part, &mutants)?;
        let judges = judges(part, &copy, &scratch.join("target"))?;
        for (number, mutant) in chosen {
            let start = Instant::now();
            let rule = mutant.tests();
            // The tests of the rule come first: most are found out by these, and soon.
            let first =
                judges.iter().filter(|judge| judge.name == "behaviour").map(|judge| (judge, Some(&*rule)));
            let mut by = None;
            for (judge, filter) in first.chain(judges.iter().map(|judge| (judge, None))) {
                if let Verdict::Killed(test) = judge.run(number, filter)? {
                    by = Some(format!("killed by {}: {test}", judge.name));
                    break;
                }
            }
            match (&by, mutant.explained) {
                (Some(_), _) => killed += 1,
                (None, true) => explained += 1,
                (None, false) => survived += 1,
            }
            let outcome = by.unwrap_or_else(|| {
                "SURVIVED".to_owned() + if mutant.explained { " (explained)" } else { "" }
            });
            println!("{number:3}  {}  {outcome}  [{} s]", mutant.title, start.elapsed().as_secs());
        }
    }
    println!("{killed} killed, {} survived, of which {explained} are explained", survived + explained);
    Ok(if survived == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
