#![deny(warnings)]

use scope_runtime::scope;

async fn place() {
    scope!(timeout = 3s, { 1 });
    scope! { step().await; };
}

async fn step() {}

fn main() {}
