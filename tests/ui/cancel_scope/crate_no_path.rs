use scope_runtime::cancel_scope;

#[cancel_scope(crate = "renamed")]
async fn text() {}

fn main() {}
