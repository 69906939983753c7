use scope_runtime::{cancel_scope, spawn};

#[cancel_scope]
async fn place() {
    spawn!(fetch(), background);
    spawn!(fetch(), name = "late");
    spawn!(name: "colon", fetch());
    spawn!(backgroud, fetch());
    spawn!(timeout = 3s, fetch());
}

async fn fetch() -> u8 {
    1
}

fn main() {}
