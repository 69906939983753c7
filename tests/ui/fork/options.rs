use scope_runtime::{fork, scope};

async fn place() {
    let _ = scope!({
        fork!(timeout = 3s, fetch());
        fork!(nam = "fetch", fetch());
        fork!(background = true, fetch());
        fork!(fetch(), fetch());
        fork!(name = "nothing");
        fork!();
    });
}

async fn fetch() -> u8 {
    1
}

fn main() {}
