use scope_runtime::{Cancelled, cancel_scope, scope};

#[cancel_scope]
fn place() -> Result<u8, Cancelled> {
    let number = scope!(timeout = 3s, {
        let wrong: u16 = "analysed like the code around";
        wrong + 1
    })?;
    Ok(number)
}

fn main() {}
