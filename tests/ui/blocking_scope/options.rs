use scope_runtime::blocking_scope;

fn main() {
    let _ = blocking_scope!(timout = 3s, cancel_on = std::future::pending::<()>(), { 1 });
    let _ = blocking_scope!(scope = s, { 1 });
    let _ = blocking_scope!(timeout = 3, async { 1 });
}
