//! Every form once, under every lint that a crate may deny.
#![deny(warnings, clippy::all, clippy::pedantic, clippy::nursery, clippy::cargo_common_metadata)]
#![deny(missing_docs, unreachable_pub, unused_qualifications, single_use_lifetimes, unused_lifetimes, missing_debug_implementations)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::shadow_unrelated, clippy::shadow_same)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::dbg_macro, clippy::print_stdout)]
#![allow(clippy::cargo_common_metadata, clippy::redundant_pub_crate)]
#![forbid(unsafe_code)]

use scope_runtime::{
    CancelToken, Cancelled, Scope, Task, blocking_scope, cancel_scope, check, checkpoint, defer, detach, fork, guard,
    race, scope, shield, spawn, spawn_blocking, try_join,
};
use std::time::Duration;

/// A function that is a scope.
///
/// # Errors
///
/// It was cancelled.
#[cancel_scope(timeout = "3s", name = "annotated", limit = 4)]
pub async fn annotated(words: &[String]) -> Result<usize, Cancelled> {
    let tasks: Vec<_> = words.iter().cloned().map(|word| spawn!(async move { word.len() })).collect();
    let mut sum = 0_usize;
    for task in tasks {
        sum = sum.saturating_add(task.await?);
    }
    fork!(background, async { checkpoint().await.is_ok() });
    if sum > 100 {
        return Ok(100);
    }
    Ok(sum)
}

/// A sync one.
///
/// # Errors
///
/// It was cancelled.
#[cancel_scope(timeout = 1s, scope = s)]
pub fn synchronous(rows: &[u32]) -> Result<u32, Cancelled> {
    let first = spawn_blocking!(|| rows.iter().copied().fold(0, u32::saturating_add));
    let second = spawn_blocking!(in s, || 5);
    check()?;
    blocking_scope!(name = "inner", { check()? })?;
    Ok(first.join()?.saturating_add(second.join()?))
}

/// One with a value of its own.
#[cancel_scope(timeout = 1s, fallback = |cancelled| cancelled.to_string())]
pub async fn with_fallback() -> String {
    "done".to_owned()
}

/// Blocks, jumps, children.
///
/// # Errors
///
/// It was cancelled.
pub async fn blocks(jobs: &[u8], limit: Duration, token: &CancelToken) -> Result<u32, Cancelled> {
    // a place for a mistake
    let mut sum = 0_u32;
    for job in jobs {
        let done = scope!(timeout = limit, token = token.clone(), {
            if *job == 0 {
                continue;
            }
            if *job == 1 {
                break;
            }
            shield!({ checkpoint().await? });
            u32::from(*job)
        });
        sum = sum.saturating_add(done.unwrap_or(0));
        let number = scope!(cooperative, fallback = 0, |s| {
            defer(async {});
            helper(s).await?.saturating_add(s.is_cancelled().into())
        });
        sum = sum.saturating_add(number);
    }
    let won = race!(async { 1 }, spawn!(name = "second", async { 2 }));
    let (first, second) = try_join!(async { Ok::<u32, Cancelled>(won) }, async { Ok(2) })?;
    drop(detach!(async {}));
    scope!(supervise, bubble = false, grace = 10ms, {
        spawn!(skip_if_cancelled, async { Err::<(), _>("told") });
        spawn_blocking!(abandon, || ());
        let guarded = guard(1, |_| async {});
        drop(guarded);
    })?;
    Ok(sum.saturating_add(first).saturating_add(second))
}

fn helper<R>(s: &Scope<R>) -> Task<u32> {
    spawn!(in s, async { 7 })
}
