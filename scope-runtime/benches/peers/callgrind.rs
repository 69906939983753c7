//! Instructions per operation, counted by valgrind: the same on a busy machine as on a quiet one.
//!
//! Each case runs alone, in a process of its own, twice: the difference of the two counts, by the difference of the
//! numbers of operations, is free of what starting and ending take.

use std::process::{Command, exit};

use crate::support::measure::{Case, Job, Spread};
use crate::support::row::{Row, Unit};
use crate::support::runtime::Flavour;

/// How often each operation runs, as a part or a multiple of the job's batch.
const FEW: usize = 1;
const MANY: usize = 3;

/// Runs one case of a job once: what valgrind looks at.
pub(crate) fn once(job: &Job, case: &str, operations: usize) {
    let Some(case) = job.cases.iter().find(|other| other.name == case) else {
        eprintln!("job {} has no case `{case}`", job.id);
        exit(2)
    };
    Flavour::Current.start().run(case.batch(operations));
}

/// Counts all cases of a job.
pub(crate) fn count(job: &Job) -> Vec<Row> {
    let values: Vec<f64> = job.cases.iter().map(|case| per_operation(job, case)).collect();
    let reference = job.cases.iter().position(|case| case.name == job.reference).map(|at| values[at]);
    let row = |(case, &value): (&Case, &f64)| Row {
        job: job.id,
        runtime: Flavour::Current.name(),
        case: case.name.clone(),
        n: job.n,
        unit: Unit::Instructions,
        value,
        reference: Some(job.reference),
        ratio: reference.map(|reference| Spread::of(vec![value / reference])),
        difference: None,
        limit: None,
    };
    job.cases.iter().zip(&values).map(row).collect()
}

fn per_operation(job: &Job, case: &Case) -> f64 {
    let [few, many] = [FEW, MANY].map(|batches| instructions(job, case, batches * job.operations));
    many.saturating_sub(few) as f64 / ((MANY - FEW) * job.operations) as f64
}

fn instructions(job: &Job, case: &Case, operations: usize) -> u64 {
    let this = std::env::current_exe().expect("the path of this program");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(this)
        .args(["--once", job.id, &case.name, &operations.to_string()])
        .output();
    let said = match run {
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => fail(&format!("cannot run valgrind, which counts the instructions: {error}")),
    };
    let counted = said.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    counted.unwrap_or_else(|| fail(&format!("valgrind did not count:\n{said}")))
}

fn fail(problem: &str) -> ! {
    eprintln!("{problem}");
    exit(1)
}
