use scope_runtime::scope;
use tokio::time::Instant;

async fn place(wait: bool) {
    let _ = scope!(timeout = Some(3s), { 1 });
    let _ = scope!(timeout = if wait { 1m30s } else { 250ms }, { 2 });
    let _ = scope!(deadline = Instant::now() + 3s, { 3 });
    let _ = scope!(timeout = 1h 30m, { 4 });
    let _ = scope!(deadline = 3, { 5 });
}

fn main() {
    let _ = place(true);
}
