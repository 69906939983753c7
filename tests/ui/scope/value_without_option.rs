use scope_runtime::scope;

async fn place() {
    scope!("3s", { 1 }).ok();
    scope!(3s, { 1 }).ok();
}

fn main() {}
