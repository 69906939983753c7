use scope_runtime::cancel_scope;

#[cancel_scope(timeout = 3s)]
#[async_trait::async_trait]
trait Fetch {
    async fn fetch(&self) -> u8;
}

struct Client;

#[cancel_scope(timeout = 3s)]
#[async_trait::async_trait]
impl Fetch for Client {
    async fn fetch(&self) -> u8 {
        1
    }
}

fn main() {}
