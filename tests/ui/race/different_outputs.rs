use scope_runtime::{race, spawn};

async fn place() {
    race!(async { 1u8 }, async { "one" });
    race!(async { 1u8 }, spawn!(async { "one" }));
}

fn main() {}
