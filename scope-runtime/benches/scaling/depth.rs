//! Deeper and deeper nesting.

use scope_runtime::check;
use tokio::task::unconstrained;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::by_hand::MINUTE;
use crate::support::measure::{Batch, Case, Job, timed};
use crate::support::nested::{nested_calls, nested_scopes};
use crate::support::suspend::{spin, suspend};

const TIMEOUTS: &str = "tokio timeouts, 60 s";
const SCOPES: &str = "scope!";
const SCOPES_WITH_DEADLINE: &str = "scope!, 60 s";
const TOKEN: &str = "CancellationToken::is_cancelled";

/// A batch is so many levels.
const BATCH: usize = 6_400;

/// Enters and leaves a nest so many times, with so many suspensions in its innermost body. Not generic: a nest of 64
/// takes long to compile, so there is one of each for all jobs.
type Nest = fn(times: usize, suspensions: usize) -> Batch;

/// Calls `check()` so many times in a nest.
type Checks = fn(times: usize) -> Batch;

/// What is nested, at one depth.
struct Depth {
    levels: usize,
    timeouts: Nest,
    scopes: Nest,
    scopes_with_deadline: Nest,
    checks: Checks,
    checks_with_deadline: Checks,
}

/// The depth of as many levels as there are `_`.
macro_rules! depth {
    ($levels:literal: $($level:tt)*) => {
        Depth {
            levels: $levels,
            timeouts: |times, n| in_a_task(async move {
                timed!(times, nested_calls!(|body| timeout(MINUTE, body); suspend(n); $($level)*).await)
            }),
            scopes: |times, n| in_a_task(async move {
                timed!(times, nested_scopes!([] suspend(n).await; $($level)*))
            }),
            scopes_with_deadline: |times, n| in_a_task(async move {
                timed!(times, nested_scopes!([timeout = 60s,] suspend(n).await; $($level)*))
            }),
            checks: |times| in_a_task(async move {
                let mut took = None;
                let _ = nested_scopes!([] took = Some(timed!(times, check())); $($level)*);
                took.expect("nobody cancels")
            }),
            checks_with_deadline: |times| in_a_task(async move {
                let mut took = None;
                let _ = nested_scopes!([timeout = 60s,] took = Some(timed!(times, check())); $($level)*);
                took.expect("nobody cancels")
            }),
        }
    };
}

fn in_a_task(batch: impl Future<Output = std::time::Duration> + Send + 'static) -> Batch {
    Box::pin(unconstrained(spin(batch)))
}

fn depths() -> [Depth; 4] {
    [
        depth!(1: _),
        depth!(4: _ _ _ _),
        depth!(16: _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _),
        depth!(64: _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _
                   _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _),
    ]
}

/// A job at each depth. `shares` tells how a batch of so many units, in so many levels, is done: how often a nest is
/// entered, and how often it suspends.
fn nests(id: &'static str, title: &str, shares: fn(usize, usize) -> (usize, usize)) -> Vec<Job> {
    let job = |depth: Depth| {
        let levels = depth.levels;
        let case = |name: &str, nest: Nest| {
            Case::scheduled(name, move |n| {
                let (times, suspensions) = shares(n, levels);
                nest(times, suspensions)
            })
        };
        Job::new(id, title, BATCH, TIMEOUTS)
            .of(levels)
            .case(case(TIMEOUTS, depth.timeouts))
            .case(case(SCOPES, depth.scopes))
            .case(case(SCOPES_WITH_DEADLINE, depth.scopes_with_deadline))
    };
    depths().map(job).into()
}

/// Enter and leave, the body ready at once.
pub(crate) fn enter() -> Vec<Job> {
    nests("enter", "enter and leave nested scopes, per level", |n, levels| ((n / levels).max(1), 0))
}

/// Suspend once inside.
pub(crate) fn suspend_once() -> Vec<Job> {
    nests("suspend", "nested scopes with one suspension inside, per level", |n, levels| {
        ((n / levels).max(1), 1)
    })
}

/// Poll what suspends again and again.
pub(crate) fn polls() -> Vec<Job> {
    nests("poll", "per poll of nested scopes, per level", |n, levels| (1, n / levels))
}

/// `check()` inside; a value is the time of one call, not of one level.
pub(crate) fn checks() -> Vec<Job> {
    let job = |depth: Depth| {
        let token = CancellationToken::new();
        Job::new("check", "check() in nested scopes, per call", 1_000, TOKEN)
            .of(depth.levels)
            .case(Case::spinning(TOKEN, move |n| {
                let token = token.clone();
                async move { timed!(n, token.is_cancelled()) }
            }))
            .case(Case::scheduled(SCOPES, depth.checks))
            .case(Case::scheduled(SCOPES_WITH_DEADLINE, depth.checks_with_deadline))
    };
    depths().map(job).into()
}
