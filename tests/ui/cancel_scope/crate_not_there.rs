use scope_runtime::cancel_scope;

#[cancel_scope(crate = ::renamed)]
async fn missing() {
    std::future::ready(1).await;
    std::future::ready(2).await;
}

fn main() {
    let _ = missing();
}
