//! Timeouts: of a function, of a block, and of one in the other. Run it with `cargo run --bin timeout`.

use std::io;
use std::time::{Duration, Instant};

use scope_runtime::{cancel_scope, remaining, scope};
use tokio::time::sleep;

/// A function with a timeout. Its error type has to be able to say "cancelled": `io::Error` can, as `TimedOut`.
#[cancel_scope(timeout = 100ms)]
async fn ask(server: &str, takes_ms: u64) -> io::Result<String> {
    sleep(Duration::from_millis(takes_ms)).await;
    Ok(format!("an answer from {server}"))
}

/// A block with a timeout. Its value is a `Result`, and `?` on it fails the function when the time is up; a `?` inside
/// is the function's own, as if there were no block.
async fn or_fail() -> io::Result<String> {
    let answer = scope!(timeout = 50ms, name = "or_fail", { ask("a slow server", 70).await? })?;
    Ok(format!("{answer}, in time"))
}

/// A block with a fallback has a plain value.
async fn or_default() -> io::Result<String> {
    Ok(scope!(timeout = 50ms, fallback = "the answer of last week".to_owned(), {
        ask("a slow server", 70).await?
    }))
}

/// One timeout around many: whichever deadline is the earliest counts, and what was done in time is kept.
async fn as_many_as_possible(servers: &[(&str, u64)]) -> Vec<String> {
    let mut answers = Vec::new();
    let all = scope!(timeout = 250ms, name = "all", {
        for &(server, takes_ms) in servers {
            match ask(server, takes_ms).await {
                Ok(answer) => answers.push(answer),
                Err(late) => {
                    let left = remaining().unwrap_or_default();
                    println!("  {late}; {left:.0?} left for the others");
                }
            }
        }
    });
    if let Err(cancelled) = all {
        println!("  {cancelled}");
    }
    answers
}

#[tokio::main]
async fn main() {
    println!("or fail:\n  {}", or_fail().await.unwrap_err());
    println!("or default:\n  {}", or_default().await.unwrap());

    println!("as many as possible:");
    let begun = Instant::now();
    let servers = [("near", 20), ("broken", 60_000), ("far", 50), ("too far", 90)];
    let answers = as_many_as_possible(&servers).await;
    println!("  {answers:?} after {:.0?}", begun.elapsed());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[scope_runtime::test(every_await)]
    async fn a_block_can_be_cancelled_at_every_await() {
        or_fail().await.unwrap_err();
        assert_eq!(or_default().await.unwrap(), "the answer of last week");
    }

    #[scope_runtime::test(every_await)]
    async fn many_can_be_cancelled_at_every_await() {
        let servers = [("near", 20), ("broken", 60_000), ("far", 50), ("too far", 90)];
        let answers = as_many_as_possible(&servers).await;
        assert_eq!(answers, ["an answer from near", "an answer from far"]);
    }
}
