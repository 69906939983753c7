use scope_runtime::{cancel_scope, spawn};

struct Client;

impl Client {
    #[cancel_scope]
    async fn place(&self) {
        spawn!(self.fetch());
    }

    async fn fetch(&self) {}
}

fn main() {}
