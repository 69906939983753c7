//! Every rule that rejects, and the way from what was written to what was meant.
//!
//! After a mistake, what is right about an invocation is still made a model of, so that the rest of the user's code
//! keeps its types; only where nothing can be made of it there is no model.

mod block;
mod detach;
mod function;
mod misuse;
mod options;
mod race;
mod spawn;
mod test;
#[cfg(test)]
mod tests;
mod timeouts;
mod values;

pub(crate) use block::block;
pub(crate) use detach::detach;
pub(crate) use function::{Served, function, named_runtime};
pub(crate) use race::race;
pub(crate) use spawn::{fork, spawn};
pub(crate) use test::{Test, test};
