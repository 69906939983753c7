use scope_runtime::{Cancelled, scope};

async fn place(name: String) -> Result<usize, Cancelled> {
    scope!({ drop(name); 0 }, { drop(name); let length: usize = "1"; return Ok(length); })
}

fn main() {}
