//! Child tasks: how they are spawned, run and awaited (rules F1-F8).

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;

use crate::boundary::NeverErr;
use crate::boundary::{Block, Left};
use crate::cause::{Cancelled, Cause};
use crate::context::Frame;
use crate::failure::{ChildError, ErrorText, Failure, FailureKind, Suppressed, panic_text};
use crate::private::Return;
use crate::signal::Signal;
use crate::site::{Kind, Site};
use crate::tree::{Admitted, ChildEnd, Go, Look, Node, NodeInit, Origin, Place, Role, Starter, Untaken};

/// The handle of a child, spawned or forked: a future with its value.
///
/// It resolves to `Ok(value)`, or to [`Cancelled`] if the task was cancelled, failed or panicked (rule F3); the failure
/// itself leaves the scope (rule F2). In a scope with `supervise` it is the other way round: failures stay with the
/// handle, and the scope goes on (rule F5). Dropping a `Task` neither cancels nor detaches the child: the scope owns it, and
/// waits for it (rule F1); its value is dropped when it is ready.
///
/// # Errors
///
/// It resolves to [`Cancelled`] with the cause [`Cause::Parent`] if the child was cut with its scope, [`Cause::Task`]
/// after [`cancel`](Self::cancel), [`Cause::TaskFailed`] or [`Cause::TaskPanicked`] if the child itself failed, and
/// [`Cause::Runtime`] if the runtime shut down, [`Cause::Dropped`] if a fork was dropped with its scope's future. A child
/// that never started says what kept it from it (rules F6, F7).
///
/// # Panics
///
/// If it is polled after it gave its result.
///
/// # Cancellation safety
///
/// Awaiting `&mut task` loses nothing if that future is dropped.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{scope, spawn};
///
/// let sum = scope!({
///     let a = spawn!(async { 1 });
///     let b = spawn!(async { 2 });
///     a.await.unwrap() + b.await.unwrap()
/// });
/// assert_eq!(sum.unwrap(), 3);
/// # }
/// ```
pub struct Task<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    node: Arc<Node>,
    slot: Mutex<Slot<T>>,
}

enum Slot<T> {
    Running(Option<Waker>),
    /// With the failure that is taken with it (rule F5).
    Done(Result<T, Cancelled>, Option<Untaken>),
    Taken,
    /// The handle was dropped: nobody will ask.
    Unwanted,
}

impl<T> Shared<T> {
    fn slot(&self) -> std::sync::MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the result, or drops it here and now if nobody wants it.
    fn finish(&self, result: Result<T, Cancelled>, untaken: Option<Untaken>) {
        let mut slot = self.slot();
        let unwanted = match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Running(waker) => {
                *slot = Slot::Done(result, untaken);
                drop(slot);
                if let Some(waker) = waker {
                    waker.wake();
                }
                return;
            }
            old => {
                *slot = old;
                result
            }
        };
        drop(slot);
        crate::cleanup::drop_quietly(&self.node, unwanted);
    }
}

impl<T> Task<T> {
    /// Cancels this child only (rule F3): its handle resolves to [`Cause::Task`], which is no failure of the scope.
    ///
    /// A child that ends without suspending again keeps its value (rule D6). The handle resolves when the child has
    /// ended, cleanup included. Returns true if the task is cancelled now, by this or an earlier call, and false if it
    /// had ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{scope, spawn, Cause};
    ///
    /// let value = scope!({
    ///     let task = spawn!(std::future::pending::<()>());
    ///     assert!(task.cancel());
    ///     let cancelled = task.await.unwrap_err();
    ///     assert!(matches!(cancelled.cause(), Cause::Task { .. }));
    ///     "the scope goes on"
    /// });
    /// assert_eq!(value.unwrap(), "the scope goes on");
    /// # }
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.shared.node.cancel(Cause::Task { at: Some(Location::caller()) })
    }

    /// Whether the task has ended, cleanup included (rule F3).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{scope, spawn};
    ///
    /// let _ = scope!({
    ///     let task = spawn!(tokio::task::yield_now());
    ///     assert!(!task.is_finished());
    ///     while !task.is_finished() {
    ///         tokio::task::yield_now().await;
    ///     }
    ///     task.await.unwrap(); // at once
    /// });
    /// # }
    /// ```
    pub fn is_finished(&self) -> bool {
        !matches!(*self.shared.slot(), Slot::Running(_))
    }

    /// The task's name: what `name = …` said, or "task".
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{scope, spawn};
    ///
    /// let _ = scope!({
    ///     assert_eq!(spawn!(name = "fetch", async {}).name(), "fetch");
    ///     assert_eq!(spawn!(async {}).name(), "task");
    /// });
    /// # }
    /// ```
    pub fn name(&self) -> Cow<'static, str> {
        self.shared.node.name()
    }

    /// The result, if it is there.
    pub(crate) fn take_if_done(&self) -> Option<Result<T, Cancelled>> {
        let mut slot = self.shared.slot();
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Done(result, _) => Some(result),
            other => {
                *slot = other;
                None
            }
        }
    }
}

impl<T> Task<T> {
    /// Waits for the task's value on this thread: for sync code. In async code, await the task.
    ///
    /// # Errors
    ///
    /// What the task resolves to; and [`Cancelled`] if a cancel is visible here while the task has not ended. The task
    /// goes on, and its scope waits for it.
    ///
    /// # Panics
    ///
    /// As [`blocking::wait`](crate::blocking::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{blocking_scope, spawn_blocking};
    ///
    /// let words = ["a", "b"];
    /// let text = blocking_scope!({
    ///     let task = spawn_blocking!(|| words.join(" "));
    ///     task.join().unwrap()
    /// });
    /// assert_eq!(text.unwrap(), "a b");
    /// ```
    pub fn join(self) -> Result<T, Cancelled> {
        crate::blocking::wait(self)?
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.shared.slot();
        match &mut *slot {
            Slot::Running(Some(waker)) if waker.will_wake(cx.waker()) => Poll::Pending,
            Slot::Running(waker) => {
                let old = waker.replace(cx.waker().clone());
                drop(slot);
                drop(old);
                Poll::Pending
            }
            _ => {
                let Slot::Done(result, untaken) = std::mem::replace(&mut *slot, Slot::Taken) else {
                    panic!("a `Task` was polled after it gave its result")
                };
                drop(slot);
                if let Some(untaken) = untaken {
                    untaken.take();
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        let old = std::mem::replace(&mut *self.shared.slot(), Slot::Unwanted);
        drop(old);
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name()).field("finished", &self.is_finished()).finish()
    }
}

/// The scope was left: nothing can be spawned into it any more (rule F7). Gives the future back.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::scope;
///
/// let spawner = scope!(|s| { s.spawner() }).unwrap();
/// let closed = spawner.spawn(async {}).unwrap_err();
/// assert_eq!(closed.to_string(), "the scope was left; nothing can be spawned into it");
/// closed.into_inner().await;
/// # }
/// ```
pub struct Closed<F>(pub(crate) F);

impl<F> Closed<F> {
    /// The future that was not spawned.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// let spawner = scope!(|s| { s.spawner() }).unwrap();
    /// let closed = spawner.spawn(async { 7 }).unwrap_err();
    /// assert_eq!(closed.into_inner().await, 7);
    /// # }
    /// ```
    pub fn into_inner(self) -> F {
        self.0
    }
}

impl<F> fmt::Display for Closed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the scope was left; nothing can be spawned into it")
    }
}

impl<F> fmt::Debug for Closed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed")
    }
}

impl<F> std::error::Error for Closed<F> {}

/// How a child is spawned: what `spawn!` gathers from its options.
pub struct Child<F> {
    pub(crate) site: &'static Site,
    pub(crate) future: F,
    pub(crate) name: Option<Box<str>>,
    role: Role,
    skip_if_cancelled: bool,
    /// It does not fail its scope (rule F5).
    pub(crate) supervised: bool,
}

impl<F: Future> Child<F> {
    /// A child from a `spawn!` or a `fork!` written at `site`.
    pub fn new(site: &'static Site, future: F) -> Self {
        let role = Role::Foreground;
        Self { site, future, name: None, role, skip_if_cancelled: false, supervised: false }
    }

    /// A name that is computed at run time.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into().into());
        self
    }

    /// The same with another future.
    pub(crate) fn map<G>(self, f: impl FnOnce(F) -> G) -> Child<G> {
        let Self { site, future, name, role, skip_if_cancelled, supervised } = self;
        Child { site, future: f(future), name, role, skip_if_cancelled, supervised }
    }

    /// The type of the output, for the choice between fallible and plain.
    pub fn output(&self) -> Return<F::Output> {
        Return::new()
    }

    /// The boundary does not wait for it (rule F8).
    #[must_use]
    pub fn background(mut self) -> Self {
        self.role = Role::Background;
        self
    }

    /// It does not start if the scope is cancelled already.
    #[must_use]
    pub fn skip_if_cancelled(mut self) -> Self {
        self.skip_if_cancelled = true;
        self
    }
}

/// A child's output as its scope sees it (rules F4, F5).
pub enum Output<T, E = Box<dyn Any + Send>> {
    /// Its handle's value.
    Value(T),
    /// A supervised child's value that is an error: what it says of itself, and the cancel that it wraps.
    Error {
        /// The value, error and all.
        value: T,
        /// What the error says.
        text: ErrorText,
        /// What it wraps.
        signal: Option<Signal>,
    },
    /// An error that fails the scope.
    Failure(ChildError<E>),
}

pub(crate) type Convert<O, T, E = Box<dyn Any + Send>> = fn(O) -> Output<T, E>;

/// Where a child's error is kept until the boundary is left.
pub trait Keep {
    /// The error.
    type Error;

    /// Fails the scope, and says how.
    fn fail(&self, scope: &Node, task: Cow<'static, str>, text: ErrorText, error: Self::Error) -> Cause;
}

/// In the failure itself, whatever its type.
pub struct InFailure;

impl Keep for InFailure {
    type Error = Box<dyn Any + Send>;

    fn fail(&self, scope: &Node, task: Cow<'static, str>, text: ErrorText, error: Self::Error) -> Cause {
        let failure = Failure { task, text, kind: FailureKind::Error(error) };
        let cause = failure.cause();
        scope.fail(failure);
        cause
    }
}

/// Beside the failure, where the boundary knows its type: so it need be neither `Send` nor `'static`.
pub struct InPlace<E>(Arc<Mutex<Option<E>>>);

impl<E> InPlace<E> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn take(&self) -> Option<E> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<E> Clone for InPlace<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> Keep for InPlace<E> {
    type Error = E;

    fn fail(&self, scope: &Node, task: Cow<'static, str>, text: ErrorText, error: E) -> Cause {
        let failure = Failure { task, text, kind: FailureKind::InPlace };
        let cause = failure.cause();
        // The boundary can't be left meanwhile: this child has not ended.
        if scope.fail(failure) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        cause
    }
}

pin_project! {
    /// The user's future: reports a failure the moment it is ready, before the child's cleanup runs (rule F3).
    struct Body<F: Future, T, K: Keep> {
        #[pin]
        future: F,
        convert: Convert<F::Output, T, K::Error>,
        keep: K,
        supervised: bool,
        scope: Arc<Node>,
        node: Arc<Node>,
    }
}

/// How a child's future or closure ended.
pub(crate) enum Outcome<T> {
    Value(T),
    /// An error that its handle has, and that is reported unless somebody takes it.
    Error(T, Option<Untaken>),
    /// It returned a cancel that it was told of: no failure (rule W3). The value is for a supervised child's handle.
    Signalled(Origin, Option<T>),
    Failed(Cause),
}

impl<F: Future, T, K: Keep> Future for Body<F, T, K> {
    type Output = Outcome<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let convert = *this.convert;
        let polled = match *this.supervised {
            // A panic stays the child's own, and its boundary keeps it.
            true => Ok(this.future.poll(cx).map(convert)),
            false => catch_unwind(AssertUnwindSafe(|| this.future.poll(cx).map(convert))),
        };
        let output = match polled {
            Ok(polled) => ready!(polled),
            Err(payload) => {
                let failure = Failure::panic(this.node.name(), payload);
                let cause = failure.cause();
                this.scope.fail(failure);
                return Poll::Ready(Outcome::Failed(cause));
            }
        };
        Poll::Ready(outcome_of(output, this.keep, this.scope, this.node))
    }
}

/// What an output means to `scope`, which takes failures, and to the child.
pub(crate) fn outcome_of<T, K: Keep>(
    output: Output<T, K::Error>,
    keep: &K,
    scope: &Arc<Node>,
    node: &Node,
) -> Outcome<T> {
    let origin = |signal: Option<Signal>| signal.and_then(|signal| node.origin_of(signal));
    match output {
        Output::Value(value) => Outcome::Value(value),
        Output::Error { value, text, signal } => match origin(signal) {
            Some(origin) => Outcome::Signalled(origin, Some(value)),
            None => Outcome::Error(value, scope.hold_failure(Suppressed::error(node.name(), text))),
        },
        Output::Failure(ChildError { text, signal, error }) => match origin(signal) {
            Some(origin) => Outcome::Signalled(origin, None),
            None => Outcome::Failed(keep.fail(scope, node.name(), text, error)),
        },
    }
}

pin_project! {
    /// A child with its own boundary: spawned on the runtime, or polled by its scope.
    pub struct ChildTask<F: Future, T, K: Keep> {
        #[pin]
        block: Block<Body<F, T, K>, NeverErr>,
        start: Start,
        supervised: bool,
        end: Ending<T>,
    }
}

/// Whether a child runs at all.
enum Start {
    Run,
    /// `skip_if_cancelled`: to be decided at the first poll, too.
    Look,
    /// A cancel came before. It ends in its task all the same: the user's destructors are not run by whoever cancels.
    Never(Option<Cancelled>),
    /// It is ending so.
    Skipped,
    /// It waits for its turn in the host task (rule F6).
    Wait {
        turn: Arc<Turn>,
        /// `skip_if_cancelled`: to be decided again behind that.
        look: bool,
    },
}

impl From<Go> for Start {
    fn from(go: Go) -> Self {
        match go {
            Go::Run => Self::Run,
            Go::Never(foreign) => Self::Never(foreign),
        }
    }
}

/// The turn of a child that its scope polls: who starts it can't take its future along.
#[derive(Default)]
pub(crate) struct Turn(Mutex<(Option<Go>, Option<Waker>)>);

impl Turn {
    /// What was decided, or a note of whom to wake then.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Go> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(go) = state.0.take() {
            return Poll::Ready(go);
        }
        let old = state.1.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl Starter for Arc<Turn> {
    fn start(self: Box<Self>, go: Go) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = Some(go);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Who polls a child.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// A task of its own on the runtime.
    Runtime,
    /// The host task, which is in the scope.
    Host,
}

/// Tells the handle and the scope how the child ended, exactly once: also when its future is dropped.
pub(crate) struct Ending<T> {
    shared: Arc<Shared<T>>,
    scope: Arc<Node>,
    key: Option<usize>,
    home: Home,
}

impl<T> Ending<T> {
    pub(crate) fn end(&mut self, result: Result<T, Cancelled>, untaken: Option<Untaken>, end: ChildEnd) {
        let Some(key) = self.key.take() else { return };
        self.shared.finish(result, untaken);
        self.scope.child_ended(key, end);
    }
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        if self.key.is_some() {
            // A race has nothing to hand on without this arm, and nobody else is told.
            let (cause, end) = match self.home {
                Home::Runtime if self.scope.site().kind() == Kind::Race => (Cause::Runtime, ChildEnd::Lost),
                Home::Runtime => (Cause::Runtime, ChildEnd::Settled),
                Home::Host => (Cause::Dropped, ChildEnd::Settled),
            };
            let cancelled = Cancelled::new(self.shared.node.who(), cause);
            self.end(Err(cancelled), None, end);
        }
    }
}

impl<F: Future, T, K: Keep> Future for ChildTask<F, T, K> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let (node, scope) = (&this.end.shared.node, &this.end.scope);
        if let Start::Wait { turn, look } = this.start {
            *this.start = match ready!(turn.poll(cx)) {
                Go::Run if *look => Start::Look,
                go => go.into(),
            };
        }
        if matches!(this.start, Start::Look) {
            *this.start = node.look_before_start(&mut Look::new()).into();
        }
        if let Start::Never(foreign) = this.start {
            this.block.as_mut().cut(foreign.take(), cx.waker());
            *this.start = Start::Skipped;
        }
        let left = ready!(this.block.poll(cx));
        let begun = !matches!(this.start, Start::Skipped);
        let (result, untaken, end) = result_of(left, node, scope, *this.supervised, begun);
        this.end.end(result, untaken, end);
        Poll::Ready(())
    }
}

/// What the boundary of a child's own frame says of the child; `scope` takes its failures.
pub(crate) fn result_of<T>(
    left: Left<Outcome<T>>,
    node: &Arc<Node>,
    scope: &Arc<Node>,
    supervised: bool,
    begun: bool,
) -> (Result<T, Cancelled>, Option<Untaken>, ChildEnd) {
    let panicked = matches!(left, Left::Panicked(_));
    let mut untaken = None;
    let (result, end) = match left {
        Left::Returned(Outcome::Value(value)) => (Ok(value), ChildEnd::Settled),
        Left::Returned(Outcome::Error(value, failure)) => {
            untaken = failure;
            (Ok(value), ChildEnd::Settled)
        }
        Left::Returned(Outcome::Signalled(origin, value)) => {
            let result = value.ok_or_else(|| node.cancelled_error(&mut Look::new()));
            (result, ChildEnd::of(origin, node))
        }
        Left::Returned(Outcome::Failed(cause)) => (Err(Cancelled::new(node.who(), cause)), ChildEnd::Settled),
        Left::Cancelled { error, own } => {
            let end = ChildEnd::of(if own { Origin::Own } else { Origin::Outer }, node);
            // While a scope has grace, nothing of it is dropped: what has not begun is no loss (rule G1).
            let spared = end == ChildEnd::SoftlyLost && !begun;
            (Err(error), if spared { ChildEnd::Settled } else { end })
        }
        Left::Panicked(payload) if supervised => {
            let (task, text) = (node.name(), panic_text(&*payload));
            let untaken = scope.hold_failure(Suppressed::panic(task.clone(), text.clone()));
            let cause = Cause::TaskPanicked { task, text };
            (Err(Cancelled::new(node.who(), cause).carrying(payload, untaken)), ChildEnd::Settled)
        }
        Left::Panicked(payload) => {
            // A cleanup of the child panicked, or a destructor.
            let failure = Failure::panic(node.name(), payload);
            let cancelled = Cancelled::new(node.who(), failure.cause());
            scope.fail(failure);
            (Err(cancelled), ChildEnd::Settled)
        }
        Left::Finished | Left::Errored(_) | Left::Failed(_) | Left::Signalled { .. } => {
            unreachable!("a child task has neither a block's end nor children")
        }
    };
    if panicked {
        scope.take_over_reports(node);
    }
    (result, untaken, end)
}

/// A child that its scope knows of, and that has not begun.
pub(crate) struct Enlisted<T> {
    pub(crate) node: Arc<Node>,
    pub(crate) task: Task<T>,
    pub(crate) end: Ending<T>,
    /// Whether it has to wait for its turn (rule F6).
    pub(crate) waits: bool,
}

/// Adds a child to the scope; `None` if the scope was left (rule F7).
pub(crate) fn enlist<T>(
    scope: &Arc<Node>,
    site: &'static Site,
    name: Option<Box<str>>,
    role: Role,
    home: Home,
) -> Option<Enlisted<T>> {
    let shield = role == Role::Cleanup;
    let node = Arc::new(Node::new(NodeInit { shield, ..NodeInit::plain(site, name) }));
    node.link(Some(Arc::clone(scope)), Place::Child, &mut Look::new());
    let Admitted { key, waits } = scope.add_child(&node, role, home)?;
    let shared = Arc::new(Shared { node: Arc::clone(&node), slot: Mutex::new(Slot::Running(None)) });
    let task = Task { shared: Arc::clone(&shared) };
    Some(Enlisted {
        node,
        task,
        end: Ending { shared, scope: Arc::clone(scope), key: Some(key), home },
        waits,
    })
}

impl<T> Ending<T> {
    /// Its place among the children of its scope.
    pub(crate) fn key(&self) -> usize {
        self.key.expect("a child has a place in its scope until it ends")
    }
}

/// Makes a child of the scope of `scope`: its handle, what has to be polled, and whether it has to wait for its turn.
#[track_caller]
#[expect(clippy::type_complexity, reason = "a handle and a task")]
pub(crate) fn child_of<F: Future, T, K: Keep>(
    scope: &Arc<Node>,
    child: Child<F>,
    convert: Convert<F::Output, T, K::Error>,
    keep: K,
    home: Home,
) -> Result<(Task<T>, ChildTask<F, T, K>, bool), Closed<F>> {
    let Child { site, future, name, role, skip_if_cancelled, supervised } = child;
    let Some(Enlisted { node, task, end, waits }) = enlist(scope, site, name, role, home) else {
        return Err(Closed(future));
    };
    let body = Body { future, convert, keep, supervised, scope: Arc::clone(scope), node: Arc::clone(&node) };
    let child = ChildTask {
        block: Block::new(Frame::rooted(node), body, NeverErr),
        start: if skip_if_cancelled { Start::Look } else { Start::Run },
        supervised,
        end,
    };
    Ok((task, child, waits))
}

/// Makes a child that the boundary of its scope polls.
#[track_caller]
#[expect(clippy::type_complexity, reason = "a handle and a task")]
pub(crate) fn host<F: Future, T, K: Keep>(
    scope: &Arc<Node>,
    child: Child<F>,
    convert: Convert<F::Output, T, K::Error>,
    keep: K,
) -> Result<(Task<T>, ChildTask<F, T, K>), Closed<F>> {
    let (task, mut child, waits) = child_of(scope, child, convert, keep, Home::Host)?;
    let node = &child.end.shared.node;
    let look = matches!(child.start, Start::Look);
    if waits {
        let turn = Arc::new(Turn::default());
        child.start = Start::Wait { turn: Arc::clone(&turn), look };
        scope.wait_for_turn(child.end.key(), node, Box::new(turn));
    } else if look && let go @ Go::Never(_) = node.look_before_start(&mut Look::new()) {
        child.start = go.into();
    }
    Ok((task, child))
}

/// The runtime that children of `scope` run on.
#[track_caller]
pub(crate) fn runtime_of(scope: &Node) -> Handle {
    match scope.runtime() {
        Some(runtime) => runtime,
        None => panic!(
            "a task was spawned into scope \"{}\" outside of a tokio runtime; child tasks run on one",
            scope.name()
        ),
    }
}

/// Spawns a child into the scope of `scope`.
#[track_caller]
pub(crate) fn spawn_into<F, T>(
    scope: &Arc<Node>,
    child: Child<F>,
    convert: Convert<F::Output, T, Box<dyn Any + Send>>,
) -> Result<Task<T>, Closed<F>>
where
    F: Future + Send + 'static,
    T: Send + 'static,
{
    let runtime = runtime_of(scope);
    let (task, child, waits) = child_of(scope, child, convert, InFailure, Home::Runtime)?;
    let (key, node) = (child.end.key(), Arc::clone(&child.end.shared.node));
    let look = matches!(child.start, Start::Look);
    let starter = TaskStarter { child, runtime };
    if waits {
        scope.wait_for_turn(key, &node, Box::new(starter));
    } else if look {
        starter.start(node.look_before_start(&mut Look::new()));
    } else {
        starter.start(Go::Run);
    }
    Ok(task)
}

/// A child that may have to wait for its turn.
struct TaskStarter<F: Future, T> {
    child: ChildTask<F, T, InFailure>,
    runtime: Handle,
}

impl<F, T> TaskStarter<F, T>
where
    F: Future + Send + 'static,
    T: Send + 'static,
{
    fn start(mut self, go: Go) {
        if let Go::Never(_) = go {
            self.child.start = go.into();
        }
        drop(self.runtime.spawn(self.child));
    }
}

impl<F, T> Starter for TaskStarter<F, T>
where
    F: Future + Send + 'static,
    T: Send + 'static,
{
    fn start(self: Box<Self>, go: Go) {
        (*self).start(go);
    }
}

static GUARD: Site = Site::new(Kind::Task, "cleanup", "", 0, 0, "");

/// Spawns a cleanup as a shielded child; gives it back if the scope was left, or if there is no runtime.
pub(crate) fn spawn_shielded<F>(scope: &Arc<Node>, future: F) -> Result<(), F>
where
    F: Future<Output = ()> + Send + 'static,
{
    spawn_unasked(scope, Child { role: Role::Cleanup, ..Child::new(&GUARD, future) })
}

/// Spawns a future that had a life before; gives it back if the scope was left, or if there is no runtime.
pub(crate) fn spawn_adopted<F>(scope: &Arc<Node>, site: &'static Site, future: F) -> Result<(), F>
where
    F: Future<Output = ()> + Send + 'static,
{
    spawn_unasked(scope, Child { role: Role::Adopted, supervised: true, ..Child::new(site, future) })
}

fn spawn_unasked<F>(scope: &Arc<Node>, child: Child<F>) -> Result<(), F>
where
    F: Future<Output = ()> + Send + 'static,
{
    if scope.runtime().is_none() {
        return Err(child.future);
    }
    match spawn_into(scope, child, Output::Value) {
        Ok(_) => Ok(()),
        Err(Closed(future)) => Err(future),
    }
}

/// A task that could not be spawned since its scope was left.
pub(crate) fn closed_task<T>(scope: &Node, site: &'static Site) -> Task<T> {
    let node = Arc::new(Node::new(NodeInit::plain(site, None)));
    let cancelled = Cancelled::new(scope.who(), Cause::Closed);
    Task { shared: Arc::new(Shared { node, slot: Mutex::new(Slot::Done(Err(cancelled), None)) }) }
}
