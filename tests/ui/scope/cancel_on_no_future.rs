use scope_runtime::{Cancelled, scope};

async fn place(stop: u8) -> Result<(), Cancelled> {
    scope!(cancel_on = stop, {})
}

fn main() {}
