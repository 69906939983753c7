use scope_runtime::{Cancelled, cancel_scope, spawn};

#[cancel_scope]
async fn place(early: bool) -> Result<u8, Cancelled> {
    spawn!(async move {
        if early {
            return Ok(1);
        }
        "one"
    });
    Ok(1)
}

fn main() {}
