//! What threads share, in two halves: std's locks and atomics and tokio's runtime and timers; or, for the model checker,
//! those of loom, with a runtime and a clock that it knows of (`models`).
//!
//! `Arc` is std's in both: it is used for nothing but counting. So is what is only ever set once for the whole process.

#[cfg(all(test, scope_loom))]
#[path = "sync/modelled.rs"]
mod half;

#[cfg(not(all(test, scope_loom)))]
mod half {
    pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock};
    pub(crate) use std::thread_local;

    pub(crate) mod atomic {
        pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
    }

    /// A flag for the whole process, which is down at first.
    macro_rules! flag {
        ($(#[$attribute:meta])* static $name:ident;) => {
            $(#[$attribute])*
            static $name: $crate::sync::atomic::AtomicBool = $crate::sync::atomic::AtomicBool::new(false);
        };
    }
    pub(crate) use flag;

    pub(crate) mod thread {
        pub(crate) use std::thread::yield_now;
    }

    pub(crate) mod runtime {
        pub(crate) use tokio::runtime::{Handle, Id};
        pub(crate) use tokio::task::{JoinError, JoinHandle};
    }

    pub(crate) mod token {
        pub(crate) use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
    }

    pub(crate) mod time {
        pub(crate) use tokio::time::{Sleep, sleep, sleep_until};
    }
}

pub(crate) use half::*;
