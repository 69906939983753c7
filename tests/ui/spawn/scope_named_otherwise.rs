use scope_runtime::{cancel_scope, spawn};

async fn fetch() {}

#[cancel_scope(scope = s)]
async fn place() {
    spawn!(s, fetch());
    spawn!(scope = s, fetch());
    spawn!(into s, fetch());
    spawn!(in s: fetch());
    spawn!(fetch(), in s);
    spawn!("fetch", fetch());
}

fn main() {
    let _ = place();
}
