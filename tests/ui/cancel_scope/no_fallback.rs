use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "3s")]
async fn plain() -> u8 {
    1
}

#[cancel_scope(timeout = "3s")]
async fn option() -> Option<u8> {
    None
}

fn main() {}
