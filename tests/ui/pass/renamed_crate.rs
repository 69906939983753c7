//! A dependency of another name: the macros find the crate by the path that they are called by, the attribute by
//! `crate = …`.
#![deny(warnings)]

pub extern crate scope_runtime as cancel;

mod reexport {
    pub use cancel as scopes;
}

#[cancel::cancel_scope(timeout = 1s, crate = crate::cancel)]
async fn by_name() -> Result<u32, cancel::Cancelled> {
    let child = cancel::spawn!(async { 1 });
    cancel::scope!({ cancel::shield!({ child.await? }) })
}

#[reexport::scopes::cancel_scope(timeout = 1s, crate = crate::reexport::scopes)]
async fn by_path() -> Result<u32, reexport::scopes::Cancelled> {
    let child = reexport::scopes::spawn!(async { 1 });
    reexport::scopes::scope!({ child.await? })
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(runtime.block_on(by_name()).unwrap() + runtime.block_on(by_path()).unwrap(), 2);
}
