use scope_runtime::cancel_scope;

#[cancel_scope("3s")]
async fn text() {}

#[cancel_scope(Duration::from_secs(3))]
async fn call() {}

#[cancel_scope(timeout = 3s, |s|)]
async fn named() {}

#[cancel_scope(timeout = 3s, { fetch() })]
async fn body() {}

fn main() {}
