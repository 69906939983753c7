use scope_runtime::scope;

async fn place() {
    let _ = scope!();
    let _ = scope!(,);
    let _ = scope!(timeout = 3s,);
    let _ = scope!(timeout);
    let _ = scope!({ 1 } timeout = 3s);
}

fn main() {}
