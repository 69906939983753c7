use scope_runtime::scope;

async fn place() {
    scope!({
        tokio::spawn(async {});
        vec![tokio::spawn(async {})];
    })
    .ok();
}

fn main() {}
