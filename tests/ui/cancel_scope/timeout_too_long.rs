use scope_runtime::cancel_scope;

#[cancel_scope(timeout = 99999999999999999999999s)]
async fn long() {}

fn main() {}
