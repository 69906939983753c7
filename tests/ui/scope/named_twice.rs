use scope_runtime::scope;

async fn place() {
    let _ = scope!(|s| |t| { 1 });
    let _ = scope!(|s| { 1 }, |t| { 2 });
}

fn main() {}
