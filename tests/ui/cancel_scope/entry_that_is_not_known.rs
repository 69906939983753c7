use scope_runtime::cancel_scope;

use std::future::Future;

struct System;

impl System {
    fn block_on<F: Future>(self, _: F) -> F::Output {
        unimplemented!()
    }
}

/// What the attribute of another runtime leaves of an `async fn`.
#[cancel_scope(timeout = "3s")]
fn sync() -> u8 {
    System.block_on(async move { 1 })
}

fn main() {}
