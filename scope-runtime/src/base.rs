//! What a block stands on.

use crate::context::Seat;

/// What a block stands on: whatever is polled around it, or a seat of its own.
pub trait Base {
    /// The seat, if it has one.
    fn seat(&self) -> Option<&Seat>;
}

/// Wherever it is polled (rule T1).
impl Base for () {
    #[inline]
    fn seat(&self) -> Option<&Seat> {
        None
    }
}

/// The scope that a task was spawned into (rule T2).
impl Base for Seat {
    #[inline]
    fn seat(&self) -> Option<&Seat> {
        Some(self)
    }
}
