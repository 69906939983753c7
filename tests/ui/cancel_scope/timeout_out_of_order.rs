use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "30s1m")]
async fn turned() {}

#[cancel_scope(timeout = "1s1s")]
async fn twice() {}

fn main() {}
