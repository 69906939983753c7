use scope_runtime::cancel_scope;

#[cancel_scope(timeout = -3s)]
async fn token() {}

#[cancel_scope(timeout = "-3s")]
async fn text() {}

fn main() {}
