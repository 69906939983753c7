//! Async cleanup: registered by `defer` and `guard`, run at the end of the frame that it belongs to (rules U2, U3).

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::context::{self, Frame, waker_id, with_stack};
use crate::deadline::{Bound, Given, Moment};
use crate::failure::{Failure, Payload};
use crate::site::{Kind, Site};
use crate::sync::time::{Sleep, sleep};
use crate::task::spawn_shielded;
use crate::tree::{Look, Node};
use crate::{event, orphan, watch};

type Boxed = Pin<Box<dyn Future<Output = ()> + Send + 'static>>;

/// A cleanup that waits for its turn.
pub(crate) struct CleanupItem {
    /// Later registrations have higher numbers and run first.
    order: u64,
    future: Boxed,
}

/// The cleanup that runs right now, kept in the node so that whoever drives the end of the scope can go on with it.
#[derive(Default)]
pub(crate) enum Running {
    #[default]
    Idle,
    /// It is being polled. Whether another driver looked meanwhile is noted, not told from its waker: two wakers that wake
    /// the same task need not compare equal.
    Taken { looked: bool },
    /// It is suspended.
    Parked(Box<CleanupRun>),
}

impl Running {
    pub(crate) fn is_some(&self) -> bool {
        !matches!(self, Self::Idle)
    }
}

pub(crate) struct CleanupRun {
    future: Boxed,
    frame: Frame,
}

/// Bounds the whole cleanup of a scope, from the first one's start.
pub(crate) type CleanupTimer = Option<Pin<Box<Sleep>>>;

pub(crate) static CLEANUP: Site = Site::new(Kind::Cleanup, "", "", 0, 0, "");

impl CleanupRun {
    fn new(future: Boxed) -> Self {
        Self { future, frame: Frame::new(&CLEANUP).shielded() }
    }

    /// Gives it a deadline that it can ask for. Sync code can't be dropped.
    fn bound(&mut self, until: Moment, limit: Duration) {
        self.frame.bind(Bound { at: until.instant(), given: Given::timeout(limit), passed: false });
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Payload>> {
        let Self { future, frame } = self;
        // It has no boundary with a timer: whoever is inside goes by what is known here.
        frame.cancel_called(&mut Look::new());
        let polled = context::enter(frame, waker_id(cx.waker()), |_| {
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
        });
        match polled {
            Ok(poll) => poll.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}

impl Drop for CleanupRun {
    fn drop(&mut self) {
        if let Some(node) = self.frame.node() {
            node.unlink(&mut Look::new());
        }
    }
}

/// Who polls the end of a scope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    /// Its boundary, until it is orphaned.
    Boundary,
    /// The task that took over from it.
    Orphan,
    /// The boundary of sync code, which has no timer.
    Thread,
}

enum Step {
    Wait,
    Run(Box<CleanupRun>),
    Closed,
}

/// Waits for the children of `node`, runs its cleanup, and closes it: children and cleanup alternate until both are
/// empty (rule U2). Called with the frame of `node` on the poll stack.
pub(crate) fn poll_ending(node: &Arc<Node>, driver: Driver, cx: &mut Context<'_>) -> Poll<()> {
    let mut timer = node.lock().cleanup_timer.take();
    if drive(node, driver, &mut timer, cx).is_ready() {
        return Poll::Ready(());
    }
    if timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
        give_up(node);
        return Poll::Ready(());
    }
    if timer.is_some() {
        node.lock().cleanup_timer = timer;
    }
    Poll::Pending
}

fn drive(node: &Arc<Node>, driver: Driver, timer: &mut CleanupTimer, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        if driver == Driver::Boundary && node.is_orphaned() {
            return Poll::Pending;
        }
        node.register(cx.waker());
        match next_step(node) {
            Step::Wait => return Poll::Pending,
            Step::Closed => return Poll::Ready(()),
            Step::Run(mut run) => {
                if let Some(limit) = node.cleanup_timeout() {
                    if driver == Driver::Thread {
                        run.bound(node.bound_cleanup(limit), limit);
                    } else if timer.is_none() {
                        *timer = Some(Box::pin(sleep(limit)));
                    }
                }
                match run.poll(cx) {
                    Poll::Pending => {
                        node.park(run);
                        return Poll::Pending;
                    }
                    Poll::Ready(done) => {
                        // Its future is dropped with the frame still on the stack: what it drops belongs to `node`.
                        let dropped = catch_unwind(AssertUnwindSafe(|| drop(run)));
                        node.lock().running = Running::Idle;
                        for payload in [done.err(), dropped.err()].into_iter().flatten() {
                            node.fail(Failure::panic(node.name(), payload));
                        }
                    }
                }
            }
        }
    }
}

fn next_step(node: &Arc<Node>) -> Step {
    let parked = {
        let mut state = node.lock();
        match std::mem::replace(&mut state.running, Running::Taken { looked: false }) {
            Running::Parked(run) => Some(run),
            // Another driver is at it (an abandoned scope that was polled again); it will be parked.
            Running::Taken { .. } => {
                state.running = Running::Taken { looked: true };
                return Step::Wait;
            }
            Running::Idle => {
                state.running = Running::Idle;
                None
            }
        }
    };
    if let Some(run) = parked {
        return Step::Run(run);
    }
    if !node.children_done() {
        return Step::Wait;
    }
    let item = {
        let mut state = node.lock();
        let item = state.cleanup.pop_back();
        if item.is_some() {
            state.running = Running::Taken { looked: false };
        }
        item
    };
    if let Some(item) = item {
        return Step::Run(Box::new(CleanupRun::new(item.future)));
    }
    if node.try_close() { Step::Closed } else { Step::Wait }
}

/// `cleanup_timeout` has passed: drops the cleanup with all that it opened, and leaves the children to the root.
fn give_up(node: &Arc<Node>) {
    let dropped = drop_cleanup(node);
    event::cleanup_timed_out(node, dropped);
    orphan::leave_children_to_root(node);
}

/// Drops cleanup that will never run, and closes the scope. A destructor that panics is a failure. Says how many
/// cleanups were dropped.
pub(crate) fn drop_cleanup(node: &Arc<Node>) -> usize {
    let (running, rest) = node.give_up();
    let mut dropped = usize::from(running.is_some());
    drop_quietly(node, running);
    for item in rest.into_iter().rev() {
        dropped += 1;
        drop_quietly(node, item.future);
    }
    for item in node.close_early() {
        dropped += 1;
        drop_quietly(node, item.future);
    }
    dropped
}

pub(crate) fn drop_quietly<T>(node: &Node, value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        node.fail(Failure::panic(node.name(), payload));
    }
}

impl Node {
    /// When cleanup that sees a deadline has to end: it counts from the first one's start.
    fn bound_cleanup(&self, limit: Duration) -> Moment {
        let now = Moment::now();
        *self.lock().cleanup_until.get_or_insert(now.after(limit))
    }

    /// Puts a pending cleanup back; another driver that looked meanwhile is woken to go on with it.
    fn park(&self, run: Box<CleanupRun>) {
        let mut state = self.lock();
        let before = std::mem::replace(&mut state.running, Running::Parked(run));
        let looked = matches!(before, Running::Taken { looked: true });
        let other = looked.then(|| state.waker()).flatten();
        drop(state);
        if let Some(other) = other {
            other.wake();
        }
    }

    /// Registers a cleanup as the last one; gives it back if the scope was left.
    fn push_cleanup(&self, future: Boxed) -> Result<(), Boxed> {
        self.insert_cleanup(self.reserve_order(), future)
    }

    /// Registers a cleanup in the place that was reserved for it.
    fn insert_cleanup(&self, order: u64, future: Boxed) -> Result<(), Boxed> {
        let future = watch::cleanup(future, || self.who());
        let mut state = self.lock();
        if self.is_closed() {
            return Err(future);
        }
        let at = state.cleanup.partition_point(|item| item.order < order);
        state.cleanup.insert(at, CleanupItem { order, future });
        Ok(())
    }

    fn reserve_order(&self) -> u64 {
        self.lock().next_order()
    }
}

/// Registers an async cleanup with the innermost frame: the scope, or the child task, that runs right now.
///
/// It runs when that frame ends, on every way out: value, `?`, `return`, `break`, panic, cancel. The body is dropped
/// first, then the children end, then the cleanups run one after the other, last registered first (rule U2). A
/// cleanup runs shielded from every cancel, also from the scope's own; it may open scopes and use timeouts
/// (rule U3). `cleanup_timeout = …` bounds it.
///
/// # Panics
///
/// Outside every scope it panics at the caller's location, as `tokio::spawn` does outside a runtime;
/// [`try_defer`] gives the future back instead. A cleanup that panics is a failure of its scope (rule F2); the other
/// cleanups still run.
///
/// # Cancellation safety
///
/// If the scope's future is dropped by something that is no scope, the cleanup is adopted by the nearest enclosing
/// scope, or by the [root](crate::root) (rule U5): it runs all the same, unless the runtime shuts down first.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{defer, scope};
/// use std::time::Duration;
/// use tokio::sync::mpsc;
///
/// let (tx, mut rx) = mpsc::unbounded_channel();
/// let cut = scope!(timeout = 1s, {
///     let bye = tx.clone();
///     defer(async move {
///         tokio::time::sleep(Duration::from_secs(5)).await; // not cut: cleanup is shielded
///         bye.send("said goodbye").unwrap();
///     });
///     std::future::pending::<()>().await;
/// });
/// assert!(cut.is_err());
/// assert_eq!(rx.try_recv(), Ok("said goodbye"));
/// # }
/// ```
#[track_caller]
pub fn defer(cleanup: impl Future<Output = ()> + Send + 'static) {
    if try_defer(cleanup).is_err() {
        panic!(
            "`defer` was called outside of every cancel scope; open one with `scope!` or `#[cancel_scope]`"
        );
    }
}

/// Registers an async cleanup as [`defer`] does, or gives it back outside every scope (rule U3).
///
/// # Errors
///
/// The future itself, if no scope and no child task is running here.
///
/// # Examples
///
/// ```
/// let future = scope_runtime::try_defer(async {});
/// assert!(future.is_err(), "there is no scope here");
/// ```
pub fn try_defer<F: Future<Output = ()> + Send + 'static>(cleanup: F) -> Result<(), F> {
    let Some(Some((node, _))) = with_stack(|stack| stack.cleanup_node()) else { return Err(cleanup) };
    // Only a stretch of code under a scope that was left finds it closed.
    if let Err(cleanup) = node.push_cleanup(Box::pin(cleanup)) {
        orphan::run_at_root(Some(&node), cleanup);
    }
    Ok(())
}

/// Ties an async destructor to a value: when the guard is dropped, `cleanup(value)` runs.
///
/// The cleanup goes to the frame that is innermost *at the drop*; if there is none, to the one that made the guard,
/// if that is still open; else to the [root](crate::root). Dropped while a body goes on, it starts at once as a
/// shielded child task of that scope; dropped in unwinding, it takes its turn among the other cleanups, as if it had
/// been registered when the guard was made (rule U3).
///
/// # Panics
///
/// Does not panic. A cleanup that panics is a failure of the scope that runs it (rule F2).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{guard, scope};
/// use tokio::sync::mpsc;
///
/// let (tx, mut rx) = mpsc::unbounded_channel();
/// scope!({
///     let conn = guard(("connection", tx), |(name, tx)| async move {
///         tx.send(format!("{name} closed")).unwrap();
///     });
///     assert_eq!(conn.0, "connection"); // a guard derefs to its value
/// })
/// .unwrap();
/// assert_eq!(rx.try_recv().unwrap(), "connection closed");
/// # }
/// ```
pub fn guard<T, C, F>(value: T, cleanup: C) -> Guard<T, C, F>
where
    T: Send + 'static,
    C: FnOnce(T) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let origin = with_stack(|stack| stack.cleanup_node()).flatten().map(|(node, _)| {
        let order = node.reserve_order();
        (node, order)
    });
    Guard { armed: Some((value, cleanup)), origin }
}

/// A value with an async destructor, made by [`guard()`]; derefs to the value (rule U3).
///
/// # Cancellation safety
///
/// A guard is only a value: whatever future holds it may be dropped at any time, and the cleanup still runs.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{guard, scope};
///
/// let kept = scope!({
///     let file = guard(vec![1, 2], |_| async { unreachable!("it was disarmed") });
///     file.into_inner()
/// });
/// assert_eq!(kept.unwrap(), [1, 2]);
/// # }
/// ```
pub struct Guard<T, C, F>
where
    T: Send + 'static,
    C: FnOnce(T) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    armed: Option<(T, C)>,
    origin: Option<(Arc<Node>, u64)>,
}

impl<T, C, F> Guard<T, C, F>
where
    T: Send + 'static,
    C: FnOnce(T) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    /// Takes the value out and forgets the cleanup (rule U3).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{guard, scope};
    ///
    /// let rows = scope!({
    ///     let rows = guard(vec![1, 2], |_| async { unreachable!("it was disarmed") });
    ///     rows.into_inner()
    /// });
    /// assert_eq!(rows.unwrap(), [1, 2]);
    /// # }
    /// ```
    pub fn into_inner(mut self) -> T {
        self.armed.take().expect("a guard is armed until it is used up").0
    }

    /// Runs the cleanup now and waits for it.
    ///
    /// It runs as a shielded child task of the innermost scope (rule U3); outside every scope, as one of the scope that
    /// made the guard, or at the [root](crate::root) if that was left.
    ///
    /// # Panics
    ///
    /// Does not panic. A cleanup that panics is a failure of the scope that runs it (rule F2).
    ///
    /// # Cancellation safety
    ///
    /// If this future is dropped after its first poll, the cleanup goes on and its scope waits for it. If it is
    /// dropped before, the guard is dropped with it, which runs the cleanup, too.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{guard, scope};
    /// use std::sync::mpsc;
    ///
    /// let (tx, rx) = mpsc::channel();
    /// scope!({
    ///     let conn = guard(tx, |tx| async move { tx.send("closed").unwrap() });
    ///     conn.close().await;
    ///     assert_eq!(rx.try_recv(), Ok("closed")); // before the scope ends
    /// })
    /// .unwrap();
    /// # }
    /// ```
    pub async fn close(mut self) {
        let Some(cleanup) = self.take_cleanup() else { return };
        let (done, ended) = tokio::sync::oneshot::channel::<()>();
        self.start(Box::pin(async move {
            cleanup.await;
            drop(done);
        }));
        // Nothing is ever sent: the channel closes when the cleanup is over, or when it was dropped.
        let _ = ended.await;
    }

    fn take_cleanup(&mut self) -> Option<F> {
        self.armed.take().map(|(value, cleanup)| cleanup(value))
    }

    fn start(&self, cleanup: Boxed) {
        match with_stack(|stack| stack.cleanup_node()).flatten() {
            Some((node, false)) => start_or_leave_to_root(&node, cleanup),
            Some((node, true)) => {
                let queued = match &self.origin {
                    Some((origin, order)) if Arc::ptr_eq(origin, &node) => {
                        node.insert_cleanup(*order, cleanup)
                    }
                    _ => node.push_cleanup(cleanup),
                };
                if let Err(cleanup) = queued {
                    orphan::run_at_root(Some(&node), cleanup);
                }
            }
            None => match &self.origin {
                Some((origin, _)) => start_or_leave_to_root(origin, cleanup),
                None => orphan::run_at_root(None, cleanup),
            },
        }
    }
}

/// Starts a cleanup in the nearest scope that is open, else at the root.
fn start_or_leave_to_root(node: &Arc<Node>, mut cleanup: Boxed) {
    let mut scope = Some(Arc::clone(node));
    while let Some(open) = scope {
        match spawn_shielded(&open, cleanup) {
            Ok(()) => return,
            Err(back) => cleanup = back,
        }
        scope = open.parent();
    }
    orphan::run_at_root(Some(node), cleanup);
}

impl<T, C, F> Drop for Guard<T, C, F>
where
    T: Send + 'static,
    C: FnOnce(T) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn drop(&mut self) {
        if let Some(cleanup) = self.take_cleanup() {
            self.start(Box::pin(cleanup));
        }
    }
}

impl<T, C, F> Deref for Guard<T, C, F>
where
    T: Send + 'static,
    C: FnOnce(T) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    type Target = T;

    fn deref(&self) -> &T {
        &self.armed.as_ref().expect("a guard is armed until it is used up").0
    }
}

impl<T, C, F> DerefMut for Guard<T, C, F>
where
    T: Send + 'static,
    C: FnOnce(T) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn deref_mut(&mut self) -> &mut T {
        &mut self.armed.as_mut().expect("a guard is armed until it is used up").0
    }
}

impl<T, C, F> fmt::Debug for Guard<T, C, F>
where
    T: fmt::Debug + Send + 'static,
    C: FnOnce(T) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&self.armed.as_ref().map(|(value, _)| value)).finish()
    }
}
