use scope_runtime::{cancel_scope, spawn};

#[cancel_scope]
async fn place() -> std::io::Result<()> {
    spawn!();
    spawn!(name = "x");
    spawn!(fetch(), fetch());
    spawn!(fetch(), name = "x");
    Ok(())
}

async fn fetch() -> u8 {
    1
}

fn main() {}
