//! The children of a scope: what it knows of each, and how they begin, are reached and end (rules F1-F3, F8).
//!
//! A child task gets a node only when somebody needs it: a scope, a cleanup or a handle inside of it, or a call from
//! outside that is for this child alone. Until then its waker stands in the list of its scope.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use super::{CLOSED, Look, Node, NodeInit, Origin, SHIELD, State};
use crate::cause::Cause;
use crate::site::Site;
use crate::sync::MutexGuard;
use crate::sync::atomic::AtomicU32;
use crate::task::Home;

/// A child task, or an adopted orphan.
pub(super) struct Child {
    /// Made when somebody needs it. From then on it has the waker.
    pub(super) node: Option<Arc<Node>>,
    /// Of a task without a node, from its first suspension on.
    pub(super) waker: Option<Waker>,
    site: &'static Site,
    /// Tells it from others that had its place before.
    id: u32,
    role: Role,
    /// Whether the boundary itself polls it.
    pub(super) home: Home,
    /// It is one of those that `limit` counts, and runs.
    pub(super) holds_slot: bool,
    /// Something that it depends on changed before it could be woken.
    pub(super) changed: bool,
    /// Nobody has its handle any more.
    unwanted: bool,
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

/// A place in a scope's list of children.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChildKey {
    pub(crate) at: u32,
    id: u32,
}

impl ChildKey {
    pub(crate) fn at(self) -> usize {
        self.at as usize
    }
}

/// See [`Node::add_child`].
pub(crate) struct Admitted {
    pub(crate) key: ChildKey,
    /// It has to wait for its turn (rule F6).
    pub(crate) waits: bool,
}

/// See [`Node::register_child`].
pub(crate) struct Registered {
    pub(crate) node: Option<Arc<Node>>,
    pub(crate) changed: bool,
    pub(crate) round: u32,
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

impl State {
    /// Whether there are children to wait for.
    pub(super) fn has_children(&self) -> bool {
        if !self.boundary_gone {
            return !self.children.is_empty();
        }
        self.children.iter().any(|(_, child)| !self.stands_still(child))
    }

    /// Once nobody polls the boundary, nobody polls those of the children that it polls itself. They end when the
    /// future of the scope is dropped.
    fn stands_still(&self, child: &Child) -> bool {
        self.boundary_gone && child.home == Home::Host
    }

    /// Takes note that the boundary is gone, and with it whoever polls some of the children.
    pub(super) fn lose_boundary(&mut self) {
        self.boundary_gone = true;
        let left = self
            .children
            .iter()
            .filter(|(_, child)| child.home == Home::Host && child.role != Role::Background);
        self.foreground -= left.count();
    }

    /// Wakes the children that have no node, and notes the others.
    ///
    /// A waker is taken, not cloned: most that are woken so have come to their end. The others see by `rounds` that they
    /// have to register again.
    pub(super) fn wake_children(&mut self, rounds: &AtomicU32, look: &mut Look, todo: &mut Vec<Arc<Node>>) {
        let mut taken = false;
        look.expect(self.children.len());
        for (_, child) in &mut self.children {
            match &child.node {
                Some(node) if node.has(SHIELD) => {}
                Some(node) => todo.push(Arc::clone(node)),
                None => match child.waker.take() {
                    Some(waker) => {
                        taken = true;
                        look.wake_later(waker);
                    }
                    None => child.changed = true,
                },
            }
        }
        if taken {
            rounds.fetch_add(1, Ordering::Release);
        }
    }

    fn child(&mut self, key: ChildKey) -> Option<&mut Child> {
        self.children.get_mut(key.at()).filter(|child| child.id == key.id)
    }
}

impl Child {
    /// The node of the child of `scope`, made now if need be.
    fn node(&mut self, scope: &Arc<Node>) -> &Arc<Node> {
        let (waker, site) = (&mut self.waker, self.site);
        self.node.get_or_insert_with(|| Arc::new(Node::below(scope, site, waker.take())))
    }
}

impl Node {
    /// A node for a child task that lives already; nobody knows of it yet.
    fn below(scope: &Arc<Self>, site: &'static Site, waker: Option<Waker>) -> Self {
        let mut node = Self::on(scope.runtime.clone(), NodeInit::plain(site, None));
        node.parent.begin(Arc::clone(scope));
        node.state.get_mut().unwrap_or_else(PoisonError::into_inner).waker = waker;
        node
    }

    // --- how they begin ------------------------------------------------------------------------------------------

    /// Adds a child; `None` if the scope was left (rule F7).
    pub(crate) fn add_child(
        &self,
        site: &'static Site,
        node: Option<Arc<Self>>,
        role: Role,
        home: Home,
    ) -> Option<Admitted> {
        let mut state = self.lock();
        if self.has(CLOSED) {
            return None;
        }
        // That of one 2^32 children earlier in the same place is nobody's any more, as good as certainly.
        let id = state.next_order() as u32;
        let limit = state.limit.as_mut().filter(|_| role.is_limited());
        let holds_slot = limit.map(|limit| limit.take_slot());
        let child = Child {
            node,
            waker: None,
            site,
            id,
            role,
            home,
            holds_slot: holds_slot == Some(true),
            changed: false,
            unwanted: false,
        };
        if state.stands_still(&child) {
            // It will never be polled.
        } else if role == Role::Background {
            // If its scope has begun to end already, this one must be cancelled, too.
            state.background_cancelled = false;
        } else {
            state.foreground += 1;
        }
        let at = u32::try_from(state.children.insert(child)).expect("fewer than 2^32 children at a time");
        Some(Admitted { key: ChildKey { at, id }, waits: holds_slot == Some(false) })
    }

    // --- how they are reached ------------------------------------------------------------------------------------

    /// How often somebody gave a node to a child of this scope.
    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::Acquire)
    }

    /// How often those without a node were woken.
    pub(crate) fn rounds(&self) -> u32 {
        self.rounds.load(Ordering::Acquire)
    }

    /// The node of a child, if somebody made one; for the child itself.
    pub(crate) fn known_node_of(&self, at: usize) -> Option<Arc<Self>> {
        self.lock().children.get(at)?.node.clone()
    }

    /// The node of a child, made now if need be; for the child itself, which has not ended.
    pub(crate) fn node_of(self: &Arc<Self>, at: usize) -> Arc<Self> {
        let mut state = self.lock();
        let child = state.children.get_mut(at).expect("a child has a place in its scope until it ends");
        Arc::clone(child.node(self))
    }

    /// Stores the waker of a child that has no node; look at the flags afterwards (invariant 3).
    pub(crate) fn register_child(&self, at: usize, waker: &Waker) -> Registered {
        let mut state = self.lock();
        let child = state.children.get_mut(at).expect("a child has a place in its scope until it ends");
        let old = if child.node.is_none() { child.waker.replace(waker.clone()) } else { None };
        let changed = std::mem::take(&mut child.changed);
        let registered = Registered { node: child.node.clone(), changed, round: self.rounds() };
        drop(state);
        drop(old);
        registered
    }

    /// Cancels a child only (rule F3); false if it has ended.
    pub(crate) fn cancel_child(self: &Arc<Self>, key: ChildKey, cause: Cause) -> bool {
        let node = self.lock().child(key).map(|child| self.call(child));
        node.is_some_and(|node| node.cancel(cause))
    }

    /// The node of a child, for others than itself: it is told to look.
    fn call(self: &Arc<Self>, child: &mut Child) -> Arc<Self> {
        if child.node.is_none() {
            self.calls.fetch_add(1, Ordering::Release);
        }
        Arc::clone(child.node(self))
    }

    /// Whether a child is still there.
    pub(crate) fn has_child(&self, key: ChildKey) -> bool {
        self.lock().child(key).is_some()
    }

    /// Nobody will ask for the result of this child; true if it has not ended.
    pub(crate) fn disown_child(&self, key: ChildKey) -> bool {
        self.lock().child(key).map(|child| child.unwanted = true).is_some()
    }

    /// Whether nobody will ask for the result of this child, which has not ended.
    pub(crate) fn child_is_unwanted(&self, at: usize) -> bool {
        self.lock().children.get(at).is_none_or(|child| child.unwanted)
    }

    // --- how they end --------------------------------------------------------------------------------------------

    /// Cancels the background children once nothing else is left (rule F8); true if there is nothing to wait for.
    pub(crate) fn children_done(self: &Arc<Self>) -> bool {
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
    pub(crate) fn dismiss_children(self: &Arc<Self>) {
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
                    Role::Background => dismissed.push(self.call(child)),
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

    pub(crate) fn has_children(&self) -> bool {
        self.lock().has_children()
    }

    /// A child has ended, cleanup included.
    pub(crate) fn child_ended(&self, at: usize, end: ChildEnd) {
        let mut state = self.lock();
        if let Some(child) = state.children.try_remove(at) {
            self.settle_child(state, child, end);
        }
    }

    /// The same for a child with a result, unless nobody will ask for that: then nothing has changed, and this is false.
    ///
    /// Asked and done under one lock: who drops the handle finds the child either there, and is heard, or gone.
    pub(crate) fn child_ended_if_wanted(&self, at: usize, end: ChildEnd) -> bool {
        let mut state = self.lock();
        let wanted = state.children.get(at).is_some_and(|child| !child.unwanted);
        if wanted {
            let child = state.children.remove(at);
            self.settle_child(state, child, end);
        }
        wanted
    }

    fn settle_child(&self, mut state: MutexGuard<'_, State>, child: Child, end: ChildEnd) {
        let mut look = Look::new();
        let counts = !state.stands_still(&child);
        let lost = end != ChildEnd::Settled && child.role.can_be_lost() && counts;
        state.lost_child |= lost;
        if child.role != Role::Background && counts {
            state.foreground -= 1;
        }
        if state.foreground == 0 {
            look.wake_all_later(state.waker.clone());
        }
        let slot_is_free = child.holds_slot && state.limit.as_mut().is_some_and(|limit| limit.free_slot());
        drop(state);
        if lost {
            self.cut(end == ChildEnd::SoftlyLost, &mut look);
        }
        if let Some(node) = &child.node {
            node.wait_no_longer();
        }
        drop(child);
        if slot_is_free {
            self.start_waiting(&mut look);
        }
    }
}
