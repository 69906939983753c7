use scope_runtime::shield;

async fn place() {
    let _number: u8 = shield!({ "one" });
}

fn main() {}
