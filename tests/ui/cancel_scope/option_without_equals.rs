use scope_runtime::cancel_scope;

#[cancel_scope(timeout 3s)]
async fn space() {}

#[cancel_scope(timeout: 3s)]
async fn colon() {}

#[cancel_scope(timeout(3s))]
async fn call() {}

fn main() {}
