use scope_runtime::scope;

fn place() -> u8 {
    scope!({ 1 }).unwrap_or(0)
}

fn main() {}
