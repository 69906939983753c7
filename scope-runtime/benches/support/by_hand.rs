//! What a careful user of tokio writes today to get a part of one scope.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The deadline of all cases that have one: it never passes.
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// A block with a token of its own, a deadline, and a place for child tasks that are awaited at the end.
pub(crate) async fn by_hand<F: Future>(parent: &CancellationToken, body: F) -> Option<F::Output> {
    let token = parent.child_token();
    let _cancelled_on_drop = token.clone().drop_guard();
    let mut tasks = JoinSet::<()>::new();
    let value = timeout(MINUTE, token.run_until_cancelled(body)).await;
    tasks.shutdown().await;
    value.ok().flatten()
}
