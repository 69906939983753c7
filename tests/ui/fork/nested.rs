use scope_runtime::{cancel_scope, fork, spawn};

#[cancel_scope]
async fn place() -> std::io::Result<()> {
    spawn!(async {
        fork!(fetch());
    });
    fork!(async {
        fork!(name = "inner", fetch());
        spawn!(fetch());
    });
    Ok(())
}

async fn fetch() -> u8 {
    1
}

fn main() {}
