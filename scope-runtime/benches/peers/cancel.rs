//! e. Cancel children that are parked, and wait until all have ended.

use crate::support::cancelling::{bare, by_hand, join_set, scope_is_cancelled, token_and_tracker};
use crate::support::measure::{Case, Job};
use crate::support::row::Limit::Times;
use crate::support::runtime::Flavour;

const SHUTDOWN: &str = "JoinSet::shutdown";
const TRACKER: &str = "shared token, TaskTracker";

/// The job for batches of `n` children, on one runtime: how much of `JoinSet::shutdown` it may take differs.
pub(crate) fn job(n: usize, on: Flavour, of_shutdown: f64) -> Job {
    Job::new("e", format!("cancel {n} parked children and wait for all, per child"), n, SHUTDOWN)
        .of(n)
        .on(&[on])
        .case(Case::scheduled("abort each, await each", bare))
        .case(Case::scheduled(SHUTDOWN, join_set))
        .case(Case::scheduled(TRACKER, token_and_tracker))
        .case(Case::scheduled("by hand", by_hand))
        .case(
            Case::scheduled("scope!", scope_is_cancelled)
                .goal(SHUTDOWN, Times(of_shutdown))
                .goal(TRACKER, Times(1.05)),
        )
}
