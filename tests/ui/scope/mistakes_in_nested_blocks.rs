use scope_runtime::{scope, shield};

async fn place() {
    scope!(timeout = 3, { scope!(timout = 3s, { shield!(name = "x", { 1 }) }) }).ok();
}

fn main() {}
