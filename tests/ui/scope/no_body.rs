use scope_runtime::scope;

async fn place() {
    scope!().ok();
    scope!(timeout = 3s).ok();
}

fn main() {}
