//! A block with a timeout inside of a group of tasks.

use std::time::Duration;

use scope_runtime::scope;
use tokio::time::sleep;

use crate::out::{Out, answer};

pub(crate) async fn run(out: &Out) {
    let _ = scope!(name = "group", {
        let block = scope!(timeout = 1s, {
            out.say("Starting sleep");
            sleep(Duration::from_secs(2)).await;
            out.say("This should never be printed");
        });
        // The block's value says whether its timeout was reached; `block?` would fail with it.
        out.say(format_args!("Exited cancel scope, cancelled = {}", answer(block.is_err())));
    });
}
