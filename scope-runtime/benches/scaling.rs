//! What scopes cost as they grow: `cargo bench -p scope-runtime --bench scaling`.
//!
//! More children, deeper nesting, more threads, and more children in a long life. No time is asserted. The method stands
//! in `docs/performance.md`.

#![recursion_limit = "512"] // the layout of 16 scopes in one another is computed recursively

#[allow(dead_code)] // each bench has a use for a part of it
mod support;

#[path = "peers/threads.rs"]
mod threads;

mod scaling {
    pub(crate) mod children;
    pub(crate) mod depth;
}

use scaling::{children, depth};
use support::measure::{Job, measure};
use support::options::Options;
use support::row::Row;
use support::runtime::Flavour::{self, Current, Multi};
use support::{memory_bench, table};

const HELP: &str = "\
Measures scopes as they grow, beside tokio's own means.

usage: cargo bench -p scope-runtime --bench scaling [-- OPTIONS]

    --jobs depth,long  only these
    --quick            a hundredth of the long life, and less precision
    --json             one object per line: job, rt, case, n, ns (or bytes), ratio, reference
    --help             this

jobs: spawn   spawn and join 1, 10, 1,000, 100,000 children
      cancel  cancel as many, parked, and wait for all
      memory  what as many, parked, keep allocated
      enter, suspend, poll, check
              scopes nested 1, 4, 16, 64 deep
      h       one thread and two that open scopes under one parent
      long    a scope that sees 10,000,000 short children
";

const JOBS: [&str; 9] = ["spawn", "cancel", "memory", "enter", "suspend", "poll", "check", "h", "long"];

/// Measures the same job of several sizes.
fn sizes(options: &Options, jobs: Vec<Job>, flavour: Flavour) {
    let Some(title) = jobs.first().filter(|job| options.wants(job.id)).map(|job| job.title.clone()) else {
        return;
    };
    let rows: Vec<Row> = jobs.iter().flat_map(|job| measure(job, flavour, options.effort())).collect();
    table::print_by_size(options, &title, &rows);
}

fn main() {
    let options = Options::read(HELP, &JOBS);
    let children: &[usize] = if options.smoke { &[1, 10] } else { &[1, 10, 1_000, 100_000] };
    for flavour in [Current, Multi] {
        sizes(&options, children.iter().map(|&n| children::spawn(n)).collect(), flavour);
        sizes(&options, children.iter().map(|&n| children::cancel(n)).collect(), flavour);
    }
    for jobs in [depth::enter(), depth::suspend_once(), depth::polls(), depth::checks()] {
        sizes(&options, jobs, Current);
    }
    if options.wants("h") {
        let job = threads::job();
        table::print(&options, &job.title, &measure(&job, Multi, options.effort()));
    }
    memory_bench::run(&options, &["memory", "long"]);
}
