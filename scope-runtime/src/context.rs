//! The poll stack: which scopes the code that runs right now is in (rule T1).
//!
//! A scope's [`Frame`] lives in its future. While the scope is polled the frame is *moved* onto a thread-local stack,
//! and moved back afterwards: so ambient functions reach it without a reference into the future, and without unsafe
//! code. Parents are what lies below on the stack, derived anew at every poll and never kept for a frame without node.

use std::cell::RefCell;
use std::sync::Arc;
use std::task::Waker;

use smallvec::SmallVec;

use crate::cause::{Cancelled, Cause, Who};
use crate::deadline::{Given, Moment};
use crate::landing::{self, Awaiting};
use crate::site::{Kind, Site};
use crate::tree::{Extra, Look, Node, NodeInit, Place, bubbles_exist, deadline_cause};

/// The state of a scope that its future carries.
pub(crate) struct Frame {
    place: Where,
    /// The await that the body started last, while it is not polled (rule W4).
    awaiting: Awaiting,
    given: Given,
    flags: u16,
}

/// Where deadline, shield and cancel are kept.
enum Where {
    /// In place, until somebody else needs them.
    Local { site: &'static Site, deadline: Moment },
    /// In a node.
    Shared(Arc<Node>),
}

/// Hides outer cancels.
const SHIELD: u16 = 1;
/// The body has reached its end.
const FINISHED: u16 = 1 << 1;
/// A scope inside unwound without absorbing (rule D4).
const INNER_UNWOUND: u16 = 1 << 2;
/// The deadline was seen to have passed.
const EXPIRED: u16 = 1 << 3;
/// The parent is the node's, whatever is below on the stack: a child task or a guest.
const ROOTED: u16 = 1 << 4;
/// The body is being dropped.
const DROPPING: u16 = 1 << 5;
/// The body is about to end with the failure of a block inside of it.
const FAILING: u16 = 1 << 6;
/// A stretch of code under a scope, without an end of its own.
const STRETCH: u16 = 1 << 7;
/// Its body must not run (rule B2).
const REFUSED: u16 = 1 << 8;
/// What the scope inside unwound for was only soft (rule G1).
const INNER_UNWOUND_SOFTLY: u16 = 1 << 9;
/// The body is a stretch of this thread, not a future: no cancel drops it.
const THREAD: u16 = 1 << 10;

impl Frame {
    /// A scope with options that few have gets a node at once: there is no room for them here.
    pub(crate) fn new(site: &'static Site, extra: Option<Box<Extra>>) -> Self {
        let place = match extra {
            None => Where::Local { site, deadline: Moment::NEVER },
            extra => Where::Shared(Arc::new(Node::new(NodeInit { extra, ..NodeInit::plain(site, None) }))),
        };
        Self { place, awaiting: None, given: Given::NOTHING, flags: 0 }
    }

    /// The frame of a child task, of a guest, or of a cleanup that runs for `node`.
    pub(crate) fn rooted(node: Arc<Node>) -> Self {
        Self { place: Where::Shared(node), awaiting: None, given: Given::NOTHING, flags: ROOTED }
    }

    /// The frame of a stretch of code that was put under a scope with `run`: it has no end that could wait, so what it
    /// registers goes to the scope.
    pub(crate) fn stretch(guest: Arc<Node>) -> Self {
        let mut frame = Self::rooted(guest);
        frame.set(STRETCH);
        frame
    }

    pub(crate) fn shielded(mut self) -> Self {
        self.set(SHIELD);
        if let Where::Shared(node) = &self.place {
            node.set_shield(true);
        }
        self
    }

    /// The frame of sync code (rules Y1-Y3).
    pub(crate) fn on_thread(mut self) -> Self {
        self.set(THREAD);
        self
    }

    /// Sets the deadline, before anybody has seen the scope.
    pub(crate) fn with_deadline(mut self, at: Moment, given: Given) -> Self {
        match &mut self.place {
            Where::Local { deadline, .. } => *deadline = at,
            Where::Shared(node) => node.begin_with_deadline(at, given),
        }
        self.given = given;
        self
    }

    fn kind(&self) -> Kind {
        match &self.place {
            Where::Local { site, .. } => site.kind(),
            Where::Shared(node) => node.site().kind(),
        }
    }

    pub(crate) fn node(&self) -> Option<&Arc<Node>> {
        match &self.place {
            Where::Local { .. } => None,
            Where::Shared(node) => Some(node),
        }
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    fn set(&mut self, flag: u16) {
        self.flags |= flag;
    }

    /// The deadline that this scope has of its own.
    fn own_deadline(&self) -> Moment {
        match &self.place {
            Where::Local { deadline, .. } => *deadline,
            Where::Shared(node) => node.deadline(),
        }
    }

    /// The next moment at which something happens to this scope by the clock.
    fn next_event(&self) -> Moment {
        match &self.place {
            Where::Local { deadline, .. } => *deadline,
            Where::Shared(node) => node.next_event(),
        }
    }

    /// The same as long as a timer has to watch it.
    fn pending_event(&mut self, look: &mut Look) -> Moment {
        match &self.place {
            Where::Shared(node) => node.pending_event(look),
            Where::Local { deadline, .. } if deadline.is_never() => Moment::NEVER,
            Where::Local { deadline, .. } => {
                let deadline = *deadline;
                if self.cancel_called(look) { Moment::NEVER } else { deadline }
            }
        }
    }

    fn is_shielded(&self) -> bool {
        self.node().map_or(self.has(SHIELD), |node| node.is_shielded())
    }

    /// Whether this scope itself was cancelled (rules L5, D5).
    pub(crate) fn cancel_called(&mut self, look: &mut Look) -> bool {
        match &self.place {
            Where::Shared(node) => node.cancel_called(look),
            Where::Local { deadline, .. } => {
                if !self.has(EXPIRED) && !deadline.is_never() && look.now() >= *deadline {
                    self.set(EXPIRED);
                }
                self.has(EXPIRED)
            }
        }
    }

    fn who(&self) -> Who {
        match &self.place {
            Where::Shared(node) => node.who(),
            Where::Local { site, .. } => Who { name: site.name().into(), site },
        }
    }

    /// The body must not run.
    pub(crate) fn refuse(&mut self) {
        self.set(REFUSED);
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.has(REFUSED)
    }

    /// The shared part, made now if there is none (invariant 1 of the tree is the caller's).
    pub(crate) fn make_node(&mut self) -> Arc<Node> {
        let (shield, expired, given) = (self.has(SHIELD), self.has(EXPIRED), self.given);
        match &mut self.place {
            Where::Shared(node) => Arc::clone(node),
            Where::Local { site, deadline } => {
                let deadline = *deadline;
                let plain = NodeInit::plain(site, None);
                let node = Arc::new(Node::new(NodeInit { deadline, given, shield, expired, ..plain }));
                self.place = Where::Shared(Arc::clone(&node));
                node
            }
        }
    }
}

/// What tells two wakers apart without a clone; the timer that was polled with one keeps it alive.
pub(crate) type WakerId = (usize, usize);

pub(crate) fn waker_id(waker: &Waker) -> WakerId {
    (waker.data() as usize, std::ptr::from_ref(waker.vtable()) as usize)
}

/// See [`Stack::pause`].
pub(crate) enum Pause {
    /// The body is at its end, and about to be dropped.
    Finished,
    /// The body stays, and wants to be woken at the moment.
    Kept(Moment),
    /// The body is to be dropped.
    Deliver,
    /// There is a node, which must be registered with before anybody looks.
    Shared(Arc<Node>),
}

/// Which cancels count (rule G1).
#[derive(Clone, Copy)]
enum How {
    /// Soft ones, too: what `check()` and its like see.
    AtAll,
    /// Those that boundaries act on.
    Hard,
}

struct Entry {
    frame: Frame,
    waker: WakerId,
    /// That of the body below.
    awaiting_below: Awaiting,
}

/// Deeper nesting than this, on one thread, moves the stack to the heap.
const INLINE: usize = 24;

thread_local! {
    static STACK: RefCell<Stack> = const { RefCell::new(Stack(SmallVec::new_const())) };
}

pub(crate) struct Stack(SmallVec<[Entry; INLINE]>);

/// Runs `f` on this thread's stack; `None` while the thread is being torn down.
///
/// `f` must not run anything that is not ours: no waker, no user's code, no user's drop.
pub(crate) fn with_stack<T>(f: impl FnOnce(&mut Stack) -> T) -> Option<T> {
    // It is borrowed already only if a subscriber of tracing asks for its scope while we look at ours.
    STACK.try_with(|stack| stack.try_borrow_mut().ok().map(|mut stack| f(&mut stack))).ok().flatten()
}

/// Pushes the frame in `slot` for the time of a poll.
pub(crate) fn enter<'a>(slot: &'a mut Option<Frame>, waker: &Waker) -> Entered<'a> {
    let mut look = Look::new();
    let depth = with_stack(|stack| {
        let depth = stack.push_from(slot, waker_id(waker));
        stack.relink(&mut look);
        depth
    });
    let depth = depth.expect("no scope is polled while its thread is being torn down");
    Entered { slot, depth }
}

/// A frame that is on the stack; dropping this brings it back to where it was. So a panic that gets past the one who
/// pushed it (of a waker, of a subscriber of tracing) neither leaves the thread in a scope that is gone, nor loses what
/// the scope owes.
#[must_use]
pub(crate) struct Entered<'a> {
    slot: &'a mut Option<Frame>,
    depth: usize,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let popped = with_stack(|stack| if stack.0.len() == self.depth { stack.pop() } else { None });
        if let Some(entry) = popped.flatten() {
            *self.slot = Some(entry.frame);
        }
    }
}

/// Runs `f` as if the innermost frame were not there: in the context of the one around it.
pub(crate) fn outside<T>(f: impl FnOnce() -> T) -> T {
    /// Puts it back, also if `f` panics.
    struct Aside(Option<Entry>);
    impl Drop for Aside {
        fn drop(&mut self) {
            if let Some(entry) = self.0.take() {
                with_stack(|stack| stack.push(entry.frame, entry.waker));
            }
        }
    }
    let _aside = Aside(with_stack(Stack::pop).flatten());
    f()
}

/// Pushes a frame for the time in which its body is dropped by something that is no scope: it keeps its parent.
pub(crate) fn enter_for_drop(slot: &mut Option<Frame>) -> Entered<'_> {
    let depth = with_stack(|stack| stack.push_from(slot, (0, 0)));
    // While the thread is being torn down there is no stack; the frame stays where it is.
    Entered { slot, depth: depth.unwrap_or(0) }
}

impl Stack {
    /// Moves the frame onto the stack, and says how high that is now.
    fn push_from(&mut self, slot: &mut Option<Frame>, waker: WakerId) -> usize {
        if let Some(frame) = slot.take() {
            self.push(frame, waker);
        }
        self.0.len()
    }

    fn push(&mut self, frame: Frame, waker: WakerId) {
        let awaiting_below = landing::switch(frame.awaiting);
        self.0.push(Entry { frame, waker, awaiting_below });
    }

    fn pop(&mut self) -> Option<Entry> {
        let mut entry = self.0.pop()?;
        entry.frame.awaiting = landing::switch(entry.awaiting_below);
        Some(entry)
    }

    /// Hangs the top frame's node under what is below it now (rule T1).
    fn relink(&mut self, look: &mut Look) {
        let top = self.0.len() - 1;
        let frame = &self.0[top].frame;
        let Some(node) = frame.node().cloned() else { return };
        if frame.has(ROOTED) {
            node.begin_pass(None);
            return;
        }
        let parent = (top > 0).then(|| self.node_at(top - 1));
        if !node.is_linked_below(parent.as_ref()) {
            node.link(parent.clone(), Place::Inside, look);
        }
        node.begin_pass(parent.as_deref());
    }

    fn top(&self) -> Option<usize> {
        self.0.len().checked_sub(1)
    }

    pub(crate) fn top_frame(&mut self) -> Option<&mut Frame> {
        self.0.last_mut().map(|entry| &mut entry.frame)
    }

    /// The node of the frame at `index`, made now if need be, with all that it stands on (invariant 1).
    fn node_at(&mut self, index: usize) -> Arc<Node> {
        if let Some(node) = self.0[index].frame.node() {
            return Arc::clone(node);
        }
        let parent = (index > 0).then(|| self.node_at(index - 1));
        let node = self.0[index].frame.make_node();
        // A new node has no earlier parent, so nobody is woken.
        node.link(parent.clone(), Place::Inside, &mut Look::new());
        node.begin_pass(parent.as_deref());
        node
    }

    /// The node that cleanup is registered with, and whether its body is being dropped: a scope, a shield or a child
    /// task.
    pub(crate) fn cleanup_node(&mut self) -> Option<(Arc<Node>, bool)> {
        let top = self.top()?;
        let frame = &self.0[top].frame;
        if frame.has(STRETCH) {
            return Some((frame.node()?.parent()?, false));
        }
        // A cleanup registers with the scope that it runs for, whose frame is right below.
        let index = if frame.kind() == Kind::Cleanup { top - 1 } else { top };
        let dropping = self.0[index].frame.has(DROPPING);
        Some((self.node_at(index), dropping))
    }

    /// The innermost scope: shields, races and cleanups are looked through; a task or a guest stands for its scope.
    pub(crate) fn current(&mut self) -> Option<Arc<Node>> {
        let mut index = self.top()?;
        loop {
            let frame = &self.0[index].frame;
            match frame.kind() {
                Kind::Task | Kind::Guest => {
                    // What opens no cancel switch is looked through here, too: a shield, a race with its arms.
                    let mut scope = frame.node().and_then(|node| node.parent());
                    while let Some(inner) =
                        scope.take_if(|node| !matches!(node.site().kind(), Kind::Scope | Kind::Function))
                    {
                        scope = inner.parent();
                    }
                    return scope;
                }
                Kind::Scope | Kind::Function | Kind::Token => return Some(self.node_at(index)),
                Kind::Shield | Kind::Race | Kind::Cleanup => index = index.checked_sub(1)?,
            }
        }
    }

    // --- visibility (rules T3, L2, L5) ---------------------------------------------------------------------------

    fn sees_at(&mut self, index: usize, how: How, look: &mut Look) -> bool {
        let frame = &mut self.0[index].frame;
        if let Some(node) = frame.node().cloned() {
            // From here on everything has nodes (invariant 1), and they are linked as the stack is.
            return match how {
                How::AtAll => node.sees_cancel(look),
                How::Hard => node.sees_hard_cancel(look),
            };
        }
        // A scope with grace has a node, so this cancel is hard.
        if frame.cancel_called(look) {
            return true;
        }
        !frame.is_shielded() && index > 0 && self.sees_at(index - 1, how, look)
    }

    /// Whether a cancel is visible in the innermost frame, be it soft or hard; `None` outside of every scope.
    pub(crate) fn sees_cancel(&mut self, look: &mut Look) -> Option<bool> {
        let top = self.top()?;
        self.register_bubbling();
        Some(self.sees_at(top, How::AtAll, look))
    }

    /// Whether a hard cancel is visible in the innermost frame.
    pub(crate) fn sees_hard_cancel(&mut self, look: &mut Look) -> bool {
        self.top().is_some_and(|top| self.sees_at(top, How::Hard, look))
    }

    /// Whether a hard cancel from outside of the innermost frame is visible in it.
    pub(crate) fn sees_outer_hard_cancel(&mut self, look: &mut Look) -> bool {
        let Some(top) = self.top() else { return false };
        if let Some(node) = self.0[top].frame.node().cloned() {
            return node.sees_outer_hard_cancel(look);
        }
        !self.0[top].frame.is_shielded() && top > 0 && self.sees_at(top - 1, How::Hard, look)
    }

    /// The earliest moment that counts at `index`, and the waker of the frame that provides it.
    fn earliest_at(
        &self,
        index: usize,
        of_frame: fn(&Frame) -> Moment,
        of_node: fn(&Node) -> Moment,
    ) -> (Moment, WakerId) {
        let Entry { frame, waker, .. } = &self.0[index];
        if let Some(node) = frame.node().filter(|_| frame.has(ROOTED)) {
            return (of_node(node), *waker);
        }
        let own = (of_frame(frame), *waker);
        if frame.is_shielded() || index == 0 {
            return own;
        }
        let outer = self.earliest_at(index - 1, of_frame, of_node);
        if outer.0 <= own.0 { outer } else { own }
    }

    /// The earliest visible deadline (rule L2); `None` outside of every scope.
    pub(crate) fn effective_deadline(&self) -> Option<Moment> {
        self.top().map(|top| self.earliest_at(top, Frame::own_deadline, Node::effective_deadline).0)
    }

    /// The deadline for which the innermost frame needs a timer of its own: none if an outer one comes first, and
    /// wakes with the same waker (rule L5).
    pub(crate) fn needs_timer(&mut self, look: &mut Look) -> Moment {
        let Some(top) = self.top() else { return Moment::NEVER };
        let own = self.0[top].frame.pending_event(look);
        if own.is_never() {
            return own;
        }
        let entry = &self.0[top];
        if top == 0 || entry.frame.is_shielded() || entry.frame.has(ROOTED) {
            return own;
        }
        let (outer, waker) = self.earliest_at(top - 1, Frame::next_event, Node::effective_event);
        if outer <= own && waker == self.0[top].waker { Moment::NEVER } else { own }
    }

    // --- causes ---------------------------------------------------------------------------------------------------

    fn cancelled_error_at(&mut self, index: usize, look: &mut Look) -> Cancelled {
        if let Some(node) = self.0[index].frame.node().cloned() {
            return node.cancelled_error(look);
        }
        let frame = &mut self.0[index].frame;
        let who = frame.who();
        let cause = if frame.cancel_called(look) {
            deadline_cause(frame.given)
        } else {
            self.outer_cause_at(index, look)
        };
        Cancelled::new(who, cause)
    }

    fn outer_cause_at(&mut self, index: usize, look: &mut Look) -> Cause {
        if let Some(node) = self.0[index].frame.node().cloned() {
            return node.outer_cause(look);
        }
        if index == 0 {
            return Cause::Dropped;
        }
        Cause::Parent(self.cancelled_error_at(index - 1, look))
    }

    /// The cancel that is visible in the innermost frame, as an error.
    pub(crate) fn cancelled_error(&mut self, look: &mut Look) -> Option<Cancelled> {
        let top = self.top()?;
        Some(self.cancelled_error_at(top, look))
    }

    /// The node of the innermost frame, made now if need be.
    pub(crate) fn make_top_node(&mut self) -> Option<Arc<Node>> {
        self.top().map(|top| self.node_at(top))
    }

    /// The innermost frame's error for a cancel that comes from outside of it.
    pub(crate) fn outer_error(&mut self, look: &mut Look) -> Option<Cancelled> {
        let top = self.top()?;
        let cause = self.outer_cause_at(top, look);
        Some(Cancelled::new(self.0[top].frame.who(), cause))
    }

    /// The cancel that comes from outside of the innermost frame, as an error of that outside.
    pub(crate) fn foreign_error(&mut self, look: &mut Look) -> Option<Cancelled> {
        let top = self.top()?;
        match self.outer_cause_at(top, look) {
            Cause::Parent(parent) => Some(parent),
            _ => None,
        }
    }

    // --- signals --------------------------------------------------------------------------------------------------

    /// The body of the innermost frame has reached its end.
    pub(crate) fn finish(&mut self) {
        if let Some(frame) = self.top_frame() {
            frame.set(FINISHED);
        }
    }

    /// Whether the body of the innermost frame has said that it is at its end; it is said once.
    pub(crate) fn take_finished(&mut self) -> bool {
        let Some(frame) = self.top_frame() else { return false };
        let finished = frame.has(FINISHED);
        frame.flags &= !FINISHED;
        finished
    }

    /// Whether the innermost frame, or the one that a cleanup runs for, is that of sync code.
    pub(crate) fn is_on_thread(&self) -> bool {
        let mut frames = self.0.iter().rev().map(|entry| &entry.frame);
        frames.find(|frame| frame.kind() != Kind::Cleanup).is_some_and(|frame| frame.has(THREAD))
    }

    /// A wait of sync code is about to poll its future once more: a pass over the body, as far as scopes inside of that
    /// future are concerned (rule U1a).
    pub(crate) fn pass_again(&mut self, look: &mut Look) {
        if self.top_frame().is_some_and(|frame| frame.has(THREAD)) {
            self.relink(look);
        }
    }

    /// When sync code has to look again, which has no timer (rule Y3): at the next deadline or end of a grace.
    pub(crate) fn next_event(&mut self, look: &mut Look) -> Moment {
        match self.top() {
            Some(top) if !self.sees_at(top, How::Hard, look) => {
                self.earliest_at(top, Frame::next_event, Node::effective_event).0
            }
            _ => Moment::NEVER,
        }
    }

    /// The body of the innermost frame is pending. All that a scope without a node needs is done in one go.
    pub(crate) fn pause(&mut self, look: &mut Look) -> Pause {
        let Some(frame) = self.top_frame() else { return Pause::Deliver };
        if frame.has(FINISHED) {
            frame.flags = frame.flags & !FINISHED | DROPPING;
            return Pause::Finished;
        }
        self.register_shield();
        self.register_bubbling();
        let Some(frame) = self.top_frame() else { return Pause::Deliver };
        if let Some(node) = frame.node() {
            return Pause::Shared(Arc::clone(node));
        }
        if self.is_cut(look) {
            return Pause::Deliver;
        }
        Pause::Kept(self.needs_timer(look))
    }

    /// Whether the body of the innermost frame is to be dropped (rules D2, D4).
    pub(crate) fn is_cut(&mut self, look: &mut Look) -> bool {
        self.inner_unwound() || self.sees_hard_cancel(look)
    }

    /// Whether the body of the innermost frame, which is pending, goes on as far as can be seen.
    pub(crate) fn goes_on(&mut self) -> bool {
        let finished = self.top_frame().is_none_or(|frame| frame.has(FINISHED));
        !finished && !self.is_cut(&mut Look::new())
    }

    /// Whether any scope here can have told anybody that it was cancelled.
    pub(crate) fn has_nodes(&self) -> bool {
        self.0.iter().any(|entry| entry.frame.node().is_some())
    }

    pub(crate) fn begin_drop(&mut self) {
        if let Some(frame) = self.top_frame() {
            frame.set(DROPPING);
        }
    }

    /// The body is gone. Says whether it ended with the failure of a block inside of it.
    pub(crate) fn end_drop(&mut self) -> Option<bool> {
        let frame = self.top_frame()?;
        frame.flags &= !DROPPING;
        Some(frame.has(FAILING))
    }

    /// The block that was just left inside of the innermost frame's body failed, and the body returns its failure.
    pub(crate) fn pass_failure(&mut self) {
        if let Some(frame) = self.top_frame() {
            frame.set(FAILING);
        }
    }

    pub(crate) fn inner_unwound(&mut self) -> bool {
        self.top_frame().is_some_and(|frame| frame.has(INNER_UNWOUND))
    }

    pub(crate) fn inner_unwound_softly(&mut self) -> bool {
        self.top_frame().is_some_and(|frame| frame.has(INNER_UNWOUND_SOFTLY))
    }

    /// Tells the frame below the innermost one that this one unwound without absorbing (rule D4).
    pub(crate) fn signal_parent(&mut self) -> bool {
        let Some(below) = self.top().and_then(|top| top.checked_sub(1)) else { return false };
        if self.0[below + 1].frame.has(ROOTED) {
            return false;
        }
        let softly = self.0[below + 1].frame.node().is_some_and(|node| node.is_cut_softly());
        self.0[below].frame.set(INNER_UNWOUND | if softly { INNER_UNWOUND_SOFTLY } else { 0 });
        true
    }

    /// Whether the innermost frame has a frame around it that it can tell.
    pub(crate) fn has_parent(&self) -> bool {
        self.0.len() > 1 && self.0.last().is_some_and(|entry| !entry.frame.has(ROOTED))
    }

    /// A node for the innermost frame if its deadline is to bubble up (rule B1).
    fn register_bubbling(&mut self) {
        let Some(top) = self.top().filter(|top| *top > 0 && bubbles_exist()) else { return };
        let frame = &self.0[top].frame;
        if frame.node().is_some() || frame.own_deadline().is_never() {
            return;
        }
        let around = self.0[..top].iter().rev().find_map(|entry| entry.frame.node());
        if around.is_some_and(|node| node.bubbles()) {
            self.node_at(top);
        }
    }

    /// A node for the innermost frame if it is shielded inside of another scope: the outer one must be able to wake
    /// it and to wait for it (rules U1, U1a).
    pub(crate) fn register_shield(&mut self) {
        let Some(top) = self.top() else { return };
        let frame = &self.0[top].frame;
        if frame.node().is_none() && frame.has(SHIELD) && top > 0 {
            self.node_at(top);
        }
    }
}
