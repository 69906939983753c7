use scope_runtime::cancel_scope;

#[cancel_scope(deadline = 3s)]
async fn length() {}

#[cancel_scope(deadline = limit)]
async fn duration(limit: std::time::Duration) {}

fn main() {}
