use scope_runtime::{blocking_scope, scope, spawn_blocking};

fn block() {
    let _ = blocking_scope!({ spawn_blocking!(5) });
}

async fn awaiting() {
    let _ = scope!({ spawn_blocking!() });
}

fn main() {}
