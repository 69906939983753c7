use scope_runtime::{cancel_scope, spawn};

macro_rules! spawn_it {
    ($future:expr) => {
        spawn!($future)
    };
}

#[cancel_scope]
async fn place() -> std::io::Result<()> {
    spawn_it!(fetch());
    Ok(())
}

async fn fetch() -> u8 {
    1
}

fn main() {}
