use scope_runtime::cancel_scope;

#[cancel_scope(timeout = 3, sheild, name = 5, timeout = 4s)]
async fn several() -> u32 {
    let child = scope_runtime::spawn!(bakground, async { 1 });
    child.await.unwrap_or(0)
}

fn main() {}
