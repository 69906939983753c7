use scope_runtime::cancel_scope;

struct Conn;

#[async_trait::async_trait]
trait Fetch {
    async fn fetch(&self) -> u8;
}

#[cancel_scope(timeout = "3s")]
#[async_trait::async_trait]
impl Fetch for Conn {
    async fn fetch(&self) -> u8 {
        1
    }
}

fn main() {}
