//! g. What a parked child takes.

use crate::counting::{Counted, each};
use crate::parked::{self, live};
use crate::support::row::Limit::Count;
use crate::support::row::{Row, Unit};

/// Every way to have `n` parked children, what it keeps allocated, and whether it is ours.
fn ways(n: usize) -> [(&'static str, Counted, bool); 7] {
    [
        ("tokio::spawn", live(n, parked::bare(n)), false),
        ("JoinSet", live(n, parked::join_set(n)), false),
        ("TaskTracker", live(n, parked::task_tracker(n)), false),
        ("child token and task", live(n, parked::token_each(n)), false),
        ("by hand", live(n, parked::by_hand(n)), false),
        ("spawn!, boundary waits", live(n, parked::scope_waits(n)), true),
        ("spawn!, handles kept", live(n, parked::scope_keeps(n)), true),
    ]
}

/// Bytes, and allocations, for each of `n` children.
pub(crate) fn bytes_and_allocations(n: usize) -> [Vec<Row>; 2] {
    let ways = ways(n);
    let row = |case, unit, count, limit: Option<f64>| Row {
        limit: limit.map(Count),
        ..Row::count("g", case, unit, each(count, n))
    };
    let bytes = |(case, counted, ours): &(_, Counted, bool)| {
        row(*case, Unit::Bytes, counted.bytes_current, ours.then_some(400.0))
    };
    let allocations = |(case, counted, ours): &(_, Counted, bool)| {
        row(*case, Unit::Allocations, counted.count_current, ours.then_some(1.0))
    };
    [ways.iter().map(bytes).collect(), ways.iter().map(allocations).collect()]
}

/// Bytes for each of `n` children, for a table of several sizes.
pub(crate) fn of_size(n: usize) -> Vec<Row> {
    let row = |(case, counted, _): (&'static str, Counted, bool)| Row {
        n: Some(n),
        ..Row::count("memory", case, Unit::Bytes, each(counted.bytes_current, n))
    };
    ways(n).into_iter().map(row).collect()
}
