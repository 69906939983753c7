//! More and more children.

use std::time::Duration;

use crate::support::measure::{Case, Job};
use crate::support::{cancelling, spawning};

/// A batch is at least so many children: a few of them are over too soon to be timed once.
const BATCH: usize = 1_000;

/// A way to do something with `n` children, again and again until the batch is full.
fn case<F>(name: &'static str, n: usize, way: impl Fn(usize) -> F + Send + Sync + Copy + 'static) -> Case
where
    F: Future<Output = Duration> + Send + 'static,
{
    Case::scheduled(name, move |batch| async move {
        let mut took = Duration::ZERO;
        for _ in 0..batch.div_ceil(n) {
            took += way(n).await;
        }
        took
    })
}

/// Spawn and join.
pub(crate) fn spawn(n: usize) -> Job {
    Job::new("spawn", "spawn and join children, per child", n.max(BATCH), "JoinSet")
        .of(n)
        .case(case("tokio::spawn, JoinHandle", n, spawning::bare))
        .case(case("JoinSet", n, spawning::join_set))
        .case(case("TaskTracker (drops results)", n, spawning::task_tracker))
        .case(case("by hand", n, spawning::by_hand))
        .case(case("spawn!, boundary waits", n, spawning::scope_waits))
        .case(case("spawn!, handles awaited", n, spawning::scope_awaits))
}

/// Cancel children that are parked, and wait for all.
pub(crate) fn cancel(n: usize) -> Job {
    Job::new(
        "cancel",
        "cancel parked children and wait for all, per child",
        n.max(BATCH),
        "JoinSet::shutdown",
    )
    .of(n)
    .case(case("abort each, await each", n, cancelling::bare))
    .case(case("JoinSet::shutdown", n, cancelling::join_set))
    .case(case("shared token, TaskTracker", n, cancelling::token_and_tracker))
    .case(case("by hand", n, cancelling::by_hand))
    .case(case("scope!", n, cancelling::scope_is_cancelled))
}
