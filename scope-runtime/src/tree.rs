//! The shared part of a scope: a node that handles, children and other threads can reach.
//!
//! A scope's state lives in its own future (`context::Frame`) until somebody outside of the poll needs it: a handle, a
//! child, a cleanup, a shield that suspends inside another scope. Then it gets a [`Node`].
//!
//! # Invariants
//!
//! 1. **Complete chains.** A frame that has a node stands on frames that have one, up to the root of its task. So a
//!    walk over parents misses no deadline, shield or cancel.
//! 2. **One lock at a time.** No function of this crate holds two `state` locks, wakes, runs a user's code or drops a
//!    user's value under one. (Wakers are compared and cloned under it.)
//! 3. **Register, then look.** Whoever waits for a change stores its waker (or its entry in `inner` / `children`)
//!    first and reads the flags afterwards; whoever changes sets the flags first and collects wakers afterwards. One
//!    of both sees the other.
//! 4. **Parents are as of the last poll** (rule T1). The node of a child task keeps the parent it was spawned into
//!    (rule T2).
//! 5. **A cycle ends with its scope.** `inner` and `children` hold nodes that hold their parent: entries are removed
//!    when the scope is left, the child has ended, or either is dropped. What starts a child that waits for its turn
//!    holds the scope, too: its turn or a cancel takes it away.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::cause::{Cancelled, Cause, Who};
use crate::cleanup::{CleanupItem, CleanupTimer, Running};
use crate::deadline::{Given, Moment, has_passed};
use crate::failure::{Failure, Suppressed};
use crate::site::Site;
use crate::sync::atomic::{AtomicU32, AtomicU64};
use crate::sync::runtime::Handle;
use crate::sync::{Mutex, MutexGuard};

pub(crate) mod census;
mod children;
mod ending;
mod extra;
mod limit;
mod link;
mod look;
mod request;
mod search;
mod untaken;
mod why;

pub(crate) use children::{Admitted, ChildEnd, ChildKey, Registered, Role};
pub(crate) use extra::Extra;
pub(crate) use limit::{Go, Starter};
pub(crate) use link::Place;
pub(crate) use look::Look;
pub(crate) use request::{announce_bubble, bubbles_exist};
pub(crate) use search::Hold;
pub(crate) use untaken::Untaken;
pub(crate) use why::Origin;

use children::Child;
use limit::{Limit, Waiting};
use link::{Inner, Parent, ParentLink};

/// The scope itself was asked to stop: by a call, its deadline, a token, a link or a scope below.
const CANCELLED: u32 = 1;
/// Its body or a child was unwound by a cancel that it saw: its other children see that, whatever is shielded later
/// (rule T4), but it is no cancel of its own (rule D5).
const CUT: u32 = 1 << 1;
/// Hides outer cancels.
const SHIELD: u32 = 1 << 2;
/// The scope was left: spawning is refused, and guests are cancelled (rule T6).
const CLOSED: u32 = 1 << 3;
/// Its boundary has begun to unwind or to wait for children.
const ENDING: u32 = 1 << 4;
/// The boundary's future is gone; an orphan finishes the work (rule U5).
const ORPHANED: u32 = 1 << 5;
/// The body is gone.
const DELIVERED: u32 = 1 << 6;
/// A delivery waits for something inside (rule U1): whoever leaves wakes the boundary.
const HOLDING: u32 = 1 << 7;
/// Its cleanup ran out of time: what it leaves behind goes to the root (rule U3).
const GIVEN_UP: u32 = 1 << 8;
/// Cancelled by something that is no request: a failure (rule F2), or the loss of its future (rule U5).
const STOPPED: u32 = 1 << 9;
/// Put under its parent with `in_scope` or `run`: leaving the parent is a cancel for it (rule T6).
const GUEST: u32 = 1 << 10;
/// Something that it depends on changed since the pass over its body began: scopes inside may have looked before.
const CHANGED: u32 = 1 << 11;
/// A request or a stop that is not soft any more (rules G1, G2).
const HARD: u32 = 1 << 12;
/// As `CUT`, by a cancel that was only soft.
const SOFT_CUT: u32 = 1 << 13;
/// `bubble` and `bubble = false` (rule B1).
const BUBBLE: u32 = 1 << 14;
const NO_BUBBLE: u32 = 1 << 15;
/// A child that waits for its turn (rule F6).
const WAITING: u32 = 1 << 16;
/// One of those that a test counts.
const COUNTED: u32 = 1 << 17;
/// The deadline is another one than at first.
const MOVED_DEADLINE: u32 = 1 << 18;

/// A scope, shield, task or guest as others see it.
pub struct Node {
    site: &'static Site,
    extra: Option<Box<Extra>>,
    flags: AtomicU32,
    deadline: AtomicU64,
    /// What that was at first, where it can be compared with the clock as it is.
    first_deadline: Option<Instant>,
    given: AtomicU32,
    parent: ParentLink,
    /// Counts the passes over the body; `seen` of an inner node holds the pass in which it was last reached (U1a).
    pass: AtomicU32,
    seen: AtomicU32,
    /// How often somebody gave a node to a child, which has to look then.
    calls: AtomicU32,
    /// How often the wakers of children without a node were taken to wake them.
    rounds: AtomicU32,
    runtime: Option<Handle>,
    state: Mutex<State>,
}

/// What a node keeps under its lock.
#[derive(Default)]
pub(crate) struct State {
    /// The boundary's waker, from its last pending poll.
    waker: Option<Waker>,
    cause: Option<Cause>,
    /// The error of an own cause, made once: what it is recognised by if it comes back (rule W3).
    ticket: Option<Cancelled>,
    /// Why the body was delivered to and under which scope, for a future that is moved meanwhile (rule D4).
    foreign: Option<Cancelled>,
    delivered_under: Option<Arc<Node>>,
    inner: Slab<Inner>,
    children: Slab<Child>,
    foreground: usize,
    background_cancelled: bool,
    boundary_gone: bool,
    lost_child: bool,
    failure: Option<Failure>,
    suppressed: Vec<Suppressed>,
    /// Failures of supervised children that nobody has taken yet, in the order in which they came (rule F5).
    untaken: BTreeMap<u64, Suppressed>,
    /// How many children may run at once, and who waits (rule F6).
    limit: Option<Box<Limit>>,
    /// What starts this child when its turn comes.
    waiting: Option<Box<Waiting>>,
    watchers: Slab<Waker>,
    pub(crate) cleanup: VecDeque<CleanupItem>,
    pub(crate) running: Running,
    pub(crate) cleanup_timer: CleanupTimer,
    /// The same where there is no timer, but a deadline that cleanup sees: in sync code.
    pub(crate) cleanup_until: Option<Moment>,
    next_order: u64,
    /// The entry of this node in its parent's `inner`.
    entry: Option<(Arc<Node>, usize)>,
}

impl State {
    /// A number that is higher than all before it.
    pub(crate) fn next_order(&mut self) -> u64 {
        let order = self.next_order;
        self.next_order += 1;
        order
    }

    /// That of whoever drives the scope's end, as registered last.
    pub(crate) fn waker(&self) -> Option<Waker> {
        self.waker.clone()
    }
}

/// What a node is made from.
pub(crate) struct NodeInit {
    pub(crate) site: &'static Site,
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) given: Given,
    pub(crate) shield: bool,
}

impl NodeInit {
    /// A node without options: a task, a guest.
    pub(crate) fn plain(site: &'static Site, name: Option<Box<str>>) -> Self {
        Self {
            site,
            extra: name.map(|name| Box::new(Extra { name: Some(name), ..Extra::default() })),
            deadline: None,
            given: Given::NOTHING,
            shield: false,
        }
    }
}

impl Node {
    pub(crate) fn new(init: NodeInit) -> Self {
        Self::on(Handle::try_current().ok(), init)
    }

    /// A node that belongs to this runtime.
    fn on(runtime: Option<Handle>, init: NodeInit) -> Self {
        let NodeInit { site, extra, deadline, given, shield } = init;
        let mut flags = match extra.as_ref().and_then(|extra| extra.bubble) {
            None => 0,
            Some(true) => BUBBLE,
            Some(false) => NO_BUBBLE,
        };
        let limit = extra.as_ref().and_then(|extra| extra.limit);
        let state = State { limit: limit.map(Limit::new), ..State::default() };
        if shield {
            flags |= SHIELD;
        }
        Self {
            site,
            extra,
            flags: AtomicU32::new(flags | census::enter()),
            deadline: AtomicU64::new(deadline.map_or(Moment::NEVER, Moment::at).0),
            first_deadline: deadline,
            given: AtomicU32::new(given.to_bits()),
            parent: ParentLink::default(),
            pass: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            calls: AtomicU32::new(0),
            rounds: AtomicU32::new(0),
            runtime,
            state: Mutex::new(state),
        }
    }

    /// The state; a poisoned lock is entered, since nothing panics in a half-done change.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, flag: u32) -> bool {
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    fn raise(&self, flag: u32) -> u32 {
        self.flags.fetch_or(flag, Ordering::SeqCst)
    }

    pub(crate) fn site(&self) -> &'static Site {
        self.site
    }

    pub(crate) fn name(&self) -> Cow<'static, str> {
        match self.extra.as_ref().and_then(|extra| extra.name.as_ref()) {
            Some(name) => Cow::Owned(name.to_string()),
            None => Cow::Borrowed(self.site.name()),
        }
    }

    pub(crate) fn who(&self) -> Who {
        Who { name: self.name(), site: self.site }
    }

    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.runtime.clone().or_else(|| Handle::try_current().ok())
    }

    /// The runtime that it was made on.
    pub(crate) fn own_runtime(&self) -> Option<&Handle> {
        self.runtime.as_ref()
    }

    /// Whether children may have to wait for their turn (rule F6).
    pub(crate) fn has_limit(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.limit.is_some())
    }

    pub(crate) fn cleanup_timeout(&self) -> Option<Duration> {
        self.extra.as_ref().and_then(|extra| extra.cleanup_timeout)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.has(CLOSED)
    }

    pub(crate) fn is_delivered(&self) -> bool {
        self.has(DELIVERED | CLOSED)
    }

    pub(crate) fn is_shielded(&self) -> bool {
        self.has(SHIELD)
    }

    pub(crate) fn is_orphaned(&self) -> bool {
        self.has(ORPHANED)
    }

    /// Whether this scope itself was asked to stop: by a call, or its deadline.
    pub(crate) fn cancel_called(&self, look: &mut Look) -> bool {
        self.has(CANCELLED) || self.expire_if_due(look)
    }

    // --- visibility (rules T3, T4, L5) ---------------------------------------------------------------------------

    /// Whether this node counts as cancelled by itself.
    fn counts_as_cancelled(&self, look: &mut Look) -> bool {
        self.has(CANCELLED | CUT | STOPPED | SOFT_CUT) || self.expire_if_due(look)
    }

    /// Whether a cancel is visible here, be it soft or hard: what `check()` and its like see.
    pub(crate) fn sees_cancel(&self, look: &mut Look) -> bool {
        self.sees(Self::counts_as_cancelled, look)
    }

    /// Whether a hard cancel is visible here: what boundaries act on (rule G1).
    pub(crate) fn sees_hard_cancel(&self, look: &mut Look) -> bool {
        self.sees(Self::counts_as_hard, look)
    }

    /// Whether no cancel is visible here, and that can be told at a glance.
    #[inline(always)]
    pub(crate) fn sees_plainly_nothing(&self, clock: &mut Option<Instant>) -> bool {
        let mut node = self;
        loop {
            let flags = node.flags.load(Ordering::Acquire);
            if flags & (CANCELLED | CUT | STOPPED | SOFT_CUT | GUEST | CLOSED | MOVED_DEADLINE) != 0
                || has_passed(node.first_deadline, clock)
            {
                return false;
            }
            if flags & SHIELD != 0 {
                return true;
            }
            match node.parent.get() {
                Parent::None => return true,
                Parent::Moved(_) => return false,
                Parent::First(parent) => node = parent,
            }
        }
    }

    /// Whether this node itself cuts what is inside, so far as anybody has noticed.
    #[inline]
    pub(crate) fn is_cut(&self) -> bool {
        self.has(HARD | CUT)
    }

    /// The same as a child task asks it at every pause: mostly it is plain.
    #[inline]
    pub(crate) fn cuts(&self, look: &mut Look) -> bool {
        self.is_cut() || !self.sees_plainly_nothing(look.clock()) && self.sees_hard_cancel(look)
    }

    /// The same without a look at the clock.
    pub(crate) fn is_known_to_be_hard(&self) -> bool {
        self.sees(|node, _| node.has(HARD | CUT), &mut Look::new())
    }

    /// A loop, since trees of tasks can be deep.
    fn sees(&self, counts: fn(&Self, &mut Look) -> bool, look: &mut Look) -> bool {
        let mut node = self;
        loop {
            if counts(node, look) {
                return true;
            }
            if node.has(SHIELD) {
                return false;
            }
            match node.parent.get() {
                Parent::None => return false,
                Parent::Moved(parent) => return node.was_left_by(&parent) || parent.sees(counts, look),
                Parent::First(parent) if node.was_left_by(parent) => return true,
                Parent::First(parent) => node = parent,
            }
        }
    }

    /// Whether a cancel from outside of this node is visible here.
    pub(crate) fn sees_outer_cancel(&self, look: &mut Look) -> bool {
        self.sees_outer(Self::counts_as_cancelled, look)
    }

    /// Whether a hard cancel from outside of this node is visible here.
    pub(crate) fn sees_outer_hard_cancel(&self, look: &mut Look) -> bool {
        self.sees_outer(Self::counts_as_hard, look)
    }

    fn sees_outer(&self, counts: fn(&Self, &mut Look) -> bool, look: &mut Look) -> bool {
        if self.has(SHIELD) {
            return false;
        }
        match self.parent.get() {
            Parent::None => false,
            Parent::Moved(parent) => self.was_left_by(&parent) || parent.sees(counts, look),
            Parent::First(parent) => self.was_left_by(parent) || parent.sees(counts, look),
        }
    }

    /// Leaving a scope is a cancel for its guests. Whatever else is below a scope that was left has been moved.
    fn was_left_by(&self, parent: &Self) -> bool {
        self.has(GUEST) && parent.has(CLOSED)
    }

    // --- deadline -------------------------------------------------------------------------------------------------

    pub(crate) fn deadline(&self) -> Moment {
        Moment(self.deadline.load(Ordering::Acquire))
    }

    /// Sets the deadline, before anybody has seen the scope.
    pub(crate) fn begin_with_deadline(&self, at: Moment, given: Given) {
        self.given.store(given.to_bits(), Ordering::Relaxed);
        self.deadline.store(at.0, Ordering::Release);
        self.raise(MOVED_DEADLINE);
    }

    fn given(&self) -> Given {
        Given::from_bits(self.given.load(Ordering::Relaxed))
    }

    fn forget_given(&self) {
        self.given.store(Given::NOTHING.to_bits(), Ordering::Relaxed);
    }

    /// The earliest visible deadline, without regard to cancels (rule L2).
    pub(crate) fn effective_deadline(&self) -> Moment {
        self.earliest(Self::deadline)
    }

    /// The earliest moment at which something happens by the clock to a scope that is visible here.
    pub(crate) fn effective_event(&self) -> Moment {
        self.earliest(Self::next_event)
    }

    fn earliest(&self, moment: fn(&Self) -> Moment) -> Moment {
        let mut node = self;
        let mut earliest = Moment::NEVER;
        loop {
            if !node.has(CLOSED) {
                earliest = earliest.min(moment(node));
            }
            if node.has(SHIELD) {
                return earliest;
            }
            match node.parent.get() {
                Parent::None => return earliest,
                Parent::Moved(parent) => return earliest.min(parent.earliest(moment)),
                Parent::First(parent) => node = parent,
            }
        }
    }

    // --- wake-ups -------------------------------------------------------------------------------------------------

    /// Reports a failure that does not leave the boundary.
    pub(crate) fn suppress(&self, failure: &Failure) {
        self.report(failure.suppressed());
    }

    /// Collects the wakers of all who may have to act on a change of this node, shielded parts left out (rule D7).
    pub(crate) fn collect_below(&self, look: &mut Look) {
        let mut todo = Vec::new();
        self.collect_here(look, &mut todo);
        while let Some(node) = todo.pop() {
            node.collect_here(look, &mut todo);
        }
    }

    /// The same for those that were not `seen` yet.
    pub(crate) fn collect_unseen_below(&self, seen: &mut HashSet<*const Self>, look: &mut Look) {
        let mut todo = Vec::new();
        if seen.insert(self) {
            self.collect_here(look, &mut todo);
        }
        while let Some(node) = todo.pop() {
            if seen.insert(Arc::as_ptr(&node)) {
                node.collect_here(look, &mut todo);
            }
        }
    }

    fn collect_here(&self, look: &mut Look, todo: &mut Vec<Arc<Self>>) {
        self.raise(CHANGED);
        self.refuse_if_cancelled(look);
        let mut state = self.lock();
        look.wake_all_later(state.waker.clone());
        look.wake_all_later(state.watchers.iter().map(|(_, waker)| waker.clone()));
        todo.extend(
            state.inner.iter().map(|(_, inner)| &inner.node).filter(|node| !node.has(SHIELD)).cloned(),
        );
        state.wake_children(&self.rounds, look, todo);
    }
}

/// Chains of parents are dropped in a loop: a handle may keep a long one alive.
impl Drop for Node {
    fn drop(&mut self) {
        self.leave_census();
        let mut next = self.parent.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.parent.take();
        }
    }
}

/// The waker of the scope's timer: the scope is cancelled on the spot, so that its children are cut even while nobody
/// polls the future of the scope (rule D7).
impl Wake for Node {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut look = Look::new();
        self.expire_if_due(&mut look);
        self.harden_if_due(&mut look);
        self.collect_below(&mut look);
    }
}

pub(crate) fn deadline_cause(given: Given) -> Cause {
    Cause::Deadline { after: given.to_timeout() }
}
