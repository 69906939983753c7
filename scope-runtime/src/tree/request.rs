//! Cancel requests: from a call, a deadline, a failure, a link or a scope below; soft first, then hard (rules G1, G2,
//! B1, B2, L3, L5, L6).

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{
    BUBBLE, CANCELLED, CLOSED, CUT, HARD, Look, MOVED_DEADLINE, NO_BUBBLE, Node, ORPHANED, SHIELD, SOFT_CUT,
    STOPPED, deadline_cause,
};
use crate::cause::Cause;
use crate::deadline::Moment;
use crate::event;
use crate::failure::Failure;
use crate::site::Kind;
use crate::sync::flag;

flag! {
    /// Whether any scope ever had `bubble`: without one, nobody pays for a walk up.
    static BUBBLES;
}

/// Takes note that there is a scope with `bubble` now.
pub(crate) fn announce_bubble() {
    BUBBLES.store(true, Ordering::Relaxed);
}

/// Whether bubbles have to be thought of at all.
pub(crate) fn bubbles_exist() -> bool {
    BUBBLES.load(Ordering::Relaxed)
}

flag! {
    /// Whether any cancel ever was soft: without one, nobody looks for the end of a grace.
    static SOFT;
}

/// What became of a request.
enum Requested {
    /// It is the first cause.
    First,
    /// There was one before.
    Again,
    /// The scope was left.
    TooLate,
}

impl Node {
    // --- soft and hard -------------------------------------------------------------------------------------------

    /// How long a cancel of this scope stays soft (rule G1).
    fn grace(&self) -> Duration {
        self.extra.as_ref().map_or(Duration::ZERO, |extra| extra.grace)
    }

    /// When a soft cancel becomes hard; never while there is none.
    fn hard_at(&self) -> Moment {
        self.extra.as_ref().map_or(Moment::NEVER, |extra| Moment(extra.hard_at.load(Ordering::Acquire)))
    }

    /// Raises the flag of a request that was made at `since`, together with what makes it hard. Under the lock.
    fn raise_request(&self, flag: u32, since: Moment) {
        match &self.extra {
            Some(extra) if !extra.grace.is_zero() => {
                if !self.has(CANCELLED | STOPPED) {
                    SOFT.store(true, Ordering::Relaxed);
                    extra.hard_at.store(since.after(extra.grace).0, Ordering::Release);
                }
                self.raise(flag);
            }
            _ => {
                self.raise(flag | HARD);
            }
        }
    }

    /// Whether this node counts as cancelled by itself, and is not soft any more.
    pub(super) fn counts_as_hard(&self, look: &mut Look) -> bool {
        if self.has(HARD | CUT) {
            return true;
        }
        self.cancel_called(look);
        self.has(HARD | CUT) || self.harden_if_due(look)
    }

    /// Notices that the grace is over, whether or not a timer fired.
    pub(super) fn harden_if_due(&self, look: &mut Look) -> bool {
        let at = self.hard_at();
        if at.is_never() || self.has(CLOSED) || look.now() < at {
            return false;
        }
        if self.raise(HARD) & HARD == 0 {
            self.collect_below(look);
        }
        true
    }

    /// When the soft cancels that are visible here begin to be hard. What they are to cut can't wait for the boundary to
    /// notice, whose future may be polled by nobody (rule D7).
    pub(crate) fn visible_soft_end(&self) -> Moment {
        if !SOFT.load(Ordering::Relaxed) {
            return Moment::NEVER;
        }
        self.earliest(|node| if node.has(HARD) { Moment::NEVER } else { node.hard_at() })
    }

    /// The next moment at which something happens to this scope by the clock: its deadline, or the end of its grace.
    pub(crate) fn next_event(&self) -> Moment {
        if self.has(CANCELLED | STOPPED) && !self.has(HARD) { self.hard_at() } else { self.deadline() }
    }

    /// The same as long as a timer has to watch it.
    pub(crate) fn pending_event(&self, look: &mut Look) -> Moment {
        if self.extra.is_none() && self.deadline().is_never() || self.has(HARD | CLOSED) {
            return Moment::NEVER;
        }
        self.expire_if_due(look);
        if self.has(CANCELLED | STOPPED) && (self.has(HARD) || self.harden_if_due(look)) {
            return Moment::NEVER;
        }
        self.next_event()
    }

    // --- requests -------------------------------------------------------------------------------------------------

    /// Requests a cancel; true if the scope is cancelled now, false if it was left (rule F7).
    pub(crate) fn cancel(&self, cause: Cause) -> bool {
        self.request(cause, false)
    }

    /// The same without grace (rule G2).
    pub(crate) fn cancel_now(&self, cause: Cause) -> bool {
        self.request(cause, true)
    }

    /// The same for a scope that has what it was for: it is nobody's business but its own (rule B1).
    pub(crate) fn cancel_quietly(&self, cause: Cause) {
        self.raise(NO_BUBBLE);
        self.cancel(cause);
    }

    fn request(&self, cause: Cause, hard: bool) -> bool {
        let mut look = Look::new();
        match self.request_here(cause, hard, &mut look) {
            Requested::TooLate => return false,
            Requested::Again => self.collect_below(&mut look),
            Requested::First => self.pass_on(&mut look),
        }
        true
    }

    /// Raises the flags of a request; whoever is to look at them must be collected behind that.
    fn request_here(&self, cause: Cause, hard: bool, look: &mut Look) -> Requested {
        // A deadline that passed before is the first cause (rule L6).
        self.expire_if_due(look);
        let now = if self.grace().is_zero() { Moment::NEVER } else { look.now() };
        let mut state = self.lock();
        if self.has(CLOSED) {
            self.raise(CANCELLED);
            return Requested::TooLate;
        }
        let first = state.cause.is_none();
        if first {
            state.cause = Some(cause);
        }
        self.raise_request(CANCELLED, now);
        if hard {
            self.raise(HARD);
        }
        drop(state);
        if first {
            event::cancel_requested(self);
        }
        if first { Requested::First } else { Requested::Again }
    }

    /// Takes note of a failure: the first one cancels the scope and leaves it, later ones are reported (rule F2). True
    /// if it is the first.
    pub(crate) fn fail(&self, failure: Failure) -> bool {
        let mut look = Look::new();
        self.expire_if_due(&mut look);
        let now = if self.grace().is_zero() { Moment::NEVER } else { look.now() };
        let mut state = self.lock();
        if state.failure.is_some() || self.has(CLOSED | ORPHANED) {
            drop(state);
            self.suppress(&failure);
            return false;
        }
        let first = state.cause.is_none();
        if first {
            state.cause = Some(failure.cause());
        }
        state.failure = Some(failure);
        self.raise_request(STOPPED, now);
        drop(state);
        event::cancel_requested(self);
        if first {
            self.pass_on(&mut look);
        } else {
            self.collect_below(&mut look);
        }
        true
    }

    /// Notices a passed deadline (rule L5), whether or not a timer fired.
    pub(super) fn expire_if_due(&self, look: &mut Look) -> bool {
        let deadline = self.deadline();
        if deadline.is_never() || self.has(CLOSED) || look.now() < deadline {
            return false;
        }
        self.expire(look);
        // A failure that came first stays the cause (rule L6).
        self.has(CANCELLED)
    }

    fn expire(&self, look: &mut Look) {
        let mut state = self.lock();
        // Somebody may have moved it before it passed, and before this look at the clock (rule L3).
        let deadline = self.deadline();
        if state.cause.is_some() || self.has(CLOSED) || look.now() < deadline {
            return;
        }
        state.cause = Some(deadline_cause(self.given()));
        self.raise_request(CANCELLED, deadline);
        drop(state);
        event::cancel_requested(self);
        self.pass_on(look);
    }

    /// Moves the deadline (rule L3).
    pub(crate) fn set_deadline(&self, deadline: Moment) {
        let mut look = Look::new();
        if self.cancel_called(&mut look) || self.has(CLOSED) {
            return;
        }
        {
            // Under the lock, where it is read again before it counts as passed.
            let _state = self.lock();
            self.forget_given();
            self.deadline.store(deadline.0, Ordering::SeqCst);
            self.raise(MOVED_DEADLINE);
        }
        self.expire_if_due(&mut look);
        // Everybody below must look again: timers may depend on this deadline (rule L5).
        self.collect_below(&mut look);
    }

    /// Turns the shield on or off (rule T4).
    pub(crate) fn set_shield(&self, shield: bool) {
        if shield {
            self.raise(SHIELD);
        } else {
            self.flags.fetch_and(!SHIELD, Ordering::SeqCst);
        }
        self.collect_below(&mut Look::new());
    }

    /// The body or a child was unwound: the rest of the scope sees a cancel from now on (rule T4), a soft one if that
    /// is all that was seen.
    pub(super) fn cut(&self, softly: bool, look: &mut Look) {
        let flag = if softly { SOFT_CUT } else { CUT };
        if self.has(flag | CUT) || self.raise(flag) & (flag | CUT) != 0 {
            return;
        }
        // Where the cancel is visible without this flag, whoever made it visible has woken all below, or will: else the
        // levels of a deep tree would wake each other over and over. A node that was moved was not there then.
        let woken = !self.parent.was_moved()
            && if softly {
                self.has(CANCELLED | STOPPED) || self.sees_outer_cancel(look)
            } else {
                self.has(HARD) || self.sees_outer_hard_cancel(look)
            };
        if !woken {
            self.collect_below(look);
        }
    }

    // --- links and bubbles ---------------------------------------------------------------------------------------

    /// A cancel of this scope itself goes on to those that it is linked with (rule B2), and to those above, as far as it
    /// bubbles (rule B1). A loop, since trees can be deep, and chains of links long. Collects who must act on it: each
    /// once, though the scopes that it reaches are inside of each other.
    fn pass_on(&self, look: &mut Look) {
        let mut reached = Vec::new();
        self.pass_on_once(false, &mut reached, look);
        let mut next = 0;
        while let Some((node, by_bubble)) = reached.get(next).cloned() {
            node.pass_on_once(by_bubble, &mut reached, look);
            next += 1;
        }
        if reached.is_empty() {
            return self.collect_below(look);
        }
        let mut seen = HashSet::new();
        self.collect_unseen_below(&mut seen, look);
        for (node, _) in &reached {
            node.collect_unseen_below(&mut seen, look);
        }
    }

    /// One that is cancelled already passes nothing on, so cycles end.
    fn pass_on_once(&self, by_bubble: bool, reached: &mut Vec<(Arc<Self>, bool)>, look: &mut Look) {
        let bubbles_into = self.bubbles_into(by_bubble);
        if self.links().is_empty() && bubbles_into.is_none() {
            return;
        }
        let cancelled = self.cancelled_error(look);
        let links = self.links().iter().cloned().map(|link| (link, Cause::Link(cancelled.clone()), false));
        // All that it bubbles through names the scope in which it began.
        let begun = if let Cause::Bubble(inner) = cancelled.cause() { inner } else { &cancelled };
        let above = bubbles_into.map(|above| (above, Cause::Bubble(begun.clone()), true));
        for (node, cause, by_bubble) in links.chain(above) {
            if matches!(node.request_here(cause, false, look), Requested::First) {
                reached.push((node, by_bubble));
            }
        }
    }

    /// The scope above that a cancel of this one cancels, too; one that a bubble has reached is known to pass it on.
    fn bubbles_into(&self, by_bubble: bool) -> Option<Arc<Self>> {
        if !bubbles_exist() || !self.is_switch() || !(by_bubble || self.bubbles()) {
            return None;
        }
        let mut above = self.parent();
        while let Some(node) = above.take_if(|node| !node.is_switch()) {
            above = node.parent();
        }
        // One that says nothing goes by a scope further up, and so does what is between.
        above.filter(|node| !self.has(BUBBLE) || node.bubbles())
    }

    /// Whether this is a scope, and no mere frame of a task, a shield, a guest or a cleanup.
    fn is_switch(&self) -> bool {
        matches!(self.site.kind(), Kind::Scope | Kind::Function | Kind::Token)
    }

    /// Whether an own cancel of a scope here goes up: as the nearest scope says that says anything (rule B1).
    pub(crate) fn bubbles(&self) -> bool {
        self.nearest(|node| node.has(BUBBLE | NO_BUBBLE).then(|| node.has(BUBBLE))) == Some(true)
    }

    /// Cancels a scope that is not to run since one that it is linked with was left; true if so (rule B2).
    pub(crate) fn refuse_if_link_is_closed(&self) -> bool {
        let refused = self.links().iter().any(|link| link.is_closed());
        if refused {
            self.lock().cause.get_or_insert(Cause::LinkClosed);
            self.raise(CANCELLED | HARD);
        }
        refused
    }

    /// Whether a cancel of this scope goes on to others (rule B2).
    pub(crate) fn is_linked(&self) -> bool {
        !self.links().is_empty()
    }

    fn links(&self) -> &[Arc<Self>] {
        self.extra.as_ref().map_or(&[], |extra| &extra.links)
    }
}
