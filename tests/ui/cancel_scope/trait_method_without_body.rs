use scope_runtime::cancel_scope;

trait Fetch {
    #[cancel_scope(timeout = "3s")]
    async fn fetch(&self) -> std::io::Result<u8>;
}

fn main() {}
