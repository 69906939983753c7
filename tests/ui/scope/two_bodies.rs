use scope_runtime::scope;

async fn place() {
    scope!({ 1 }, { 2 }).ok();
}

fn main() {}
