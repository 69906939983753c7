use scope_runtime::{scope, spawn};
use std::time::Duration;

async fn place(limit: Duration) {
    let _ = scope!(timeout = limit +, { 1 });
    let _ = scope!(timeout = limit., { 2 });
    let _ = scope!({ spawn!(async fetch()) });
    let _ = scope!({ spawn!(fetch(,)) });
}

async fn fetch() -> u8 {
    1
}

fn main() {}
