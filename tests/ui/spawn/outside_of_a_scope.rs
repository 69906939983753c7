use scope_runtime::spawn;

async fn place() {
    let child = spawn!(fetch());
    child.await.ok();
}

async fn fetch() -> u8 {
    1
}

fn main() {}
