//! The expansions see no name of the user, and hide none.
#![deny(warnings)]

use scope_runtime::{cancel_scope, fork, race, scope, shield, spawn};

#[cancel_scope(scope = __scope0)]
async fn function(__ret0: u32, __value0: u32, __options: u32, __body: u32) -> std::io::Result<u32> {
    let __jump0 = 1;
    let child = spawn!(in __scope0, async { 1 });
    let mut __value1 = 5;
    let forks_outlive_the_body0_0 = fork!(async { __ret0 });
    let (__output, __kind, __arms, __child) = (1, 2, 3, 4);
    let __left = race!(async { __output + __kind + __arms + __child }, async { 0 });
    assert_eq!(__left + forks_outlive_the_body0_0.await?, 11);
    for __left in 0..2 {
        __value1 += scope!(|__scope1| {
            let __cancelled = spawn!(in __scope1, async { 1 });
            if __left == 0 {
                continue;
            }
            shield!({ __cancelled.await? + __jump0 })
        })?;
    }
    Ok(__ret0 + __value0 + __options + __body + __value1 + child.await?)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(function(1, 2, 3, 4)).unwrap(), 18);
}
