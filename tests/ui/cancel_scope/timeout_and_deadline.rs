use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "3s", deadline = at)]
async fn both(at: tokio::time::Instant) {}

#[cancel_scope(deadline = at, timeout = "3s")]
async fn turned(at: tokio::time::Instant) {}

fn main() {}
