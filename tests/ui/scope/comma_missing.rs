use scope_runtime::scope;

async fn place() {
    scope!(timeout = 3s { 1 }).ok();
    scope!(timeout = limit() { 1 }).ok();
    scope!(timeout = 3s; { 1 }).ok();
    scope!(timeout = 3s,, { 1 }).ok();
}

fn limit() -> std::time::Duration {
    std::time::Duration::ZERO
}

fn main() {}
