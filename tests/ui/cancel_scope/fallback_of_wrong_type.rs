use scope_runtime::cancel_scope;

#[cancel_scope(timeout = 3s, fallback = "none")]
async fn count() -> u32 {
    1
}

fn main() {}
