use scope_runtime::{cancel_scope, spawn, spawn_blocking};
use std::rc::Rc;

#[cancel_scope]
async fn value() {
    spawn!(async { Rc::new(1) });
    spawn_blocking!(|| Rc::new(2));
}

#[cancel_scope(supervise)]
async fn error() {
    spawn!(async { Err::<(), _>(Rc::new("failed")) });
}

fn main() {
    let _ = (value(), error());
}
