use scope_runtime::{scope, spawn};

async fn place(n: u32, text: &str) {
    scope!(limit = 0, { spawn!(async {}) }).ok();
    scope!(limit = "3", { spawn!(async {}) }).ok();
    scope!(limit = 3s, { spawn!(async {}) }).ok();
    scope!(limit = 1.5, { spawn!(async {}) }).ok();
    scope!(limit = -1, { spawn!(async {}) }).ok();
    scope!(limit, { spawn!(async {}) }).ok();
    scope!(limit = 2, limit = 3, { spawn!(async {}) }).ok();
}

fn main() {}
