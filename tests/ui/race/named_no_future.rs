//! An arm that is no future is underlined, and not the name in front of it.

use scope_runtime::{race, spawn};

async fn first(name: String) -> u8 {
    race!(spawn!(name = name, 5), async { 7 })
}

fn main() {}
