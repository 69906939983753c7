//! i. Ask whether one was cancelled.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use scope_runtime::{check, is_cancelled, scope, spawn};
use tokio_util::sync::CancellationToken;

use crate::support::measure::{Case, Job, timed};
use crate::support::nested::nested_scopes;
use crate::support::row::Limit::Times;

const TOKEN: &str = "CancellationToken::is_cancelled";
const CLOCK: &str = "Instant::now";

/// The job and its cases.
pub(crate) fn job() -> Job {
    let token = CancellationToken::new();
    let flag = Arc::new(AtomicBool::new(false));
    Job::new("i", "check()", 1_000, TOKEN)
        .case(Case::spinning("relaxed load", move |n| {
            let flag = flag.clone();
            async move { timed!(n, flag.load(Relaxed)) }
        }))
        .case(Case::spinning(TOKEN, move |n| {
            let token = token.clone();
            async move { timed!(n, token.is_cancelled()) }
        }))
        .case(Case::spinning(CLOCK, |n| async move { timed!(n, Instant::now()) }))
        .case(
            Case::spinning("check(), in a scope", |n| async move {
                scope!({ timed!(n, check()) }).expect("nobody cancels")
            })
            .goal(TOKEN, Times(0.5)),
        )
        .case(
            Case::scheduled("check(), in a child task", |n| async move {
                scope!({ spawn!(async move { timed!(n, check()) }).await.expect("nobody cancels") })
                    .expect("nobody cancels")
            })
            .goal(TOKEN, Times(0.5)),
        )
        .case(
            Case::spinning("check(), in a scope of 60 s", |n| async move {
                scope!(timeout = 60s, { timed!(n, check()) }).expect("nobody cancels")
            })
            .goal(CLOCK, Times(1.25)),
        )
        .case(
            Case::scheduled("check(), in a child task of a scope of 60 s", |n| async move {
                scope!(timeout = 60s, {
                    spawn!(async move { timed!(n, check()) }).await.expect("nobody cancels")
                })
                .expect("nobody cancels")
            })
            .goal(CLOCK, Times(1.25)),
        )
        .case(Case::spinning("is_cancelled(), in a scope", |n| async move {
            scope!({ timed!(n, is_cancelled()) }).expect("nobody cancels")
        }))
        .case(Case::spinning("check(), outside of scopes", |n| async move { timed!(n, check()) }))
        .case(Case::spinning("check(), in 8 scopes", |n| async move {
            let mut took = None;
            let _ = nested_scopes!([] took = Some(timed!(n, check())); _ _ _ _ _ _ _ _);
            took.expect("nobody cancels")
        }))
}
