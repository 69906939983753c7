use scope_runtime::{cancel_scope, current, spawn};

#[cancel_scope]
async fn place() {
    let number = 5;
    spawn!(in number, fetch());
    spawn!(in current(), fetch());
    spawn!(in = number, fetch());
}

async fn fetch() -> u8 {
    1
}

fn main() {}
