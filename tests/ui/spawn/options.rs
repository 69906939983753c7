use scope_runtime::{cancel_scope, spawn};

#[cancel_scope]
async fn place() -> std::io::Result<()> {
    spawn!(bakground, fetch());
    spawn!(background = true, fetch());
    spawn!(background fetch());
    spawn!(name = "x", name = "y", fetch());
    spawn!(name = 5, fetch());
    spawn!(name "x", fetch());
    spawn!(in, fetch());
    spawn!(skip_if_cancelled = true, fetch());
    spawn!(skip_if_canceled, fetch());
    spawn!(supervise, fetch());
    spawn!(timeout = 3s, fetch());
    spawn!(fallback = 1, fetch());
    Ok(())
}

async fn fetch() -> u8 {
    1
}

fn main() {}
