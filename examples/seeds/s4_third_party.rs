//! Puts a token and a timeout around something that knows of neither.

use std::time::Duration;

use scope_runtime::{CancelToken, FirstOfError};
use tokio::time::sleep;

use crate::out::Out;

async fn some_3rd_party_api() {
    sleep(Duration::from_secs(10)).await;
}

pub(crate) async fn run(out: &Out) {
    let token = CancelToken::new("demo");
    let waited = token.first_of([some_3rd_party_api()]).timeout(Duration::from_millis(100)).await;
    match waited {
        Ok(()) => out.say("done"),
        Err(FirstOfError::TimedOut) => out.say("TimeoutError"),
        Err(cancelled) => out.say(cancelled),
    }
}
