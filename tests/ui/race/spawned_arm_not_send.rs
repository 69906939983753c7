use scope_runtime::{race, spawn};
use std::rc::Rc;

async fn place() {
    let shared = Rc::new(1);
    race!(spawn!(async move { *shared }), async { 1 });
}

fn main() {}
