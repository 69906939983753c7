use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "3s", name = "x", timeout = "4s")]
async fn twice() {}

fn main() {}
