//! Code in a body that is no Rust: the compiler says so, and the rest keeps its types.

use scope_runtime::{cancel_scope, scope, spawn};

struct Page {
    title: String,
}

async fn place(page: Page) {
    scope!({
        let x = ;
        x.frobnicate();
        1
    })
    .ok();
    scope!(timeout = 3s, |s| {
        let length = page.title.len();
        if length > 1 {
            page.;
            s.cancel();
        }
        spawn!(async { length + });
        length
    })
    .ok();
    let _: Result<u8, _> = scope!({ page. });
}

#[cancel_scope(timeout = "3s")]
async fn other(page: Page) -> std::io::Result<usize> {
    let x = scope!({ page.title.len() }).unwrap_or_default() + spawn!(fetch(page.)).await?;
    Ok(x)
}

async fn value(limit: std::time::Duration) {
    scope!(timeout = limit +, { 1 }).ok();
    scope!(timeout = "3s", fallback = |, { 1 });
    scope!({
        fetch(1)
        let semicolon = "missing";
    })
    .ok();
}

async fn fetch(x: u8) -> usize {
    x.into()
}

fn main() {}
