use scope_runtime::cancel_scope;

#[cancel_scope("3s")]
async fn text() {}

fn main() {}
