use scope_runtime::scope;

async fn place() {
    scope!({ 1 }, name = "x").ok();
    scope!(timeout = 3s, { 1 }, shield, name = "x").ok();
}

fn main() {}
