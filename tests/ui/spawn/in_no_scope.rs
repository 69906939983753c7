//! What is named after `in` is no scope.

use scope_runtime::{current, scope, spawn, spawn_blocking};

async fn rows() {
    let _ = scope!(|s| {
        let handle = s.handle();
        spawn!(in handle, async { 7 });
        spawn!(in current(), async { 7 });
        spawn_blocking!(in s.spawner(), || 7);
    });
}

fn main() {}
