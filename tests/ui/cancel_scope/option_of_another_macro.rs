use scope_runtime::cancel_scope;

#[cancel_scope(background)]
async fn background() {}

fn main() {}
