use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "3")]
async fn text() {}

#[cancel_scope(timeout = 3)]
async fn token() {}

#[cancel_scope(cleanup_timeout = "1m30")]
async fn second_half() {}

fn main() {}
