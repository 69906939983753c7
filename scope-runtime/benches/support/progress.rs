//! How far the child tasks of a batch are.

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::task::yield_now;

/// Batches run one at a time, so one counter serves all, and a child need not carry anything to it.
static REACHED: AtomicUsize = AtomicUsize::new(0);

/// Before the children of a batch are spawned.
pub(crate) fn reset() {
    REACHED.store(0, SeqCst);
}

/// One more child has come to its point.
pub(crate) fn reach() {
    REACHED.fetch_add(1, SeqCst);
}

/// Waits until `n` children have.
pub(crate) async fn until_reached(n: usize) {
    while REACHED.load(SeqCst) < n {
        yield_now().await;
    }
}

/// A child that comes to its point, and waits there for ever: it is parked.
pub(crate) async fn park() {
    reach();
    pending().await
}
