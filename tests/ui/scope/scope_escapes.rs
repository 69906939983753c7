use scope_runtime::{scope, spawn};

async fn place() {
    let mut escaped = None;
    scope!(|s| {
        escaped = Some(s);
    })
    .ok();
    drop(escaped);
    let _outside = scope!(|s| { s });
    scope!(|s| {
        spawn!(async move {
            s.cancel();
        });
    })
    .ok();
}

fn main() {}
