use scope_runtime::{race, scope, spawn};

async fn place() {
    let _ = scope!(|s| {
        race!(spawn!(in s, fetch()), spawn!(background, fetch()));
        race!(spawn!(name = "fetch", fetch()), spawn!(shield, fetch()), spawn!());
    });
}

async fn fetch() -> u8 {
    1
}

fn main() {}
