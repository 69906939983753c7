#[scope_runtime::test(every_await)]
async fn leak() {
    tokio::spawn(async {});
}

fn main() {}
