use scope_runtime::{scope, spawn};
use std::rc::Rc;

async fn place() {
    let _ = scope!({
        spawn!(async {
            let shared = Rc::new(1);
            let _ = scope!({ fetch().await });
            drop(shared);
        });
    });
}

async fn fetch() -> u8 {
    1
}

fn main() {}
