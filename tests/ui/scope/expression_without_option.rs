use scope_runtime::scope;
use std::time::Duration;

struct Client {
    limit: Duration,
}

impl Client {
    async fn place(&self) {
        let _ = scope!(Duration::from_secs(3), { 1 });
        let _ = scope!(self.limit, { 2 });
        let _ = scope!(bound(), { 3 });
        let _ = scope!("job", { 4 });
    }
}

fn bound() -> Duration {
    Duration::from_secs(3)
}

fn main() {
    let _ = Client { limit: bound() }.place();
}
