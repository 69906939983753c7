use scope_runtime::{Scope, scope};

async fn place() {
    let _ = scope!(|mut s| { 1 });
    let _ = scope!(|&s| { 2 });
    let _ = scope!(|s: &Scope<()>| { 3 });
    let _ = scope!(|s| -> u8 { 4 });
    let _ = scope!(async |s| { 5 });
}

fn main() {}
