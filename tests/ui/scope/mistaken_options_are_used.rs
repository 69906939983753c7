#![deny(unused)]
#![allow(dead_code)]

use scope_runtime::scope;
use std::time::Duration;

async fn place(a: Duration, b: Duration, c: Duration, d: Duration) {
    let _ = scope!(timeout = 3s, timeout = a, { 1 });
    let _ = scope!(frobnicate = b, { 2 });
    let _ = scope!(background = c, { 3 });
    let _ = scope!({ 4 }, timeout = d);
}

fn main() {}
