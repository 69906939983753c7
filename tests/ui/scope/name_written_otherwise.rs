use scope_runtime::scope;

async fn place() {
    let _ = scope!(|s { s.cancel() });
    let _ = scope!(|s, { s.cancel() });
    let _ = scope!(|s|, { s.cancel() });
    let _ = scope!(timeout = 3s, s| { s.cancel() });
    let _ = scope!(timeout = 3s, s => { s.cancel() });
    let _ = scope!(timeout = 3s, s, { 1 });
    let _ = scope!(|self| { 2 });
    let _ = scope!(|mut s| { s.cancel() });
    let _ = scope!(|s: &scope_runtime::Scope<()>| { s.cancel() });
    let _ = scope!(move { 3 });
    let _ = scope!(move || { 4 });
}

fn main() {
    let _ = place();
}
