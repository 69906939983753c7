use scope_runtime::shield;

async fn place() {
    let _options: u8 = shield!(timeout = 3s, { 1 });
    let _named: u8 = shield!(|s| { 1 });
    let _none: u8 = shield!();
    let _asynchronous: u8 = shield!(async { 1 });
}

fn main() {}
