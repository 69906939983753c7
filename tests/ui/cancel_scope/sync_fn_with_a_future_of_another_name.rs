use scope_runtime::cancel_scope;

use std::future::{Ready, ready};

#[cancel_scope(fallback = ready(0))]
fn future() -> Ready<u8> {
    ready(1)
}

fn main() {}
