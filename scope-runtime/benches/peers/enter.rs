//! a. Enter and leave a scope whose body is ready at once.

use std::future::ready;
use std::hint::black_box;

use scope_runtime::{cancel_scope, scope};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::support::by_hand::{MINUTE, by_hand};
use crate::support::measure::{Case, Job, timed};
use crate::support::row::Limit::Times;

const TIMEOUT: &str = "tokio timeout, 60 s";

#[cancel_scope]
async fn annotated() {
    black_box(1);
}

#[cancel_scope(timeout = "60s")]
async fn annotated_with_deadline() {
    black_box(1);
}

/// The job and its cases.
pub(crate) fn job() -> Job {
    let token = CancellationToken::new();
    let root = token.clone();
    Job::new("a", "enter and leave a scope, body ready at once", 1_000, TIMEOUT)
        .case(Case::spinning("plain await", |n| async move { timed!(n, ready(black_box(1)).await) }))
        .case(Case::spinning(
            TIMEOUT,
            |n| async move { timed!(n, timeout(MINUTE, ready(black_box(1))).await) },
        ))
        .case(Case::spinning("tokio timeout_at", |n| async move {
            let at = Instant::now() + MINUTE;
            timed!(n, timeout_at(at, ready(black_box(1))).await)
        }))
        .case(Case::spinning("shared token, run_until_cancelled", move |n| {
            let token = token.clone();
            async move { timed!(n, token.run_until_cancelled(ready(black_box(1))).await) }
        }))
        .case(Case::spinning("by hand", move |n| {
            let root = root.clone();
            async move { timed!(n, by_hand(&root, ready(black_box(1))).await) }
        }))
        .case(
            Case::spinning("scope!", |n| async move { timed!(n, scope!({ black_box(1) })) })
                .goal(TIMEOUT, Times(0.40)),
        )
        .case(
            Case::spinning("#[cancel_scope]", |n| async move { timed!(n, annotated().await) })
                .goal(TIMEOUT, Times(0.40)),
        )
        .case(
            Case::spinning(
                "scope!, 60 s",
                |n| async move { timed!(n, scope!(timeout = 60s, { black_box(1) })) },
            )
            .goal(TIMEOUT, Times(1.0)),
        )
        .case(
            Case::spinning(
                "#[cancel_scope], 60 s",
                |n| async move { timed!(n, annotated_with_deadline().await) },
            )
            .goal(TIMEOUT, Times(1.0)),
        )
}
