use scope_runtime::{scope, spawn_blocking};

async fn work(text: &str) {
    let _ = scope!({ spawn_blocking!(|| text.len()) });
}

fn main() {}
