//! One look at the tree, with what must wait until locks and borrows are released.

use std::sync::Arc;
use std::task::Waker;

use super::{Node, Waiting};
use crate::cause::Cancelled;
use crate::deadline::Moment;

/// One look at the tree: reads the clock at most once, and wakes after all locks and borrows are released.
pub(crate) struct Look {
    now: Option<Moment>,
    later: Vec<Later>,
}

enum Later {
    Wake(Waker),
    /// A parent that was let go: the last one to know a node drops what it holds.
    Release(Arc<Node>),
    /// A child that waited for its turn never starts, because of a cancel from outside of it or of its own.
    Refuse(Box<Waiting>, Option<Cancelled>),
}

impl Look {
    pub(crate) fn new() -> Self {
        Self { now: None, later: Vec::new() }
    }

    pub(crate) fn now(&mut self) -> Moment {
        *self.now.get_or_insert_with(Moment::now)
    }

    /// There may be this many to wake.
    pub(super) fn expect(&mut self, more: usize) {
        self.later.reserve(more);
    }

    pub(crate) fn wake_later(&mut self, waker: Waker) {
        self.later.push(Later::Wake(waker));
    }

    pub(super) fn wake_all_later(&mut self, wakers: impl IntoIterator<Item = Waker>) {
        self.later.extend(wakers.into_iter().map(Later::Wake));
    }

    pub(super) fn release_later(&mut self, node: Option<Arc<Node>>) {
        self.later.extend(node.map(Later::Release));
    }

    pub(super) fn refuse_later(&mut self, waiting: Box<Waiting>, foreign: Option<Cancelled>) {
        self.later.push(Later::Refuse(waiting, foreign));
    }
}

impl Drop for Look {
    #[inline]
    fn drop(&mut self) {
        if !self.later.is_empty() {
            act(std::mem::take(&mut self.later));
        }
    }
}

#[cold]
fn act(later: Vec<Later>) {
    for act in later {
        match act {
            Later::Wake(waker) => waker.wake(),
            Later::Release(node) => drop(node),
            Later::Refuse(waiting, foreign) => waiting.refuse(foreign),
        }
    }
}
