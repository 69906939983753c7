use scope_runtime::scope;

async fn place() {
    scope!(timeout = 3, { 1 }).ok();
    scope!(timeout = "soon", { 1 }).ok();
    scope!(timeout = 3 + 4, { 1 }).ok();
    scope!(cleanup_timeout = 5sec, { 1 }).ok();
}

fn main() {}
