//! Parents: who a node hangs under, as of the last poll (invariant 4 of the tree).

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::search::Search;
use super::{CHANGED, GUEST, HOLDING, Look, Node};
use crate::sync::atomic::AtomicBool;
use crate::sync::{Mutex, OnceLock};

/// The parent of a node: set at the first poll, seldom changed, read without a lock while it was never changed.
#[derive(Default)]
pub(super) struct ParentLink {
    first: OnceLock<Option<Arc<Node>>>,
    moved: AtomicBool,
    latest: Mutex<Option<Arc<Node>>>,
}

/// A parent as it is found: borrowed as long as it was never changed.
pub(super) enum Parent<'a> {
    None,
    First(&'a Arc<Node>),
    Moved(Arc<Node>),
}

impl ParentLink {
    #[inline]
    pub(super) fn get(&self) -> Parent<'_> {
        if self.was_moved() {
            return self.get_latest();
        }
        self.first.get().and_then(Option::as_ref).map_or(Parent::None, Parent::First)
    }

    #[cold]
    fn get_latest(&self) -> Parent<'_> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        latest.map_or(Parent::None, Parent::Moved)
    }

    pub(super) fn take(&mut self) -> Option<Arc<Node>> {
        let latest = self.latest.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let first = self.first.take().flatten();
        // A node that was moved holds two; the older one is seldom the last to know its scope.
        latest.or(first)
    }

    pub(super) fn was_moved(&self) -> bool {
        self.moved.load(Ordering::Acquire)
    }

    /// Sets the first parent, before anybody knows of the node.
    pub(super) fn begin(&mut self, parent: Arc<Node>) {
        let known = self.first.set(Some(parent));
        debug_assert!(known.is_ok(), "a new node has no parent");
    }

    /// Sets the parent, and gives the old one back, to be dropped where that may run a user's code.
    fn set(&self, parent: Option<Arc<Node>>) -> Option<Arc<Node>> {
        let parent = self.first.set(parent).err()?;
        let old = std::mem::replace(&mut *self.latest.lock().unwrap_or_else(PoisonError::into_inner), parent);
        self.moved.store(true, Ordering::Release);
        old
    }
}

/// A scope, shield or guest whose future was polled directly below this node.
pub(super) struct Inner {
    pub(super) node: Arc<Node>,
    /// A guest (rule T6) is not waited for.
    pub(super) guest: bool,
    pub(super) search: Search,
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

impl Node {
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

    /// What the nearest node has to say, from here up. Without a count of references at every step: trees can be deep.
    pub(super) fn nearest<T>(&self, says: impl Fn(&Self) -> Option<T>) -> Option<T> {
        let mut moved;
        let mut node = self;
        loop {
            if let Some(said) = says(node) {
                return Some(said);
            }
            node = match node.parent.get() {
                Parent::None => return None,
                Parent::First(parent) => parent,
                Parent::Moved(parent) => {
                    moved = parent;
                    &moved
                }
            };
        }
    }

    /// Hangs this node under `parent` (rules T1, T2, T6).
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
        look.release_later(self.parent.set(parent));
    }

    /// Takes this node off its parent's list.
    pub(crate) fn unlink(&self, look: &mut Look) {
        let Some((parent, key)) = self.lock().entry.take() else { return };
        let mut state = parent.lock();
        let gone = state.inner.try_remove(key);
        if parent.has(HOLDING) {
            look.wake_all_later(state.waker.clone());
        }
        drop(state);
        drop(gone);
        look.release_later(Some(parent));
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
}
