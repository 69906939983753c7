use scope_runtime::{blocking_scope, defer, guard, scope, spawn};

async fn fetch() -> u8 {
    1
}

fn block() {
    let _ = blocking_scope!({
        spawn!(fetch());
        defer(async {});
        let _conn = guard(1, |_| async {});
        let page = fetch().await;
        let _ = scope!({ page });
    });
}

fn main() {}
