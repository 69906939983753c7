use scope_runtime::{race, spawn};

async fn place() {
    let name = String::from("short-lived");
    race!(spawn!(async { name.len() }), async { 1 });
}

fn main() {}
