use scope_runtime::{cancel_scope, scope, spawn};

#[cancel_scope(supervise = true)]
async fn function() {
    // It is taken for what was meant: this is no mistake.
    spawn!(async { Err::<(), _>("text") });
}

async fn block() {
    scope!(supervise = false, { spawn!(async { Err::<(), _>("text") }) }).ok();
    scope!(supervise, supervise, { spawn!(async { Err::<(), _>("text") }) }).ok();
    scope!(supervize, { spawn!(async { Err::<(), _>("text") }) }).ok();
}

fn main() {}
