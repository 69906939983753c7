//! Waits for a signal from elsewhere, as `main` does for the end of what it started.

use std::time::Duration;

use scope_runtime::{CancelToken, scope, spawn};
use tokio::time::sleep;

use crate::out::Out;

async fn do_work(done: CancelToken, out: Out) {
    sleep(Duration::from_millis(20)).await;
    out.say("work is done");
    done.trigger();
}

pub(crate) async fn run(out: &Out) {
    let _ = scope!({
        let token = CancelToken::new("worker");
        spawn!(do_work(token.clone(), out.clone()));
        token.wait().await;
        out.say("main goes on");
    });
}
