use scope_runtime::cancel_scope;

use std::future::Future;
use std::pin::Pin;

#[cancel_scope(timeout = "3s")]
fn future() -> impl Future<Output = ()> {
    async {}
}

#[cancel_scope(timeout = "3s")]
fn pinned() -> Pin<Box<dyn Future<Output = ()>>> {
    let future = async {};
    Box::pin(future)
}

fn main() {}
