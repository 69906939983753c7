use scope_runtime::{fork, scope};

macro_rules! start {
    (the fork of $future:expr) => {
        fork!($future)
    };
}

async fn place() {
    let _ = scope!({
        start!(the fork of fetch());
    });
}

async fn fetch() -> u8 {
    1
}

fn main() {}
