use scope_runtime::scope;

async fn place() {
    let _ = scope!(timeout = 3, { 1 });
    let _ = scope!(timeout = 3 s, { 2 });
    let _ = scope!(timeout = "3 sec onds", { 3 });
    let _ = scope!(timeout = 3S, { 4 });
    let _ = scope!(timeout = (3), { 5 });
    let _ = scope!(timeout = 3 * 5, { 6 });
    let _ = scope!(grace = 1h30, { 7 });
    let _ = scope!(cleanup_timeout = true, { 8 });
}

fn main() {}
