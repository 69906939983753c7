use scope_runtime::{Cancelled, blocking_scope, cancel_scope};

#[cancel_scope]
async fn place() -> Result<u8, Cancelled> {
    let number = blocking_scope!(timeout = 3s, {
        let wrong: u16 = "analysed like the code around";
        fetch().await
    })?;
    Ok(number)
}

async fn fetch() -> u8 {
    1
}

fn main() {}
