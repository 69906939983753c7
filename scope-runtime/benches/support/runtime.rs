//! The runtimes that everything is measured on.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use super::measure::Batch;

/// Which kind of runtime.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// `current_thread`; batches run in `block_on`.
    Current,
    /// `multi_thread` with two workers; batches run in a spawned task.
    Multi,
    /// `current_thread` with a timer that is due before those of the batches. The driver of a runtime sleeps until its
    /// earliest timer: for a later one it is not woken, which takes a system call.
    CurrentWithTimer,
    /// `multi_thread` with such a timer.
    MultiWithTimer,
}

impl Flavour {
    /// The short name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Current => "ct",
            Self::Multi => "mt",
            Self::CurrentWithTimer => "ct+timer",
            Self::MultiWithTimer => "mt+timer",
        }
    }

    fn is_multi(self) -> bool {
        matches!(self, Self::Multi | Self::MultiWithTimer)
    }

    fn has_timer(self) -> bool {
        matches!(self, Self::CurrentWithTimer | Self::MultiWithTimer)
    }

    /// A new runtime, as `#[tokio::main]` would build it.
    pub(crate) fn start(self) -> Bed {
        let mut builder =
            if self.is_multi() { Builder::new_multi_thread() } else { Builder::new_current_thread() };
        let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime can be built");
        if self.has_timer() {
            let _context = runtime.enter();
            runtime.spawn(sleep(Duration::from_secs(30)));
            // The driver knows of a timer when it has gone to sleep for it.
            runtime.block_on(sleep(Duration::from_millis(20)));
        }
        Bed { runtime, flavour: self }
    }
}

/// A running runtime.
pub(crate) struct Bed {
    runtime: Runtime,
    flavour: Flavour,
}

impl Bed {
    /// Runs one batch to its end.
    pub(crate) fn run(&self, batch: Batch) -> Duration {
        if self.flavour.is_multi() {
            self.runtime.block_on(self.runtime.spawn(batch)).expect("a batch does not panic")
        } else {
            self.runtime.block_on(batch)
        }
    }
}
