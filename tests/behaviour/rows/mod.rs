//! What the libraries before this one could do, row by row of `docs/seed-rows.md`; and that the page keeps its word.
//!
//! The rows of tokens are in `tokens.rs`, many of sync code in `blocking.rs`, the documents' own programs in
//! `examples/seeds`.

mod group_cancel;
mod page;
mod shared_timeouts;
mod waits_and_shields;
