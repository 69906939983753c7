use scope_runtime::cancel_scope;

#[cancel_scope(timeout, deadline, name, fallback, scope, crate)]
async fn none() {}

#[cancel_scope(timeout = )]
async fn half() {}

fn main() {}
