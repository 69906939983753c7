use scope_runtime::{cancel_scope, spawn};

#[cancel_scope]
async fn place() -> std::io::Result<()> {
    spawn!(async {
        spawn!(fetch());
        spawn!(name = "inner", fetch());
    });
    Ok(())
}

async fn fetch() -> u8 {
    1
}

fn main() {}
