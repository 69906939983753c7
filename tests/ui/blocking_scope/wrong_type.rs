use scope_runtime::blocking_scope;

fn value() -> u8 {
    blocking_scope!({ 1 })
}

fn returned() -> u8 {
    let _ = blocking_scope!({ return "one" });
    1
}

fn question_mark() {
    let _ = blocking_scope!({ scope_runtime::check()? });
}

fn main() {}
