#![deny(unused_must_use)]

use scope_runtime::{fork, scope};

async fn place() {
    let _ = scope!({
        fork!(fetch()).await;
    });
}

async fn fetch() -> u8 {
    1
}

fn main() {}
