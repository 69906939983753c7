use scope_runtime::cancel_scope;

#[cancel_scope(timeout = limit)]
async fn seconds(limit: u64) {}

#[cancel_scope(timeout = 3 + 4)]
async fn sum() {}

#[cancel_scope(cleanup_timeout = "3s".to_string())]
async fn text() {}

fn main() {}
