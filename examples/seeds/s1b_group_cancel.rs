//! Cancels a group by naming it, from a function that knows nothing else of it.

use std::time::Duration;

use scope_runtime::{ScopeHandle, scope, spawn};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::out::{Out, answer, seconds};

fn cancel_group(group: &ScopeHandle) -> bool {
    group.cancel()
}

pub(crate) async fn run(out: &Out) {
    let started = Instant::now();
    let mut kept = None;
    let cancelled = scope!(|group| {
        for n in 1..=4 {
            spawn!(sleep(Duration::from_secs(n)));
        }
        kept = Some(group.handle());
        cancel_group(group);
    });
    out.say(format_args!(
        "with a scope: cancelled = {}, after {}",
        answer(cancelled.is_err()),
        seconds(started.elapsed())
    ));
    // A group that is over: an answer, not an error.
    let told = kept.is_some_and(|group| cancel_group(&group));
    out.say(format_args!("again, when it is over: {told}"));

    let started = Instant::now();
    by_hand().await;
    out.say(format_args!("by hand: after {}", seconds(started.elapsed())));
}

/// tokio has a group, too. It has to be shut down on every way out: where it is dropped instead, its tasks are aborted,
/// but nobody waits until they have ended.
async fn by_hand() {
    let mut group = JoinSet::new();
    for n in 1..=4 {
        group.spawn(sleep(Duration::from_secs(n)));
    }
    group.abort_all();
    while let Some(ended) = group.join_next().await {
        match ended {
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Ok(()) | Err(_) => {}
        }
    }
}
