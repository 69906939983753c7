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
    let zero = cancel::fork!(async { 0 });
    let won = cancel::race!(cancel::spawn!(async { 0 }), async { zero.await.unwrap() });
    let joined = cancel::try_join!(cancel::spawn!(async { Ok::<_, cancel::Cancelled>(0) }))?;
    cancel::scope!({ cancel::shield!({ child.await? }) }).map(|one| one + won + joined.0)
}

#[reexport::scopes::cancel_scope(timeout = 1s, crate = crate::reexport::scopes)]
async fn by_path() -> Result<u32, reexport::scopes::Cancelled> {
    let child = reexport::scopes::spawn!(async { 1 });
    reexport::scopes::scope!({ reexport::scopes::race!(reexport::scopes::spawn!(child))? })
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert_eq!(runtime.block_on(by_name()).unwrap() + runtime.block_on(by_path()).unwrap(), 2);
}
