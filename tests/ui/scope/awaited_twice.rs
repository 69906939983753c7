use scope_runtime::scope;

async fn place() {
    let _ = scope!({ 1 }).await;
}

fn main() {}
