use scope_runtime::scope;

async fn place() {
    scope!(timout = 3s, { 1 }).ok();
    scope!(frobnicate = 3s, { 1 }).ok();
    scope!(grace, { 1 }).ok();
}

fn main() {}
