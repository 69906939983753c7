use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "3s", fallback = 0)]
async fn text() -> u8 {
    "one"
}

#[cancel_scope(timeout = "3s")]
async fn returned() -> std::io::Result<u8> {
    return 5;
}

#[cancel_scope(timeout = "3s")]
async fn semicolon() -> std::io::Result<u8> {
    Ok(1);
}

#[cancel_scope(timeout = "3s")]
async fn unknown() -> std::io::Result<u8> {
    missing().await
}

fn main() {}
