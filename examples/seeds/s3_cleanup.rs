//! Cleanup: on whatever failure, on a cancel only, and cleanup that has to wait.

use std::io;
use std::time::Duration;

use scope_runtime::{Cancelled, cancel_scope, check, defer};
use tokio::time::{Instant, sleep};

use crate::out::{Out, answer, seconds};

pub(crate) async fn run(out: &Out) {
    if let Err(error) = on_any_failure(out).await {
        out.say(format_args!("then it failed: {error}"));
    }

    if let Err(cancelled) = on_a_cancel_only(out).await {
        out.say(format_args!("then it was cancelled, by its timeout: {}", answer(cancelled.is_timeout())));
    }

    let started = Instant::now();
    if let Err(cancelled) = with_a_wait(out).await {
        let (by_timeout, after) = (answer(cancelled.is_timeout()), seconds(started.elapsed()));
        out.say(format_args!("then it was cancelled, by its timeout: {by_timeout}, after {after}"));
    }
}

/// `defer` runs on every way out of the scope: a value, an error, a panic, a cancel. It swallows none of them.
#[cancel_scope]
async fn on_any_failure(out: &Out) -> io::Result<()> {
    let of = out.clone();
    defer(async move { of.say("cleanup after whatever came") });
    Err(io::Error::other("disk full"))
}

/// In a cooperative scope a cancel comes as an error, of one type everywhere. It is handed on like any other: dropping it
/// would not help, since the next `check()` brings it again.
#[cancel_scope(cooperative, timeout = "1s")]
async fn on_a_cancel_only(out: &Out) -> Result<(), Cancelled> {
    let done = run_async_stuff().await;
    if let Err(cancelled) = &done {
        out.say(format_args!("cleanup after a cancel of {}", cancelled.scope_name()));
    }
    done
}

async fn run_async_stuff() -> Result<(), Cancelled> {
    loop {
        sleep(Duration::from_millis(400)).await;
        check()?;
    }
}

/// Cleanup may wait: it is shielded from the cancel that it cleans up after. Only then does the cancel go on.
#[cancel_scope(timeout = "1s")]
async fn with_a_wait(out: &Out) -> Result<(), Cancelled> {
    let of = out.clone();
    defer(async move { some_cleanup_function(&of).await });
    sleep(Duration::from_secs(60)).await;
    Ok(())
}

async fn some_cleanup_function(out: &Out) {
    sleep(Duration::from_secs(1)).await;
    out.say("cleaned up in a second");
}
