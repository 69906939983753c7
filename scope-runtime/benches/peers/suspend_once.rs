//! b. Suspend once under a deadline of 60 s.

use scope_runtime::{cancel_scope, scope};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::by_hand::{MINUTE, by_hand};
use crate::support::measure::{Case, Job, timed};
use crate::support::row::Limit::Times;
use crate::support::runtime::Flavour::{Current, CurrentWithTimer, Multi, MultiWithTimer};
use crate::support::suspend::{rescheduled, suspend};

const TIMEOUT: &str = "tokio timeout, 60 s";

#[cancel_scope(timeout = "60s")]
async fn annotated() {
    suspend(1).await;
}

/// The job and its cases.
pub(crate) fn job() -> Job {
    let root = CancellationToken::new();
    Job::new("b", "suspend once under a deadline of 60 s", 500, TIMEOUT)
        .on(&[Current, CurrentWithTimer, Multi, MultiWithTimer])
        .case(Case::spinning("plain await", |n| async move { timed!(n, suspend(1).await) }))
        .case(Case::spinning(TIMEOUT, |n| async move { timed!(n, timeout(MINUTE, suspend(1)).await) }))
        .case(Case::spinning("by hand", move |n| {
            let root = root.clone();
            async move { timed!(n, by_hand(&root, suspend(1)).await) }
        }))
        .case(
            Case::spinning("scope!, outermost", |n| async move {
                timed!(n, scope!(timeout = 60s, { suspend(1).await }))
            })
            .goal(TIMEOUT, Times(1.1)),
        )
        .case(
            Case::spinning("#[cancel_scope], outermost", |n| async move { timed!(n, annotated().await) })
                .goal(TIMEOUT, Times(1.1)),
        )
        .case(
            Case::spinning("scope!, in a scope", |n| async move {
                scope!({ timed!(n, scope!(timeout = 60s, { suspend(1).await })) }).expect("nobody cancels")
            })
            .goal(TIMEOUT, Times(0.65)),
        )
        .case(
            Case::spinning("scope!, in a scope of 30 s", |n| async move {
                // An earlier deadline outside; the length is no literal, since the inner one would be rejected.
                let half = MINUTE / 2;
                scope!(timeout = half, { timed!(n, scope!(timeout = 60s, { suspend(1).await })) })
                    .expect("nobody cancels")
            })
            .goal(TIMEOUT, Times(0.65)),
        )
        .case(
            Case::spinning("scope!, in a scope of 90 s", |n| async move {
                scope!(timeout = 90s, { timed!(n, scope!(timeout = 60s, { suspend(1).await })) })
                    .expect("nobody cancels")
            })
            .goal(TIMEOUT, Times(0.65)),
        )
        .case(Case::spinning(
            "scope!, no deadline",
            |n| async move { timed!(n, scope!({ suspend(1).await })) },
        ))
}

/// The same with a turn of the scheduler at the suspension, as users have it; what that takes is in all of the cases.
pub(crate) fn scheduled() -> Job {
    Job::new("b2", "suspend once under a deadline of 60 s, for a turn of the scheduler", 500, TIMEOUT)
        .on(&[Current, CurrentWithTimer, Multi, MultiWithTimer])
        .case(Case::scheduled("plain await", |n| async move { timed!(n, rescheduled(1).await) }))
        .case(Case::scheduled(TIMEOUT, |n| async move { timed!(n, timeout(MINUTE, rescheduled(1)).await) }))
        .case(Case::scheduled("scope!, outermost", |n| async move {
            timed!(n, scope!(timeout = 60s, { rescheduled(1).await }))
        }))
        .case(Case::scheduled("scope!, in a scope", |n| async move {
            scope!({ timed!(n, scope!(timeout = 60s, { rescheduled(1).await })) }).expect("nobody cancels")
        }))
        .case(Case::scheduled("scope!, no deadline", |n| async move {
            timed!(n, scope!({ rescheduled(1).await }))
        }))
}
