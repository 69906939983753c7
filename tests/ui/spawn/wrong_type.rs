//! A `Task` where the value is expected: said of the future, not of the function's return type.

use scope_runtime::{Cancelled, cancel_scope, scope, spawn};

async fn fetch() -> u8 {
    7
}

#[cancel_scope]
async fn in_a_function() -> Result<u8, Cancelled> {
    let row: u8 = spawn!(fetch());
    Ok(row)
}

async fn in_a_scope() -> Result<u8, Cancelled> {
    let row = scope!({
        let row: u8 = spawn!(fetch());
        row
    })?;
    Ok(row)
}

async fn without_its_semicolon() {
    let _ = scope!({
        for row in 0..3 {
            spawn!(async move { row })
        }
    });
}

fn main() {}
