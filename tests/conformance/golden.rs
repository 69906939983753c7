//! Golden files: a program, and the trace that real Trio gave for it.
//!
//! Not every program can be compared. Some depend on what Trio's way of delivering a cancel has no
//! counterpart for here; their tags say so, and they are [counted apart](Verdict::Apart). Where the tag
//! marks a choice that a rule of ours decides the other way, `decided.json` holds the stretch of Trio's
//! trace and what takes its place, so that the rest of the program is held against Trio all the same.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::interpret::{self, Broken, Way};
use super::program::{Malformed, Program};
use super::trace::{Difference, Trace};

/// Where Trio and a rule of this library disagree, by the name of the program.
const DECIDED: &str = include_str!("decided.json");

/// The tags of programs that are not comparable.
///
/// `explicit_cancel_of_fail_scope` (R15) is missing since rule L6 decides it.
const APART: [Apart; 10] = [
    Apart {
        tag: "latched_delivery",
        row: "R5",
        why: "a shield hides the cancel again within the instant in which Trio has delivered it",
    },
    Apart {
        tag: "cancel_beats_wake",
        row: "R10",
        why: "cancelled and then woken within one instant: Trio has cut the wait, here it is found ready",
    },
    Apart { tag: "timer_tie", row: "R11", why: "two timers fire at one instant, in no defined order" },
    Apart { tag: "timer_near_tie", row: "R11", why: "two timers are closer than timers are exact" },
    Apart {
        tag: "mixed_try",
        row: "R13",
        why: "a handler catches errors while a cancel unwinds along with them",
    },
    Apart { tag: "cleanup_raises", row: "R14", why: "a cleanup has no error type here" },
    Apart {
        tag: "spawn_into_closed",
        row: "R16",
        why: "whether a nursery that was left can be spawned into at all is a library's choice",
    },
    Apart {
        tag: "nursery_absorbs_foreign_cancel",
        row: "R17",
        why: "a nursery absorbs a cancel that is its own only since it lost a task to an outer one",
    },
    Apart { tag: "hang", row: "R18", why: "it never ends" },
    Apart { tag: "step_limit", row: "R18", why: "it never ends" },
];

/// A reason why a program is not comparable.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Apart {
    row: &'static str,
    tag: &'static str,
    why: &'static str,
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.row, self.tag, self.why)
    }
}

/// A program with the trace that is expected of it.
#[derive(Debug)]
pub struct Golden {
    /// Its name, which is that of its file.
    pub name: String,
    tags: Vec<String>,
    program: Arc<Program>,
    expected: Trace,
}

/// What came out of a comparison.
#[derive(Debug)]
pub enum Verdict {
    /// The traces agree in every way that was tried.
    Agrees,
    /// They don't, in this way at least.
    Disagrees(Way, Disagreement),
    /// The program is not comparable.
    Apart(&'static Apart),
}

/// How a run disagrees with Trio's.
#[derive(Debug)]
pub enum Disagreement {
    /// It ended, with another trace.
    Differs(Difference),
    /// It gave no trace.
    Broken(Broken),
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differs(difference) => difference.fmt(f),
            Self::Broken(broken) => broken.fmt(f),
        }
    }
}

impl Golden {
    /// Reads a golden file.
    ///
    /// # Errors
    ///
    /// It can't be read, is no JSON, or doesn't hold a program and its trace.
    pub fn read(path: &Path) -> Result<Self, Box<dyn std::error::Error>> {
        let file: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
        let name = file["name"].as_str().ok_or(lacks("name"))?.to_owned();
        let tags = file["tags"].as_array().ok_or(lacks("tags"))?;
        let program = Program::parse(file.get("program").ok_or(lacks("program"))?)?;
        let mut expected = Trace::parse(&file["tasks"]).ok_or(lacks("tasks"))?;
        decide(&name, &mut expected);
        Ok(Self {
            name,
            tags: tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            program: Arc::new(program),
            expected,
        })
    }

    /// Runs the program in these ways, up to the first that disagrees.
    #[must_use]
    pub fn check(&self, ways: &[Way]) -> Verdict {
        if let Some(apart) = APART.iter().find(|apart| self.tags.iter().any(|tag| tag == apart.tag)) {
            return Verdict::Apart(apart);
        }
        let disagreement = ways.iter().find_map(|&way| Some((way, self.compare(way)?)));
        disagreement.map_or(Verdict::Agrees, |(way, how)| Verdict::Disagrees(way, how))
    }

    /// Runs the program in one way, whatever its tags say; `None` if it agrees.
    #[must_use]
    pub fn compare(&self, way: Way) -> Option<Disagreement> {
        match interpret::run(&self.program, way) {
            Ok(here) => self.expected.first_difference(&here).map(Disagreement::Differs),
            Err(broken) => Some(Disagreement::Broken(broken)),
        }
    }
}

/// The golden files at this path, in order: itself, or those below it.
///
/// # Errors
///
/// The path can't be read.
pub fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries: Vec<_> =
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            found.extend(files(&entry)?);
        } else if entry.extension().is_some_and(|e| e == "json") && !entry.ends_with("MANIFEST.json") {
            found.push(entry);
        }
    }
    Ok(found)
}

/// Puts our rule's entries in the place of Trio's, where a rule decides otherwise.
fn decide(program: &str, expected: &mut Trace) {
    let decided: Value = serde_json::from_str(DECIDED).expect("decided.json is part of the program");
    let entries = |decision: &Value, side| Trace::parse(&decision[side]).expect("decided.json holds traces");
    for decision in decided.as_array().into_iter().flatten().filter(|d| d["program"] == program) {
        expected.replace(&entries(decision, "trio"), &entries(decision, "ours"));
    }
}

fn lacks(key: &str) -> Malformed {
    Malformed(format!("no golden file: it has no proper `{key}`"))
}
