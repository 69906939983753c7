use scope_runtime::{cancel_scope, fork, race, scope, spawn, spawn_blocking};

#[cancel_scope]
async fn place() {
    race!(async { drop(spawn!(fetch())) }, async { drop(fork!(fetch())) });
    race!(vec![spawn!(fetch())].remove(0), other());
    scope!({ race!(fork!(fetch()), async { Ok(1) }).unwrap() }).unwrap();
}

#[cancel_scope]
async fn thread() {
    race!(spawn_blocking!(|| 1), async { Ok(1) }).unwrap();
}

async fn outside() {
    race!(async { drop(spawn!(fetch())) });
    race!(fork!(fetch()));
}

async fn other() -> Result<u8, scope_runtime::Cancelled> {
    Ok(1)
}

async fn fetch() -> u8 {
    1
}

fn main() {}
