//! A token that a task waits for.

use std::time::Duration;

use scope_runtime::{CancelToken, scope, spawn};
use tokio::time::sleep;

use crate::out::Out;

async fn some_task(token: CancelToken, out: Out) {
    out.say("started task");
    token.wait().await;
    out.say("task cancelled");
}

pub(crate) async fn run(out: &Out) {
    let _ = scope!({
        let token = CancelToken::new("demo");
        spawn!(some_task(token.clone(), out.clone()));
        sleep(Duration::from_millis(10)).await; // the task starts
        token.trigger();
        // No second sleep for the task to complete in: the scope waits for it.
    });
}
