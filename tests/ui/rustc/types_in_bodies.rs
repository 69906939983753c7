use scope_runtime::{Cancelled, cancel_scope, scope, shield, spawn};

#[cancel_scope]
async fn place() -> Result<u8, Cancelled> {
    let in_function: u8 = "a";
    scope!({ let in_scope: u8 = "b"; })?;
    shield!({ let in_shield: u8 = "c"; });
    spawn!(async { let in_child: u8 = "d"; });
    Ok("e")
}

fn main() {}
