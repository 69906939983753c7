use scope_runtime::scope;

async fn place() {
    scope!(|s, t| { 1 }).ok();
    scope!(|| { 1 }).ok();
}

fn main() {}
