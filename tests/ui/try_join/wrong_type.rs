//! The values where their `Result` is forgotten.

use scope_runtime::{Cancelled, try_join};

async fn fetch() -> Result<u8, Cancelled> {
    Ok(7)
}

async fn rows() -> Result<u8, Cancelled> {
    let (one, other): (u8, u8) = try_join!(fetch(), fetch());
    Ok(one + other)
}

fn main() {}
