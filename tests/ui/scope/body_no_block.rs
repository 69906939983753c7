use scope_runtime::scope;

async fn place() {
    scope!(timeout = 3s, fetch()).ok();
    scope!(|s| 1).ok();
    scope!(timeout = 3s, scope!({ 1 })).ok();
}

async fn fetch() {}

fn main() {}
