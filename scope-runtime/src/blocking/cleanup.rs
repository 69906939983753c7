//! Cleanup by sync code: `defer_blocking` and `guard_blocking` (rules U2, U3).

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

use super::spawn::{Job, on_pool};
use crate::cleanup::{CLEANUP, defer};
use crate::context::{self, Frame, waker_id, with_stack};
use crate::failure::Failure;
use crate::task::Output;
use crate::tree::Look;

/// Registers a cleanup of sync code with the innermost frame: the scope, or the child of
/// [`spawn_blocking!`](crate::spawn_blocking), that runs right now.
///
/// It runs when that frame ends, on every way out: value, `?`, `return`, `break`, panic. The children end first, then
/// the cleanups run one after the other, last registered first (rule U2). It runs shielded from every cancel
/// (rule U3): [`check`](crate::check) is `Ok` in it, and the waits of [`blocking`](crate::blocking) are not cut. In a sync
/// scope it runs on the scope's own thread, and `cleanup_timeout = …` is a deadline that it sees. In an async scope it
/// runs on tokio's blocking pool, and the boundary awaits it.
///
/// For async cleanup there is [`defer`](crate::defer); to tie a cleanup to a value, [`guard_blocking`].
///
/// # Panics
///
/// Outside every scope it panics at the caller's location. A cleanup that panics is a failure of its scope (rule F2); the
/// others still run.
///
/// # Examples
///
/// ```
/// use scope_runtime::{cancel_scope, check, current, defer_blocking, Cancelled};
/// use std::sync::mpsc::{channel, Sender};
///
/// #[cancel_scope]
/// fn work(tx: Sender<&'static str>) -> Result<(), Cancelled> {
///     defer_blocking(move || tx.send("cleaned up").unwrap());
///     current().cancel();
///     check()?;
///     unreachable!();
/// }
///
/// let (tx, rx) = channel();
/// assert!(work(tx).is_err());
/// assert_eq!(rx.try_recv(), Ok("cleaned up"));
/// ```
#[track_caller]
pub fn defer_blocking(cleanup: impl FnOnce() + Send + 'static) {
    assert!(
        with_stack(|stack| stack.cleanup_node()).flatten().is_some(),
        "`defer_blocking` was called outside of every cancel scope; \
         open one with `blocking_scope!` or `#[cancel_scope]`"
    );
    defer(async move {
        let scope = match with_stack(|stack| (stack.is_on_thread(), stack.cleanup_node())) {
            // Its own thread is there to wait. Without a runtime, there is no other.
            Some((false, Some((scope, _)))) if scope.runtime().is_some() => scope,
            _ => return cleanup(),
        };
        // A failure of it is one of the scope, whatever its handle says.
        let _ = on_pool(&scope, Job::new(&CLEANUP, cleanup).shielded(), Output::Value).await;
    });
}

/// Ties a destructor of sync code to a value: when the guard is dropped, `cleanup(value)` runs on the spot.
///
/// It is shielded from every cancel (rule U3), which is what tells it from a plain `Drop`: `check()` in it is `Ok`, and the
/// waits of [`blocking`](crate::blocking) are not cut. It blocks: in async code use [`guard`](crate::guard()).
///
/// # Panics
///
/// Does not panic. A panic of the cleanup is passed on by the drop; in a thread that panics already, it is a later
/// failure of the scope (rule F2).
///
/// # Examples
///
/// ```
/// use scope_runtime::{cancel_scope, check, current, guard_blocking, Cancelled};
///
/// #[cancel_scope]
/// fn work(log: &mut Vec<&'static str>) -> Result<(), Cancelled> {
///     let conn = guard_blocking("connection", |_| {
///         check().unwrap(); // shielded
///         log.push("closed");
///     });
///     assert_eq!(conn.len(), 10); // a guard derefs to its value
///     current().cancel();
///     check()
/// }
///
/// let mut log = Vec::new();
/// assert!(work(&mut log).is_err());
/// assert_eq!(log, ["closed"]);
/// ```
pub fn guard_blocking<T, C: FnOnce(T)>(value: T, cleanup: C) -> BlockingGuard<T, C> {
    BlockingGuard { armed: Some((value, cleanup)) }
}

/// A value with a destructor that is shielded, made by [`guard_blocking`]; derefs to the value.
///
/// # Examples
///
/// ```
/// use scope_runtime::guard_blocking;
///
/// let mut closed = false;
/// drop(guard_blocking("file", |_| closed = true));
/// assert!(closed);
/// ```
#[must_use = "it runs its cleanup when it is dropped"]
pub struct BlockingGuard<T, C: FnOnce(T)> {
    armed: Option<(T, C)>,
}

impl<T, C: FnOnce(T)> BlockingGuard<T, C> {
    /// Takes the value out and forgets the cleanup.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::guard_blocking;
    ///
    /// let file = guard_blocking("file", |_| unreachable!("it was disarmed"));
    /// assert_eq!(file.into_inner(), "file");
    /// ```
    pub fn into_inner(mut self) -> T {
        self.armed.take().expect("a guard is armed until it is used up").0
    }

    /// Runs the cleanup now: a `drop` with a name.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::guard_blocking;
    ///
    /// let mut closed = false;
    /// guard_blocking("file", |_| closed = true).close();
    /// assert!(closed);
    /// ```
    pub fn close(self) {
        drop(self);
    }
}

impl<T, C: FnOnce(T)> Drop for BlockingGuard<T, C> {
    fn drop(&mut self) {
        let Some((value, cleanup)) = self.armed.take() else { return };
        if !std::thread::panicking() {
            return shielded(|| cleanup(value));
        }
        // A second panic would end the process. The first one is the scope's failure, or will be.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| shielded(|| cleanup(value)))) {
            match with_stack(|stack| stack.make_top_node()).flatten() {
                Some(node) => node.suppress(&Failure::panic(node.name(), payload)),
                None => drop(payload),
            }
        }
    }
}

/// Runs `f` where no cancel is visible.
fn shielded<T>(f: impl FnOnce() -> T) -> T {
    if with_stack(|_| ()).is_none() {
        return f();
    }
    struct Shield(Frame);
    impl Drop for Shield {
        fn drop(&mut self) {
            if let Some(node) = self.0.node() {
                node.unlink(&mut Look::new());
            }
        }
    }
    let shield = Shield(Frame::new(&CLEANUP).shielded().on_thread());
    context::enter(&shield.0, waker_id(Waker::noop()), |_| f())
}

impl<T, C: FnOnce(T)> Deref for BlockingGuard<T, C> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.armed.as_ref().expect("a guard is armed until it is used up").0
    }
}

impl<T, C: FnOnce(T)> DerefMut for BlockingGuard<T, C> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.armed.as_mut().expect("a guard is armed until it is used up").0
    }
}

impl<T: fmt::Debug, C: FnOnce(T)> fmt::Debug for BlockingGuard<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockingGuard").field(&self.armed.as_ref().map(|(value, _)| value)).finish()
    }
}
