use scope_runtime::{scope, spawn};

async fn place() {
    let text = String::new();
    let _ = scope!({
        spawn!(async { drop(text.len()) });
    });
}

fn main() {}
