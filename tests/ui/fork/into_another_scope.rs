use scope_runtime::{fork, scope};

async fn place() {
    let _ = scope!(|s| {
        fork!(in s, fetch());
        let _ = scope!({
            fork!(name = "fetch", in s, fetch());
        });
    });
}

async fn fetch() -> u8 {
    1
}

fn main() {}
