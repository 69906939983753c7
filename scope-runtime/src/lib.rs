//! Cancel scopes for tokio.

mod ambient;
mod boundary;
mod cause;
mod cleanup;
mod context;
mod deadline;
mod event;
mod failure;
mod orphan;
mod scope;
mod site;
mod task;
mod tree;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
use __private as private;

pub use crate::ambient::{cancelled, check, checkpoint, current, effective_deadline, fail_after, is_cancelled, move_on_after, remaining, try_current, FailAfter, GuestFuture, InScope, MoveOnAfter};
pub use crate::cause::{Cancelled, Cause};
pub use crate::cleanup::{Guard, defer, guard, try_defer};
pub use crate::deadline::{IntoDeadline, IntoTimeout};
pub use crate::failure::Suppressed;
pub use crate::orphan::root;
pub use crate::scope::{ChildOutput, FromFailure, Scope, ScopeHandle, Spawner};
pub use crate::site::{Kind, Site};
pub use crate::task::{Closed, Task};
pub use scope_macros::cancel_scope;

/// scope
#[macro_export]
macro_rules! scope {
    (@expanded $($t:tt)*) => { $($t)* };
    ($($t:tt)*) => { $crate::__private::macros::__scope! { [$crate] $($t)* } };
}

/// shield
#[macro_export]
macro_rules! shield {
    (@expanded $($t:tt)*) => { $($t)* };
    ($($t:tt)*) => { $crate::__private::macros::__shield! { [$crate] $($t)* } };
}

/// spawn
#[macro_export]
macro_rules! spawn {
    ($($t:tt)*) => { $crate::__private::macros::__spawn! { [$crate] $($t)* } };
}
