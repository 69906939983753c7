//! Waits of sync code: like their neighbours in std, but they end early when the scope is cancelled (rules Y1, Y3).
//!
//! Threads can't be killed. In sync code a cancel is delivered as an error, [`Cancelled`], where the code asks for it:
//! by [`check`](crate::check), and by the waits of this module. `?` carries it to the scope that was cancelled, which
//! recognises it, also when it is wrapped in another error. The waits work on every thread: in a sync scope, in a child
//! of [`spawn_blocking!`](crate::spawn_blocking), in [`ScopeHandle::run`](crate::ScopeHandle::run), and outside of
//! every scope, where nothing ends them early.
//!
//! A cancel wakes them at once, from whatever thread it comes. A deadline needs no timer: they look at the clock.
//!
//! # Examples
//!
//! ```
//! use scope_runtime::{blocking, cancel_scope, Cancelled};
//! use std::time::Duration;
//!
//! #[cancel_scope(timeout = "20ms")]
//! fn poll_device() -> Result<u32, Cancelled> {
//!     loop {
//!         blocking::sleep(Duration::from_millis(5))?; // ends at 20 ms at the latest
//!     }
//! }
//! assert!(poll_device().unwrap_err().is_timeout());
//! ```

pub(crate) mod boundary;
pub(crate) mod cleanup;
pub(crate) mod clock;
mod park;
pub(crate) mod spawn;

use std::future::IntoFuture;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::cause::Cancelled;
use crate::context::with_stack;
use crate::deadline::Moment;
use crate::tree::{Hold, Look, Node};
use park::Parker;

/// Sleeps for `duration`, or until the scope is cancelled.
///
/// Like `std::thread::sleep`, it blocks the thread: in async code use `tokio::time::sleep`.
///
/// # Errors
///
/// [`Cancelled`], if a cancel becomes visible meanwhile, or was visible from the start. A sleep of zero is over at once,
/// whatever is cancelled (rule D2).
///
/// # Panics
///
/// If tokio's clock is paused: it stands still while blocking code waits (rule L4).
///
/// # Examples
///
/// ```
/// use scope_runtime::{blocking, cancel_scope, Cancelled};
/// use std::time::Duration;
///
/// #[cancel_scope(timeout = "1ms")]
/// fn nap() -> Result<(), Cancelled> {
///     blocking::sleep(Duration::from_secs(60))
/// }
/// assert!(nap().unwrap_err().is_timeout());
/// ```
pub fn sleep(duration: Duration) -> Result<(), Cancelled> {
    let until = Moment::now().after(duration);
    wait_until(until, |_| if Moment::now() >= until { Poll::Ready(()) } else { Poll::Pending })
}

/// Waits on this thread for a future, or until the scope is cancelled.
///
/// This is how sync code waits for anything: a [`Task`](crate::Task), a channel of tokio's (`rx.recv()`), a
/// `tokio::sync::Notify`, a `Barrier`, a lock. None of these needs a runtime. What std has in their place can't be
/// woken by a cancel. A future that needs tokio's timers or I/O can be awaited on threads that know a runtime: those
/// that a scope in a runtime started.
///
/// The future is polled first: completion wins over a cancel (rule D2). Scopes inside of it unwind before it is
/// dropped (rule U1).
///
/// It blocks the thread: in async code, `.await`.
///
/// # Errors
///
/// [`Cancelled`], if a cancel is visible while the future is pending. The future is dropped.
///
/// # Panics
///
/// Passes on a panic of the future. If the scope has a deadline, and tokio's clock is paused (rule L4).
///
/// # Examples
///
/// ```
/// use scope_runtime::{blocking, blocking_scope, spawn_blocking};
/// use tokio::sync::mpsc;
///
/// let (jobs, mut inbox) = mpsc::unbounded_channel();
/// let sum = blocking_scope!({
///     let worker = spawn_blocking!(move || {
///         let mut sum = 0;
///         while let Ok(Some(job)) = blocking::wait(inbox.recv()) {
///             sum += job;
///         }
///         sum
///     });
///     for job in [1, 2, 3] {
///         jobs.send(job).unwrap();
///     }
///     drop(jobs); // the channel is closed: the worker ends
///     worker.join().unwrap()
/// });
/// assert_eq!(sum.unwrap(), 6);
/// ```
pub fn wait<F: IntoFuture>(future: F) -> Result<F::Output, Cancelled> {
    let mut future = pin!(future.into_future());
    wait_until(Moment::NEVER, |cx| future.as_mut().poll(cx))
}

/// The instant that it is on the clock that sync code goes by (rule L4): tokio's where a runtime is known, else std's;
/// in tests that of [`SyncClock`](crate::testing::SyncClock).
///
/// # Examples
///
/// ```
/// use scope_runtime::{blocking, testing::SyncClock};
/// use std::time::Duration;
///
/// SyncClock::new().run(|| {
///     let start = blocking::now();
///     blocking::sleep(Duration::from_secs(3)).unwrap();
///     assert_eq!(blocking::now() - start, Duration::from_secs(3));
/// });
/// ```
pub fn now() -> Instant {
    Moment::now().instant().unwrap_or_else(Instant::now)
}

/// Polls until it is ready, or until a cancel is visible and nothing inside owes work. `until` is when to poll again
/// at the latest.
fn wait_until<T>(until: Moment, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Result<T, Cancelled> {
    let parker = Parker::new();
    let waker = Waker::from(Arc::clone(&parker));
    let _waiting = Waiting::begin();
    let mut watch = None;
    loop {
        if let Poll::Ready(value) = poll(&mut Context::from_waker(&waker)) {
            return Ok(value);
        }
        let woken_by = watch.get_or_insert_with(Watch::new).look(&waker)?;
        parker.park_until(until.min(woken_by));
        with_stack(|stack| stack.pass_again());
    }
}

/// Says of the innermost frame that its thread is in a wait, as long as it exists.
struct Waiting {
    before: Option<bool>,
}

impl Waiting {
    fn begin() -> Self {
        Self { before: with_stack(|stack| stack.set_waiting(true)) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            with_stack(|stack| stack.set_waiting(before));
        }
    }
}

/// Watches the innermost frame for cancels.
struct Watch {
    node: Option<Arc<Node>>,
    key: Option<usize>,
}

impl Watch {
    fn new() -> Self {
        Self { node: with_stack(|stack| stack.make_top_node()).flatten(), key: None }
    }

    /// When to look again at the latest; `waker` is woken if a cancel comes before.
    fn look(&mut self, waker: &Waker) -> Result<Moment, Cancelled> {
        let Some(node) = &self.node else { return Ok(Moment::NEVER) };
        // Register, then look (invariant 3 of the tree).
        node.watch(&mut self.key, waker);
        let mut look = Look::new();
        let (cut, next) = with_stack(|stack| {
            let cut = stack.inner_unwound() || stack.sees_cancel(&mut look) == Some(true);
            (cut, stack.next_event(&mut look))
        })
        .unwrap_or((true, Moment::NEVER));
        if !cut {
            return Ok(next);
        }
        match node.hold(&mut look, waker) {
            Hold::Free => Err(node.cancelled_error(&mut look)),
            Hold::Wait(until) => Ok(until.min(next)),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let (Some(node), Some(key)) = (&self.node, self.key) {
            node.unwatch(key);
        }
    }
}
