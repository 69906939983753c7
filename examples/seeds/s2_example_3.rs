//! A cancel that bubbles: from a child up to the scope that has `bubble`, and down again to all that is in there.
//!
//! The scopes are `cooperative`: nothing is dropped, and since nobody checks, nobody fails.

use scope_runtime::{scope, spawn};
use tokio::task::yield_now;

use crate::out::{Out, answer};

async fn work5(out: Out) {
    let _ = scope!(cooperative, timeout = 3s, error = "work5 cancelled!", |parent| {
        out.say(format_args!("work5-parent cancelled={}", answer(parent.is_cancelled())));
        let _ = scope!(cooperative, timeout = 3s, error = "work5 cancelled!", |child| {
            out.say(format_args!("work5-child cancelled={}", answer(child.is_cancelled())));
            out.say("cancel work5-child");
            child.cancel();
            out.say(format_args!("work5-child cancelled={}", answer(child.is_cancelled())));
        });
        out.say(format_args!("work5-parent cancelled={}", answer(parent.is_cancelled())));
    });
}

async fn work6(out: Out) {
    let _ = scope!(cooperative, error = "work6 cancelled!", |s| {
        out.say(format_args!("work6 cancelled={}", answer(s.is_cancelled())));
        yield_now().await;
        out.say(format_args!("work6 cancelled={}", answer(s.is_cancelled())));
    });
}

pub(crate) async fn run(out: &Out) {
    let main = scope!(bubble, cooperative, |main| {
        let tasks = [spawn!(work6(out.clone())), spawn!(work5(out.clone()))];
        for task in tasks {
            let _ = task.await;
        }
        out.say(format_args!("main cancelled={}", answer(main.is_cancelled())));
    });
    if let Err(cancelled) = main {
        out.say(cancelled);
    }
}
