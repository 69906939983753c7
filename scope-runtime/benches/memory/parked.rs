//! What `n` parked children keep allocated, each way of spawning them.

use std::future::{Future, pending};
use std::pin::pin;

use scope_runtime::{scope, spawn};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::counting::{Counted, countable, left_until};
use crate::support::progress::{park, reset, until_reached};

/// What is allocated when `n` children that `spawning` spawns are parked.
pub(crate) fn live(n: usize, spawning: impl Future) -> Counted {
    reset();
    left_until(&countable(n), pin!(spawning), until_reached(n))
}

/// Tasks of tokio.
pub(crate) async fn bare(n: usize) {
    for _ in 0..n {
        tokio::spawn(park());
    }
    pending().await
}

/// In a `JoinSet`.
pub(crate) async fn join_set(n: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..n {
        tasks.spawn(park());
    }
    pending().await
}

/// In a `TaskTracker`.
pub(crate) async fn task_tracker(n: usize) {
    let tasks = TaskTracker::new();
    for _ in 0..n {
        tasks.spawn(park());
    }
    pending().await
}

/// Tasks of tokio, each with a token of its own.
pub(crate) async fn token_each(n: usize) {
    let root = CancellationToken::new();
    for _ in 0..n {
        let token = root.child_token();
        tokio::spawn(async move { token.run_until_cancelled(park()).await });
    }
    pending().await
}

/// In a `JoinSet`, each with a token of its own.
pub(crate) async fn by_hand(n: usize) {
    let root = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for _ in 0..n {
        let token = root.child_token();
        tasks.spawn(async move { token.run_until_cancelled(park()).await });
    }
    pending().await
}

/// In a scope, without handles.
pub(crate) async fn scope_waits(n: usize) {
    scope!({
        for _ in 0..n {
            spawn!(park());
        }
    })
    .expect("nobody cancels");
}

/// In a scope, with handles.
pub(crate) async fn scope_keeps(n: usize) {
    scope!({
        let _tasks: Vec<_> = (0..n).map(|_| spawn!(park())).collect();
        pending::<()>().await
    })
    .expect("nobody cancels");
}
