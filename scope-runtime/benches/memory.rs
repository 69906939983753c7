//! What scopes and their children take in memory: `cargo bench -p scope-runtime --bench memory`.
//!
//! The benches `peers` and `scaling` run this one for their jobs about memory. The method stands in
//! `docs/performance.md`.

#[allow(dead_code, unused_imports, unused_macros)] // each bench has a use for a part of it
mod support;

#[path = "memory/children.rs"]
mod children;
#[path = "memory/counting.rs"]
mod counting;
#[path = "memory/futures.rs"]
mod futures;
#[path = "memory/lifetime.rs"]
mod lifetime;
#[path = "memory/parked.rs"]
mod parked;
#[path = "memory/scopes.rs"]
mod scopes;

use support::options::Options;
use support::row::Row;
use support::table;

const HELP: &str = "\
Counts what scopes and their children take in memory, beside tokio's own means.

usage: cargo bench -p scope-runtime --bench memory [-- OPTIONS]

    --jobs g,long  only these
    --quick        a hundredth of the long life
    --json         one object per line: job, rt, case, n, bytes (or allocs, ns), target, ok
    --help         this

jobs: g       bytes and allocations of a parked child
      g2      allocations of a scope
      g3      size of a scope's future
      memory  bytes of a parked child, by how many there are
      long    what a scope keeps that sees 10,000,000 short children
";

const JOBS: [&str; 5] = ["g", "g2", "g3", "memory", "long"];

fn main() {
    let options = Options::read(HELP, &JOBS);
    let (sizes, parked, total): (&[usize], _, _) = match &options {
        Options { smoke: true, .. } => (&[1, 10], 10, 1_000),
        Options { quick: true, .. } => (&[1, 10, 1_000, 100_000], 10_000, 100_000),
        _ => (&[1, 10, 1_000, 100_000], 10_000, 10_000_000),
    };
    let mut all: Vec<Row> = Vec::new();
    let mut tell = |title: &str, rows: Vec<Row>| {
        table::print(&options, title, &rows);
        all.extend(rows);
    };
    if options.wants("g") {
        let [bytes, allocations] = children::bytes_and_allocations(parked);
        tell(&format!("memory of each of {parked} parked children"), bytes);
        tell("the same, in allocations", allocations);
    }
    if options.wants("g2") {
        tell("allocations of a scope without children", scopes::allocations());
    }
    if options.wants("g3") {
        tell("size of the future, per level of nesting", futures::sizes());
    }
    if options.wants("memory") {
        let rows: Vec<Row> = sizes.iter().flat_map(|&n| children::of_size(n)).collect();
        table::print_by_size(&options, "live bytes of parked children, per child", &rows);
    }
    if options.wants("long") {
        let [bytes, times] = lifetime::rows(total);
        table::print_by_size(&options, "live bytes after so many short children", &bytes);
        table::print_by_size(&options, "time per child, the last tenth before so many", &times);
    }
    table::sum_up(&options, &all);
}
