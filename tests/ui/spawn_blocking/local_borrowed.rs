use scope_runtime::blocking_scope;
use scope_runtime::spawn_blocking;

fn main() {
    let _ = blocking_scope!({
        let inside = String::new();
        spawn_blocking!(|| inside.len());
    });
}
