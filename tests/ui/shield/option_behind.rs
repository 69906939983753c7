//! A shield has no options, wherever they stand; what they mention is used all the same.
#![deny(unused)]

use scope_runtime::shield;
use std::time::Duration;

pub async fn save() {
    let limit = Duration::from_secs(3);
    let name = "save";
    shield!({}, 3s);
    shield!({}, timeout = limit);
    shield!(name = name, {});
}

fn main() {}
