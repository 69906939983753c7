use scope_runtime::{scope, spawn};

async fn place() {
    scope!({
        spawn!(async { "1".parse::<u8>() });
    })
    .ok();
}

fn main() {}
