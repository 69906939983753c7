#![deny(unused)]
#![allow(dead_code)]

use scope_runtime::scope;
use std::time::Duration;

async fn place(a: Duration, b: Duration, c: Duration) {
    let _ = scope!(timeout: a, { 1 });
    let _ = scope!(timeout(b), { 2 });
    let _ = scope!(timeout c, { 3 });
    let _ = scope!(timeout == 3s, { 4 });
    let _ = scope!(shield(true), { 5 });
}

fn main() {}
