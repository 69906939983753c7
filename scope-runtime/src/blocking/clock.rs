//! The clock that sync code goes by (rule L4), and the one that tests put in its place.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use super::park::Parker;
use crate::deadline::Moment;

/// How many test clocks there are: as long as there are none, reading the clock costs one relaxed load more.
static CLOCKS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static CURRENT: RefCell<Option<Arc<Clock>>> = const { RefCell::new(None) };
}

/// The test clock of this thread.
pub(super) fn current() -> Option<Arc<Clock>> {
    if CLOCKS.load(Ordering::Relaxed) == 0 {
        return None;
    }
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// What the test clock of this thread says, if there is one.
#[inline]
pub(crate) fn test_now() -> Option<Moment> {
    #[cfg(all(test, scope_loom))]
    return Some(crate::sync::time::now());
    #[cfg(not(all(test, scope_loom)))]
    if CLOCKS.load(Ordering::Relaxed) == 0 { None } else { current().map(|clock| clock.lock().now) }
}

/// A virtual clock for tests of sync code: seconds cost nothing, and times are exact (rule L4).
///
/// Installed for a closure on a thread with [`run`](Self::run), and inherited by the threads that scopes start in it.
/// It stands still while any of these threads runs. When all of them are in a wait of [`blocking`](crate::blocking)
/// (or at a boundary that waits for children), it jumps to the moment at which the first of them wants to go on. What
/// blocks in another way counts as running: a `std::thread::sleep` takes no time on this clock, and a lock that
/// is never released hangs the test.
///
/// Several threads that wake at one moment run in any order. tokio's tasks and timers know nothing of this clock;
/// tests that mix threads and tasks run on real time.
///
/// # Examples
///
/// ```
/// use scope_runtime::{blocking, cancel_scope, testing::SyncClock, Cancelled};
/// use std::time::Duration;
///
/// #[cancel_scope(timeout = "1h")]
/// fn patient() -> Result<(), Cancelled> {
///     blocking::sleep(Duration::from_secs(24 * 3600))
/// }
///
/// let clock = SyncClock::new();
/// assert!(clock.run(patient).unwrap_err().is_timeout());
/// assert_eq!(clock.elapsed(), Duration::from_secs(3600)); // an hour, in no time
/// ```
pub struct SyncClock {
    clock: Arc<Clock>,
}

/// What the threads of a test clock share.
pub(super) struct Clock {
    start: Moment,
    state: Mutex<State>,
}

struct State {
    now: Moment,
    /// Threads that go by this clock and are not in a wait.
    running: usize,
    sleepers: Vec<Sleeper>,
}

struct Sleeper {
    parker: usize,
    until: Moment,
    /// It was woken, and counts as running, though its thread may not have noticed yet.
    up: bool,
    thread: Thread,
}

impl State {
    fn get_up(&mut self, index: usize) {
        let sleeper = &mut self.sleepers[index];
        if !sleeper.up {
            sleeper.up = true;
            self.running += 1;
            sleeper.thread.unpark();
        }
    }

    /// Nobody can do anything at this moment: goes to the next at which somebody can.
    fn jump_if_all_wait(&mut self) {
        if self.running > 0 {
            return;
        }
        let next = self.sleepers.iter().map(|sleeper| sleeper.until).min().unwrap_or(Moment::NEVER);
        if next.is_never() {
            return;
        }
        self.now = self.now.max(next);
        for index in 0..self.sleepers.len() {
            if self.sleepers[index].until <= self.now {
                self.get_up(index);
            }
        }
    }
}

fn id(parker: &Parker) -> usize {
    std::ptr::from_ref(parker) as usize
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn park(&self, parker: &Parker, until: Moment) {
        let mut state = self.lock();
        if parker.take_wakeup() || until <= state.now {
            return;
        }
        let (parker_id, thread) = (id(parker), parker.thread().clone());
        state.sleepers.push(Sleeper { parker: parker_id, until, up: false, thread });
        state.running -= 1;
        state.jump_if_all_wait();
        loop {
            let own = state.sleepers.iter().position(|sleeper| sleeper.parker == parker_id && sleeper.up);
            if let Some(own) = own {
                state.sleepers.swap_remove(own);
                parker.take_wakeup();
                return;
            }
            drop(state);
            thread::park();
            state = self.lock();
        }
    }

    pub(super) fn wake(&self, parker: &Parker, note: impl FnOnce()) {
        let mut state = self.lock();
        note();
        if let Some(index) = state.sleepers.iter().position(|sleeper| sleeper.parker == id(parker)) {
            state.get_up(index);
        }
    }

    /// A thread goes by this clock from now on, though it may not have begun yet.
    fn join(self: &Arc<Self>) -> Inherited {
        self.lock().running += 1;
        Inherited { clock: Arc::clone(self) }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        CLOCKS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The clock of this thread, for one that it starts: counted as running from here on.
pub(super) fn inherit() -> Option<Inherited> {
    current().map(|clock| clock.join())
}

/// See [`inherit`]. Dropping it takes the thread off the clock.
pub(super) struct Inherited {
    clock: Arc<Clock>,
}

impl Inherited {
    /// Makes it this thread's clock while `f` runs.
    pub(super) fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        struct Restore(Option<Arc<Clock>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(Arc::clone(&self.clock))));
        f()
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        let mut state = self.clock.lock();
        state.running -= 1;
        state.jump_if_all_wait();
    }
}

impl SyncClock {
    /// A clock that nobody goes by yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::testing::SyncClock;
    ///
    /// assert!(SyncClock::new().elapsed().is_zero());
    /// ```
    #[expect(clippy::new_without_default, reason = "two clocks are not alike")]
    pub fn new() -> Self {
        let start = Moment::now();
        let state = Mutex::new(State { now: start, running: 0, sleepers: Vec::new() });
        CLOCKS.fetch_add(1, Ordering::Relaxed);
        Self { clock: Arc::new(Clock { start, state }) }
    }

    /// Runs `f` on this clock, and with it the threads that scopes start in it.
    ///
    /// # Panics
    ///
    /// Passes on a panic of the closure.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{blocking, testing::SyncClock};
    /// use std::time::Duration;
    ///
    /// let clock = SyncClock::new();
    /// clock.run(|| blocking::sleep(Duration::from_secs(7))).unwrap();
    /// assert_eq!(clock.elapsed(), Duration::from_secs(7));
    /// ```
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        if current().is_some_and(|clock| Arc::ptr_eq(&clock, &self.clock)) {
            return f();
        }
        self.clock.join().run(f)
    }

    /// The time that has passed on this clock since it was made.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::testing::SyncClock;
    ///
    /// let clock = SyncClock::new();
    /// std::thread::sleep(std::time::Duration::from_millis(1)); // no wait that it knows of
    /// assert!(clock.elapsed().is_zero());
    /// ```
    pub fn elapsed(&self) -> Duration {
        self.clock.lock().now.since(self.clock.start)
    }
}

impl fmt::Debug for SyncClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncClock").field("elapsed", &self.elapsed()).finish()
    }
}
