use scope_runtime::{cancel_scope, scope};

#[cancel_scope(timeout = "3s", fallback = ())]
async fn place() {
    let _ = scope!(timeout = 2s, {
        let _ = scope!(timeout = 10s, { work().await });
    });
    let _ = scope!(timeout = 10s, { work().await });
}

#[cancel_scope(timeout = "3s", fallback = (), scope = s)]
async fn may_be_moved() {
    let _ = scope!(timeout = 10s, { work().await });
    s.set_deadline(None);
}

async fn work() {}

fn main() {}
