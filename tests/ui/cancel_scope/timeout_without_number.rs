use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "soon")]
async fn soon() {}

#[cancel_scope(timeout = "")]
async fn empty() {}

#[cancel_scope(timeout = true)]
async fn truth() {}

fn main() {}
