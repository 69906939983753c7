use scope_runtime::scope;

async fn place() -> u8 {
    let text: u8 = scope!(timeout = 3s, fallback = "none", { 1 });
    text + scope!(timeout = 3s, fallback = |reason: u8| reason, { 2 })
}

fn main() {}
