use scope_runtime::fork;

async fn place() {
    fork!(fetch());
    fork!(name = "fetch", fetch());
}

async fn fetch() -> u8 {
    1
}

fn main() {}
