use scope_runtime::scope;

async fn place() {
    scope!(timeout = 3s, deadline = tokio::time::Instant::now(), { 1 }).ok();
    scope!(shield, timeout = 3s, shield = false, { 1 }).ok();
}

fn main() {}
