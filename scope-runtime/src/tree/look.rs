//! One look at the tree, with what must wait until locks and borrows are released.

use std::sync::Arc;
use std::task::Waker;

use super::Node;
use crate::deadline::Moment;

/// One look at the tree: reads the clock at most once, and wakes after all locks and borrows are released.
pub(crate) struct Look {
    now: Option<Moment>,
    pub(super) wakers: Vec<Waker>,
    /// Parents that were let go; the last one to know a node drops what it holds.
    pub(super) released: Vec<Arc<Node>>,
}

impl Look {
    pub(crate) fn new() -> Self {
        Self { now: None, wakers: Vec::new(), released: Vec::new() }
    }

    pub(crate) fn now(&mut self) -> Moment {
        *self.now.get_or_insert_with(Moment::now)
    }

    pub(crate) fn wake_later(&mut self, waker: Waker) {
        self.wakers.push(waker);
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }
}
