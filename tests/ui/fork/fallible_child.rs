use scope_runtime::{fork, scope};

async fn place() {
    let _ = scope!({
        fork!(fetch());
    });
}

async fn fetch() -> std::io::Result<u8> {
    Ok(1)
}

fn main() {}
