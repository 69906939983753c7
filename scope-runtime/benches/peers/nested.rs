//! c. Sixteen nested scopes, and one suspension inside.

use std::pin::Pin;

use scope_runtime::scope;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::by_hand::MINUTE;
use crate::support::measure::{Case, Job, timed};
use crate::support::nested::{nested_calls, nested_scopes};
use crate::support::row::Limit::Times;
use crate::support::suspend::suspend;

const TIMEOUTS: &str = "16 tokio timeouts, 60 s";

/// A token of its own around each level. Boxed: `run_until_cancelled` holds its argument twice, so that sixteen of them
/// in one another would take megabytes.
async fn tokens(root: &CancellationToken, levels: usize) {
    let mut body: Pin<Box<dyn Future<Output = Option<()>> + Send + '_>> = Box::pin(async {
        suspend(1).await;
        Some(())
    });
    for _ in 0..levels {
        body = Box::pin(async move { root.child_token().run_until_cancelled(body).await.flatten() });
    }
    body.await;
}

/// The job and its cases.
pub(crate) fn job() -> Job {
    let root = CancellationToken::new();
    Job::new("c", "16 nested scopes, one suspension", 100, TIMEOUTS)
        .case(Case::spinning("plain await", |n| async move { timed!(n, suspend(1).await) }))
        .case(Case::spinning(TIMEOUTS, |n| async move {
            timed!(
                n,
                nested_calls!(|body| timeout(MINUTE, body); suspend(1); _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _)
                    .await
            )
        }))
        .case(Case::spinning("16 child tokens, boxed", move |n| {
            let root = root.clone();
            async move { timed!(n, tokens(&root, 16).await) }
        }))
        .case(
            Case::spinning("16 scope!, 60 s", |n| async move {
                timed!(n, nested_scopes!([timeout = 60s,] suspend(1).await; _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _))
            })
            .goal(TIMEOUTS, Times(0.70)),
        )
        .case(
            Case::spinning("16 scope!, no deadlines", |n| async move {
                timed!(n, nested_scopes!([] suspend(1).await; _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _))
            })
            .goal(TIMEOUTS, Times(0.28)),
        )
        .case(Case::spinning("16 scope!, only the outermost has 60 s", |n| async move {
            timed!(
                n,
                scope!(timeout = 60s, { nested_scopes!([] suspend(1).await; _ _ _ _ _ _ _ _ _ _ _ _ _ _ _) })
            )
        }))
}
