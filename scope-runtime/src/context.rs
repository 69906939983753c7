//! Frames: which scopes the code that runs right now is in (rule T1).
//!
//! A scope's [`Frame`] lives in its future. While the scope is polled it is linked, in place, to those that are being
//! polled around it: parents are what lies below on the [`Stack`], derived anew at every poll and never kept for a frame
//! without node.

use std::cell::{Cell, OnceCell};
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::time::Instant;

use crate::cause::{Cancelled, Cause, ToldAs, Who};
use crate::deadline::{Bound, Given, Moment, has_passed};
use crate::landing::Awaiting;
use crate::poll_stack;
use crate::site::{Kind, Site};
use crate::sync::runtime::Handle;
use crate::sync::thread_local;
use crate::timer::Timers;
use crate::tree::{ChildKey, Extra, Look, Node, NodeInit, Place, Registered, bubbles_exist, deadline_cause};

pub(crate) use crate::poll_stack::{outside, with_stack};

/// The state of a scope that its future carries, until somebody else needs it: then it gets a node.
pub(crate) struct Frame {
    site: &'static Site,
    node: OnceCell<Arc<Node>>,
    /// That of the node, once there is one.
    deadline: Option<Instant>,
    /// The await that the body started last (rule W4).
    awaiting: Cell<Awaiting>,
    given: Given,
    flags: Cell<u16>,
    phase: Cell<Phase>,
    timers: Timers,
    /// The frame whose timer this one has come to rely on, to be told apart only; 0 is none.
    lender: Cell<usize>,
}

/// How far the scope has come. No flag: what every scope goes through is stored without a look at what was there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Body,
    /// The body has reached its end, and says so by being pending.
    Finished,
    /// The body is being dropped.
    Dropping,
    Ending,
    /// The boundary was left.
    Left,
}

/// Hides outer cancels.
const SHIELD: u16 = 1;
/// A scope inside unwound without absorbing (rule D4).
const INNER_UNWOUND: u16 = 1 << 1;
/// The deadline was seen to have passed.
const EXPIRED: u16 = 1 << 2;
/// The parent is the node's, whatever is below on the stack: a child task or a guest.
const ROOTED: u16 = 1 << 3;
/// The body is about to end with the failure of a block inside of it.
const FAILING: u16 = 1 << 4;
/// A stretch of code under a scope, without an end of its own.
const STRETCH: u16 = 1 << 5;
/// Its body must not run (rule B2).
const REFUSED: u16 = 1 << 6;
/// What the scope inside unwound for was only soft (rule G1).
const INNER_UNWOUND_SOFTLY: u16 = 1 << 7;
/// The body is a stretch of this thread, not a future: no cancel drops it.
const THREAD: u16 = 1 << 8;
/// The boundary has a timer for what happens to the scope by the clock, or a frame around it has, and it reaches those
/// inside without a pass.
const WATCHED: u16 = 1 << 9;
/// The body is a wait of sync code, which sees what happens to this frame.
const WAITING: u16 = 1 << 10;

impl Frame {
    #[inline(always)]
    pub(crate) fn new(site: &'static Site) -> Self {
        Self::with(site, Bound::NONE, false)
    }

    /// The frame of a scope with the options that most have.
    #[inline(always)]
    pub(crate) fn with(site: &'static Site, bound: Bound, shield: bool) -> Self {
        let flags = if bound.passed { EXPIRED } else { 0 } | if shield { SHIELD } else { 0 };
        Self {
            site,
            node: OnceCell::new(),
            deadline: bound.at,
            awaiting: Cell::new(None),
            given: bound.given,
            flags: Cell::new(flags),
            phase: Cell::new(Phase::Body),
            timers: Timers::new(),
            lender: Cell::new(0),
        }
    }

    /// The same with what few have: there is no room for that here, so it gets its node at once.
    #[cold]
    pub(crate) fn with_extra(self, extra: Box<Extra>) -> Self {
        self.flags.set(self.flags.get() & !EXPIRED);
        let node = self.node_with(Some(extra));
        if node.refuse_if_link_is_closed() {
            self.set(REFUSED);
        }
        let _ = self.node.set(Arc::new(node));
        self
    }

    fn node_with(&self, extra: Option<Box<Extra>>) -> Node {
        Node::new(NodeInit {
            extra,
            deadline: self.deadline,
            given: self.given,
            shield: self.has(SHIELD),
            ..NodeInit::plain(self.site, None)
        })
    }

    /// The frame of a child task that has no node yet: it stands on its [`Seat`].
    pub(crate) fn seated(site: &'static Site) -> Self {
        let frame = Self::new(site);
        frame.set(ROOTED);
        frame
    }

    /// The frame of a child task, of a guest, or of a cleanup that runs for `node`.
    pub(crate) fn rooted(node: Arc<Node>) -> Self {
        let frame = Self::new(node.site());
        let _ = frame.node.set(node);
        frame.set(ROOTED);
        frame
    }

    /// The frame of a stretch of code that was put under a scope with `run`: it has no end that could wait, so what it
    /// registers goes to the scope.
    pub(crate) fn stretch(guest: Arc<Node>) -> Self {
        let frame = Self::rooted(guest);
        frame.set(STRETCH);
        frame
    }

    pub(crate) fn shielded(self) -> Self {
        self.set(SHIELD);
        self
    }

    /// The frame of sync code (rules Y1-Y3).
    pub(crate) fn on_thread(self) -> Self {
        self.set(THREAD);
        self
    }

    /// Sets the deadline, before anybody has seen the scope (rule D1).
    #[inline]
    pub(crate) fn bind(&mut self, bound: Bound) {
        (self.deadline, self.given) = (bound.at, bound.given);
        match self.node.get() {
            Some(node) => node.begin_with_deadline(self.moment(), bound.given),
            None if bound.passed => self.set(EXPIRED),
            None => {}
        }
    }

    pub(crate) fn site(&self) -> &'static Site {
        self.site
    }

    fn kind(&self) -> Kind {
        self.site.kind()
    }

    #[inline]
    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        self.node.get()
    }

    #[inline]
    fn has(&self, flag: u16) -> bool {
        self.flags.get() & flag != 0
    }

    #[inline]
    fn set(&self, flag: u16) {
        self.flags.set(self.flags.get() | flag);
    }

    /// Takes the flag away; true if it was there.
    #[inline]
    fn take(&self, flag: u16) -> bool {
        let flags = self.flags.get();
        self.flags.set(flags & !flag);
        flags & flag != 0
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.timers
    }

    pub(crate) fn awaiting(&self) -> Awaiting {
        self.awaiting.get()
    }

    /// The deadline of a frame without node, as the tree has it.
    fn moment(&self) -> Moment {
        self.deadline.map_or(Moment::NEVER, Moment::at)
    }

    /// The deadline that this scope has of its own.
    fn own_deadline(&self) -> Moment {
        self.node().map_or_else(|| self.moment(), |node| node.deadline())
    }

    /// The next moment at which something happens to this scope by the clock.
    fn next_event(&self) -> Moment {
        self.node().map_or_else(|| self.moment(), |node| node.next_event())
    }

    fn is_shielded(&self) -> bool {
        self.node().map_or(self.has(SHIELD), |node| node.is_shielded())
    }

    /// Whether this scope itself was cancelled (rules L5, D5).
    pub(crate) fn cancel_called(&self, look: &mut Look) -> bool {
        if let Some(node) = self.node() {
            return node.cancel_called(look);
        }
        if !self.has(EXPIRED)
            && let Some(deadline) = self.deadline
            && look.instant() >= deadline
        {
            self.set(EXPIRED);
            note_event();
        }
        self.has(EXPIRED)
    }

    fn who(&self) -> Who {
        match self.node() {
            Some(node) => node.who(),
            None => Who { name: self.site.name().into(), site: self.site },
        }
    }

    #[inline]
    pub(crate) fn leave(&self) {
        self.phase.set(Phase::Left);
        if self.lender.get() != 0 {
            with_stack(|stack| {
                if id_of(stack.keeper) == self.lender.get() {
                    stack.keeper.timers.take_back();
                }
            });
        }
    }

    /// The boundary waits, and its timer is set for the node.
    pub(crate) fn watched(&self) {
        self.set(WATCHED);
    }

    /// Whether that still holds: what changed since then may have moved a deadline.
    fn is_watched(&self) -> bool {
        self.has(WATCHED) && self.node().is_some_and(|node| !node.has_changed())
    }

    pub(crate) fn is_left(&self) -> bool {
        self.phase.get() == Phase::Left
    }

    /// The body must not run.
    pub(crate) fn is_refused(&self) -> bool {
        self.has(REFUSED)
    }

    /// The shared part, made now if there is none (invariant 1 of the tree is the caller's).
    pub(crate) fn make_node(&self) -> Arc<Node> {
        let make = || {
            note_event();
            Arc::new(self.node_with(None))
        };
        Arc::clone(self.node.get_or_init(make))
    }
}

fn id_of(frame: &Frame) -> usize {
    ptr::from_ref(frame) as usize
}

/// What tells two wakers apart without a clone; the timer that was polled with one keeps it alive.
pub(crate) type WakerId = (usize, usize);

#[inline]
pub(crate) fn waker_id(waker: &Waker) -> WakerId {
    (waker.data() as usize, std::ptr::from_ref(waker.vtable()) as usize)
}

/// See [`Stack::pause`].
pub(crate) enum Pause<'a> {
    /// The body stays, if its deadline has not passed.
    Kept,
    /// The body is to be dropped.
    Deliver,
    /// There is a node, which must be registered with before anybody looks.
    Shared(&'a Arc<Node>),
}

/// Where a child task stands: in the list of the scope that it was spawned into. Its future has it; so it can do without
/// a node of its own until somebody needs one.
pub struct Seat {
    scope: Arc<Node>,
    at: u32,
    /// How many calls the scope had made when this child last looked.
    heard: Cell<u32>,
    /// The round in which its waker was put into the list, where it stays until the next one. It is a task's, which
    /// never changes.
    round: Cell<Option<u32>>,
}

impl Seat {
    pub(crate) fn new(scope: Arc<Node>, key: ChildKey, heard: u32) -> Self {
        Self { scope, at: key.at, heard: Cell::new(heard), round: Cell::new(None) }
    }

    pub(crate) fn scope(&self) -> &Arc<Node> {
        &self.scope
    }

    pub(crate) fn at(&self) -> usize {
        self.at as usize
    }

    /// Whether others made nodes for children of the scope since this one looked.
    #[inline]
    fn was_called(&self) -> bool {
        self.heard.get() != self.scope.calls()
    }

    /// The node that others made for this child, if any.
    fn node(&self) -> Option<Arc<Node>> {
        self.heard.set(self.scope.calls());
        self.scope.known_node_of(self.at())
    }

    /// Stores the waker, so that whatever changes leads to another poll; `None` if it is there. Else gives back the node
    /// that others made.
    fn register(&self, waker: &Waker) -> Option<Option<Arc<Node>>> {
        if self.round.get() == Some(self.scope.rounds()) && !self.was_called() {
            return None;
        }
        self.heard.set(self.scope.calls());
        let Registered { node, changed, round } = self.scope.register_child(self.at(), waker);
        self.round.set(Some(round));
        if changed {
            // A scope inside may have looked before it changed (rule L5).
            waker.wake_by_ref();
        }
        Some(node)
    }
}

/// Which cancels count (rule G1).
#[derive(Clone, Copy)]
enum How {
    /// Soft ones, too: what `check()` and its like see.
    AtAll,
    /// Those that boundaries act on.
    Hard,
}

impl How {
    fn seen_by(self, node: &Node, look: &mut Look) -> bool {
        match self {
            Self::AtAll => node.sees_cancel(look),
            Self::Hard => node.sees_hard_cancel(look),
        }
    }
}

/// A frame that is being polled, and those that are being polled around it.
pub(crate) struct Stack<'a> {
    frame: &'a Frame,
    /// Of a child task: what it stands on, whatever is below.
    seat: Option<&'a Seat>,
    below: Option<&'a Stack<'a>>,
    waker: WakerId,
    /// The lowest frame that is polled with this waker: it has the timer for all of them.
    keeper: &'a Frame,
    /// What the clock said when that timer had fired before this pass.
    passed: Option<Instant>,
    /// What was known of the frames around when this one was pushed, so that a pause need not go through all of them:
    /// whether one without node has a deadline that was seen to have passed, the nearest node, and how much has
    /// happened since.
    cut: bool,
    nearest: Option<&'a Arc<Node>>,
    events: u32,
    /// Not all frames are polled with one waker: an executor runs inside of another one's task. Ours for forks is none.
    nested: bool,
}

/// What is around a frame that has no node.
enum Around<'a> {
    Nothing,
    Frame(&'a Stack<'a>),
    /// The scope that the child task was spawned into.
    Scope(&'a Arc<Node>),
}

thread_local! {
    /// Counts what frames that are being polled learn of each other only by asking: a node that was made, a deadline that
    /// was seen to have passed.
    static EVENTS: Cell<u32> = const { Cell::new(0) };
}

fn note_event() {
    EVENTS.set(EVENTS.get().wrapping_add(1));
}

/// Runs `f` with the frame on the stack, for a poll of what it belongs to.
#[inline]
pub(crate) fn enter<T>(frame: &Frame, waker: WakerId, f: impl FnOnce(&Stack<'_>) -> T) -> T {
    enter_seated(frame, None, waker, f)
}

/// The same for a frame that may be a child task's.
#[inline(always)]
pub(crate) fn enter_seated<T>(
    frame: &Frame,
    seat: Option<&Seat>,
    waker: WakerId,
    f: impl FnOnce(&Stack<'_>) -> T,
) -> T {
    poll_stack::push(frame, seat, waker, |stack| {
        if let Some(seat) = seat
            && seat.was_called()
        {
            stack.take_node(seat.node());
        }
        if let Some(node) = frame.node() {
            stack.relink(node);
        }
        f(stack)
    })
}

/// The same while a body is dropped by something that is no scope: it keeps its parent.
pub(crate) fn enter_for_drop<T>(frame: &Frame, seat: Option<&Seat>, f: impl FnOnce() -> T) -> T {
    poll_stack::push(frame, seat, (0, 0), |_| {
        let phase = frame.phase.replace(Phase::Dropping);
        let result = f();
        frame.phase.set(phase);
        result
    })
}

impl<'a> Stack<'a> {
    #[inline(always)]
    pub(crate) fn new(
        frame: &'a Frame,
        seat: Option<&'a Seat>,
        below: Option<&'a Stack<'a>>,
        waker: WakerId,
    ) -> Self {
        let (keeper, passed, nested) = match below {
            Some(below) if below.waker == waker => (below.keeper, below.passed, below.nested),
            _ => {
                let is_fork = || frame.has(ROOTED) && frame.kind() == Kind::Task;
                let nested = below.is_some_and(|below| below.nested || !is_fork());
                (frame, frame.timers.fired(), nested)
            }
        };
        let (cut, nearest) = match (seat, below) {
            (Some(seat), _) => (false, Some(&seat.scope)),
            (None, Some(below)) => below.seen_from_inside(),
            (None, None) => (false, None),
        };
        Self { frame, seat, below, waker, keeper, passed, cut, nearest, events: EVENTS.get(), nested }
    }

    /// See the fields `cut` and `nearest`.
    #[inline]
    fn seen_from_inside(&self) -> (bool, Option<&'a Arc<Node>>) {
        match self.frame.node() {
            Some(node) => (false, Some(node)),
            None if self.frame.has(SHIELD) => (self.frame.has(EXPIRED), None),
            None => (self.cut || self.frame.has(EXPIRED), self.nearest),
        }
    }

    fn around(&self) -> Around<'a> {
        match (self.seat, self.below) {
            (Some(seat), _) => Around::Scope(&seat.scope),
            (None, Some(below)) => Around::Frame(below),
            (None, None) => Around::Nothing,
        }
    }

    /// Whether this is a child task without a node.
    pub(crate) fn is_light(&self) -> bool {
        self.seat.is_some() && self.frame.node().is_none()
    }

    /// Somebody made a node for this child task.
    fn take_node(&self, node: Option<Arc<Node>>) {
        if let Some(node) = node {
            let _ = self.frame.node.set(node);
            note_event();
        }
    }

    pub(crate) fn below(&self) -> Option<&'a Stack<'a>> {
        self.below
    }

    pub(crate) fn frame(&self) -> &'a Frame {
        self.frame
    }

    #[cfg(all(test, not(scope_loom)))]
    pub(crate) fn site(&self) -> &'static Site {
        self.frame.site
    }

    /// Hangs the frame's node under what is below it now (rule T1).
    fn relink(&self, node: &Arc<Node>) {
        if node.has_changed() {
            self.frame.take(WATCHED);
        }
        if self.frame.has(ROOTED) {
            node.begin_pass(None);
            return;
        }
        let parent = self.below.map(|below| below.node());
        if !node.is_linked_below(parent) {
            node.link(parent.cloned(), Place::Inside, &mut Look::new());
            self.frame.take(WATCHED);
        }
        node.begin_pass(parent.map(|parent| &**parent));
    }

    /// The node of the frame, made now if need be, with all that it stands on (invariant 1).
    fn node(&self) -> &'a Arc<Node> {
        if let Some(node) = self.frame.node() {
            return node;
        }
        if let Some(seat) = self.seat {
            let node = self.frame.node.get_or_init(|| seat.scope.node_of(seat.at()));
            note_event();
            node.begin_pass(None);
            return node;
        }
        let parent = self.below.map(|below| below.node());
        let node = self.frame.make_node();
        // A new node has no earlier parent, so nobody is woken.
        node.link(parent.cloned(), Place::Inside, &mut Look::new());
        node.begin_pass(parent.map(|parent| &**parent));
        if self.frame.has(EXPIRED) {
            // Others learn of it now that it has a place in the tree.
            node.cancel_called(&mut Look::new());
        }
        self.frame.node().unwrap_or_else(|| unreachable!("it was made above"))
    }

    /// The node of the frame, made now if need be.
    pub(crate) fn make_top_node(&self) -> Option<Arc<Node>> {
        Some(Arc::clone(self.node()))
    }

    /// The node that cleanup is registered with, and whether its body is being dropped: a scope, a shield or a child
    /// task.
    pub(crate) fn cleanup_node(&self) -> Option<(Arc<Node>, bool)> {
        if self.frame.has(STRETCH) {
            return Some((self.frame.node()?.parent()?, false));
        }
        // A cleanup registers with the scope that it runs for, whose frame is right below.
        let at = if self.frame.kind() == Kind::Cleanup { self.below? } else { self };
        Some((Arc::clone(at.node()), at.frame.phase.get() == Phase::Dropping))
    }

    /// The innermost scope: shields, races and cleanups are looked through; a task or a guest stands for its scope.
    pub(crate) fn current(&self) -> Option<Arc<Node>> {
        let mut at = self;
        loop {
            match at.frame.kind() {
                Kind::Scope | Kind::Function | Kind::Token => return Some(Arc::clone(at.node())),
                Kind::Shield | Kind::Race | Kind::Cleanup => at = at.below?,
                Kind::Task | Kind::Guest => {
                    // What opens no cancel switch is looked through here, too: a shield, a race with its arms.
                    let mut scope = match at.seat {
                        Some(seat) => Some(Arc::clone(&seat.scope)),
                        None => at.frame.node().and_then(|node| node.parent()),
                    };
                    while let Some(inner) = scope.take_if(|node| {
                        !matches!(node.site().kind(), Kind::Scope | Kind::Function | Kind::Token)
                    }) {
                        scope = inner.parent();
                    }
                    return scope;
                }
            }
        }
    }

    // --- visibility (rules T3, L2, L5) ---------------------------------------------------------------------------

    fn sees(&self, how: How, look: &mut Look) -> bool {
        let mut at = self;
        loop {
            if let Some(node) = at.frame.node() {
                // From here on everything has nodes (invariant 1), and they are linked as the stack is.
                return how.seen_by(node, look);
            }
            // A scope with grace has a node, so this cancel is hard.
            if at.frame.cancel_called(look) {
                return true;
            }
            if at.frame.has(SHIELD) {
                return false;
            }
            match at.around() {
                Around::Frame(below) => at = below,
                Around::Scope(scope) => return how.seen_by(scope, look),
                Around::Nothing => return false,
            }
        }
    }

    /// Whether no cancel is visible here, and that can be told at a glance: the common case of `check()`.
    #[inline(always)]
    pub(crate) fn sees_plainly_nothing(&self) -> bool {
        if bubbles_exist() {
            return false;
        }
        let mut clock = None;
        let mut at = self;
        loop {
            if let Some(node) = at.frame.node() {
                return node.sees_plainly_nothing(&mut clock);
            }
            if at.frame.has(EXPIRED) || has_passed(at.frame.deadline, &mut clock) {
                return false;
            }
            if at.frame.has(SHIELD) {
                return true;
            }
            match at.around() {
                Around::Frame(below) => at = below,
                Around::Scope(scope) => return scope.sees_plainly_nothing(&mut clock),
                Around::Nothing => return true,
            }
        }
    }

    /// Whether a cancel is visible here, be it soft or hard.
    pub(crate) fn sees_cancel(&self, look: &mut Look) -> Option<bool> {
        self.register_bubbling();
        Some(self.sees(How::AtAll, look))
    }

    /// Whether a hard cancel is visible here.
    pub(crate) fn sees_hard_cancel(&self, look: &mut Look) -> bool {
        self.sees(How::Hard, look)
    }

    /// Whether a hard cancel from outside of this frame is visible in it.
    pub(crate) fn sees_outer_hard_cancel(&self, look: &mut Look) -> bool {
        if let Some(node) = self.frame.node() {
            return node.sees_outer_hard_cancel(look);
        }
        if self.frame.has(SHIELD) {
            return false;
        }
        match self.around() {
            Around::Frame(below) => below.sees(How::Hard, look),
            Around::Scope(scope) => scope.sees_hard_cancel(look),
            Around::Nothing => false,
        }
    }

    /// The earliest moment that counts here, and the waker of the frame that provides it.
    fn earliest(&self, of_frame: fn(&Frame) -> Moment, of_node: fn(&Node) -> Moment) -> (Moment, WakerId) {
        let mut earliest = (Moment::NEVER, self.waker);
        let mut at = self;
        loop {
            let rooted = at.frame.node().filter(|_| at.frame.has(ROOTED));
            if let Some(node) = rooted.or_else(|| at.seat.map(|seat| &seat.scope)) {
                let moment = of_node(node);
                return if moment <= earliest.0 { (moment, at.waker) } else { earliest };
            }
            let moment = of_frame(at.frame);
            // Of two at the same moment, the outer one counts.
            if moment <= earliest.0 {
                earliest = (moment, at.waker);
            }
            match at.below {
                Some(below) if !at.frame.is_shielded() => at = below,
                _ => return earliest,
            }
        }
    }

    /// The earliest visible deadline (rule L2).
    pub(crate) fn effective_deadline(&self) -> Option<Moment> {
        Some(self.earliest(Frame::own_deadline, Node::effective_deadline).0)
    }

    /// The next moment for which this frame needs a timer.
    pub(crate) fn needs_timer(&self, look: &mut Look) -> Moment {
        let own = self.needs_timer_of_its_own(look);
        let soft_end = match self.frame.node() {
            Some(node) if self.frame.has(ROOTED) => node.visible_soft_end(),
            _ => Moment::NEVER,
        };
        let others = soft_end.min(self.held_up().unwrap_or(Moment::NEVER));
        // What lies behind a hard cancel changes nothing here any more.
        if others.is_never() || self.sees_hard_cancel(look) { own } else { own.min(others) }
    }

    /// What this frame must look after for those around it: `None` if there is nobody who could be cancelled, else when
    /// the clock does it.
    ///
    /// Their boundaries act when their pass is over. It never is as long as a nested `block_on` keeps the thread, in async
    /// code or in sync code, and until then nobody sets their timers. An executor within the task (a
    /// `FuturesUnordered`) looks the same from in here; but where a boundary has waited before, its timer is set.
    fn held_up(&self) -> Option<Moment> {
        if !self.nested {
            return None;
        }
        let mut held_up = None;
        let mut at = self;
        while let Some(below) = at.below.filter(|below| at.is_seen_from_inside(below)) {
            at = below;
            if at.frame.has(WAITING) {
                break;
            }
            if at.waker == self.waker {
                continue;
            }
            let event = match at.frame.node() {
                Some(_) if at.frame.is_watched() => Moment::NEVER,
                // It looks at the clock for itself, and does not get to it.
                Some(node) if at.frame.has(THREAD | STRETCH) => node.effective_event(),
                _ => at.frame.next_event(),
            };
            if at.frame.node().is_some() || !event.is_never() {
                held_up = Some(event.min(held_up.unwrap_or(Moment::NEVER)));
            }
        }
        // Without a runtime there is no timer.
        held_up.filter(|_| Handle::try_current().is_ok())
    }

    /// Whether `below`, which is right below, is what this frame sees: not from a shield, nor from a child that hangs
    /// elsewhere in the tree.
    fn is_seen_from_inside(&self, below: &Self) -> bool {
        if self.frame.is_shielded() {
            return false;
        }
        let parent = match self.seat {
            Some(seat) => Some(Some(Arc::clone(&seat.scope))),
            None => self.frame.node().filter(|_| self.frame.has(ROOTED)).map(|node| node.parent()),
        };
        parent.is_none_or(|parent| match (parent, below.frame.node()) {
            (Some(parent), Some(below)) => Arc::ptr_eq(&parent, below),
            _ => false,
        })
    }

    /// The deadline for which this frame needs a timer of its own: none if an outer one comes first, and wakes with the
    /// same waker (rule L5).
    fn needs_timer_of_its_own(&self, look: &mut Look) -> Moment {
        let own = match self.frame.node() {
            Some(node) => node.pending_event(look),
            None if self.frame.has(EXPIRED) => Moment::NEVER,
            None => self.frame.moment(),
        };
        if own.is_never() || self.frame.has(ROOTED) {
            return own;
        }
        // A cancel that goes on to linked scopes does so in time, whatever comes first here (rule B2).
        let linked = self.frame.node().is_some_and(|node| node.is_linked());
        match self.below.filter(|_| !linked && !self.frame.is_shielded()) {
            Some(below) if own.instant().is_some_and(|own| below.comes_before(own, self.waker)) => {
                Moment::NEVER
            }
            _ => own,
        }
    }

    /// Whether this frame, or one around it, sees to it that this waker is woken at that time, or before.
    fn comes_before(&self, deadline: Instant, waker: WakerId) -> bool {
        let mut at = self;
        while at.waker == waker {
            let rooted = at.frame.node().filter(|_| at.frame.has(ROOTED));
            if let Some(node) = rooted.or_else(|| at.seat.map(|seat| &seat.scope)) {
                return node.effective_event() <= Moment::at(deadline);
            }
            if match at.frame.node() {
                Some(node) => node.next_event() <= Moment::at(deadline),
                None => at.frame.deadline.is_some_and(|own| own <= deadline),
            } {
                return true;
            }
            match at.below {
                Some(below) if !at.frame.is_shielded() => at = below,
                _ => return false,
            }
        }
        false
    }

    /// Whether this is a child task without a node whose scope was cancelled, so far as anybody has noticed: what the
    /// cancel has woken is here for its end.
    #[inline(always)]
    pub(crate) fn is_light_and_cut(&self) -> bool {
        self.frame.node().is_none() && self.seat.is_some_and(|seat| seat.scope.is_cut())
    }

    /// Takes note, before its body is polled, that the deadline of a frame without node has passed: scopes inside must
    /// see it in this very pass, so that they unwind first (rule U1).
    #[inline]
    pub(crate) fn expire_if_passed(&self) {
        if let Some(passed) = self.passed
            && self.frame.deadline.is_some_and(|deadline| deadline <= passed)
            && self.frame.node().is_none()
        {
            self.expire();
        }
    }

    /// Whether the deadline of a frame without node, whose body is pending, has passed; else the task will be woken then.
    #[inline(always)]
    pub(crate) fn has_run_out(&self, cx: &mut Context<'_>) -> bool {
        self.frame.deadline.is_some_and(|deadline| self.wait_until(deadline, cx))
    }

    fn wait_until(&self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let (frame, keeper) = (self.frame, self.keeper);
        if !ptr::eq(frame, keeper) && frame.lender.replace(id_of(keeper)) != id_of(keeper) {
            keeper.timers.lend(cx.waker());
        }
        // None of its own if an outer one comes first (rule L5).
        let below = self.below.filter(|_| !frame.has(SHIELD));
        !below.is_some_and(|below| below.comes_before(deadline, self.waker))
            && keeper.timers.task_passed(deadline, cx)
    }

    /// A timer says that the deadline of a frame without node has passed.
    pub(crate) fn expire(&self) {
        self.frame.set(EXPIRED);
    }

    // --- causes ---------------------------------------------------------------------------------------------------

    /// The cancel that is visible here, as an error.
    pub(crate) fn cancelled_error(&self, look: &mut Look) -> Option<Cancelled> {
        Some(self.error(look))
    }

    fn error(&self, look: &mut Look) -> Cancelled {
        if let Some(node) = self.frame.node() {
            return node.cancelled_error(look);
        }
        let cause = if self.frame.cancel_called(look) {
            deadline_cause(self.frame.given)
        } else {
            self.outer_cause(look)
        };
        Cancelled::new(self.frame.who(), cause).told_as(self.told_as())
    }

    /// What a cancel is told as here (rule W2). A scope that says so has a node: the nearest node knows.
    fn told_as(&self) -> Option<ToldAs> {
        let mut at = self;
        loop {
            match (at.frame.node(), at.around()) {
                (Some(node), _) | (None, Around::Scope(node)) => return node.told_as(),
                (None, Around::Frame(below)) => at = below,
                (None, Around::Nothing) => return None,
            }
        }
    }

    fn outer_cause(&self, look: &mut Look) -> Cause {
        match (self.frame.node(), self.around()) {
            (Some(node), _) => node.outer_cause(look),
            (None, Around::Frame(below)) => Cause::Parent(below.error(look)),
            (None, Around::Scope(scope)) if scope.sees_cancel(look) => {
                Cause::Parent(scope.cancelled_error(look))
            }
            (None, Around::Scope(_) | Around::Nothing) => Cause::Dropped,
        }
    }

    /// This frame's error for a cancel that comes from outside of it.
    pub(crate) fn outer_error(&self, look: &mut Look) -> Option<Cancelled> {
        let cause = self.outer_cause(look);
        Some(Cancelled::new(self.frame.who(), cause).told_as(self.told_as()))
    }

    /// The cancel that comes from outside of this frame, as an error of that outside.
    pub(crate) fn foreign_error(&self, look: &mut Look) -> Option<Cancelled> {
        match self.outer_cause(look) {
            Cause::Parent(parent) => Some(parent),
            _ => None,
        }
    }

    // --- signals --------------------------------------------------------------------------------------------------

    /// The body has reached its end.
    #[inline]
    pub(crate) fn finish(&self) {
        self.frame.phase.set(Phase::Finished);
    }

    /// Whether the body has said that it is at its end.
    #[inline]
    pub(crate) fn has_finished(&self) -> bool {
        self.frame.phase.get() == Phase::Finished
    }

    /// Whether this frame, or the one that a cleanup runs for, is that of sync code.
    pub(crate) fn is_on_thread(&self) -> bool {
        let mut at = self;
        while at.frame.kind() == Kind::Cleanup {
            let Some(below) = at.below else { return false };
            at = below;
        }
        at.frame.has(THREAD)
    }

    /// A wait of sync code begins, or is over, with what this gave back.
    pub(crate) fn set_waiting(&self, waiting: bool) -> bool {
        let before = self.frame.take(WAITING);
        if waiting {
            self.frame.set(WAITING);
        }
        before
    }

    /// A wait of sync code is about to poll its future once more: a pass over the body, as far as scopes inside of that
    /// future are concerned (rule U1a).
    pub(crate) fn pass_again(&self) {
        if self.frame.has(THREAD)
            && let Some(node) = self.frame.node()
        {
            self.relink(node);
        }
    }

    /// When sync code has to look again, which has no timer (rule Y3): at the next deadline or end of a grace.
    pub(crate) fn next_event(&self, look: &mut Look) -> Moment {
        if self.sees_hard_cancel(look) {
            return Moment::NEVER;
        }
        self.earliest(Frame::next_event, Node::effective_event).0
    }

    /// An await begins (rule W4).
    #[inline]
    pub(crate) fn awaits(&self, site: Awaiting) {
        self.frame.awaiting.set(site);
    }

    /// The body is pending: whether there is nothing about the frame that needs a closer look.
    #[inline(always)]
    pub(crate) fn goes_on_plainly(&self) -> bool {
        self.frame.node().is_none()
            && self.seat.is_none()
            && !self.frame.has(SHIELD | INNER_UNWOUND | EXPIRED)
            && self.below.is_none_or(|_| !self.nested && !bubbles_exist() && !self.is_known_to_be_cut())
    }

    /// The body is pending. All that a scope without a node needs is done in one go.
    pub(crate) fn pause(&self, waker: &Waker, look: &mut Look) -> Pause<'a> {
        if let Some(node) = self.frame.node() {
            return Pause::Shared(node);
        }
        if let Some(seat) = self.seat {
            return self.pause_seated(seat, waker, look);
        }
        // Also if it is cancelled from the start (rule D1): its deadline bubbles all the same.
        if self.needs_node() {
            return Pause::Shared(self.node());
        }
        if self.frame.has(INNER_UNWOUND | EXPIRED) || self.is_known_to_be_cut() {
            return Pause::Deliver;
        }
        Pause::Kept
    }

    /// The same for a child task without a node: its waker goes into the list of its scope.
    fn pause_seated(&self, seat: &'a Seat, waker: &Waker, look: &mut Look) -> Pause<'a> {
        if self.frame.has(INNER_UNWOUND) {
            return Pause::Deliver;
        }
        let Some(news) = seat.register(waker) else { return Pause::Kept };
        self.take_node(news);
        match self.frame.node() {
            Some(node) => Pause::Shared(node),
            None if seat.scope.cuts(look) => Pause::Deliver,
            // The end of a grace needs a timer (rule G1).
            None if !seat.scope.visible_soft_end().is_never() => Pause::Shared(self.node()),
            None => Pause::Kept,
        }
    }

    /// Whether a cancel from further out is visible, as far as somebody has noticed it. The clock is left to timers: one is
    /// set for each deadline that counts, and the scope that has it looks for itself.
    #[inline]
    fn is_known_to_be_cut(&self) -> bool {
        if self.events != EVENTS.get() {
            return self.asks_whether_it_is_cut();
        }
        !self.frame.has(SHIELD) && (self.cut || self.nearest.is_some_and(|node| node.is_known_to_be_hard()))
    }

    /// The same frame by frame.
    #[cold]
    fn asks_whether_it_is_cut(&self) -> bool {
        let mut at = self;
        while !at.frame.has(SHIELD) {
            let below = match at.around() {
                Around::Frame(below) => below,
                Around::Scope(scope) => return scope.is_known_to_be_hard(),
                Around::Nothing => return false,
            };
            if let Some(node) = below.frame.node() {
                return node.is_known_to_be_hard();
            }
            if below.frame.has(EXPIRED) {
                return true;
            }
            at = below;
        }
        false
    }

    /// Whether the body is to be dropped (rules D2, D4).
    pub(crate) fn is_cut(&self, look: &mut Look) -> bool {
        self.inner_unwound() || self.sees_hard_cancel(look)
    }

    /// Whether the body, which is pending, goes on as far as can be seen.
    pub(crate) fn goes_on(&self) -> bool {
        !self.has_finished() && !self.is_cut(&mut Look::new())
    }

    /// Whether any scope here can have told anybody that it was cancelled.
    pub(crate) fn has_nodes(&self) -> bool {
        let mut at = Some(self);
        while let Some(stack) = at {
            if stack.frame.node().is_some() || stack.seat.is_some() {
                return true;
            }
            at = stack.below;
        }
        false
    }

    /// Whether a body that ended well is all that there is to see to.
    #[inline]
    pub(crate) fn ends_plainly(&self) -> bool {
        self.frame.node().is_none() && !self.frame.has(FAILING) && !bubbles_exist()
    }

    #[inline]
    pub(crate) fn begin_drop(&self) {
        self.frame.phase.set(Phase::Dropping);
    }

    /// The body is gone. Says whether it ended with the failure of a block inside of it.
    pub(crate) fn end_drop(&self) -> bool {
        self.frame.phase.set(Phase::Ending);
        self.frame.has(FAILING)
    }

    /// The block that was just left inside of the body failed, and the body returns its failure.
    pub(crate) fn pass_failure(&self) {
        self.frame.set(FAILING);
    }

    pub(crate) fn inner_unwound(&self) -> bool {
        self.frame.has(INNER_UNWOUND)
    }

    pub(crate) fn inner_unwound_softly(&self) -> bool {
        self.frame.has(INNER_UNWOUND_SOFTLY)
    }

    /// Tells the frame around this one that it unwound without absorbing (rule D4).
    pub(crate) fn signal_parent(&self) -> bool {
        let Some(below) = self.parent_to_tell() else { return false };
        let softly = self.frame.node().is_some_and(|node| node.is_cut_softly());
        below.frame.set(INNER_UNWOUND | if softly { INNER_UNWOUND_SOFTLY } else { 0 });
        true
    }

    /// Whether there is a frame around this one that it can tell.
    pub(crate) fn has_parent(&self) -> bool {
        self.parent_to_tell().is_some()
    }

    /// A cleanup has no boundary that could unwind: what is cut in it absorbs.
    fn parent_to_tell(&self) -> Option<&'a Stack<'a>> {
        self.below.filter(|below| !self.frame.has(ROOTED) && below.frame.kind() != Kind::Cleanup)
    }

    /// Whether others must be able to reach this frame, which is pending: a shield inside of another scope, which must be
    /// able to wake it and to wait for it (rules U1, U1a), one whose deadline bubbles (rule B1), or one that must act for
    /// those around it.
    #[inline]
    fn needs_node(&self) -> bool {
        self.below.is_some() && (self.frame.has(SHIELD) || self.bubbles() || self.held_up().is_some())
    }

    /// Whether the deadline of this frame, which has no node, is to bubble up.
    #[inline]
    fn bubbles(&self) -> bool {
        bubbles_exist() && self.frame.deadline.is_some() && self.is_in_a_bubble()
    }

    /// Whether a cancel of this frame, which has no node, goes up.
    fn is_in_a_bubble(&self) -> bool {
        let mut at = self;
        loop {
            match at.around() {
                Around::Frame(below) => match below.frame.node() {
                    Some(node) => return node.bubbles(),
                    None => at = below,
                },
                Around::Scope(scope) => return scope.bubbles(),
                Around::Nothing => return false,
            }
        }
    }

    /// A node for this frame if its deadline is to bubble up (rule B1).
    fn register_bubbling(&self) {
        if self.frame.node().is_none() && self.bubbles() {
            self.node();
        }
    }

    /// The same at the end of the body, whose failure bubbles, too.
    #[inline]
    pub(crate) fn register_end(&self, failed: bool) {
        if bubbles_exist()
            && self.frame.node().is_none()
            && (failed || self.frame.deadline.is_some())
            && self.is_in_a_bubble()
        {
            self.node();
        }
    }
}
