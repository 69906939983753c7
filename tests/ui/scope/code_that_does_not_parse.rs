use scope_runtime::scope;

async fn place() {
    scope!({ let x = ; 1 }).ok();
}

fn main() {}
