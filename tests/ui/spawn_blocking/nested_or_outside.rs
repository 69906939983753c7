use scope_runtime::{blocking_scope, spawn_blocking};

fn outside() {
    spawn_blocking!(|| 1);
}

fn nested() {
    let _ = blocking_scope!({ spawn_blocking!(|| spawn_blocking!(|| 1)) });
}

fn main() {}
