//! A `token` is a token, not a name.

async fn serve() {
    let _ = scope_runtime::scope!(token = "shutdown", {});
}

fn main() {}
