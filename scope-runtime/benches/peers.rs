//! What a scope costs, beside what tokio users do without it: `cargo bench -p scope-runtime --bench peers`.
//!
//! No time is asserted: what carries over from one machine to another is a ratio of two cases in the same run. The
//! method stands in `docs/performance.md`.

#![recursion_limit = "512"] // the layout of 16 scopes in one another is computed recursively

#[allow(dead_code)] // each bench has a use for a part of it
mod support;

mod peers {
    pub(crate) mod callgrind;
    pub(crate) mod cancel;
    pub(crate) mod check;
    pub(crate) mod children;
    pub(crate) mod enter;
    pub(crate) mod nested;
    pub(crate) mod polls;
    pub(crate) mod suspend_once;
    pub(crate) mod threads;
}

use std::process::exit;

use peers::{callgrind, cancel, check, children, enter, nested, polls, suspend_once, threads};
use support::measure::{Job, measure};
use support::options::Options;
use support::row::Row;
use support::runtime::Flavour::{Current, Multi};
use support::{memory_bench, table};

const HELP: &str = "\
Measures scopes beside their peers: ours, tokio's and tokio-util's, the combination by hand, and the floor.

usage: cargo bench -p scope-runtime --bench peers [-- OPTIONS]

    --jobs a,b,e     only these
    --quick          in less than a minute
    --json           one object per line: job, rt, case, ns (or bytes, allocs, instr), ratio, reference, target, ok
    --callgrind a,c  count instructions with valgrind instead of time: a, b, c, f and i
    --once JOB CASE COUNT
                     do nothing but this: for a profiler, as in `--once a 'scope!' 100000`
    --help           this

jobs: a  enter and leave a scope             f   poll a body that suspends often
      b  suspend once under a deadline       g   memory of a parked child
      c  16 nested scopes                    g2  allocations of a scope
      d  spawn and join children             g3  size of a scope's future
      e  cancel children, wait for all       h   two threads under one parent
                                             i   check()
b2 and f2 are b and f by way of the scheduler; `b` means both.
";

const JOBS: [&str; 13] = ["a", "b", "b2", "c", "d", "e", "f", "f2", "g", "g2", "g3", "h", "i"];

/// The jobs that take no children, so that one thread does all.
const COUNTABLE: [&str; 5] = ["a", "b", "c", "f", "i"];

fn timed_jobs() -> Vec<Job> {
    vec![
        enter::job(),
        suspend_once::job(),
        suspend_once::scheduled(),
        nested::job(),
        children::job(1_000, 0.85, 1.0),
        children::job(100_000, 0.95, 1.15),
        cancel::job(1_000, Current, 0.60),
        cancel::job(1_000, Multi, 0.90),
        polls::job(),
        polls::scheduled(),
        threads::job(),
        check::job(),
    ]
}

fn main() {
    let options = Options::read(HELP, &JOBS);
    let mut jobs = timed_jobs();
    if let Some((job, case, operations)) = &options.once {
        let Some(job) = jobs.iter().find(|other| other.id == job) else {
            eprintln!("there is no job `{job}`");
            exit(2)
        };
        return callgrind::once(job, case, *operations);
    }
    jobs.retain(|job| options.wants(job.id));
    if options.callgrind {
        for job in jobs.iter().filter(|job| COUNTABLE.contains(&job.id)) {
            table::print(&options, &job.title, &callgrind::count(job));
        }
        return;
    }

    let mut all: Vec<Row> = Vec::new();
    for job in &jobs {
        for &flavour in &job.flavours {
            let rows = measure(job, flavour, options.effort());
            table::print(&options, &job.title, &rows);
            all.extend(rows);
        }
    }
    table::sum_up(&options, &all);
    memory_bench::run(&options, &["g", "g2", "g3"]);
}
