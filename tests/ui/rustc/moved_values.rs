use scope_runtime::scope;

async fn place() {
    let text = String::new();
    let _ = scope!({ drop(text) });
    drop(text);
}

fn main() {}
