use scope_runtime::cancel_scope;

#[derive(Debug)]
struct Error;

#[cancel_scope(timeout = "3s")]
async fn own() -> Result<u8, Error> {
    Ok(1)
}

#[cancel_scope(timeout = "3s")]
async fn text() -> Result<u8, String> {
    Ok(1)
}

fn main() {}
