#![deny(warnings)]

use scope_runtime::{cancel_scope, spawn};

#[cancel_scope]
async fn place() -> std::io::Result<()> {
    let child = spawn!(fetch());
    child.await;
    Ok(())
}

async fn fetch() -> u8 {
    1
}

fn main() {}
