//! Cancelling children that are parked, and waiting until all have ended: `n` of them, each way. Only that is timed.

use std::future::pending;
use std::time::{Duration, Instant};

use scope_runtime::{scope, spawn};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::by_hand::MINUTE;
use super::progress::{park, reset, until_reached};

/// Tasks of tokio, each aborted, each awaited.
pub(crate) async fn bare(n: usize) -> Duration {
    reset();
    let tasks: Vec<_> = (0..n).map(|_| tokio::spawn(park())).collect();
    until_reached(n).await;
    let begun = Instant::now();
    for task in &tasks {
        task.abort();
    }
    for task in tasks {
        assert!(task.await.is_err());
    }
    begun.elapsed()
}

/// `JoinSet::shutdown`.
pub(crate) async fn join_set(n: usize) -> Duration {
    reset();
    let mut tasks = JoinSet::new();
    for _ in 0..n {
        tasks.spawn(park());
    }
    until_reached(n).await;
    let begun = Instant::now();
    tasks.shutdown().await;
    begun.elapsed()
}

/// A token that all children share, and a tracker that waits for them.
pub(crate) async fn token_and_tracker(n: usize) -> Duration {
    reset();
    let (token, tasks) = (CancellationToken::new(), TaskTracker::new());
    for _ in 0..n {
        let token = token.clone();
        tasks.spawn(async move { token.run_until_cancelled(park()).await });
    }
    until_reached(n).await;
    let begun = Instant::now();
    token.cancel();
    tasks.close();
    tasks.wait().await;
    begun.elapsed()
}

/// A block by hand, whose children know of its token.
pub(crate) async fn by_hand(n: usize) -> Duration {
    reset();
    let root = CancellationToken::new();
    let token = root.child_token();
    let _cancelled_on_drop = token.clone().drop_guard();
    let mut tasks = JoinSet::new();
    let mut begun = Instant::now();
    let all = async {
        for _ in 0..n {
            let token = token.clone();
            tasks.spawn(async move { token.run_until_cancelled(park()).await });
        }
        until_reached(n).await;
        begun = Instant::now();
        token.cancel();
        pending::<()>().await;
    };
    assert_eq!(timeout(MINUTE, token.run_until_cancelled(all)).await, Ok(None));
    tasks.shutdown().await;
    begun.elapsed()
}

/// A scope that is cancelled.
pub(crate) async fn scope_is_cancelled(n: usize) -> Duration {
    reset();
    let mut begun = Instant::now();
    let cut = scope!(|s| {
        for _ in 0..n {
            spawn!(park());
        }
        until_reached(n).await;
        begun = Instant::now();
        s.cancel();
        pending::<()>().await;
    });
    let took = begun.elapsed();
    assert!(cut.is_err());
    took
}
