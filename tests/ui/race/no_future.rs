use scope_runtime::{race, spawn};

async fn place() {
    race!(async { 1u8 }, 2);
}

async fn alone() -> u8 {
    race!(5)
}

async fn not_called() -> u8 {
    race!(alone, async { 1 })
}

async fn spawned() -> u8 {
    race!(async { 1 }, spawn!(5))
}

fn main() {}
