use scope_runtime::{fork, scope};

async fn place() {
    let _ = scope!({
        fork!(7);
    });
}

fn main() {}
