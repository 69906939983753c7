//! What a boundary asks of its node: wake-ups, children, cleanup, and the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use super::{
    CHANGED, CLOSED, CUT, DELIVERED, ENDING, GIVEN_UP, HARD, Look, Node, ORPHANED, Origin, SOFT_CUT, STOPPED,
    State,
};
use crate::cause::{Cancelled, Cause};
use crate::cleanup::{CleanupItem, Running};
use crate::failure::{Failure, Suppressed};
use crate::task::Home;

/// A child task, or an adopted orphan.
pub(super) struct Child {
    pub(super) node: Arc<Node>,
    role: Role,
    /// Whether the boundary itself polls it.
    pub(super) home: Home,
    /// It is one of those that `limit` counts, and runs.
    pub(super) holds_slot: bool,
}

/// What a child is to its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Part of the scope's work.
    Foreground,
    /// The boundary does not wait for it (rule F8).
    Background,
    /// The cleanup of a guard: shielded, and not held up by the limit.
    Cleanup,
    /// Work that was begun elsewhere, which goes on whatever the limit is (rule U5).
    Adopted,
}

impl Role {
    /// Whether `limit` counts it (rule F6).
    fn is_limited(self) -> bool {
        matches!(self, Self::Foreground | Self::Background)
    }

    /// Whether the scope's work is incomplete if a cancel cut it (rule D6).
    fn can_be_lost(self) -> bool {
        matches!(self, Self::Foreground | Self::Cleanup)
    }
}

/// See [`Node::add_child`].
pub(crate) struct Admitted {
    pub(crate) key: usize,
    /// It has to wait for its turn (rule F6).
    pub(crate) waits: bool,
}

impl State {
    /// Whether there are children to wait for.
    pub(super) fn has_children(&self) -> bool {
        !self.children.is_empty() && self.children.iter().any(|(_, child)| !self.stands_still(child))
    }

    /// Once nobody polls the boundary, nobody polls those of the children that it polls itself. They end when the
    /// future of the scope is dropped.
    fn stands_still(&self, child: &Child) -> bool {
        self.boundary_gone && child.home == Home::Host
    }
}

/// How a child task came to its end, as its scope needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// By itself, by a failure (reported apart), or by a cancel of its own (rule D6).
    Settled,
    /// Unwound by a cancel that it saw through the scope.
    Lost,
    /// The same, by one that is only soft so far (rule G1).
    SoftlyLost,
}

impl ChildEnd {
    /// The end of a child that was cancelled from there, and has unwound.
    pub(crate) fn of(origin: Origin, child: &Node) -> Self {
        match origin {
            Origin::Own => Self::Settled,
            Origin::Outer if child.is_cut_softly() || !child.sees_hard_cancel(&mut Look::new()) => {
                Self::SoftlyLost
            }
            Origin::Outer => Self::Lost,
        }
    }
}

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
        if self.has(CHANGED) {
            waker.wake_by_ref();
        }
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

    /// Cancels the background children once nothing else is left (rule F8); true if there is nothing to wait for.
    pub(crate) fn children_done(&self) -> bool {
        {
            let state = self.lock();
            if state.foreground > 0 {
                return false;
            }
            if !state.has_children() {
                return true;
            }
        }
        self.dismiss_children();
        !self.lock().has_children()
    }

    /// The children that are lost so far do not make the scope a lost one: another child did what they were for.
    pub(crate) fn forgive_losses(&self) {
        self.lock().lost_child = false;
    }

    /// The children are not needed any more: they are cancelled, and what becomes of them is nothing to the scope.
    pub(crate) fn dismiss_children(&self) {
        let dismissed: Vec<_> = {
            let mut state = self.lock();
            if std::mem::replace(&mut state.background_cancelled, true) {
                return;
            }
            let mut dismissed = Vec::new();
            let mut needed = 0;
            for (_, child) in &mut state.children {
                if child.role == Role::Foreground {
                    child.role = Role::Background;
                }
                match child.role {
                    Role::Background => dismissed.push(Arc::clone(&child.node)),
                    _ => needed += 1,
                }
            }
            state.foreground = needed;
            dismissed
        };
        // Those that wait for a turn come first: the end of another must not start them.
        let (waiting, running): (Vec<_>, Vec<_>) = dismissed.into_iter().partition(|child| child.waits());
        for child in waiting.into_iter().chain(running) {
            child.cancel(Cause::Task { at: None });
        }
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

    pub(crate) fn has_children(&self) -> bool {
        self.lock().has_children()
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
        state.boundary_gone = true;
        let left = state
            .children
            .iter()
            .filter(|(_, child)| child.home == Home::Host && child.role != Role::Background);
        state.foreground -= left.count();
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

    /// Adds a child; `None` if the scope was left (rule F7).
    pub(crate) fn add_child(&self, node: &Arc<Self>, role: Role, home: Home) -> Option<Admitted> {
        let mut state = self.lock();
        if self.has(CLOSED) {
            return None;
        }
        let limit = state.limit.as_mut().filter(|_| role.is_limited());
        let holds_slot = limit.map(|limit| limit.take_slot());
        let child = Child { node: Arc::clone(node), role, home, holds_slot: holds_slot == Some(true) };
        if state.stands_still(&child) {
            // It will never be polled.
        } else if role == Role::Background {
            // If its scope has begun to end already, this one must be cancelled, too.
            state.background_cancelled = false;
        } else {
            state.foreground += 1;
        }
        Some(Admitted { key: state.children.insert(child), waits: holds_slot == Some(false) })
    }

    /// A child has ended, cleanup included.
    pub(crate) fn child_ended(&self, key: usize, end: ChildEnd) {
        let mut look = Look::new();
        let mut state = self.lock();
        let Some(child) = state.children.try_remove(key) else { return };
        let counts = !state.stands_still(&child);
        let lost = end != ChildEnd::Settled && child.role.can_be_lost() && counts;
        state.lost_child |= lost;
        if child.role != Role::Background && counts {
            state.foreground -= 1;
        }
        let last = state.foreground == 0;
        if last {
            look.wake_all_later(state.waker.clone());
        }
        let slot_is_free = child.holds_slot && state.limit.as_mut().is_some_and(|limit| limit.free_slot());
        drop(state);
        if lost {
            self.cut(end == ChildEnd::SoftlyLost, &mut look);
        }
        child.node.wait_no_longer();
        drop(child);
        if slot_is_free {
            self.start_waiting(&mut look);
        }
    }
}
