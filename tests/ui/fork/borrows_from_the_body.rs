use scope_runtime::{cancel_scope, fork, scope};

#[cancel_scope]
async fn place() {
    let name = String::from("dropped with the body");
    fork!(async { name.len() });
    let _ = scope!({
        let name = String::from("dropped with the body");
        fork!(length(&name));
    });
}

async fn length(name: &str) -> usize {
    name.len()
}

fn main() {}
