use scope_runtime::cancel_scope;

use scope_runtime::spawn;

#[cancel_scope(timeout = "3s")]
async fn unit() {
    spawn!(async { "1".parse::<u8>() });
}

#[cancel_scope(timeout = "3s")]
async fn other_error() -> std::io::Result<()> {
    spawn!(read());
    Ok(())
}

async fn read() -> Result<(), std::num::ParseIntError> {
    Ok(())
}

fn main() {}
