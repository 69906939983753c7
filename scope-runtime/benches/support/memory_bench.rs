//! The bench `memory`, run from the others for their jobs about memory.
//!
//! It is a program of its own, because the allocator that counts makes each allocation slower: where time is taken,
//! there must be none.

use std::io::{Write, stdout};
use std::process::{Command, exit};

use super::options::Options;

/// Runs those of the jobs that are wanted.
pub(crate) fn run(options: &Options, jobs: &[&str]) {
    let wanted: Vec<_> = jobs.iter().copied().filter(|job| options.wants(job)).collect();
    // `cargo test --benches` runs that bench, too.
    if wanted.is_empty() || options.smoke {
        return;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["bench", "--quiet", "--bench", "memory", "--", "--jobs", &wanted.join(",")]);
    command.args(options.json.then_some("--json")).args(options.quick.then_some("--quick"));
    stdout().flush().expect("standard output is open");
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("the bench `memory` failed: {status}")),
        Err(error) => fail(&format!("cannot run the bench `memory` with cargo: {error}")),
    }
}

fn fail(problem: &str) -> ! {
    eprintln!("{problem}");
    exit(1)
}
