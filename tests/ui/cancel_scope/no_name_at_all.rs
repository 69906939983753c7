use scope_runtime::cancel_scope;

#[cancel_scope(scope = mut s)]
async fn pattern() {}

#[cancel_scope(scope = fn)]
async fn keyword() {}

#[cancel_scope(crate = scope_runtime::)]
async fn half_a_path() {}

fn main() {
    let _ = (pattern(), keyword(), half_a_path());
}
