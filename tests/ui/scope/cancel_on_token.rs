//! A token is no future.

use scope_runtime::{CancelToken, scope};
use tokio_util::sync::CancellationToken;

async fn theirs(token: CancellationToken) {
    let _ = scope!(cancel_on = token, { 7 });
}

async fn ours(token: &CancelToken) {
    let _ = scope!(cancel_on = token, { 7 });
}

fn main() {}
