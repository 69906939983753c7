//! What a program began, and what became of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use scope_runtime::{CancelToken, ScopeHandle};

use super::plan::Chance;

pub(super) struct Books {
    pub(super) counts: [Count; Kind::ALL.len()],
    /// A future was dropped or handed over: then a shield may be torn, and work may end later than its own scope.
    pub(super) foreign: AtomicBool,
    broken: Mutex<Vec<String>>,
    pub(super) scopes: Mutex<Vec<ScopeHandle>>,
    /// Two, and one that triggers when either does.
    pub(super) tokens: [CancelToken; 3],
}

/// How many were begun, how many are gone, and how many of these came to their end.
#[derive(Default)]
pub(super) struct Count {
    pub(super) begun: AtomicUsize,
    gone: AtomicUsize,
    done: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Task,
    Fork,
    Thread,
    /// Of a race.
    Arm,
    Cleanup,
    Shield,
}

impl Kind {
    pub(super) const ALL: [Self; 6] =
        [Self::Task, Self::Fork, Self::Thread, Self::Arm, Self::Cleanup, Self::Shield];
}

impl Books {
    pub(super) fn new() -> Self {
        let (a, b) = (CancelToken::new("a"), CancelToken::new("b"));
        let both = a.chain(&b);
        Self {
            counts: Default::default(),
            foreign: AtomicBool::new(false),
            broken: Mutex::default(),
            scopes: Mutex::default(),
            tokens: [a, b, both],
        }
    }

    pub(super) fn break_promise(&self, what: String) {
        self.broken.lock().unwrap().push(what);
    }

    /// The promises, once the program has ended and the root is idle.
    pub(super) fn judge(&self) -> Vec<String> {
        let mut broken = std::mem::take(&mut *self.broken.lock().unwrap());
        for kind in Kind::ALL {
            let count = &self.counts[kind as usize];
            let [begun, gone, done] = [&count.begun, &count.gone, &count.done].map(|n| n.load(SeqCst));
            // What is gone may have been cut, or never started. But a cleanup runs in any case, and a shield holds
            // against everything but who drops its future.
            let ends = kind == Kind::Cleanup || kind == Kind::Shield && !self.foreign.load(SeqCst);
            if begun != gone || ends && begun != done {
                broken.push(format!("{kind:?}: {begun} begun, {gone} gone, {done} of them done"));
            }
        }
        if self.scopes.lock().unwrap().iter().any(|scope| !scope.is_closed()) {
            broken.push("a scope is open".to_owned());
        }
        broken
    }
}

/// Where code of a program runs: with the counters of all scopes around it.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) books: Arc<Books>,
    levels: Vec<Arc<AtomicUsize>>,
    pub(super) chance: Chance,
}

impl Place {
    pub(super) fn new(books: &Arc<Books>, chance: Chance) -> Self {
        Self { books: Arc::clone(books), levels: Vec::new(), chance }
    }

    /// For code that is started from here: the same place, other luck.
    pub(super) fn other(&mut self) -> Self {
        Self { chance: Chance(self.chance.next()), ..self.clone() }
    }

    /// Inside of a scope that is about to be opened here.
    pub(super) fn inside(&mut self) -> Self {
        let mut inside = self.other();
        inside.levels.push(Arc::default());
        inside
    }

    /// For code that may outlive the scopes around it.
    pub(super) fn adrift(&mut self) -> Self {
        Self { levels: Vec::new(), ..self.other() }
    }

    pub(super) fn begin(&self, kind: Kind) -> Work {
        self.books.counts[kind as usize].begun.fetch_add(1, SeqCst);
        for level in &self.levels {
            level.fetch_add(1, SeqCst);
        }
        Work { place: self.clone(), kind, done: false }
    }

    pub(super) fn any_scope(&mut self) -> Option<ScopeHandle> {
        let scopes = self.books.scopes.lock().unwrap();
        let at = self.chance.0 as usize % scopes.len().max(1);
        self.chance.next();
        scopes.get(at).cloned()
    }

    pub(super) fn any_token(&mut self) -> CancelToken {
        let at = self.chance.below(3) as usize;
        self.books.tokens[at].clone()
    }
}

/// Something that was begun; it is gone when this is dropped.
pub(super) struct Work {
    place: Place,
    kind: Kind,
    done: bool,
}

impl Work {
    pub(super) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let count = &self.place.books.counts[self.kind as usize];
        count.done.fetch_add(self.done.into(), SeqCst);
        count.gone.fetch_add(1, SeqCst);
        for level in &self.place.levels {
            level.fetch_sub(1, SeqCst);
        }
    }
}

/// Looks whether a scope was left with something in it still alive. Stands outside of the scope, so that it is dropped
/// behind the boundary, on whatever way.
pub(super) struct Boundary(pub(super) Place);

impl Drop for Boundary {
    fn drop(&mut self) {
        let Self(inside) = self;
        let alive = inside.levels.last().expect("there is one per scope").load(SeqCst);
        if alive > 0 && !inside.books.foreign.load(SeqCst) {
            inside.books.break_promise(format!("{alive} alive behind a boundary"));
        }
    }
}
