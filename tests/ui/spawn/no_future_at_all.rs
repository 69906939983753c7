use scope_runtime::{cancel_scope, spawn};

#[cancel_scope]
async fn place() -> std::io::Result<()> {
    spawn!(5);
    spawn!(|| fetch());
    spawn!("text");
    Ok(())
}

async fn fetch() -> u8 {
    1
}

fn main() {}
