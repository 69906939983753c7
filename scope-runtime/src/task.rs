//! Child tasks: how they are spawned, run and awaited (rules F1-F8).

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cause::{Cancelled, Cause};

mod child;
mod shared;
mod spawned;
mod start;

pub(crate) use child::Asked;
pub use child::{Child, child};
pub(crate) use child::{Convert, InFailure, InPlace, Keep, Outcome, Output, outcome_of, result_of};
pub(crate) use shared::{ChildTask, Ending, Enlisted, Home, child_of, closed_task, enlist, host};
pub(crate) use spawned::{runtime_of, spawn_adopted, spawn_into, spawn_shielded};
pub(crate) use start::Turn;

use shared::Shared;
use spawned::Spawned;

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
    place: Place<T>,
}

/// Where its result comes from.
enum Place<T> {
    /// A task of its own on the runtime.
    Spawned(Spawned<T>),
    /// A fork, an arm, a thread.
    Shared(Arc<Shared<T>>),
    /// Nowhere: it was dropped where it was made.
    Unheld,
}

const UNHELD: &str = "nobody has the handle of a child that is a statement";

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
        let cause = Cause::Task { at: Some(Location::caller()) };
        match &self.place {
            Place::Spawned(task) => task.cancel(cause),
            Place::Shared(shared) => shared.node.cancel(cause),
            Place::Unheld => unreachable!("{UNHELD}"),
        }
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
        match &self.place {
            Place::Spawned(task) => task.is_finished(),
            Place::Shared(shared) => shared.is_finished(),
            Place::Unheld => unreachable!("{UNHELD}"),
        }
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
        match &self.place {
            Place::Spawned(task) => task.name(),
            Place::Shared(shared) => shared.node.name(),
            Place::Unheld => unreachable!("{UNHELD}"),
        }
    }

    /// The result, if it is there: of a fork or an arm.
    pub(crate) fn take_if_done(&self) -> Option<Result<T, Cancelled>> {
        match &self.place {
            Place::Spawned(_) | Place::Unheld => None,
            Place::Shared(shared) => shared.take_if_done(),
        }
    }

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
        match &mut self.get_mut().place {
            Place::Spawned(task) => task.poll(cx),
            Place::Shared(shared) => shared.poll(cx),
            Place::Unheld => unreachable!("{UNHELD}"),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        match &mut self.place {
            Place::Spawned(task) => task.disown(),
            Place::Shared(shared) => shared.disown(),
            Place::Unheld => {}
        }
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
