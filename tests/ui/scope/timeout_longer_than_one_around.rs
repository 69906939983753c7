use scope_runtime::{scope, shield, spawn};

async fn place() {
    let _ = scope!(timeout = 3s, {
        let _ = scope!(timeout = 10s, name = "inner", { work().await });
        if work().await {
            let _ = scope!({ scope!(timeout = "1m30s", { work().await }).is_ok() });
        }
        spawn!(async { scope!(timeout = 3.5s, { work().await }).is_ok() });
        shield!({ scope!(timeout = 10s, { work().await }).is_ok() })
    });
}

async fn work() -> bool {
    true
}

fn main() {}
