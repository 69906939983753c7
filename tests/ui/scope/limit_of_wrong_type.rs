use scope_runtime::{scope, spawn};

async fn place(n: u32, text: &str) {
    scope!(limit = n, { spawn!(async {}) }).ok();
    scope!(limit = text, { spawn!(async {}) }).ok();
    scope!(limit = Some(n), { spawn!(async {}) }).ok();
}

fn main() {}
