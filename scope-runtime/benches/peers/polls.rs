//! f. Poll a body that suspends again and again.

use std::time::Duration;

use scope_runtime::{cancel_scope, scope};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::by_hand::{MINUTE, by_hand};
use crate::support::measure::{Case, Job, timed};
use crate::support::nested::{nested_calls, nested_scopes};
use crate::support::row::Limit::{More, Times};
use crate::support::suspend::{rescheduled, suspend};

const BARE: &str = "plain await";
const TIMEOUT: &str = "tokio timeout, 60 s";

#[cancel_scope]
async fn annotated(polls: usize) {
    suspend(polls).await;
}

#[cancel_scope(timeout = "60s")]
async fn annotated_with_deadline(polls: usize) {
    suspend(polls).await;
}

/// The job and its cases. A batch is one scope: entering it costs a hundredth of a nanosecond per poll.
pub(crate) fn job() -> Job {
    let token = CancellationToken::new();
    let root = token.clone();
    Job::new("f", "per poll of a body that suspends again and again", 10_000, TIMEOUT)
        .case(Case::spinning(BARE, |polls| async move { timed!(1, suspend(polls).await) }))
        .case(Case::spinning(
            TIMEOUT,
            |polls| async move { timed!(1, timeout(MINUTE, suspend(polls)).await) },
        ))
        .case(Case::spinning("shared token, run_until_cancelled", move |polls| {
            let token = token.clone();
            async move { timed!(1, token.run_until_cancelled(suspend(polls)).await) }
        }))
        .case(Case::spinning("by hand", move |polls| {
            let root = root.clone();
            async move { timed!(1, by_hand(&root, suspend(polls)).await) }
        }))
        .case(
            Case::spinning("scope!, 60 s", |polls| async move {
                timed!(1, scope!(timeout = 60s, { suspend(polls).await }))
            })
            .goal(TIMEOUT, Times(0.75)),
        )
        .case(
            Case::spinning("#[cancel_scope], 60 s", |polls| async move {
                timed!(1, annotated_with_deadline(polls).await)
            })
            .goal(TIMEOUT, Times(0.75)),
        )
        .case(
            Case::spinning("scope!", |polls| async move { timed!(1, scope!({ suspend(polls).await })) })
                .goal(BARE, More(10.0)),
        )
        .case(
            Case::spinning("#[cancel_scope]", |polls| async move { timed!(1, annotated(polls).await) })
                .goal(BARE, More(10.0)),
        )
        .case(Case::spinning("8 tokio timeouts, 60 s", eight_timeouts))
        .case(Case::spinning("8 scope!, 60 s", |polls| async move {
            timed!(1, nested_scopes!([timeout = 60s,] suspend(polls).await; _ _ _ _ _ _ _ _))
        }))
        .case(Case::spinning("8 scope!", |polls| async move {
            timed!(1, nested_scopes!([] suspend(polls).await; _ _ _ _ _ _ _ _))
        }))
}

async fn eight_timeouts(polls: usize) -> Duration {
    timed!(1, nested_calls!(|body| timeout(MINUTE, body); suspend(polls); _ _ _ _ _ _ _ _).await)
}

/// The same with a turn of the scheduler at each suspension, as users have it; what that takes is in all of the cases.
pub(crate) fn scheduled() -> Job {
    Job::new("f2", "per suspension of a body, for a turn of the scheduler", 10_000, TIMEOUT)
        .case(Case::scheduled(BARE, |polls| async move { timed!(1, rescheduled(polls).await) }))
        .case(Case::scheduled(TIMEOUT, |polls| async move {
            timed!(1, timeout(MINUTE, rescheduled(polls)).await)
        }))
        .case(Case::scheduled("scope!, 60 s", |polls| async move {
            timed!(1, scope!(timeout = 60s, { rescheduled(polls).await }))
        }))
        .case(Case::scheduled(
            "scope!",
            |polls| async move { timed!(1, scope!({ rescheduled(polls).await })) },
        ))
}
