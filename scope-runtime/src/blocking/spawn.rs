//! Children on threads of their own: `spawn_blocking!` (rules F1-F4, F9, Y1, Y2).

use std::any::Any;
use std::borrow::Cow;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};
use std::thread;

use tokio_util::task::task_tracker::TaskTrackerToken;

use super::boundary::{self, Body};
use super::clock::{self, Inherited};
use crate::boundary::{Left, NeverErr};
use crate::cause::{Cancelled, Cause};
use crate::cleanup::drop_quietly;
use crate::context::{self, Frame};
use crate::failure::{ErrorText, Failure, FailureKind};
use crate::policy::Policy;
use crate::private::Return;
use crate::site::Site;
use crate::sync::Mutex;
use crate::sync::runtime::Handle;
use crate::task::{
    Asked, Convert, Ending, Enlisted, Home, InFailure, Keep, Outcome, Task, Turn, closed_task, enlist,
    outcome_of, result_of,
};
use crate::tree::{ChildEnd, Go, Look, Node, Origin, Role, Starter, Untaken};
use crate::values::IntoName;
use crate::{event, orphan};

/// How a child is started: what `spawn_blocking!` gathers from its options.
pub struct Job<F> {
    pub(crate) site: &'static Site,
    closure: F,
    name: Option<Box<str>>,
    role: Role,
    abandon: bool,
    /// It does not fail its scope (rule F5).
    supervised: bool,
}

/// A child from a `spawn_blocking!` written at `site`; typed as [`child`](crate::task::child) is, for the same reason.
pub fn job<F: FnOnce() -> O, O>(site: &'static Site, closure: F) -> <O as Asked>::Job<F> {
    Job::new(site, closure)
}

impl<F> Job<F> {
    /// A child that was written at `site`.
    pub fn new<T>(site: &'static Site, closure: F) -> Self
    where
        F: FnOnce() -> T,
    {
        Self { site, closure, name: None, role: Role::Foreground, abandon: false, supervised: false }
    }

    /// A name that is computed at run time.
    #[must_use]
    pub fn name(mut self, name: impl IntoName) -> Self {
        self.name = Some(name.into_name().into());
        self
    }

    /// The boundary does not wait for it (rule F8).
    #[must_use]
    pub fn background(mut self) -> Self {
        self.role = Role::Background;
        self
    }

    /// A hard cancel leaves it to the root (rule F9).
    #[must_use]
    pub fn abandon(mut self) -> Self {
        self.abandon = true;
        self
    }

    /// The type of the output, for the choice between fallible and plain.
    pub fn output<T>(&self) -> Return<T>
    where
        F: FnOnce() -> T,
    {
        Return::new()
    }

    /// It belongs to a scope with this policy.
    pub(crate) fn of_policy<P: Policy>(mut self) -> Self {
        self.supervised = P::SUPERVISED;
        self
    }

    pub(crate) fn shielded(mut self) -> Self {
        self.role = Role::Cleanup;
        self
    }
}

/// A child's thread, before it begins.
struct Runner<F, O, T> {
    closure: F,
    convert: Convert<O, T>,
    supervised: bool,
    scope: Arc<Node>,
    node: Arc<Node>,
    custody: Lifeline<T>,
    clock: Option<Inherited>,
    runtime: Option<Handle>,
    /// Its place in the scope, if it has to wait for its turn.
    turn: Option<usize>,
}

/// Spawns a child that borrows nothing: on tokio's blocking pool, or on a thread of its own where there is no runtime.
pub(crate) fn on_pool<F, O, T>(scope: &Arc<Node>, job: Job<F>, convert: Convert<O, T>) -> Task<T>
where
    F: FnOnce() -> O + Send + 'static,
    O: 'static,
    T: Send + 'static,
{
    let (site, abandon) = (job.site, job.abandon);
    let Some((task, mut runner)) = prepare(scope, job, convert) else { return closed_task(scope, site) };
    if abandon {
        runner.custody.let_go_on_cancel();
    }
    match runner.turn.take() {
        None => runner.start_somewhere(Go::Run),
        Some(key) => {
            let (scope, node) = (Arc::clone(&runner.scope), Arc::clone(&runner.node));
            scope.wait_for_turn(key, &node, Box::new(PoolStarter(runner)));
        }
    }
    task
}

/// A child that waits for its turn, and has no thread yet (rule F6).
struct PoolStarter<F, O, T>(Runner<F, O, T>);

impl<F, O, T> Starter for PoolStarter<F, O, T>
where
    F: FnOnce() -> O + Send + 'static,
    O: 'static,
    T: Send + 'static,
{
    fn start(self: Box<Self>, go: Go) {
        self.0.start_somewhere(go);
    }
}

/// Spawns a child that may borrow from outside of the scope `threads`.
pub(crate) fn on_thread<'scope, F, O, T>(
    threads: &'scope thread::Scope<'scope, '_>,
    scope: &Arc<Node>,
    job: Job<F>,
    convert: Convert<O, T>,
) -> Task<T>
where
    F: FnOnce() -> O + Send + 'scope,
    O: 'scope,
    T: Send + 'scope,
{
    let site = job.site;
    let Some((task, mut runner)) = prepare(scope, job, convert) else { return closed_task(scope, site) };
    // What borrows can't be kept by anybody else, so it waits for its turn on its own thread.
    let turn = runner.turn.take().map(|key| {
        let turn = Arc::new(Turn::default());
        scope.wait_for_turn(key, &runner.node, Box::new(Arc::clone(&turn)));
        turn
    });
    let thread = thread_named(&runner.node);
    let node = Arc::clone(&runner.node);
    let go = move || turn.map_or(Go::Run, |turn| wait_for(&turn, &node));
    let started = thread.spawn_scoped(threads, move || runner.run(go));
    drop(started.expect("a thread can be started"));
    task
}

fn thread_named(node: &Node) -> thread::Builder {
    let name: String = node.name().chars().filter(|c| *c != '\0').collect();
    thread::Builder::new().name(name)
}

fn prepare<F, O, T>(
    scope: &Arc<Node>,
    job: Job<F>,
    convert: Convert<O, T>,
) -> Option<(Task<T>, Runner<F, O, T>)> {
    let Job { site, closure, name, role, abandon: _, supervised } = job;
    let Enlisted { node, task, end, waits } = enlist(scope, site, name, role, Home::Runtime)?;
    let turn = waits.then(|| end.key());
    let runtime = scope.runtime();
    let (state, known) = (Mutex::new(Held::Scope(end)), runtime.clone());
    let custody = Lifeline {
        custody: Arc::new(Custody { node: Arc::clone(&node), runtime: known, state }),
        watch: None,
    };
    let scope = Arc::clone(scope);
    let clock = clock::inherit();
    Some((task, Runner { closure, convert, supervised, scope, node, custody, clock, runtime, turn }))
}

impl<F, O, T> Runner<F, O, T> {
    /// On tokio's blocking pool, or on a thread of its own where there is no runtime.
    fn start_somewhere(self, go: Go)
    where
        F: FnOnce() -> O + Send + 'static,
        O: 'static,
        T: Send + 'static,
    {
        let thread = thread_named(&self.node);
        let runtime = self.runtime.clone();
        let run = move || self.run(|| go);
        match runtime {
            Some(runtime) => drop(runtime.spawn_blocking(run)),
            None => drop(thread.spawn(run).expect("a thread can be started")),
        }
    }

    /// `go` decides, in the frame of the child, whether it runs at all.
    fn run(mut self, go: impl FnOnce() -> Go)
    where
        F: FnOnce() -> O,
    {
        match self.clock.take() {
            Some(clock) => clock.run(|| self.run_by_the_clock(go)),
            None => self.run_by_the_clock(go),
        }
    }

    fn run_by_the_clock(self, go: impl FnOnce() -> Go)
    where
        F: FnOnce() -> O,
    {
        let Self { closure, convert, supervised, scope, node, custody, clock: _, runtime, turn: _ } = self;
        let _entered = runtime.as_ref().map(Handle::enter);
        let custody = &custody.custody;
        let mut refused = None;
        // A failure is one the moment it is known, before the child's cleanup runs (rule F3).
        let body = || {
            if let Go::Never(foreign) = go() {
                refused = Some(match foreign {
                    Some(foreign) => (Cancelled::new(node.who(), Cause::Parent(foreign)), false),
                    None => (node.cancelled_error(&mut Look::new()), true),
                });
                // What it holds is cleaned up as if it had run.
                drop(closure);
                return Body::Finished;
            }
            let output = match supervised {
                // A panic stays the child's own, and its boundary keeps it.
                true => convert(closure()),
                false => match catch_unwind(AssertUnwindSafe(|| convert(closure()))) {
                    Ok(output) => output,
                    Err(payload) => {
                        let failure = Failure::panic(node.name(), payload);
                        let cancelled = Cancelled::new(node.who(), failure.cause());
                        custody.keeper(&scope).fail(failure);
                        return Body::Value(Outcome::Failed(cancelled));
                    }
                },
            };
            Body::Value(match custody.is_abandoned() {
                false => outcome_of(output, &InFailure, &scope, &node),
                true => outcome_of(output, &Reported, &node, &node),
            })
        };
        let mut left = boundary::run(Frame::rooted(Arc::clone(&node)), body, NeverErr);
        let begun = refused.is_none();
        if let (Some((error, own)), false) = (refused, matches!(left, Left::Panicked(_))) {
            left = Left::Cancelled { error, own };
        }
        let (result, untaken, end) = result_of(left, &node, custody.keeper(&scope), supervised, begun);
        custody.end(result, untaken, end);
    }
}

/// Waits for the turn of a child in its frame: so the deadlines that it sees end the waiting, too (rule Y3).
fn wait_for(turn: &Turn, child: &Node) -> Go {
    super::wait(poll_fn(|cx| turn.poll(cx))).unwrap_or_else(|_| {
        // Whoever cancels refuses the child; it may be on the way.
        child.refuse_if_cancelled(&mut Look::new());
        context::outside(|| super::wait(poll_fn(|cx| turn.poll(cx)))).expect("nothing cancels it there")
    })
}

/// Lost if its child is lost: if the runtime shuts down before the thread begins.
struct Lifeline<T> {
    custody: Arc<Custody<T>>,
    /// The child waits for a cancel under this key, to be abandoned.
    watch: Option<usize>,
}

impl<T: Send + 'static> Lifeline<T> {
    fn let_go_on_cancel(&mut self) {
        // Register, then look (invariant 3 of the tree).
        self.custody.node.watch(&mut self.watch, &Waker::from(Arc::clone(&self.custody)));
        self.custody.look();
    }
}

impl<T> Drop for Lifeline<T> {
    fn drop(&mut self) {
        if let Some(key) = self.watch {
            self.custody.node.unwatch(key);
        }
        drop(self.custody.swap(Held::Nobody));
    }
}

/// Who waits for a child: its scope, or, once it was abandoned, the root (rule F9).
struct Custody<T> {
    node: Arc<Node>,
    runtime: Option<Handle>,
    state: Mutex<Held<T>>,
}

enum Held<T> {
    Scope(Ending<T>),
    /// The root counts it as long as it runs.
    Root {
        _token: Option<TaskTrackerToken>,
    },
    Nobody,
}

impl<T> Custody<T> {
    fn swap(&self, held: Held<T>) -> Held<T> {
        std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), held)
    }

    /// The child has ended.
    fn end(&self, result: Result<T, Cancelled>, untaken: Option<Untaken>, how: ChildEnd) {
        match self.swap(Held::Nobody) {
            Held::Scope(mut ending) => ending.end(result, untaken, how),
            Held::Root { .. } | Held::Nobody => drop_quietly(&self.node, result),
        }
        self.node.report_failure();
    }

    /// Who takes its failures: the scope; one that is abandoned fails nobody.
    fn keeper<'a>(&'a self, scope: &'a Arc<Node>) -> &'a Arc<Node> {
        if self.is_abandoned() { &self.node } else { scope }
    }

    fn is_abandoned(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(*state, Held::Scope(_))
    }

    /// Hands the child over to the root if it was cancelled.
    fn look(&self) {
        let mut look = Look::new();
        let outer = self.node.sees_outer_hard_cancel(&mut look);
        let own = !outer && self.node.cancel_called(&mut look);
        // A child that failed was cancelled by nobody: it has come to its end, and says so itself.
        if !(outer || own && self.node.sees_hard_cancel(&mut look)) {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, Held::Scope(_)) {
            return;
        }
        let root = Held::Root { _token: self.runtime.as_ref().map(orphan::token) };
        let Held::Scope(mut ending) = std::mem::replace(&mut *state, root) else { return };
        drop(state);
        event::adopted(&self.node, "root");
        let error = self.node.cancelled_error(&mut look);
        ending.end(Err(error), None, ChildEnd::of(if own { Origin::Own } else { Origin::Outer }, &self.node));
    }
}

/// The error of a child that was abandoned: it has neither a scope to fail nor a boundary that could hand it on.
struct Reported;

impl Keep for Reported {
    type Error = Box<dyn Any + Send>;

    fn fail(&self, child: &Node, task: Cow<'static, str>, text: ErrorText, error: Self::Error) -> Cause {
        let failure = Failure { task, text, kind: FailureKind::Error(error) };
        child.suppress(&failure);
        failure.cause()
    }
}

/// Woken by every change of what the child sees.
impl<T: Send + 'static> Wake for Custody<T> {
    fn wake(self: Arc<Self>) {
        self.look();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.look();
    }
}
