use scope_runtime::scope;

async fn place(number: u8) {
    let _ = scope!(name = number, { 1 });
    let _ = scope!(token = number, { 2 });
    let _ = scope!(error = number, { 3 });
    let _ = scope!(grace = number, { 4 });
    let _ = scope!(cleanup_timeout = number, { 5 });
    let _ = scope!(shield = number, { 6 });
}

fn main() {}
