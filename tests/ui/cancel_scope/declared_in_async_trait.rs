use scope_runtime::{Cancelled, cancel_scope};

#[async_trait::async_trait]
trait Fetch {
    #[cancel_scope(timeout = 3s)]
    async fn fetch(&self) -> Result<u8, Cancelled>;
}

fn main() {}
