use scope_runtime::cancel_scope;

struct Client {
    limit: u8,
}

impl Client {
    #[cancel_scope(timeout = self.limit)]
    async fn of_wrong_type(&self) {}

    #[cancel_scope(timeout = self.limits)]
    async fn misspelt(&self) {}

    #[cancel_scope(fallback = nothing)]
    async fn unknown(&self) -> u8 {
        1
    }
}

fn main() {}
