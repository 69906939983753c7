use scope_runtime::cancel_scope;

#[cancel_scope(timeout = "3s")]
async fn leaks() {
    tokio::spawn(async {});
    let _task = tokio::task::spawn(async {});
    std::thread::spawn(|| ());
    let _tasks = vec![tokio::spawn(async {})];
}

fn main() {}
