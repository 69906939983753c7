use scope_runtime::scope;

async fn place() {
    scope!(timeout = 3s, async { 1 }).ok();
    scope!(timeout = 3s, async move { 1 }).ok();
    scope!(move |s| { 1 }).ok();
}

fn main() {}
