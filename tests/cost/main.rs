//! What a scope costs: heap allocations, and the size of futures.
//!
//! The allocations are counted per thread, so other threads of the test binary may allocate as they like. A future
//! is polled by hand on the stack: nothing but itself allocates.

mod allocations;
mod sizes;
mod tokens;
