use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "0.5ns")]
async fn fine() {}

fn main() {}
