//! The macros work inside of others, with what those were given.
#![deny(warnings)]

use scope_runtime::{Cancelled, cancel_scope, fork, race, scope, shield, spawn, try_join};
use std::time::Duration;

macro_rules! function {
    ($(#[$attribute:meta])* $name:ident($argument:ident: $type:ty) -> $output:ty $body:block) => {
        $(#[$attribute])*
        #[cancel_scope(timeout = 1s, name = stringify!($name))]
        async fn $name($argument: $type) -> $output $body
    };
}

function! {
    /// With a comment.
    double(n: u32) -> Result<u32, Cancelled> {
        let child = spawn!(async move { n });
        Ok(scope!({ child.await? })? * 2)
    }
}

macro_rules! within {
    ($limit:expr, $name:ident, $body:block) => {
        scope!(timeout = $limit, name = stringify!($name), $body)
    };
    ($limit:expr, |$scope:ident| $body:block) => {
        scope!(timeout = $limit, |$scope| $body)
    };
}

macro_rules! first_of {
    ($label:lifetime, $($value:expr),*) => {
        $label: loop {
            $(shield!({ if $value > 1 { break $label; } });)*
        }
    };
}

macro_rules! quickest {
    ($($future:expr),*) => { race!($($future),*, spawn!(async { 3 })) };
}

macro_rules! all {
    ($($future:expr),*) => { try_join!($(async { Ok::<_, Cancelled>($future.await) }),*, spawn!(async { Ok(3) })) };
}

#[cancel_scope]
async fn children(one: &u32) -> Result<u32, Cancelled> {
    let won = quickest!(async { *one }, async { 2 });
    let (first, ..) = all!(async { *one }, async { 2 })?;
    let a = fork!(async { *one });
    let b = within!(Duration::from_secs(1), forks, { fork!(async { *one + 2 }).await? })?;
    Ok(won + first + a.await? + b)
}

async fn blocks() -> Result<u32, Cancelled> {
    let one = within!(Duration::from_secs(1), one, { 1 })?;
    let two = within!(Duration::from_secs(1), |s| { spawn!(in s, async { 2 }).await? })?;
    first_of!('outer, 0, 1, 2);
    Ok(one + two)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(runtime.block_on(double(2)).unwrap(), 4);
    assert_eq!(runtime.block_on(blocks()).unwrap(), 3);
    assert_eq!(runtime.block_on(children(&1)).unwrap(), 6);
}
