//! Functions that find their scope by themselves: the innermost one that the calling code is polled in (rule T1).

use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Instant;

use crate::boundary::{Block, Left, NeverErr};
use crate::cause::Cancelled;
use crate::context::{self, Frame, Stack, waker_id, with_stack};
use crate::scope::{ScopeHandle, effective_instant, remaining_time};
use crate::site::{Kind, Site};
use crate::tree::{Look, Node, NodeInit, Place};
use crate::watch::{Numbered, numbered};

/// A handle of the innermost scope; in a child task, of the scope that it was spawned into (rule T2).
///
/// # Panics
///
/// Outside every scope it panics at the caller's location; [`try_current`] gives `None` instead.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{current, scope};
///
/// let cut = scope!({
///     current().cancel();
///     std::future::pending::<()>().await;
/// });
/// assert!(cut.is_err());
/// # }
/// ```
#[track_caller]
pub fn current() -> ScopeHandle {
    match try_current() {
        Some(handle) => handle,
        None => panic!("there is no cancel scope here; open one with `scope!` or `#[cancel_scope]`"),
    }
}

/// A handle of the innermost scope, or `None` outside every scope (rules T1, T5).
///
/// # Examples
///
/// ```
/// assert!(scope_runtime::try_current().is_none());
/// ```
pub fn try_current() -> Option<ScopeHandle> {
    with_stack(|stack| stack.current()).flatten().map(ScopeHandle::new)
}

/// Asks whether the calling code was cancelled: a delivery point without an await.
///
/// Outside every scope it is `Ok` (rule T6). It looks at the clock: a passed deadline counts, whether or not a timer
/// fired (rule L5).
///
/// # Errors
///
/// [`Cancelled`], if a cancel is visible here.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{check, current, scope};
///
/// let stopped_at = scope!({
///     let mut n = 0;
///     loop {
///         n += 1;
///         if n == 3 { current().cancel(); }
///         if check().is_err() { break n; }
///     }
/// });
/// assert_eq!(stopped_at.unwrap(), 3); // no await, so nothing was dropped
/// # }
/// ```
#[inline]
pub fn check() -> Result<(), Cancelled> {
    match with_stack(|stack| if stack.sees_plainly_nothing() { None } else { cancelled_here(stack) }) {
        Some(Some(cancelled)) => Err(cancelled),
        _ => Ok(()),
    }
}

#[cold]
fn cancelled_here(stack: &Stack<'_>) -> Option<Cancelled> {
    let mut look = Look::new();
    if stack.sees_cancel(&mut look) != Some(true) {
        return None;
    }
    // If the error comes back, its scope must recognise it (rule W3).
    stack.make_top_node();
    stack.cancelled_error(&mut look)
}

/// Yields to the runtime once, and is a delivery point on both sides.
///
/// Inside a scope that is cancelled, the body is dropped here (rule D2).
///
/// # Errors
///
/// [`Cancelled`], if a cancel is visible here that is not delivered by dropping the body.
///
/// # Cancellation safety
///
/// Nothing is lost if this future is dropped.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{checkpoint, current, scope};
///
/// let cut = scope!({
///     current().cancel();
///     let _ = checkpoint().await;
///     unreachable!("the body was dropped at the checkpoint");
/// });
/// assert!(cut.is_err());
/// # }
/// ```
pub async fn checkpoint() -> Result<(), Cancelled> {
    tokio::task::yield_now().await;
    check()
}

/// Waits until a cancel is visible in the innermost scope (rule T3); for ever outside every scope.
///
/// It is ready at the very poll at which the cancel would be delivered, and completion wins (rule D2): the code behind
/// the await runs on to its next suspension. From inside a shield, watch an outer scope with
/// [`ScopeHandle::cancelled`]; to ask without waiting there is [`is_cancelled`].
///
/// # Cancellation safety
///
/// Nothing is lost if this future is dropped.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{cancelled, current, scope};
///
/// let value = scope!({
///     current().cancel();
///     cancelled().await; // ready at once, so it is no suspension
///     "the body went on"
/// });
/// assert_eq!(value.unwrap(), "the body went on");
/// # }
/// ```
pub async fn cancelled() {
    match with_stack(|stack| stack.make_top_node()).flatten() {
        Some(node) => ScopeHandle::new(node).cancelled().await,
        None => std::future::pending().await,
    }
}

/// Whether a cancel is visible here; looks at the clock (rule L5). False outside every scope.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{is_cancelled, scope};
///
/// assert!(!is_cancelled());
/// let seen = scope!(timeout = 0s, { is_cancelled() });
/// assert_eq!(seen.unwrap(), true);
/// # }
/// ```
pub fn is_cancelled() -> bool {
    with_stack(|stack| !stack.sees_plainly_nothing() && stack.sees_cancel(&mut Look::new()) == Some(true))
        .unwrap_or(false)
}

/// The time until the earliest deadline that counts here: `None` without one, zero once a cancel is visible
/// (rule L2). Inside a shield, outer deadlines do not count.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{remaining, scope};
/// use std::time::Duration;
///
/// let budget = scope!(timeout = 10s, {
///     scope!(timeout = Duration::from_secs(60), { remaining() })
/// });
/// assert_eq!(budget.unwrap().unwrap(), Some(Duration::from_secs(10)));
/// assert_eq!(remaining(), None);
/// # }
/// ```
pub fn remaining() -> Option<Duration> {
    let mut look = Look::new();
    let (deadline, cancelled) =
        with_stack(|stack| Some((stack.effective_deadline()?, stack.sees_cancel(&mut look)?))).flatten()?;
    remaining_time(cancelled, deadline, &mut look)
}

/// The earliest deadline that counts here, over all visible scopes (rule L2); an instant that is not in the future
/// once a cancel is visible.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{effective_deadline, scope};
/// use std::time::Duration;
/// use tokio::time::Instant;
///
/// let at = scope!(timeout = 10s, { effective_deadline() });
/// assert_eq!(at.unwrap(), Some(Instant::now() + Duration::from_secs(10)));
/// # }
/// ```
pub fn effective_deadline() -> Option<Instant> {
    let mut look = Look::new();
    let (deadline, cancelled) =
        with_stack(|stack| Some((stack.effective_deadline()?, stack.sees_cancel(&mut look)?))).flatten()?;
    effective_instant(cancelled, deadline, &mut look)
}

pin_project! {
    /// The future of [`fail_after`]; resolves to `Result<F::Output, Cancelled>`.
    ///
    /// # Panics
    ///
    /// With the payload of a panic of the inner future (rule F2), and if it is polled after it gave its result.
    ///
    /// # Cancellation safety
    ///
    /// It is a scope of its own: if it is dropped, rule U5 holds.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::{fail_after, FailAfter};
    /// use std::{future::Ready, time::Duration};
    ///
    /// let in_time: FailAfter<Ready<u8>> = fail_after(Duration::from_secs(1), std::future::ready(7));
    /// assert_eq!(in_time.await.unwrap(), 7);
    /// # }
    /// ```
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct FailAfter<F: Future> {
        #[pin]
        block: Block<Numbered<F>, NeverErr>,
        timeout: Option<Duration>,
    }
}

pin_project! {
    /// The future of [`move_on_after`]; resolves to `Option<F::Output>`.
    ///
    /// # Panics
    ///
    /// With the payload of a panic of the inner future (rule F2), and if it is polled after it gave its result.
    ///
    /// # Cancellation safety
    ///
    /// It is a scope of its own: if it is dropped, rule U5 holds.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::{move_on_after, MoveOnAfter};
    /// use std::{future::Pending, time::Duration};
    ///
    /// let late: MoveOnAfter<Pending<u8>> = move_on_after(Duration::from_secs(1), std::future::pending());
    /// assert_eq!(late.await, None);
    /// # }
    /// ```
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct MoveOnAfter<F: Future> {
        #[pin]
        inner: FailAfter<F>,
    }
}

#[track_caller]
fn bounded<F: Future>(name: &'static str, timeout: Duration, future: F) -> FailAfter<F> {
    crate::private::require_runtime(|| name.to_owned());
    let site = Site::of_call(Kind::Scope, name, Location::caller());
    FailAfter { block: Block::new(Frame::new(site), numbered(future), NeverErr), timeout: Some(timeout) }
}

/// The same without a timeout, written at `site`.
#[cfg(feature = "test-util")]
pub(crate) fn scoped<F: Future>(site: &'static Site, future: F) -> FailAfter<F> {
    FailAfter { block: Block::new(Frame::new(site), numbered(future), NeverErr), timeout: None }
}

/// Runs a future in a scope with a timeout, and fails if the time is up: `scope!(timeout = d, { fut.await })` without
/// a macro (after Trio's `fail_after`; rules L1, D5). The time counts from the first poll.
///
/// # Errors
///
/// [`Cancelled`], if the scope was cancelled.
///
/// # Panics
///
/// Outside a tokio runtime; if the future panics (rule F2).
///
/// # Cancellation safety
///
/// The future is a scope of its own: if it is dropped, rule U5 holds.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::fail_after;
/// use std::time::Duration;
///
/// let late = fail_after(Duration::from_secs(1), std::future::pending::<()>()).await;
/// assert!(late.unwrap_err().is_timeout());
/// # }
/// ```
#[track_caller]
pub fn fail_after<F: Future>(timeout: Duration, future: F) -> FailAfter<F> {
    bounded("fail_after", timeout, future)
}

/// Runs a future in a scope with a timeout, and goes on without its value if the time is up (after Trio's
/// `move_on_after`; rules L1, D5). The time counts from the first poll.
///
/// # Panics
///
/// Outside a tokio runtime; if the future panics (rule F2).
///
/// # Cancellation safety
///
/// The future is a scope of its own: if it is dropped, rule U5 holds.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::move_on_after;
/// use std::time::Duration;
///
/// assert_eq!(move_on_after(Duration::from_secs(1), async { 7 }).await, Some(7));
/// assert_eq!(move_on_after(Duration::from_secs(1), std::future::pending::<u8>()).await, None);
/// # }
/// ```
#[track_caller]
pub fn move_on_after<F: Future>(timeout: Duration, future: F) -> MoveOnAfter<F> {
    MoveOnAfter { inner: bounded("move_on_after", timeout, future) }
}

impl<F: Future> Future for FailAfter<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(timeout) = this.timeout.take() {
            this.block.as_mut().bound(timeout);
        }
        Poll::Ready(value_of(ready!(this.block.poll(cx))))
    }
}

impl<F: Future> Future for MoveOnAfter<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx).map(Result::ok)
    }
}

pub(crate) fn value_of<T>(left: Left<T>) -> Result<T, Cancelled> {
    match left {
        Left::Returned(value) => Ok(value),
        Left::Cancelled { error, .. } => Err(error),
        Left::Panicked(payload) => resume_unwind(payload),
        Left::Finished | Left::Cut | Left::Errored(_) | Left::Failed(_) | Left::Signalled { .. } => {
            unreachable!("a plain future has neither a block's end nor children")
        }
    }
}

/// Puts futures and code under a scope where nothing carries the context over (rule T6).
///
/// A task from `tokio::spawn`, a callback, a thread starts outside every scope (rule T5).
///
/// # Examples
///
/// ```
/// # #[tokio::main]
/// # async fn main() {
/// use scope_runtime::{check, current, scope, InScope};
///
/// let done = scope!({
///     let job = async { check().map(|()| "under the scope") }.in_scope(current());
///     tokio::task::LocalSet::new().run_until(job).await
/// });
/// assert_eq!(done.unwrap().unwrap().unwrap(), "under the scope");
/// # }
/// ```
pub trait InScope: Future + Sized {
    /// Makes this future a boundary of its own below the scope of `handle`: it sees the scope's cancel, deadline and
    /// shield, and unwinds by itself.
    ///
    /// The scope does not wait for it: leaving the scope is a hard cancel for it (cause
    /// [`Closed`](crate::Cause::Closed)), also before its first poll.
    ///
    /// # Errors
    ///
    /// The future's value is `Err(Cancelled)` if a cancel was delivered to it.
    ///
    /// # Cancellation safety
    ///
    /// It is a boundary: if it is dropped, rule U5 holds.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{scope, Cancelled, Cause, InScope, ScopeHandle};
    /// use tokio::task::JoinHandle;
    ///
    /// fn plain_task(scope: ScopeHandle) -> JoinHandle<Result<(), Cancelled>> {
    ///     tokio::spawn(std::future::pending().in_scope(scope))
    /// }
    ///
    /// let task = scope!(|s| { plain_task(s.handle()) }).unwrap(); // the scope is left: it did not wait
    /// let cancelled = task.await.unwrap().unwrap_err();
    /// assert!(matches!(cancelled.cause(), Cause::Closed));
    /// # }
    /// ```
    #[track_caller]
    fn in_scope(self, handle: ScopeHandle) -> GuestFuture<Self>;
}

impl<F: Future> InScope for F {
    fn in_scope(self, handle: ScopeHandle) -> GuestFuture<F> {
        let guest = guest(handle, Location::caller());
        GuestFuture { block: Block::new(Frame::rooted(guest), self, NeverErr) }
    }
}

fn guest(handle: ScopeHandle, at: &'static Location<'static>) -> Arc<Node> {
    let node = Arc::new(Node::new(NodeInit::plain(Site::of_call(Kind::Guest, "", at), None)));
    node.link(Some(handle.node), Place::Guest, &mut Look::new());
    node
}

impl ScopeHandle {
    /// Runs a stretch of code under this scope: [`check()`], [`remaining()`], [`current()`] and the others see the
    /// scope's cancel, deadline and shield (rule T6). A closure, so that it can't be left open.
    ///
    /// For threads and callbacks that nothing carries the context to. What the code registers with
    /// [`defer`](crate::defer) belongs to the scope; once the scope was left, to the [root](crate::root), and `check()`
    /// fails with the cause [`Closed`](crate::Cause::Closed).
    ///
    /// # Panics
    ///
    /// Passes on a panic of the closure.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() {
    /// use scope_runtime::{check, current, scope, ScopeHandle};
    ///
    /// fn work(handle: &ScopeHandle) -> bool {
    ///     handle.run(|| check().is_err())
    /// }
    ///
    /// let seen = scope!({
    ///     let handle = current();
    ///     handle.cancel();
    ///     // another thread, which knows nothing of scopes
    ///     let seen = tokio::task::spawn_blocking(move || work(&handle));
    ///     tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(seen)).unwrap()
    /// });
    /// assert!(seen.unwrap());
    /// # }
    /// ```
    #[track_caller]
    pub fn run<T>(&self, stretch: impl FnOnce() -> T) -> T {
        let guest = guest(self.clone(), Location::caller());
        let frame = Frame::stretch(Arc::clone(&guest));
        let result =
            context::enter(&frame, waker_id(Waker::noop()), |_| catch_unwind(AssertUnwindSafe(stretch)));
        guest.unlink(&mut Look::new());
        result.unwrap_or_else(|payload| resume_unwind(payload))
    }
}

pin_project! {
    /// The future of [`InScope::in_scope`]; resolves to `Result<F::Output, Cancelled>` (rule T6).
    ///
    /// # Panics
    ///
    /// With the payload of a panic of the inner future (rule F2), and if it is polled after it gave its result.
    ///
    /// # Cancellation safety
    ///
    /// It is a boundary: if it is dropped, rule U5 holds.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{current, scope, GuestFuture, InScope};
    /// use std::future::Ready;
    ///
    /// let value = scope!({
    ///     let guest: GuestFuture<Ready<u8>> = std::future::ready(7).in_scope(current());
    ///     guest.await.unwrap()
    /// });
    /// assert_eq!(value.unwrap(), 7);
    /// # }
    /// ```
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct GuestFuture<F: Future> {
        #[pin]
        block: Block<F, NeverErr>,
    }
}

impl<F: Future> Future for GuestFuture<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(value_of(ready!(self.project().block.poll(cx))))
    }
}
