//! A deadline that is none.

use scope_runtime::scope;

async fn rows() {
    let _ = scope!(deadline = None, { 7 });
}

fn main() {}
