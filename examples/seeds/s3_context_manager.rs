//! A resource with a setup and a teardown, and a task of its own in between.
//!
//! A scope can't be entered in one call and left in another, so it can't be left in the wrong order, nor by another
//! task. Who lends a resource takes the code that uses it.

use std::time::Duration;

use scope_runtime::{Cancelled, defer, scope, spawn};
use tokio::time::{interval, sleep};

use crate::out::{Out, answer};

struct Connection {
    name: &'static str,
}

/// Lends a connection, with a task in the background that keeps it alive.
async fn with_connection<R>(
    name: &'static str,
    out: &Out,
    body: impl AsyncFnOnce(&Connection) -> R,
) -> Result<R, Cancelled> {
    scope!(name = name, {
        out.say(format_args!("{name} opened"));
        let of = out.clone();
        defer(async move { of.say(format_args!("{name} closed")) });
        spawn!(background, keep_alive());
        body(&Connection { name }).await
    })
}

async fn keep_alive() {
    let mut ticks = interval(Duration::from_secs(10));
    loop {
        ticks.tick().await;
    }
}

pub(crate) async fn run(out: &Out) {
    // Two of them: the teardowns come in the exact reverse order of the setups, whatever happens in the body.
    let job = scope!(timeout = 1s, name = "job", {
        with_connection("database", out, async |database| {
            with_connection("queue", out, async |queue| {
                out.say(format_args!("from {} to {}", queue.name, database.name));
                sleep(Duration::from_secs(60)).await;
            })
            .await
        })
        .await
    });
    out.say(format_args!("job cancelled = {}", answer(job.is_err())));
}
