//! What a program began, and what became of it.

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use scope_runtime::testing::describe;
use scope_runtime::{CancelToken, ScopeHandle};

use super::failures::{self, Oops};
use super::plan::Chance;
use super::round::is_of_a_shutdown;

/// The books of one program.
pub(super) struct Books {
    pub(super) counts: [Count; Kind::ALL.len()],
    /// Results of children: `begun` is made, `gone` is dropped, `done` is received by who waited for it.
    values: Count,
    /// A future was dropped or handed over: then a shield may be torn, and work may end later than its own scope.
    pub(super) foreign: Arc<AtomicBool>,
    /// Cleanup may run out of time, and leave children behind, or its runtime shut down.
    pub(super) hasty: AtomicBool,
    pub(super) shuts_down: bool,
    pub(super) ended: AtomicBool,
    broken: Mutex<Vec<String>>,
    scopes: Mutex<Vec<ScopeHandle>>,
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

impl Count {
    fn read(&self) -> [usize; 3] {
        [&self.begun, &self.gone, &self.done].map(|n| n.load(SeqCst))
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [begun, gone, done] = self.read();
        write!(f, "{begun} begun, {gone} gone, {done} of them done")
    }
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
    /// Those of a program whose runtime may shut down in the middle.
    pub(super) fn new(shuts_down: bool) -> Self {
        let (a, b) = (CancelToken::new("a"), CancelToken::new("b"));
        let both = a.chain(&b);
        Self {
            counts: Default::default(),
            values: Count::default(),
            foreign: Arc::new(AtomicBool::new(shuts_down)),
            hasty: AtomicBool::new(shuts_down),
            shuts_down,
            ended: AtomicBool::new(false),
            broken: Mutex::default(),
            scopes: Mutex::default(),
            tokens: [a, b, both],
        }
    }

    pub(super) fn break_promise(&self, what: String) {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    pub(super) fn scopes(&self) -> MutexGuard<'_, Vec<ScopeHandle>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A plan has ended where nobody passes on what it ended with.
    pub(super) fn settle(&self, ended: Result<Result<(), Oops>, Box<dyn Any + Send>>) {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => failures::take(&error),
            Err(payload) => self.settle_panic(&*payload),
        }
    }

    pub(super) fn settle_panic(&self, payload: &(dyn Any + Send)) {
        if let Err(text) = failures::take_panic(payload)
            && !(self.shuts_down && is_of_a_shutdown(&text))
        {
            self.break_promise(format!("a panic of another kind: {text}"));
        }
    }

    /// Whether all that was begun is gone.
    pub(super) fn are_balanced(&self) -> bool {
        self.counts.iter().chain([&self.values]).all(|count| {
            let [begun, gone, _] = count.read();
            begun == gone
        })
    }

    /// The promises, once the program has ended and the root is idle.
    pub(super) fn judge(&self) -> Vec<String> {
        let mut broken = std::mem::take(&mut *self.broken.lock().unwrap_or_else(PoisonError::into_inner));
        let (foreign, hasty) = (self.foreign.load(SeqCst), self.hasty.load(SeqCst));
        for kind in Kind::ALL {
            let [begun, gone, done] = self.counts[kind as usize].read();
            // What is gone may have been cut, or never started. But a cleanup runs in any case, and a shield holds
            // against everything but who drops its future.
            let ends = !hasty && (kind == Kind::Cleanup || kind == Kind::Shield && !foreign);
            if begun != gone || ends && begun != done {
                broken.push(format!("{kind:?}: {}", self.counts[kind as usize]));
            }
        }
        let [made, dropped, received] = self.values.read();
        if made != dropped || received > made {
            broken.push(format!("results: {made} made, {received} received, {dropped} dropped"));
        }
        for open in self.scopes().iter().filter(|scope| !scope.is_closed()) {
            broken.push(format!("a scope is open: {}", describe(open)));
        }
        broken
    }
}

/// The result of a child, which must not be lost.
pub(super) struct Value {
    books: Arc<Books>,
}

impl Value {
    pub(super) fn received(self) {
        self.books.values.done.fetch_add(1, SeqCst);
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.books.values.gone.fetch_add(1, SeqCst);
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
        Work { place: self.clone(), kind, done: false, ready: Arc::default() }
    }

    pub(super) fn any_scope(&mut self) -> Option<ScopeHandle> {
        let scopes = self.books.scopes();
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
    ready: Arc<AtomicBool>,
}

impl Work {
    pub(super) fn done(mut self) {
        self.done = true;
    }

    /// It is done, with this result.
    pub(super) fn done_with_value(self) -> Value {
        let books = Arc::clone(&self.place.books);
        books.values.begun.fetch_add(1, SeqCst);
        self.ready.store(true, SeqCst);
        self.done();
        Value { books }
    }

    /// Tells whether there is a result.
    pub(super) fn ready(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ready)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let count = &self.place.books.counts[self.kind as usize];
        count.done.fetch_add(self.done.into(), SeqCst);
        for level in &self.place.levels {
            level.fetch_sub(1, SeqCst);
        }
        count.gone.fetch_add(1, SeqCst);
    }
}

/// Looks whether a scope was left with something in it still alive. Stands outside of the scope, so that it is dropped
/// behind the boundary, on whatever way.
pub(super) struct Boundary(pub(super) Place);

impl Drop for Boundary {
    fn drop(&mut self) {
        let Self(inside) = self;
        let alive = inside.levels.last().expect("there is one per scope").load(SeqCst);
        let may_be = inside.books.foreign.load(SeqCst) || inside.books.hasty.load(SeqCst);
        if alive > 0 && !may_be {
            inside.books.break_promise(format!("{alive} alive behind a boundary"));
        }
    }
}
