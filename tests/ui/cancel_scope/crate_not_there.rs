use scope_runtime::cancel_scope;

#[cancel_scope(crate = ::renamed)]
async fn missing() {}

fn main() {}
