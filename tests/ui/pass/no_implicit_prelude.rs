//! Nothing that the expansions name comes out of the prelude.
#![no_implicit_prelude]
#![deny(warnings)]
#![forbid(unsafe_code)]

use ::scope_runtime::{Cancelled, blocking_scope, cancel_scope, fork, race, scope, shield, spawn, spawn_blocking, try_join};
use ::std::result::Result::{self, Ok};

#[cancel_scope(timeout = 3s)]
async fn annotated(number: u32) -> Result<u32, Cancelled> {
    let spawned = spawn!(async move { number });
    let forked = fork!(async { 2 });
    let blocking = spawn_blocking!(|| 3);
    Ok(spawned.await? + forked.await? + blocking.await?)
}

#[cancel_scope(timeout = "3s", fallback = 0)]
fn sync(number: u32) -> u32 {
    let sum = blocking_scope!({ spawn_blocking!(|| number).join() });
    match sum {
        Ok(Ok(sum)) => sum,
        _ => 0,
    }
}

async fn blocks() -> Result<u32, Cancelled> {
    let mut sum = 0;
    loop {
        scope!(timeout = 1s, name = "block", |s| {
            sum += annotated(1).await?;
            if s.is_cancelled() || sum > 6 {
                break;
            }
        })?;
    }
    sum += shield!({ race!(async { 1 }, spawn!(async { 2 })) });
    let (one, two) = try_join!(async { Ok::<_, Cancelled>(1) }, async { Ok(2) })?;
    Ok(sum + one + two)
}

fn main() {
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_time().build();
    let sum = runtime.map(|runtime| runtime.block_on(blocks()));
    ::std::assert!(::std::matches!(sum, Ok(Ok(16))), "{sum:?}");
    ::std::assert_eq!(sync(4), 4);
}
