//! Deeper and deeper nesting.

use std::hint::black_box;
use std::pin::Pin;
use std::time::Duration;

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

/// So many calls of `check()` that entering the nest for them does not count.
const CHECKS: usize = 20_000;

/// What the innermost body does, so often.
#[derive(Clone, Copy)]
enum Work {
    Suspend(usize),
    Check(usize),
}

async fn work(work: Work) {
    match work {
        Work::Suspend(times) => suspend(times).await,
        Work::Check(times) => {
            for _ in 0..times {
                let _ = black_box(check());
            }
        }
    }
}

/// Enters and leaves a nest so many times. One of each serves all jobs: a deep nest takes long to compile.
type Nest = fn(times: usize, inside: Work) -> Batch;

/// What is nested, at one depth.
struct Depth {
    levels: usize,
    timeouts: Nest,
    scopes: Nest,
    scopes_with_deadline: Nest,
}

/// Scopes in one another, in groups of `_`. Between two groups stands a box, for all peers alike, as in code that calls
/// itself: the compiler takes minutes for 64 levels that it can see through.
macro_rules! scopes {
    ([$($options:tt)*] $body:expr; [$($level:tt)*]) => {
        nested_scopes!([$($options)*] $body; $($level)*)
    };
    ([$($options:tt)*] $body:expr; [$($level:tt)*] $($groups:tt)+) => {
        nested_scopes!([$($options)*] boxed(async {
            let _ = scopes!([$($options)*] $body; $($groups)+);
        }).await; $($level)*)
    };
}

/// Timeouts in one another, likewise.
macro_rules! timeouts {
    ($body:expr; [$($level:tt)*]) => {
        nested_calls!(|body| timeout(MINUTE, body); $body; $($level)*).await
    };
    ($body:expr; [$($level:tt)*] $($groups:tt)+) => {
        nested_calls!(|body| timeout(MINUTE, body); boxed(async {
            let _ = timeouts!($body; $($groups)+);
        }); $($level)*).await
    };
}

fn boxed<'a>(group: impl Future<Output = ()> + Send + 'a) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(group)
}

/// The depth of as many levels as there are `_`.
macro_rules! depth {
    ($levels:literal: $($groups:tt)*) => {
        Depth {
            levels: $levels,
            timeouts: |times, inside| in_a_task(async move {
                timed!(times, timeouts!(work(inside); $($groups)*))
            }),
            scopes: |times, inside| in_a_task(async move {
                timed!(times, scopes!([] work(inside).await; $($groups)*))
            }),
            scopes_with_deadline: |times, inside| in_a_task(async move {
                timed!(times, scopes!([timeout = 60s,] work(inside).await; $($groups)*))
            }),
        }
    };
}

fn in_a_task(batch: impl Future<Output = Duration> + Send + 'static) -> Batch {
    Box::pin(unconstrained(spin(batch)))
}

fn depths() -> [Depth; 4] {
    [
        depth!(1: [_]),
        depth!(4: [_ _ _ _]),
        depth!(16: [_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _]),
        depth!(64: [_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _] [_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _]
                   [_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _] [_ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _]),
    ]
}

/// A job at each depth. `shares` tells how a batch of so many units, in so many levels, is done: how often a nest is
/// entered, and what for.
fn nests(id: &'static str, title: &str, shares: fn(usize, usize) -> (usize, Work)) -> Vec<Job> {
    let job = |depth: Depth| {
        let levels = depth.levels;
        let case = |name: &str, nest: Nest| {
            Case::scheduled(name, move |n| {
                let (times, inside) = shares(n, levels);
                nest(times, inside)
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
    nests("enter", "enter and leave nested scopes, per level", |n, levels| {
        ((n / levels).max(1), Work::Suspend(0))
    })
}

/// Suspend once inside.
pub(crate) fn suspend_once() -> Vec<Job> {
    nests("suspend", "nested scopes with one suspension inside, per level", |n, levels| {
        ((n / levels).max(1), Work::Suspend(1))
    })
}

/// Poll what suspends again and again.
pub(crate) fn polls() -> Vec<Job> {
    nests("poll", "per poll of nested scopes, per level", |n, levels| (1, Work::Suspend(n / levels)))
}

/// `check()` inside; a value is the time of one call, not of one level.
pub(crate) fn checks() -> Vec<Job> {
    let job = |depth: Depth| {
        let token = CancellationToken::new();
        Job::new("check", "check() in nested scopes, per call", CHECKS, TOKEN)
            .of(depth.levels)
            .case(Case::spinning(TOKEN, move |n| {
                let token = token.clone();
                async move { timed!(n, token.is_cancelled()) }
            }))
            .case(Case::scheduled(SCOPES, move |n| (depth.scopes)(1, Work::Check(n))))
            .case(Case::scheduled(SCOPES_WITH_DEADLINE, move |n| {
                (depth.scopes_with_deadline)(1, Work::Check(n))
            }))
    };
    depths().map(job).into()
}
