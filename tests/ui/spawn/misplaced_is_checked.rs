use scope_runtime::{scope, spawn};

async fn fetch(name: String) -> u8 {
    name.len().to_le_bytes()[0]
}

async fn place(name: String) {
    let child = String::from("child");
    let unused = true;
    let _ = scope!({
        spawn!(background = unused, fetch(name), fetch(name), name = child, background);
        spawn!(async {}, async { let length: u8 = "1"; });
    });
}

fn main() {}
