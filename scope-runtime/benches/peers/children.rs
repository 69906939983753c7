//! d. Spawn and join children.

use crate::support::measure::{Case, Job};
use crate::support::row::Limit::Times;
use crate::support::spawning::{bare, by_hand, join_set, scope_awaits, scope_waits, task_tracker};

const JOIN_SET: &str = "JoinSet";

/// The job for batches of `n` children, and what should be reached there: by a boundary that waits, and if every handle
/// is awaited.
pub(crate) fn job(n: usize, boundary: f64, handles: f64) -> Job {
    Job::new("d", format!("spawn and join {n} children, per child"), n, JOIN_SET)
        .of(n)
        .case(Case::scheduled("tokio::spawn, JoinHandle", bare))
        .case(Case::scheduled(JOIN_SET, join_set))
        .case(Case::scheduled("TaskTracker (drops results)", task_tracker))
        .case(Case::scheduled("by hand", by_hand))
        .case(Case::scheduled("spawn!, boundary waits", scope_waits).goal(JOIN_SET, Times(boundary)))
        .case(Case::scheduled("spawn!, handles awaited", scope_awaits).goal(JOIN_SET, Times(handles)))
}
