//! Threads in a task: a cancel in sync code bubbles up into the async code, and down into the other thread.

use scope_runtime::{Cancelled, cancel_scope, check, spawn, spawn_blocking};
use tokio::task::yield_now;

use crate::out::{Out, answer};
use crate::work::work;

#[cancel_scope(error = "sync_work1 cancelled!", scope = s)]
fn sync_work1(out: &Out) {
    out.say("sync_work1 started");
    work(100);
    s.cancel();
    out.say("sync_work1 cancelled manually");
}

#[cancel_scope(error = "sync_work2 cancelled!", scope = s)]
fn sync_work2(out: &Out) {
    out.say("sync_work2 started");
    work(300);
    out.say(format_args!("sync_work2 cancelled={}", answer(s.is_cancelled())));
}

#[cancel_scope(bubble, cooperative, error = "async_work cancelled!")]
async fn async_work(out: &Out) -> Result<(), Cancelled> {
    out.say("async_work started");
    spawn!(yield_now()).await?;
    let threads = [
        spawn_blocking!({
            let out = out.clone();
            move || sync_work1(&out)
        }),
        spawn_blocking!({
            let out = out.clone();
            move || sync_work2(&out)
        }),
    ];
    for thread in threads {
        let _ = thread.await;
    }
    check()
}

pub(crate) async fn run(out: &Out) {
    if let Err(cancelled) = async_work(out).await {
        out.say(cancelled);
    }
}
