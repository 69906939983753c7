//! The expansions name nothing that the user may have given another meaning.
#![deny(warnings)]
#![allow(dead_code, unused_macros, non_camel_case_types, non_snake_case, non_upper_case_globals)]

use scope_runtime::{cancel_scope, fork, race, scope, shield, spawn, try_join};

struct Option;
struct Result;
struct Duration;
struct Scope;
struct Future;
struct Box;
struct bool;
struct u8;
struct str;
fn Some() {}
fn None() {}
fn Ok() {}
fn Err() {}
fn drop() {}
mod core {}
mod std {}
mod tokio {}
mod scope_runtime_shadow {}

macro_rules! line {
    () => {
        compile_error!("not ours")
    };
}
macro_rules! file {
    () => {
        compile_error!("not ours")
    };
}
macro_rules! unreachable {
    ($($tokens:tt)*) => {
        compile_error!("not ours")
    };
}

#[cancel_scope(timeout = 1s, name = "shadowed", cleanup_timeout = "1s", scope = s)]
async fn function(n: i32) -> ::std::io::Result<i32> {
    let child = spawn!(in s, async { 1 });
    let mut sum = 0;
    loop {
        sum += scope!(timeout = 1s, fallback = break, |s| {
            let other = spawn!(in s, async { 1 });
            if sum > 2 {
                break;
            }
            if n == 77 {
                return ::std::result::Result::Ok(n);
            }
            shield!({ other.await? })
        });
    }
    let forked = fork!(name = "forked", async { ::std::io::Result::Ok(n) });
    sum += race!(forked, async { ::std::future::pending().await })? - n;
    let (one, two) = try_join!(spawn!(async { ::std::io::Result::Ok(1) }), async { ::std::result::Result::Ok(2) })?;
    sum += race!(spawn!(async { 0 }), async { one + two }) * 0;
    let nested = scope!({ scope!({ spawn!(async { 1 }).await? })? })?;
    ::std::result::Result::Ok(sum + child.await? + nested + n)
}

#[cancel_scope(timeout = 1s, fallback = |_| 0)]
async fn plain() -> i32 {
    1
}

#[cancel_scope]
async fn unit() {}

fn main() {
    let runtime = ::tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        assert_eq!(function(1).await.unwrap(), 6);
        assert_eq!(plain().await, 1);
        unit().await;
    });
}
