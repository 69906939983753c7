use scope_runtime::{fork, scope};
use std::rc::Rc;

fn main() {
    needs_send(async {
        let shared = Rc::new(1);
        let _ = scope!({
            fork!(async move { drop(shared) });
        });
    });
    needs_send(async {
        let _ = scope!({
            fork!(async { 1 });
        });
    });
}

fn needs_send(_: impl Send) {}
