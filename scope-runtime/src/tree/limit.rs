//! `limit = n`: how many child tasks of a scope run at once, and which wait for their turn (rule F6).
//!
//! A child that waits is a child like any other: the boundary waits for it, cancels reach its node. What starts it is
//! kept in its own node, so that whoever comes first takes it away from there: its turn, or a cancel. The queue in the
//! scope only says whose turn is next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Look, Node, State, WAITING};
use crate::cause::{Cancelled, Cause};

/// What a child is told when its waiting ends.
pub(crate) enum Go {
    /// Its turn has come.
    Run,
    /// A cancel came first: from outside of the child, or its own.
    Never(Option<Cancelled>),
}

/// A child that is ready to start: a task, a thread, a fork.
pub(crate) trait Starter: Send {
    /// Starts it, or lets it end without having run: in its own task or thread, not here, where anybody may be who
    /// cancels. Called without any lock.
    fn start(self: Box<Self>, go: Go);
}

/// A child's place in the queue, as the child has it.
pub(super) struct Waiting {
    starter: Box<dyn Starter>,
    scope: Arc<Node>,
    order: u64,
}

impl Waiting {
    /// Ends the waiting because of a cancel.
    pub(super) fn refuse(self, foreign: Option<Cancelled>) {
        self.leave_queue().start(Go::Never(foreign));
    }

    fn leave_queue(self) -> Box<dyn Starter> {
        let Self { starter, scope, order } = self;
        let place = scope.lock().limit.as_mut().and_then(|limit| limit.queue.remove(&order));
        drop(place);
        starter
    }
}

/// Ends what [`Limit::next`] begins, also if the start panics: a waker may, or the system has no thread left.
struct Starting<'a>(&'a Node);

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        if let Some(limit) = &mut self.0.lock().limit {
            limit.starting = false;
        }
    }
}

/// The slots of a scope, and its queue.
pub(super) struct Limit {
    most: usize,
    running: usize,
    /// Key and node of the children that wait, by the order in which they were spawned.
    queue: BTreeMap<u64, (usize, Arc<Node>)>,
    /// Somebody starts children right now, one after the other. A start may be an end, too (the runtime has shut down),
    /// and ends must not start others in a recursion as deep as the queue is long.
    starting: bool,
}

impl Limit {
    pub(super) fn new(most: usize) -> Box<Self> {
        Box::new(Self { most, running: 0, queue: BTreeMap::new(), starting: false })
    }

    /// A slot for a new child, unless others wait for one.
    pub(super) fn take_slot(&mut self) -> bool {
        let free = self.running < self.most && self.queue.is_empty() && !self.starting;
        self.running += usize::from(free);
        free
    }

    /// A child has ended; true if others wait.
    pub(super) fn free_slot(&mut self) -> bool {
        self.running -= 1;
        !self.queue.is_empty()
    }

    /// Whose turn it is.
    fn next(&mut self) -> Option<(usize, Arc<Node>)> {
        if self.starting || self.running == self.most {
            return None;
        }
        let (_, next) = self.queue.pop_first()?;
        self.starting = true;
        Some(next)
    }
}

impl State {
    /// The child takes a slot, unless it has ended meanwhile: the future of a fork can be dropped at any time.
    fn give_slot(&mut self, key: usize, node: &Arc<Node>) {
        if let Some(child) = self.children.get_mut(key)
            && child.node.as_ref().is_some_and(|known| Arc::ptr_eq(known, node))
            && let Some(limit) = &mut self.limit
        {
            child.holds_slot = true;
            limit.running += 1;
        }
    }
}

impl Node {
    /// Lets a child that was admitted under `key` wait for its turn in this scope.
    pub(crate) fn wait_for_turn(self: &Arc<Self>, key: usize, child: &Arc<Self>, starter: Box<dyn Starter>) {
        let mut look = Look::new();
        let order = self.lock().next_order();
        child.lock().waiting = Some(Box::new(Waiting { starter, scope: Arc::clone(self), order }));
        child.raise(WAITING);
        if let Some(limit) = &mut self.lock().limit {
            limit.queue.insert(order, (key, Arc::clone(child)));
        }
        // It is registered; now look (invariant 3).
        child.refuse_if_cancelled(&mut look);
        self.start_waiting(&mut look);
    }

    /// Starts those whose turn has come.
    pub(super) fn start_waiting(&self, look: &mut Look) {
        loop {
            let next = self.lock().limit.as_mut().and_then(|limit| limit.next());
            let Some((key, child)) = next else { return };
            let _starting = Starting(self);
            // None if a cancel came first: then it never starts, and takes no slot.
            if let Some(Waiting { starter, .. }) = child.take_waiting().map(|waiting| *waiting) {
                let go = child.look_before_start(look);
                if matches!(go, Go::Run) {
                    self.lock().give_slot(key, &child);
                }
                starter.start(go);
            }
        }
    }

    /// Whether this child, which has not run yet, still may.
    pub(crate) fn look_before_start(&self, look: &mut Look) -> Go {
        if !self.sees_cancel(look) {
            return Go::Run;
        }
        match self.outer_cause(look) {
            Cause::Parent(foreign) if !self.cancel_called(look) => Go::Never(Some(foreign)),
            _ => Go::Never(None),
        }
    }

    /// Ends the waiting of this child if a cancel is visible to it.
    pub(crate) fn refuse_if_cancelled(&self, look: &mut Look) {
        if self.has(WAITING)
            && let Go::Never(foreign) = self.look_before_start(look)
            && let Some(waiting) = self.take_waiting()
        {
            look.refuse_later(waiting, foreign);
        }
    }

    pub(super) fn waits(&self) -> bool {
        self.has(WAITING)
    }

    /// This child has ended: if that was before its turn, nobody is to be started any more.
    pub(super) fn wait_no_longer(&self) {
        if self.waits()
            && let Some(waiting) = self.take_waiting()
        {
            drop(waiting.leave_queue());
        }
    }

    fn take_waiting(&self) -> Option<Box<Waiting>> {
        self.flags.fetch_and(!WAITING, Ordering::SeqCst);
        self.lock().waiting.take()
    }
}
