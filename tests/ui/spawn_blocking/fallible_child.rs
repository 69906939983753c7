use scope_runtime::{blocking_scope, spawn_blocking};

fn main() {
    let _ = blocking_scope!({ spawn_blocking!(|| "7x".parse::<u8>()) });
}
