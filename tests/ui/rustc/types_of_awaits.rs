use scope_runtime::{Cancelled, cancel_scope, fail_after, scope, spawn};
use std::time::Duration;

async fn fetch(page: u8) -> u8 {
    page
}

#[cancel_scope]
async fn place() -> Result<(), Cancelled> {
    let wider: u16 = fetch(1).await;
    let child: u8 = spawn!(fetch(2)).await;
    let bounded: u8 = fail_after(Duration::from_secs(3), fetch(3)).await;
    scope!({ let inner: u16 = fetch(4).await; })?;
    fetch(fetch(5)).await;
    fetch(6).await.await;
    Ok(fetch(7).await)
}

fn main() {
    let _ = place();
}
