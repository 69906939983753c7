//! Finds a [`Cancelled`] in an error that a body or a child ended with: a `check()` that was passed on with `?`,
//! perhaps wrapped by others (rule W3).
//!
//! What an error wraps it shows in one of two ways. Where its type is known to be an [`Error`], the chain of sources is
//! walked. Where it may not be known yet, as in a `scope!` inside of an async block, nothing can be asked of the type but
//! what all errors can do: it is written with `{:?}`, and a `Cancelled` that is asked for its text meanwhile is heard.

use std::any::Any;
use std::cell::RefCell;
use std::error::Error;
use std::fmt::{self, Debug, Write};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cause::{Cancelled, Cause};
use crate::sync::thread_local;

/// A cancel that was found in an error, by the place of the cause that it began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(usize);

impl Signal {
    fn of(cancelled: &Cancelled) -> Self {
        Self(cancelled.origin())
    }

    /// Whether it began with this one.
    pub(crate) fn began_with(self, cancelled: &Cancelled) -> bool {
        self.0 == cancelled.origin()
    }
}

/// In the error itself, and in the chain of its sources.
pub(crate) fn in_error(error: &(dyn Error + 'static)) -> Option<Signal> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = here(error) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

fn here(error: &(dyn Error + 'static)) -> Option<Signal> {
    if let Some(cancelled) = error.downcast_ref::<Cancelled>() {
        return Some(Signal::of(cancelled));
    }
    // A transparent wrapper shows the source of what it wraps only; that of a `Cancelled` is its cause.
    if let Some(cause) = error.downcast_ref::<Cause>() {
        return Some(match cause {
            Cause::Parent(parent) => Signal::of(parent),
            cause => Signal(std::ptr::from_ref(cause).addr()),
        });
    }
    // An `io::Error` leaves itself out of the chain.
    let wrapped = error.downcast_ref::<io::Error>()?.get_ref()?;
    in_error(wrapped)
}

/// In an error of which nothing is known but that it can be kept: the wrappers that everybody uses.
pub(crate) fn in_any(error: &dyn Any) -> Option<Signal> {
    if let Some(cancelled) = error.downcast_ref::<Cancelled>() {
        return Some(Signal::of(cancelled));
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return in_error(error);
    }
    if let Some(error) = error.downcast_ref::<Box<dyn Error + Send + Sync>>() {
        return in_error(&**error);
    }
    error.downcast_ref::<Box<dyn Error + Send>>().and_then(|error| in_error(&**error))
}

thread_local! {
    static HEARD: RefCell<Option<Signal>> = const { RefCell::new(None) };
    static LISTENING: RefCell<bool> = const { RefCell::new(false) };
}

/// In whatever the error writes of itself.
pub(crate) fn in_debug(error: &dyn Debug) -> Option<Signal> {
    struct Nowhere;
    impl Write for Nowhere {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            Ok(())
        }
    }
    LISTENING.with(|listening| listening.replace(true));
    // A user's `Debug` may panic, which must not keep an error from where it goes.
    let _ = catch_unwind(AssertUnwindSafe(|| write!(Nowhere, "{error:?}")));
    LISTENING.with(|listening| listening.replace(false));
    HEARD.with(|heard| heard.replace(None))
}

/// A `Cancelled` is written: the first one that is heard counts.
pub(crate) fn heard(cancelled: &Cancelled) {
    let listening = LISTENING.try_with(|listening| *listening.borrow()).unwrap_or(false);
    if listening {
        HEARD.with(|heard| {
            heard.borrow_mut().get_or_insert(Signal::of(cancelled));
        });
    }
}
