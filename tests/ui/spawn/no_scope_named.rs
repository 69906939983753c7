use scope_runtime::{cancel_scope, spawn};

#[cancel_scope]
async fn place(handle: scope_runtime::ScopeHandle) -> std::io::Result<()> {
    spawn!(in 5, fetch());
    spawn!(in handle, fetch());
    Ok(())
}

async fn fetch() -> u8 {
    1
}

fn main() {}
