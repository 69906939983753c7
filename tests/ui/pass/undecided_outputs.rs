//! Arms and futures whose output is known late, or never.

use std::future::{Future, pending};

use scope_runtime::{Cancelled, race, scope, spawn, try_join};

async fn fetch() -> u8 {
    1
}

async fn save() -> Result<u8, std::io::Error> {
    Ok(1)
}

async fn first_is_pending() -> u8 {
    race!(pending(), spawn!(name = "never", pending()), fetch())
}

async fn first_is_endless() -> u8 {
    race!(async { loop { fetch().await; } }, fetch())
}

async fn joins_what_is_endless() -> Result<(u8, u8), std::io::Error> {
    try_join!(async { loop { fetch().await; } }, save())
}

async fn generic<F: Future<Output = T>, T>(one: F, other: F) -> T {
    race!(one, other)
}

async fn watches_what_is_endless() -> Result<u8, Cancelled> {
    let value = scope!(cancel_on = async { loop { fetch().await; } }, timeout = 3s, { fetch().await })?;
    Ok(value.pow(2))
}

async fn watches_what_becomes_a_future(stop: impl IntoFuture<Output = u8>) -> Option<u8> {
    scope!(cancel_on = stop, { fetch().await }).ok()
}

fn main() {
    drop((first_is_pending(), first_is_endless(), joins_what_is_endless(), generic(fetch(), fetch())));
    drop((watches_what_is_endless(), watches_what_becomes_a_future(fetch())));
}
