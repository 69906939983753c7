use scope_runtime::{cancel_scope, spawn};

#[cancel_scope]
async fn place() -> std::io::Result<()> {
    let mut list = vec![1];
    spawn!(async { list.push(2) });
    spawn!(borrow(&list));
    Ok(())
}

async fn borrow(_: &[i32]) {}

fn main() {}
