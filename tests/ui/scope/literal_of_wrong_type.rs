use scope_runtime::scope;

async fn place() {
    let _ = scope!(token = "stop", { 1 });
    let _ = scope!(link = 5, { 2 });
    let _ = scope!(cancel_on = 3s, { 3 });
    let _ = scope!(error = 5, { 4 });
    let _ = scope!(name = 5, { 5 });
    let _ = scope!(bubble = "yes", { 6 });
    let _ = scope!(supervise = true, { 7 });
    let _ = scope!(cooperative = 3s, { 8 });
}

fn main() {}
