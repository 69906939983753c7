use scope_runtime::cancel_scope;

#[cancel_scope(shield timeout = 3s)]
async fn none() {}

#[cancel_scope(timeout = 3s; shield)]
async fn semicolon() {}

fn main() {}
