use scope_runtime::cancel_scope;

#[cancel_scope(timeout = 5min)]
async fn synonym() {}

#[cancel_scope(timeout = "3 parsecs")]
async fn nonsense() {}

fn main() {}
