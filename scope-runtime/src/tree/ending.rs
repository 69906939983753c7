//! What a boundary asks of its node: wake-ups, cleanup, and the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use super::{
    CHANGED, CLOSED, CUT, DELIVERED, ENDING, GIVEN_UP, HARD, Look, Node, ORPHANED, SOFT_CUT, STOPPED,
};
use crate::cause::{Cancelled, Cause};
use crate::cleanup::{CleanupItem, Running};
use crate::failure::{Failure, Suppressed};

/// See [`Node::take_result`].
pub(crate) struct Taken {
    pub(crate) failure: Option<Failure>,
    pub(crate) lost_child: bool,
    pub(crate) delivered_under: Option<Arc<Node>>,
}

impl Node {
    /// Stores the boundary's waker; look at the flags afterwards (invariant 3).
    pub(crate) fn register(&self, waker: &Waker) {
        let mut state = self.lock();
        let old = match &mut state.waker {
            Some(old) if old.will_wake(waker) => None,
            slot => slot.replace(waker.clone()),
        };
        drop(state);
        drop(old);
    }

    /// Asks for another pass over the body if something changed in this one: a scope inside that had its turn before may
    /// depend on it (rule L5). Call it behind [`register`](Self::register).
    pub(crate) fn pass_again_if_changed(&self, waker: &Waker) {
        if self.has_changed() {
            waker.wake_by_ref();
        }
    }

    /// Whether something that this scope depends on changed since the pass over its body began.
    pub(crate) fn has_changed(&self) -> bool {
        self.has(CHANGED)
    }

    pub(super) fn is_woken_by(&self, waker: &Waker) -> bool {
        self.lock().waker.as_ref().is_some_and(|own| own.will_wake(waker))
    }

    /// The pass over the body that is under way.
    pub(crate) fn pass(&self) -> u32 {
        self.pass.load(Ordering::Relaxed)
    }

    /// The body has ended or is about to be dropped.
    pub(crate) fn begin_ending(&self) {
        self.raise(ENDING);
    }

    /// The body was told of a cancel, or is about to be dropped by one: remembers why, and lets the children see it (rule T4).
    pub(crate) fn delivered(&self, foreign: Option<Cancelled>, softly: bool, look: &mut Look) {
        let under = self.parent().filter(|_| foreign.is_some());
        {
            let mut state = self.lock();
            (state.foreign, state.delivered_under) = (foreign, under);
        }
        self.raise(ENDING);
        self.cut(softly, look);
    }

    /// Whether what unwound here did so by a cancel that was only soft (rule G1).
    pub(crate) fn is_cut_softly(&self) -> bool {
        self.has(SOFT_CUT) && !self.has(CUT)
    }

    /// The body is gone: wakes `delivered()`.
    pub(crate) fn body_gone(&self) {
        if self.raise(DELIVERED) & DELIVERED == 0 {
            self.wake_watchers(&mut Look::new());
        }
    }

    fn wake_watchers(&self, look: &mut Look) {
        look.wake_all_later(self.lock().watchers.iter().map(|(_, waker)| waker.clone()));
    }

    /// Registers somebody who waits for a change of this node's state, under the key that it got before.
    pub(crate) fn watch(&self, key: &mut Option<usize>, waker: &Waker) {
        let mut state = self.lock();
        let old = match key.and_then(|key| state.watchers.get_mut(key)) {
            Some(known) if known.will_wake(waker) => return,
            Some(known) => Some(std::mem::replace(known, waker.clone())),
            None => {
                *key = Some(state.watchers.insert(waker.clone()));
                None
            }
        };
        drop(state);
        drop(old);
    }

    pub(crate) fn unwatch(&self, key: usize) {
        let gone = self.lock().watchers.try_remove(key);
        drop(gone);
    }

    /// Closes the scope if nothing is left to do.
    pub(crate) fn try_close(&self) -> bool {
        // The last moment at which its own deadline counts (rule L5).
        self.expire_if_due(&mut Look::new());
        let state = self.lock();
        if state.has_children() || !state.cleanup.is_empty() || state.running.is_some() {
            return false;
        }
        self.raise(CLOSED | ENDING);
        drop(state);
        self.closed();
        true
    }

    /// The cleanup takes too long: takes what is left of it. What dropping it leaves behind goes to the root.
    pub(crate) fn give_up(&self) -> (Running, VecDeque<CleanupItem>) {
        self.raise(GIVEN_UP);
        let mut state = self.lock();
        (std::mem::take(&mut state.running), std::mem::take(&mut state.cleanup))
    }

    /// Closes the scope with its children still there: they are cancelled, and the root waits for them. Gives back
    /// what was registered too late to run.
    pub(crate) fn close_early(&self) -> VecDeque<CleanupItem> {
        let mut state = self.lock();
        let rest = std::mem::take(&mut state.cleanup);
        // A cause of its own: a child that comes back with it has not failed (rule W3).
        state.cause.get_or_insert(Cause::Dropped);
        self.raise(CLOSED | ENDING | CUT | STOPPED | HARD | GIVEN_UP);
        drop(state);
        self.closed();
        rest
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.has(GIVEN_UP)
    }

    /// Guests and watchers of a scope that was left learn of it (rule T6).
    fn closed(&self) {
        self.report_untaken();
        let mut look = Look::new();
        self.collect_below(&mut look);
        // Nobody drives it any more. A waker may own a task, so it must not live as long as the last handle.
        let waker = self.lock().waker.take();
        drop(waker);
    }

    /// What decides at the end of the boundary, besides visibility.
    pub(crate) fn take_result(&self) -> Taken {
        let mut state = self.lock();
        Taken {
            failure: state.failure.take(),
            lost_child: state.lost_child,
            delivered_under: state.delivered_under.take(),
        }
    }

    pub(crate) fn suppressed(&self) -> Vec<Suppressed> {
        self.lock().suppressed.clone()
    }

    /// A failure that can no longer leave a boundary is reported (rule U5).
    pub(crate) fn report_failure(&self) {
        let failure = self.lock().failure.take();
        if let Some(failure) = failure {
            self.suppress(&failure);
        }
    }

    /// Hands the remaining work to an orphan; false if there is none, or if that was done already.
    pub(crate) fn orphan(&self) -> bool {
        let mut look = Look::new();
        let mut state = self.lock();
        if self.has(CLOSED) || self.raise(ORPHANED | ENDING | DELIVERED) & ORPHANED != 0 {
            return false;
        }
        state.lose_boundary();
        let owes = state.has_children() || !state.cleanup.is_empty() || state.running.is_some();
        state.cause.get_or_insert(Cause::Dropped);
        // Under the lock: nobody spawns into it between the look and the close.
        self.raise(if owes { STOPPED | HARD } else { CLOSED });
        drop(state);
        if owes {
            self.collect_below(&mut look);
        } else {
            self.closed();
        }
        owes
    }
}
