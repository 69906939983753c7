use scope_runtime::scope;

async fn place() {
    scope!(scope = s, { 1 }).ok();
    scope!(crate = ::scope_runtime, { 1 }).ok();
    scope!(background, { 1 }).ok();
}

fn main() {}
