//! Cancels a group of tasks, and goes on: without an error, and with nothing left to clear away.

use std::time::Duration;

use scope_runtime::{Cancelled, scope, spawn};
use tokio::time::{Instant, sleep};

use crate::out::{Out, answer, seconds};

pub(crate) async fn run(out: &Out) {
    let started = Instant::now();
    let group = with_a_scope().await;
    out.say(format_args!(
        "with a scope: cancelled = {}, after {}",
        answer(group.is_err()),
        seconds(started.elapsed())
    ));

    let started = Instant::now();
    by_hand().await;
    out.say(format_args!("by hand: after {}", seconds(started.elapsed())));
}

/// Every scope is a task group. Its switch is a value: `group.handle()` may be kept, and passed on.
async fn with_a_scope() -> Result<(), Cancelled> {
    scope!(|group| {
        spawn!(sleep(Duration::from_secs(1)));
        spawn!(sleep(Duration::from_secs(2)));
        spawn!(sleep(Duration::from_secs(3)));
        spawn!(sleep(Duration::from_secs(4)));
        group.cancel();
    })
}

/// The same without a scope: every task is kept, aborted, awaited, and its error told from a real one. And a `?`, a
/// panic or a `select!` in the middle of it would leave the others running.
async fn by_hand() {
    let mut tasks = Vec::new();
    for n in 1..=4 {
        tasks.push(tokio::spawn(sleep(Duration::from_secs(n))));
    }
    for task in &tasks {
        task.abort();
    }
    for task in tasks {
        match task.await {
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Ok(()) | Err(_) => {}
        }
    }
}
