use scope_runtime::cancel_scope;

#[cancel_scope(timeout = 3s, fallback = |a, b| 1)]
async fn two() -> u32 {
    1
}

#[cancel_scope(timeout = 3s, fallback = async |c| 5)]
async fn asynchronous() -> u32 {
    1
}

fn main() {}
