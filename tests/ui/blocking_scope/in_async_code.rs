use scope_runtime::{blocking_scope, cancel_scope, scope};

async fn block() {
    let _ = scope!({ blocking_scope!({ 1 }) });
}

#[cancel_scope]
async fn function() {
    let _ = blocking_scope!({ 1 });
}

fn main() {}
