//! The expansions give no warning of their own, whatever the body does.
#![deny(warnings, unused, unreachable_code, unused_qualifications, unused_braces, unused_parens, let_underscore_drop)]
#![deny(elided_lifetimes_in_paths, single_use_lifetimes, trivial_casts, unused_lifetimes, variant_size_differences)]
#![deny(clippy::all, clippy::pedantic)]
#![forbid(unsafe_code)]

use scope_runtime::{Cancelled, cancel_scope, fork, race, scope, shield, spawn, try_join};

#[cancel_scope]
async fn empty() {}

#[cancel_scope(fallback = unreachable!())]
async fn diverges() -> u32 {
    return 5;
}

#[cancel_scope(timeout = 1s)]
async fn endless(rounds: u32) -> Result<(), Cancelled> {
    let mut round = 0;
    loop {
        round += 1;
        if round > rounds {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

#[cancel_scope]
async fn forks(words: &[&str], mut total: usize) -> Result<usize, Cancelled> {
    let lengths: Vec<_> = words.iter().map(|word| fork!(async { word.len() })).collect();
    fork!(background, async { loop { tokio::task::yield_now().await } });
    fork!(async { if words.is_empty() { return; } });
    for length in lengths {
        total += length.await?;
    }
    Ok(total)
}

async fn races(words: &[&str]) -> Result<usize, Cancelled> {
    race!(async {}, async {});
    race!(async { if words.is_empty() { return; } });
    let won = race!(async { words.len() }, spawn!(name = "seven", async { 7 }));
    let (first, second) = try_join!(spawn!(async { Ok::<_, Cancelled>(1) }), async { Ok(won) })?;
    Ok(first + second)
}

async fn blocks() -> Result<u32, Cancelled> {
    let mut sum = 0;
    for n in 0..3 {
        sum += scope!({ if n == 0 { continue } else { n } })?;
        scope!({})?;
        shield!({});
        shield!({ sum += 1 });
        scope!(|_| {})?;
        scope!(|s| { s.cancel() })?;
        scope!(fallback = (), { let () = spawn!(async {}).await.unwrap_or(()); });
        scope!(supervise, limit = 2, |s| {
            spawn!(skip_if_cancelled, async { Err::<(), _>("told") });
            let sum = spawn!(in s, async { Ok::<_, String>(1) }).await?.unwrap_or(0);
            assert_eq!(sum, 1);
        })?;
    }
    let forever: Result<u32, Cancelled> = scope!(timeout = 0s, { loop { tokio::task::yield_now().await } });
    assert!(forever.is_err());
    loop {
        let _never: Result<(), Cancelled> = scope!({ break });
    }
    Ok(sum)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        empty().await;
        assert_eq!(diverges().await, 5);
        endless(2).await.unwrap();
        assert_eq!(blocks().await.unwrap(), 5);
        assert_eq!(forks(&["a", "bc"], 1).await.unwrap(), 4);
        assert_eq!(races(&["a", "bc"]).await.unwrap(), 3);
    });
}
