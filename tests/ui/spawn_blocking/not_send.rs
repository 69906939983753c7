use scope_runtime::{blocking_scope, spawn_blocking};
use std::rc::Rc;

fn main() {
    let shared = Rc::new(1);
    let _ = blocking_scope!({ spawn_blocking!(|| *shared) });
}
