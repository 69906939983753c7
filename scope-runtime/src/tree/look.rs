//! One look at the tree, with what must wait until locks and borrows are released.

use std::sync::Arc;
use std::task::Waker;

use tokio::time::Instant;

use super::{Node, Waiting};
use crate::cause::Cancelled;
use crate::deadline::{Moment, now};

/// One look at the tree: reads the clock at most once, and wakes after all locks and borrows are released.
pub(crate) struct Look {
    now: Option<Instant>,
    moment: Option<Moment>,
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
        Self { now: None, moment: None, later: Vec::new() }
    }

    /// The clock, as far as it was read.
    pub(super) fn clock(&mut self) -> &mut Option<Instant> {
        &mut self.now
    }

    /// What the clock says.
    #[inline]
    pub(crate) fn instant(&mut self) -> Instant {
        *self.now.get_or_insert_with(now)
    }

    /// The same as the tree has it.
    pub(crate) fn now(&mut self) -> Moment {
        let now = self.instant();
        *self.moment.get_or_insert_with(|| Moment::at(now))
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
