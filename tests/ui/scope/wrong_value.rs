use scope_runtime::scope;

async fn place() {
    let _number: Result<u8, scope_runtime::Cancelled> = scope!({ "one" });
    let _plain: u8 = scope!({ 1 });
    let _fallback: u8 = scope!(fallback = "none", { 1 });
}

fn main() {}
