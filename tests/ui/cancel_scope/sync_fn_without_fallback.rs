use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "3s")]
fn sync() -> u8 {
    1
}

#[cancel_scope]
fn wrong() -> Result<u8, scope_runtime::Cancelled> {
    "one"
}

fn main() {}
