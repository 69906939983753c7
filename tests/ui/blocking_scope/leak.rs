use scope_runtime::blocking_scope;

fn main() {
    let _ = blocking_scope!({
        std::thread::spawn(|| 1);
    });
}
