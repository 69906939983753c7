//! Runs random programs on the library and on the model, and prints a minimal one for each that differs.
//!
//! ```text
//! cargo run --release -p scope-tests --bin fuzz -- --seed S --count N
//! ```
//!
//! The programs are those of the seeds `S`, `S + 1`, …; the exit code is 1 if any differs, 2 if the command was called
//! wrongly.

use std::process::ExitCode;

use scope_tests::model::check::{difference, shrink};
use scope_tests::model::generate::{Features, generate};

const USAGE: &str = "usage: fuzz --seed S --count N";

/// So many are made small; the others are only named.
const SHOWN: u64 = 10;

fn main() -> ExitCode {
    let Some((seed, count)) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let mut failed = 0;
    for seed in seed..seed.saturating_add(count) {
        let program = generate(seed, Features::ALL);
        if difference(&program, None).is_none() {
            continue;
        }
        failed += 1;
        if failed > SHOWN {
            println!("seed {seed}");
            continue;
        }
        let least = shrink(&program, |smaller| difference(smaller, None).is_some());
        let how = difference(&least, None).unwrap_or_else(|| "it agrees when it is run again".to_owned());
        println!("seed {seed}:\n{least}{how}");
    }
    println!("{} passed, {failed} failed", count - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// The seed and the count of the command line.
fn arguments() -> Option<(u64, u64)> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = given.iter().position(|argument| argument == name)?;
        given.get(at + 1)?.parse().ok()
    };
    if given.len() != 4 {
        return None;
    }
    Some((number("--seed")?, number("--count")?))
}
