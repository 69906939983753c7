//! A `Result` where the value is expected, in a body that may return.

use scope_runtime::{Cancelled, cancel_scope, scope};

async fn fetch() -> Result<u8, Cancelled> {
    Ok(7)
}

#[cancel_scope]
async fn in_a_function() -> Result<u8, Cancelled> {
    let row: u8 = scope!(timeout = 3s, { fetch().await? });
    Ok(row)
}

fn main() {}
