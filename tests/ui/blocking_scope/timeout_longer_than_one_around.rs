use scope_runtime::{blocking_scope, cancel_scope};

#[cancel_scope(timeout = "3s", fallback = ())]
fn place() {
    let _ = blocking_scope!(timeout = 10s, { work() });
}

fn other() {
    let _ = blocking_scope!(timeout = 3s, {
        let _ = blocking_scope!(timeout = 10s, { work() });
    });
}

fn work() {}

fn main() {}
