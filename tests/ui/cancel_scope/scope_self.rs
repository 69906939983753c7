//! `self` as the name of the scope.

use scope_runtime::cancel_scope;

struct Crawler;

impl Crawler {
    #[cancel_scope(scope = self)]
    async fn crawl(&self) {}
}

fn main() {}
