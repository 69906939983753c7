use scope_runtime::cancel_scope;

#[cancel_scope(scope = a.b)]
async fn field() {}

fn main() {}
