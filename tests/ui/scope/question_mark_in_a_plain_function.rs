use scope_runtime::scope;

async fn place() -> u8 {
    scope!({ "1".parse::<u8>()? }).unwrap_or(0)
}

fn main() {}
