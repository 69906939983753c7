//! The model as code: the user's own, plus calls of the runtime. Nothing here can fail.
//!
//! Invariants:
//! 1. Every generated name has the macro's own hygiene, so no user code can see it or be hidden by it.
//! 2. Every path starts at the runtime's, so shadowed names of the prelude do no harm.
//! 3. Code that the compiler may complain about carries the place that is to blame in the user's code.

mod block;
mod detach;
mod function;
pub(crate) mod names;
mod options;
pub(crate) mod parts;
mod race;
mod site;
mod spawn;
mod test;

pub(crate) use block::block;
pub(crate) use detach::detach;
pub(crate) use function::function;
pub(crate) use race::race;
pub(crate) use spawn::{fork, spawn};
pub(crate) use test::test;
