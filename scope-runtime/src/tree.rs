//! The shared part of a scope: a node that handles, children and other threads can reach.
//!
//! A scope's state lives in its own future (`context::Frame`) until somebody outside of the poll needs it: a handle, a
//! child, a cleanup, a shield that suspends inside another scope. Then it gets a [`Node`].
//!
//! # Invariants
//!
//! 1. **Complete chains.** A frame that has a node stands on frames that have one, up to the root of its task. So a
//!    walk over parents misses no deadline, shield or cancel.
//! 2. **One lock at a time.** No function of this crate holds two `state` locks, calls a waker, runs a user's code or
//!    drops a user's value under one.
//! 3. **Register, then look.** Whoever waits for a change stores its waker (or its entry in `inner` / `children`)
//!    first and reads the flags afterwards; whoever changes sets the flags first and collects wakers afterwards. One
//!    of both sees the other.
//! 4. **Parents are as of the last poll** (rule T1). The node of a child task keeps the parent it was spawned into
//!    (rule T2).
//! 5. **A cycle ends with its scope.** `inner` and `children` hold nodes that hold their parent: entries are removed
//!    when the scope is left, the child has ended, or either is dropped.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::runtime::Handle;

use crate::cause::{Cancelled, Cause, Who};
use crate::cleanup::{CleanupItem, CleanupTimer, Running};
use crate::deadline::{Given, Moment};
use crate::event;
use crate::failure::{Failure, Suppressed};
use crate::site::Site;

/// The scope itself was asked to stop: by a call or its deadline.
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
/// Put under its parent with `in_scope` or `run`: leaving the parent is a cancel for it (rule T6).
const GUEST: u32 = 1 << 10;
/// Something that it depends on changed since the pass over its body began: scopes inside may have looked before.
const CHANGED: u32 = 1 << 11;
/// Cancelled by something that is no request: a failure (rule F2), or the loss of its future (rule U5).
const STOPPED: u32 = 1 << 9;

/// One look at the tree: reads the clock at most once, and wakes after all locks and borrows are released.
pub(crate) struct Look {
    now: Option<Moment>,
    wakers: Vec<Waker>,
    /// Parents that were let go; the last one to know a node drops what it holds.
    released: Vec<Arc<Node>>,
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

/// The parent of a node: set at the first poll, seldom changed, read without a lock while it was never changed.
struct ParentLink {
    first: OnceLock<Option<Arc<Node>>>,
    moved: AtomicBool,
    latest: Mutex<Option<Arc<Node>>>,
}

/// A parent as it is found: borrowed as long as it was never changed.
enum Parent<'a> {
    None,
    First(&'a Arc<Node>),
    Moved(Arc<Node>),
}

impl ParentLink {
    fn get(&self) -> Parent<'_> {
        if self.moved.load(Ordering::Acquire) {
            let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return latest.map_or(Parent::None, Parent::Moved);
        }
        self.first.get().and_then(Option::as_ref).map_or(Parent::None, Parent::First)
    }

    fn take(&mut self) -> Option<Arc<Node>> {
        let latest = self.latest.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let first = self.first.take().flatten();
        // A node that was moved holds two; the older one is seldom the last to know its scope.
        latest.or(first)
    }

    /// Sets the parent, and gives the old one back, to be dropped where that may run a user's code.
    fn set(&self, parent: Option<Arc<Node>>) -> Option<Arc<Node>> {
        let parent = self.first.set(parent).err()?;
        let old = std::mem::replace(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner), parent);
        self.moved.store(true, Ordering::Release);
        old
    }
}

/// A scope, shield, task or guest as others see it.
pub(crate) struct Node {
    site: &'static Site,
    name: Option<Box<str>>,
    flags: AtomicU32,
    deadline: AtomicU64,
    given: AtomicU32,
    parent: ParentLink,
    /// Counts the passes over the body; `seen` of an inner node holds the pass in which it was last reached (U1a).
    pass: AtomicU32,
    seen: AtomicU32,
    cleanup_timeout: Option<Duration>,
    runtime: Option<Handle>,
    state: Mutex<State>,
}

/// What a node keeps under its lock.
#[derive(Default)]
pub(crate) struct State {
    /// The boundary's waker, from its last pending poll.
    waker: Option<Waker>,
    cause: Option<Cause>,
    /// Why the body was delivered to and under which scope, for a future that is moved meanwhile (rule D4).
    foreign: Option<Cancelled>,
    delivered_under: Option<Arc<Node>>,
    inner: Slab<Inner>,
    children: Slab<Child>,
    foreground: usize,
    background_cancelled: bool,
    lost_child: bool,
    failure: Option<Failure>,
    suppressed: Vec<Suppressed>,
    watchers: Slab<Waker>,
    pub(crate) cleanup: VecDeque<CleanupItem>,
    pub(crate) running: Running,
    pub(crate) cleanup_timer: CleanupTimer,
    pub(crate) next_order: u64,
    /// The entry of this node in its parent's `inner`.
    entry: Option<(Arc<Node>, usize)>,
}

impl State {
    /// The registered driver, if it is not the one with this waker.
    pub(crate) fn other_driver(&self, driver: &Waker) -> Option<Waker> {
        self.waker.clone().filter(|waker| !waker.will_wake(driver))
    }
}

/// A scope, shield or guest whose future was polled directly below this node.
struct Inner {
    node: Arc<Node>,
    /// A guest (rule T6) is not waited for.
    guest: bool,
    search: Search,
}

/// The search for a scope that an outer delivery waits for, and that the last pass did not reach (rule U1a).
///
/// A sub-executor such as `FuturesUnordered` polls only what was woken, and may run a pass of its own right after one
/// that reached the scope. So a scope that was found where it should be is not looked for again at once, but later.
#[derive(Default)]
struct Search {
    /// It was woken, and must be reached by the next pass.
    woken: bool,
    /// Passes that did not reach it though it was woken.
    missed: u8,
    /// The last pass that was counted.
    judged: u32,
    missed_since: Option<Moment>,
    /// How often in a row it was woken and reached.
    found: u8,
    not_before: Option<Moment>,
}

/// What a pass says about a scope that a delivery waits for.
enum Sighting {
    /// It was reached: wait for it.
    Reached,
    /// Wake it, and see whether the next pass reaches it; look again at the given moment at the latest.
    Wake(Option<Moment>),
    /// Look again at the given moment.
    Later(Moment),
    /// Nobody polls it any more.
    GivenUp,
}

impl Search {
    /// `patience` is the number of passes in which a scope that unwinds must be reached.
    fn judge(&mut self, reached: bool, pass: u32, shield: bool, patience: u8, now: Moment) -> Sighting {
        if reached {
            if std::mem::take(&mut self.woken) {
                self.found = self.found.saturating_add(1).min(FOUND_MAX);
                self.not_before = Some(now.after(SEARCH_PAUSE * 2u32.pow(self.found.into())));
            }
            (self.missed, self.missed_since) = (0, None);
            return Sighting::Reached;
        }
        if !self.woken {
            if let Some(later) = self.not_before.filter(|at| self.found >= FOUND_AT_ONCE && now < *at) {
                return Sighting::Later(later);
            }
            self.woken = true;
            self.judged = pass;
        } else if self.judged != pass {
            self.judged = pass;
            self.missed = self.missed.saturating_add(1);
        }
        let patience_ends = self.missed_since.get_or_insert(now).after(SHIELD_PATIENCE);
        match shield {
            true if now >= patience_ends => Sighting::GivenUp,
            // One call is enough: whatever polls the shield polls it then, and it has time.
            true if self.missed > 0 => Sighting::Later(patience_ends),
            true => Sighting::Wake(Some(patience_ends)),
            false if self.missed >= patience => Sighting::GivenUp,
            false => Sighting::Wake(None),
        }
    }
}

/// A child task, or an adopted orphan.
struct Child {
    node: Arc<Node>,
    background: bool,
}

/// Whether a boundary that wants to drop its body must wait for what is inside (rules U1, U1a).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing inside owes work.
    Free,
    /// Wait; look again at the given moment at the latest.
    Wait(Moment),
}

/// How long a shield that nobody polls any more holds up a cancelled scope (rule U1a).
const SHIELD_PATIENCE: Duration = Duration::from_secs(5);

/// Passes that do not reach an unwinding scope before it counts as abandoned (rule U1a).
const PASSES_UNTIL_ABANDONED: u8 = 2;

/// The same for one that was polled with another waker than the boundary's: a sub-executor may have much to do before
/// its turn comes, and yields meanwhile.
const PASSES_OF_A_SUB_EXECUTOR: u8 = 200;

/// So often a scope is looked for at once after it was found; then the pauses double, up to 41 seconds.
const FOUND_AT_ONCE: u8 = 2;
const FOUND_MAX: u8 = 12;
const SEARCH_PAUSE: Duration = Duration::from_millis(10);

/// How a child task came to its end, as its scope needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// By itself, by a failure (reported apart), or by a cancel of its own (rule D6).
    Settled,
    /// Unwound by a cancel that it saw through the scope.
    Lost,
}

/// What a node is made from.
pub(crate) struct NodeInit {
    pub(crate) site: &'static Site,
    pub(crate) name: Option<Box<str>>,
    pub(crate) deadline: Moment,
    pub(crate) given: Given,
    pub(crate) shield: bool,
    pub(crate) expired: bool,
    pub(crate) cleanup_timeout: Option<Duration>,
}

impl NodeInit {
    /// A node without options: a task, a guest.
    pub(crate) fn plain(site: &'static Site, name: Option<Box<str>>) -> Self {
        Self {
            site,
            name,
            deadline: Moment::NEVER,
            given: Given::NOTHING,
            shield: false,
            expired: false,
            cleanup_timeout: None,
        }
    }
}

impl Node {
    pub(crate) fn new(init: NodeInit) -> Self {
        let NodeInit { site, name, deadline, given, shield, expired, cleanup_timeout } = init;
        let mut flags = 0;
        let mut state = State::default();
        if shield {
            flags |= SHIELD;
        }
        if expired {
            flags |= CANCELLED;
            state.cause = Some(deadline_cause(given));
        }
        Self {
            site,
            name,
            flags: AtomicU32::new(flags),
            deadline: AtomicU64::new(deadline.0),
            given: AtomicU32::new(given.to_bits()),
            parent: ParentLink {
                first: OnceLock::new(),
                moved: AtomicBool::new(false),
                latest: Mutex::new(None),
            },
            pass: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            cleanup_timeout,
            runtime: Handle::try_current().ok(),
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
        match &self.name {
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

    pub(crate) fn cleanup_timeout(&self) -> Option<Duration> {
        self.cleanup_timeout
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
        self.has(CANCELLED | CUT | STOPPED) || self.expire_if_due(look)
    }

    /// Whether a cancel is visible here. A loop, since trees of tasks can be deep.
    pub(crate) fn sees_cancel(&self, look: &mut Look) -> bool {
        let mut node = self;
        loop {
            if node.counts_as_cancelled(look) {
                return true;
            }
            if node.has(SHIELD) {
                return false;
            }
            match node.parent.get() {
                Parent::None => return false,
                Parent::Moved(parent) => return node.was_left_by(&parent) || parent.sees_cancel(look),
                Parent::First(parent) if node.was_left_by(parent) => return true,
                Parent::First(parent) => node = parent,
            }
        }
    }

    /// Whether a cancel from outside of this node is visible here.
    pub(crate) fn sees_outer_cancel(&self, look: &mut Look) -> bool {
        if self.has(SHIELD) {
            return false;
        }
        match self.parent.get() {
            Parent::None => false,
            Parent::Moved(parent) => self.was_left_by(&parent) || parent.sees_cancel(look),
            Parent::First(parent) => self.was_left_by(parent) || parent.sees_cancel(look),
        }
    }

    /// Leaving a scope is a cancel for its guests. Whatever else is below a scope that was left has been moved.
    fn was_left_by(&self, parent: &Self) -> bool {
        self.has(GUEST) && parent.has(CLOSED)
    }

    /// Notices a passed deadline (rule L5), whether or not a timer fired.
    fn expire_if_due(&self, look: &mut Look) -> bool {
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
        if state.cause.is_some() || self.has(CLOSED) {
            return;
        }
        state.cause = Some(deadline_cause(self.given()));
        self.raise(CANCELLED);
        drop(state);
        event::cancel_requested(self);
        self.collect_below(look);
    }

    // --- deadline -------------------------------------------------------------------------------------------------

    pub(crate) fn deadline(&self) -> Moment {
        Moment(self.deadline.load(Ordering::Acquire))
    }

    /// The deadline that a timer has to watch: none once the scope was stopped in whatever way.
    pub(crate) fn pending_deadline(&self, look: &mut Look) -> Moment {
        let deadline = self.deadline();
        if deadline.is_never() || self.has(CANCELLED | STOPPED | CLOSED) || self.expire_if_due(look) {
            return Moment::NEVER;
        }
        deadline
    }

    fn given(&self) -> Given {
        Given::from_bits(self.given.load(Ordering::Relaxed))
    }

    /// The earliest visible deadline, without regard to cancels (rule L2).
    pub(crate) fn effective_deadline(&self) -> Moment {
        let mut node = self;
        let mut earliest = Moment::NEVER;
        loop {
            if !node.has(CLOSED) {
                earliest = earliest.min(node.deadline());
            }
            if node.has(SHIELD) {
                return earliest;
            }
            match node.parent.get() {
                Parent::None => return earliest,
                Parent::Moved(parent) => return earliest.min(parent.effective_deadline()),
                Parent::First(parent) => node = parent,
            }
        }
    }

    /// Moves the deadline (rule L3).
    pub(crate) fn set_deadline(self: &Arc<Self>, deadline: Moment) {
        let mut look = Look::new();
        if self.cancel_called(&mut look) || self.has(CLOSED) {
            return;
        }
        self.given.store(Given::NOTHING.to_bits(), Ordering::Relaxed);
        self.deadline.store(deadline.0, Ordering::SeqCst);
        self.expire_if_due(&mut look);
        // Everybody below must look again: timers may depend on this deadline (rule L5).
        self.collect_below(&mut look);
    }

    // --- requests -------------------------------------------------------------------------------------------------

    /// Turns the shield on or off (rule T4).
    pub(crate) fn set_shield(self: &Arc<Self>, shield: bool) {
        if shield {
            self.raise(SHIELD);
        } else {
            self.flags.fetch_and(!SHIELD, Ordering::SeqCst);
        }
        self.collect_below(&mut Look::new());
    }

    /// Requests a cancel; true if the scope is cancelled now, false if it was left (rule F7).
    pub(crate) fn cancel(&self, cause: Cause) -> bool {
        let mut look = Look::new();
        // A deadline that passed before is the first cause (rule L6).
        self.expire_if_due(&mut look);
        let mut state = self.lock();
        if self.has(CLOSED) {
            self.raise(CANCELLED);
            return false;
        }
        let first = state.cause.is_none();
        if first {
            state.cause = Some(cause);
        }
        self.raise(CANCELLED);
        drop(state);
        if first {
            event::cancel_requested(self);
        }
        self.collect_below(&mut look);
        true
    }

    /// Takes note of a failure: the first one cancels the scope and leaves it, later ones are reported (rule F2).
    pub(crate) fn fail(&self, failure: Failure) {
        let mut look = Look::new();
        self.expire_if_due(&mut look);
        let mut state = self.lock();
        if state.failure.is_some() || self.has(CLOSED | ORPHANED) {
            let suppressed = failure.suppressed();
            state.suppressed.push(suppressed.clone());
            drop(state);
            event::failure_suppressed(self, &suppressed);
            return;
        }
        if state.cause.is_none() {
            state.cause = Some(failure.cause());
        }
        state.failure = Some(failure);
        self.raise(STOPPED);
        drop(state);
        event::cancel_requested(self);
        self.collect_below(&mut look);
    }

    /// The body or a child was unwound: the rest of the scope sees a cancel from now on (rule T4).
    fn cut(&self, look: &mut Look) {
        if self.raise(CUT) & CUT == 0 {
            self.collect_below(look);
        }
    }

    /// Collects the wakers of all who may have to act on a change of this node, shielded parts left out (rule D7).
    pub(crate) fn collect_below(&self, look: &mut Look) {
        let mut todo = Vec::new();
        self.collect_here(look, &mut todo);
        while let Some(node) = todo.pop() {
            node.collect_here(look, &mut todo);
        }
    }

    fn collect_here(&self, look: &mut Look, todo: &mut Vec<Arc<Self>>) {
        self.raise(CHANGED);
        let state = self.lock();
        look.wakers.extend(state.waker.clone());
        look.wakers.extend(state.watchers.iter().map(|(_, waker)| waker.clone()));
        let inner = state.inner.iter().map(|(_, inner)| &inner.node);
        let children = state.children.iter().map(|(_, child)| &child.node);
        todo.extend(inner.chain(children).filter(|node| !node.has(SHIELD)).cloned());
    }

    // --- parents and passes ---------------------------------------------------------------------------------------

    /// Whether `parent` is the present parent, and has this node on its list.
    pub(crate) fn is_linked_below(&self, parent: Option<&Arc<Self>>) -> bool {
        if self.parent.first.get().is_none() {
            return false;
        }
        match (self.parent.get(), parent) {
            (Parent::None, None) => true,
            (Parent::First(present), Some(parent)) => Arc::ptr_eq(present, parent),
            (Parent::Moved(present), Some(parent)) => Arc::ptr_eq(&present, parent),
            _ => false,
        }
    }

    pub(crate) fn parent(&self) -> Option<Arc<Self>> {
        match self.parent.get() {
            Parent::None => None,
            Parent::First(parent) => Some(Arc::clone(parent)),
            Parent::Moved(parent) => Some(parent),
        }
    }

    /// Hangs this node under `parent` (rules T1, T2, T6); `inner` says that it is polled by the parent's body.
    pub(crate) fn link(self: &Arc<Self>, parent: Option<Arc<Self>>, place: Place, look: &mut Look) {
        self.unlink(look);
        if place == Place::Guest {
            self.raise(GUEST);
        }
        if let Some(parent) = parent.as_ref().filter(|_| place != Place::Child) {
            let key = parent.lock().inner.insert(Inner {
                node: Arc::clone(self),
                guest: place == Place::Guest,
                search: Search::default(),
            });
            self.lock().entry = Some((Arc::clone(parent), key));
        }
        look.released.extend(self.parent.set(parent));
    }

    /// Takes this node off its parent's list.
    pub(crate) fn unlink(&self, look: &mut Look) {
        let Some((parent, key)) = self.lock().entry.take() else { return };
        let mut state = parent.lock();
        let gone = state.inner.try_remove(key);
        if parent.has(HOLDING) {
            look.wakers.extend(state.waker.clone());
        }
        drop(state);
        drop(gone);
        look.released.push(parent);
    }

    /// Begins a pass over the body; `parent` is reached by it (rule U1a).
    pub(crate) fn begin_pass(&self, parent: Option<&Self>) {
        self.pass.fetch_add(1, Ordering::Relaxed);
        if self.has(CHANGED) {
            self.flags.fetch_and(!CHANGED, Ordering::SeqCst);
        }
        if let Some(parent) = parent {
            self.seen.store(parent.pass.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Whether this scope has work that must be done before an outer body may be dropped (rule U1).
    fn owes(&self) -> bool {
        if self.has(CLOSED | ORPHANED) {
            return false;
        }
        if self.has(ENDING | SHIELD) {
            return true;
        }
        {
            let state = self.lock();
            if !state.children.is_empty() || !state.cleanup.is_empty() {
                return true;
            }
        }
        self.inner_nodes().iter().any(|(_, node)| node.owes())
    }

    /// Whether a body that a shield protects is running here.
    fn runs_a_shield(&self) -> bool {
        if self.has(ENDING | CLOSED) {
            return false;
        }
        self.has(SHIELD) || self.inner_nodes().iter().any(|(_, node)| node.runs_a_shield())
    }

    /// The scopes whose futures the body polls.
    fn inner_nodes(&self) -> Vec<(usize, Arc<Self>)> {
        let state = self.lock();
        state.inner.iter().filter(|(_, i)| !i.guest).map(|(key, i)| (key, Arc::clone(&i.node))).collect()
    }

    /// Whether the body may be dropped, after a pass over it; wakes what was not reached, and gives up what is
    /// polled by nobody (rules U1, U1a). `retry` is the waker that brings the next pass.
    pub(crate) fn hold(self: &Arc<Self>, look: &mut Look, retry: &Waker) -> Hold {
        // Before the look: who leaves from now on wakes us.
        self.raise(HOLDING);
        let inner = self.inner_nodes();
        let pass = self.pass.load(Ordering::Relaxed);
        let mut waiting = false;
        let mut until = Moment::NEVER;
        for (key, node) in inner.iter().filter(|(_, node)| node.owes()) {
            let reached = node.seen.load(Ordering::Relaxed) == pass;
            let running_shield = node.runs_a_shield();
            let patience =
                if node.is_woken_by(retry) { PASSES_UNTIL_ABANDONED } else { PASSES_OF_A_SUB_EXECUTOR };
            let now = look.now();
            let sighting = {
                let mut state = self.lock();
                let entry = state.inner.get_mut(*key).filter(|entry| Arc::ptr_eq(&entry.node, node));
                let Some(entry) = entry else { continue };
                entry.search.judge(reached, pass, running_shield, patience, now)
            };
            match sighting {
                Sighting::Reached => waiting = true,
                Sighting::Later(at) => {
                    waiting = true;
                    until = until.min(at);
                }
                Sighting::Wake(at) => {
                    waiting = true;
                    until = at.map_or(until, |at| until.min(at));
                    look.wakers.extend(node.lock().waker.clone());
                    // A stored waker may lead nowhere (`now_or_never`): the next pass must come all the same.
                    look.wake_later(retry.clone());
                }
                Sighting::GivenUp => {
                    event::abandoned(node, running_shield);
                    // One that still has its body loses it with ours; dropping it leaves us its work (rule U5).
                    if node.has(ENDING) {
                        crate::orphan::adopt_from(node, Some(self));
                    }
                }
            }
        }
        if !waiting {
            return Hold::Free;
        }
        // Outside of tokio there is no timer: passes must do.
        Hold::Wait(if self.runtime().is_some() { until } else { Moment::NEVER })
    }

    // --- boundary -------------------------------------------------------------------------------------------------

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

    fn is_woken_by(&self, waker: &Waker) -> bool {
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

    /// The body is about to be dropped by a cancel: remembers why, and lets the children see it (rule T4).
    pub(crate) fn delivered(&self, foreign: Option<Cancelled>) {
        let mut look = Look::new();
        let under = self.parent().filter(|_| foreign.is_some());
        {
            let mut state = self.lock();
            (state.foreign, state.delivered_under) = (foreign, under);
        }
        self.raise(ENDING);
        self.cut(&mut look);
    }

    /// The body is gone: wakes `delivered()`.
    pub(crate) fn body_gone(&self) {
        if self.raise(DELIVERED) & DELIVERED == 0 {
            self.wake_watchers(&mut Look::new());
        }
    }

    fn wake_watchers(&self, look: &mut Look) {
        look.wakers.extend(self.lock().watchers.iter().map(|(_, waker)| waker.clone()));
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
        let background: Vec<_> = {
            let mut state = self.lock();
            if state.foreground > 0 {
                return false;
            }
            if state.children.is_empty() {
                return true;
            }
            if std::mem::replace(&mut state.background_cancelled, true) {
                return false;
            }
            state.children.iter().map(|(_, child)| Arc::clone(&child.node)).collect()
        };
        for child in background {
            child.cancel(Cause::Task { at: None });
        }
        self.lock().children.is_empty()
    }

    /// Closes the scope if nothing is left to do.
    pub(crate) fn try_close(&self) -> bool {
        // The last moment at which its own deadline counts (rule L5).
        self.expire_if_due(&mut Look::new());
        let state = self.lock();
        if !state.children.is_empty() || !state.cleanup.is_empty() || state.running.is_some() {
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
        self.raise(CLOSED | ENDING | CUT | GIVEN_UP);
        drop(state);
        self.closed();
        rest
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.has(GIVEN_UP)
    }

    pub(crate) fn has_children(&self) -> bool {
        !self.lock().children.is_empty()
    }

    /// Guests and watchers of a scope that was left learn of it (rule T6).
    fn closed(&self) {
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
            let suppressed = failure.suppressed();
            self.lock().suppressed.push(suppressed.clone());
            event::failure_suppressed(self, &suppressed);
        }
    }

    /// Hands the remaining work to an orphan; false if there is none, or if that was done already.
    pub(crate) fn orphan(&self) -> bool {
        let mut look = Look::new();
        let mut state = self.lock();
        let owes = !self.has(CLOSED)
            && (!state.children.is_empty() || !state.cleanup.is_empty() || state.running.is_some());
        if self.has(CLOSED) || self.raise(ORPHANED | ENDING | DELIVERED) & ORPHANED != 0 {
            return false;
        }
        state.cause.get_or_insert(Cause::Dropped);
        // Under the lock: nobody spawns into it between the look and the close.
        self.raise(if owes { STOPPED } else { CLOSED });
        drop(state);
        if owes {
            self.collect_below(&mut look);
        } else {
            self.closed();
        }
        owes
    }

    // --- children -------------------------------------------------------------------------------------------------

    /// Adds a child; `None` if the scope was left (rule F7).
    pub(crate) fn add_child(&self, node: &Arc<Self>, background: bool) -> Option<usize> {
        let mut state = self.lock();
        if self.has(CLOSED) {
            return None;
        }
        if !background {
            state.foreground += 1;
        } else if state.background_cancelled {
            // Its scope has begun to end: it must not wait for ever.
            state.background_cancelled = false;
        }
        Some(state.children.insert(Child { node: Arc::clone(node), background }))
    }

    /// A child has ended, cleanup included.
    pub(crate) fn child_ended(&self, key: usize, end: ChildEnd) {
        let mut look = Look::new();
        let mut state = self.lock();
        let Some(child) = state.children.try_remove(key) else { return };
        if !child.background {
            state.foreground -= 1;
            state.lost_child |= end == ChildEnd::Lost;
        }
        let last = state.foreground == 0;
        if last {
            look.wakers.extend(state.waker.clone());
        }
        let lost = end == ChildEnd::Lost && !child.background;
        drop(state);
        if lost {
            self.cut(&mut look);
        }
        drop(child);
    }

    // --- causes ---------------------------------------------------------------------------------------------------

    /// The cancel that is visible here, as an error. A loop up to the cause and one down again, since trees can be deep.
    pub(crate) fn cancelled_error(&self, look: &mut Look) -> Cancelled {
        let mut way = Vec::new();
        let mut parent = match self.cause_or_parent(look) {
            Ok(cause) => return Cancelled::new(self.who(), cause),
            Err(parent) => parent,
        };
        let cause = loop {
            match parent.cause_or_parent(look) {
                Ok(cause) => break cause,
                Err(next) => way.push(std::mem::replace(&mut parent, next)),
            }
        };
        let mut error = Cancelled::new(parent.who(), cause);
        for node in way.into_iter().rev() {
            error = Cancelled::new(node.who(), Cause::Parent(error));
        }
        Cancelled::new(self.who(), Cause::Parent(error))
    }

    /// The own cause if there is one, else what came from outside, or the parent that knows.
    fn cause_or_parent(&self, look: &mut Look) -> Result<Cause, Arc<Self>> {
        self.cancel_called(look);
        if self.has(CANCELLED | STOPPED)
            && let Some(cause) = self.lock().cause.clone()
        {
            return Ok(cause);
        }
        self.outer_cause_or_parent(look)
    }

    fn outer_cause_or_parent(&self, look: &mut Look) -> Result<Cause, Arc<Self>> {
        // What was delivered stays the cause, wherever the future is polled by now (rules D4, L6).
        if let Some(foreign) = self.lock().foreign.clone() {
            return Ok(Cause::Parent(foreign));
        }
        match self.parent() {
            Some(parent) if parent.sees_cancel(look) => Err(parent),
            Some(parent) if self.was_left_by(&parent) => Ok(Cause::Closed),
            _ => Ok(Cause::Dropped),
        }
    }

    /// The cause that comes from outside of this node.
    pub(crate) fn outer_cause(&self, look: &mut Look) -> Cause {
        self.outer_cause_or_parent(look).unwrap_or_else(|parent| Cause::Parent(parent.cancelled_error(look)))
    }
}

/// Chains of parents are dropped in a loop: a handle may keep a long one alive.
impl Drop for Node {
    fn drop(&mut self) {
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
        self.collect_below(&mut look);
    }
}

/// How a node hangs under its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Polled by the parent's body.
    Inside,
    /// Put under it with `in_scope`: sees its cancels, is not waited for.
    Guest,
    /// A child task, registered apart.
    Child,
}

/// See [`Node::take_result`].
pub(crate) struct Taken {
    pub(crate) failure: Option<Failure>,
    pub(crate) lost_child: bool,
    pub(crate) delivered_under: Option<Arc<Node>>,
}

pub(crate) fn deadline_cause(given: Given) -> Cause {
    Cause::Deadline { after: given.to_timeout() }
}
