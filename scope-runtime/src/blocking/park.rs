//! A thread that waits: until it is woken, or until a moment has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::thread::{self, Thread};

use super::clock::{self, Clock};
use crate::deadline::Moment;

/// One wait of this thread, as a waker. Each wait has its own, so that a wait inside of another one's future takes no
/// wake-up away from that.
pub(super) struct Parker {
    thread: Thread,
    woken: AtomicBool,
    clock: Option<Arc<Clock>>,
}

impl Parker {
    pub(super) fn new() -> Arc<Self> {
        let (thread, woken) = (thread::current(), AtomicBool::new(false));
        Arc::new(Self { thread, woken, clock: clock::current() })
    }

    /// True once per wake-up.
    pub(super) fn take_wakeup(&self) -> bool {
        self.woken.swap(false, Ordering::SeqCst)
    }

    pub(super) fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Waits until somebody wakes this, or until the moment has come. Reads the clock that deadlines go by (rule Y3).
    ///
    /// # Panics
    ///
    /// If that clock stands still.
    pub(super) fn park_until(&self, until: Moment) {
        if let Some(clock) = &self.clock {
            return clock.park(self, until);
        }
        while !self.take_wakeup() {
            if until.is_never() {
                thread::park();
                continue;
            }
            let now = Moment::now();
            if now >= until {
                return;
            }
            let asleep_since = std::time::Instant::now();
            thread::park_timeout(until.since(now));
            // A paused clock of tokio's does not advance while blocking code runs: this wait would never end (rule L4).
            let slept_enough = asleep_since.elapsed() >= until.since(now);
            assert!(
                !slept_enough || Moment::now() != now || self.take_wakeup(),
                "blocking code waits, but tokio's clock is paused, and stands still as long as it does; \
                 test sync code on its own with `testing::SyncClock`, or run this test on real time"
            );
        }
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        match &self.clock {
            None => {
                if !self.woken.swap(true, Ordering::SeqCst) {
                    self.thread.unpark();
                }
            }
            // Before the clock can jump: who is woken is awake from now on.
            Some(clock) => clock.wake(self, || self.woken.store(true, Ordering::SeqCst)),
        }
    }
}
