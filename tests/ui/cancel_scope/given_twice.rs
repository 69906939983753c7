use scope_runtime::cancel_scope;

#[cancel_scope(timeout = 3s)]
#[cancel_scope(name = "twice")]
async fn place() {}

#[cancel_scope]
#[scope_runtime::cancel_scope]
fn sync() {}

fn main() {}
