use scope_runtime::{cancel_scope, defer, scope, spawn};

async fn fetch() -> u8 {
    1
}

#[cancel_scope(cancel_on = fetch())]
fn sync() {
    spawn!(fetch());
    defer(async {});
    fetch().await;
    let _ = scope!({ 1 });
    tokio::spawn(fetch());
}

fn main() {}
