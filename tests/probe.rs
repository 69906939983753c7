//! What behaviour tests look through: a log on virtual time, guards that note their drop, counters of polls.
//!
//! An entry of a log reads `"ms text"`: the whole milliseconds of tokio's clock since the log was made, which
//! is exact on paused time, then what was said.

use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

/// `n` milliseconds.
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Sleeps for `n` milliseconds.
pub async fn sleep(n: u64) {
    tokio::time::sleep(ms(n)).await;
}

/// Records what happened and when; clones share one list and one clock.
///
/// Make it inside the test's runtime: it counts from then on.
#[derive(Clone)]
pub struct Log {
    start: Instant,
    entries: Arc<Mutex<Vec<String>>>,
}

impl Log {
    /// An empty log whose clock starts now.
    #[expect(clippy::new_without_default, reason = "it reads the clock: two of them are not alike")]
    pub fn new() -> Self {
        Self { start: Instant::now(), entries: Arc::default() }
    }

    /// The virtual milliseconds since the log was made.
    pub fn ms(&self) -> u128 {
        self.start.elapsed().as_millis()
    }

    /// The instant `n` milliseconds after the log was made.
    pub fn at(&self, n: u64) -> Instant {
        self.start + ms(n)
    }

    /// Notes `text` with the time.
    pub fn say(&self, text: impl Display) {
        let entry = format!("{} {text}", self.ms());
        self.lock().push(entry);
    }

    /// A value that says `text` when it is dropped.
    #[must_use = "it speaks when it is dropped"]
    pub fn guard(&self, text: impl Into<String>) -> Guard {
        Guard { log: self.clone(), text: text.into() }
    }

    /// The entries so far.
    pub fn entries(&self) -> Vec<String> {
        self.lock().clone()
    }

    /// The entries so far, which are then forgotten; the clock goes on.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lock())
    }

    /// Asserts that exactly this was said, in this order and at these times.
    #[track_caller]
    pub fn expect(&self, entries: &[&str]) {
        assert_eq!(self.entries(), entries);
    }

    /// Asserts that exactly this was said at these times, in whatever order.
    #[track_caller]
    pub fn expect_unordered(&self, entries: &[&str]) {
        let (mut said, mut expected) = (self.entries(), entries.to_vec());
        said.sort();
        expected.sort_unstable();
        assert_eq!(said, expected);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}

/// Says its text when it is dropped.
#[derive(Debug)]
pub struct Guard {
    log: Log,
    text: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.log.say(&self.text);
    }
}

/// Counts the polls of a future; clones share the count.
#[derive(Clone, Debug, Default)]
pub struct Polls(Arc<AtomicUsize>);

impl Polls {
    /// A count of zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// The polls so far.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// The same future, every poll of which is counted.
    pub fn of<F: Future>(&self, future: F) -> Counted<F> {
        Counted { polls: self.clone(), future: Box::pin(future) }
    }
}

/// The future of [`Polls::of`].
#[derive(Debug)]
#[must_use = "futures do nothing unless they are awaited"]
pub struct Counted<F> {
    polls: Polls,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.0.fetch_add(1, Ordering::Relaxed);
        self.future.as_mut().poll(cx)
    }
}

/// Polls a future once, and says whether it is ready.
pub async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await
}

/// Starts a task outside of every scope, as a library that knows nothing of scopes would.
pub fn outside<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    tokio::spawn(future)
}

/// Runs a closure on a thread of its own, outside of every scope, and waits for its value.
///
/// # Panics
///
/// With the closure's own panic.
pub fn on_a_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    let joined = std::thread::scope(|threads| threads.spawn(f).join());
    joined.unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}
