use scope_runtime::{cancel_scope, spawn};

#[cancel_scope]
async fn place() -> std::io::Result<()> {
    let shared = std::rc::Rc::new(1);
    spawn!(async move { drop(shared) });
    Ok(())
}

fn main() {}
