//! Spawning children that are ready at once, and joining them: `n` of them, each way.

use std::hint::black_box;
use std::time::{Duration, Instant};

use scope_runtime::{scope, spawn};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::by_hand::MINUTE;

/// Tasks of tokio, each awaited.
pub(crate) async fn bare(n: usize) -> Duration {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..n).map(|i| tokio::spawn(async move { black_box(i) })).collect();
    for task in tasks {
        black_box(task.await.expect("it does not panic"));
    }
    begun.elapsed()
}

/// A `JoinSet`, each taken from it.
pub(crate) async fn join_set(n: usize) -> Duration {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for i in 0..n {
        tasks.spawn(async move { black_box(i) });
    }
    while let Some(value) = tasks.join_next().await {
        black_box(value.expect("it does not panic"));
    }
    begun.elapsed()
}

/// A `TaskTracker`, which drops the values.
pub(crate) async fn task_tracker(n: usize) -> Duration {
    let begun = Instant::now();
    let tasks = TaskTracker::new();
    for i in 0..n {
        tasks.spawn(async move { black_box(i) });
    }
    tasks.close();
    tasks.wait().await;
    begun.elapsed()
}

/// A block by hand, whose children know of its token.
pub(crate) async fn by_hand(n: usize) -> Duration {
    let root = CancellationToken::new();
    let begun = Instant::now();
    let token = root.child_token();
    let _cancelled_on_drop = token.clone().drop_guard();
    let mut tasks = JoinSet::new();
    let all = async {
        for i in 0..n {
            let token = token.clone();
            tasks.spawn(async move { token.run_until_cancelled(async move { black_box(i) }).await });
        }
        while let Some(value) = tasks.join_next().await {
            black_box(value.expect("it does not panic"));
        }
    };
    let _ = black_box(timeout(MINUTE, token.run_until_cancelled(all)).await);
    tasks.shutdown().await;
    begun.elapsed()
}

/// A scope whose boundary waits.
pub(crate) async fn scope_waits(n: usize) -> Duration {
    let begun = Instant::now();
    scope!({
        for i in 0..n {
            spawn!(async move { black_box(i) });
        }
    })
    .expect("nobody cancels");
    begun.elapsed()
}

/// A scope whose body awaits every child.
pub(crate) async fn scope_awaits(n: usize) -> Duration {
    let begun = Instant::now();
    scope!({
        let tasks: Vec<_> = (0..n).map(|i| spawn!(async move { black_box(i) })).collect();
        for task in tasks {
            black_box(task.await.expect("it does not panic"));
        }
    })
    .expect("nobody cancels");
    begun.elapsed()
}
