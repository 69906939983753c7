//! Two ways out of a loop: by its condition, and by an error.

use std::time::Duration;

use scope_runtime::{CancelToken, Cancelled, scope, spawn};
use tokio::time::sleep;

use crate::out::Out;

async fn by_its_condition(token: &CancelToken) -> u32 {
    let mut rounds = 0;
    while !token.is_triggered() {
        rounds += 1;
        sleep(Duration::from_millis(10)).await;
    }
    rounds
}

async fn by_an_error(token: &CancelToken) -> Result<(), Cancelled> {
    loop {
        token.check()?;
        sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn run(out: &Out) {
    let _ = scope!({
        let token = CancelToken::new("worker");
        spawn!({
            let token = token.clone();
            async move {
                sleep(Duration::from_millis(25)).await;
                token.trigger();
            }
        });
        out.say(format_args!("left after {} rounds", by_its_condition(&token).await));
        if let Err(cancelled) = by_an_error(&token).await {
            out.say(cancelled);
        }
    });
}
