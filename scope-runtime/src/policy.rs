//! What a scope can be told about its children: whether they fail it (rule F5), and how many run at once (rule F6).

use std::num::NonZeroUsize;

use crate::task::Child;

/// The policy of an ordinary scope: the first child that fails decides (rule F2).
///
/// It is the default of [`Scope<R>`](crate::Scope), and needs to be written nowhere; see [`Supervise`] for the other.
///
/// # Examples
///
/// ```
/// use scope_runtime::{FailFast, Scope, Task, spawn};
///
/// // The same as `&Scope<R>`:
/// fn helper<R>(s: &Scope<R, FailFast>) -> Task<u32> {
///     spawn!(in s, async { 7 })
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum FailFast {}

/// The policy of a scope with the option `supervise`: its children do not fail it (rule F5).
///
/// A helper that spawns into such a scope takes `&Scope<R, Supervise>`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{scope, spawn, Scope, Supervise, Task};
/// use std::num::ParseIntError;
///
/// fn parse<R>(s: &Scope<R, Supervise>, text: &'static str) -> Task<Result<u8, ParseIntError>> {
///     spawn!(in s, async { text.parse() })
/// }
///
/// let sum = scope!(supervise, |s| {
///     let (good, bad) = (parse(s, "7"), parse(s, "7x"));
///     good.await.unwrap().unwrap_or(0) + bad.await.unwrap().unwrap_or(1)
/// });
/// assert_eq!(sum.unwrap(), 8);
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub enum Supervise {}

/// One of the two.
#[diagnostic::on_unimplemented(
    message = "what a failed child does to this scope is not known",
    label = "the scope's policy is `{Self}`",
    note = "take `&Scope<R>`, or `&Scope<R, Supervise>` for a scope with `supervise`"
)]
pub trait Policy {
    /// Whether a child's failure stays with its handle.
    const SUPERVISED: bool;
}

impl Policy for FailFast {
    const SUPERVISED: bool = false;
}

impl Policy for Supervise {
    const SUPERVISED: bool = true;
}

impl<F> Child<F> {
    /// As the policy of its scope will have it.
    pub(crate) fn of_policy<P: Policy>(mut self) -> Self {
        self.supervised = P::SUPERVISED;
        self
    }
}

/// What may be written for `limit = …`: a `usize`, a `NonZeroUsize`, or an `Option` of one (rule F6).
///
/// `None` is no limit. A limit of 0 is a mistake, since no child could ever run: as a literal it does not compile,
/// else it panics where the scope is entered.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{scope, spawn};
/// use std::time::Duration;
/// use tokio::time::{Instant, sleep};
///
/// async fn run(limit: Option<usize>) -> Duration {
///     let begun = Instant::now();
///     let _ = scope!(limit = limit, {
///         for _ in 0..6 {
///             spawn!(async { sleep(Duration::from_secs(1)).await });
///         }
///     });
///     begun.elapsed()
/// }
/// assert_eq!(run(Some(2)).await, Duration::from_secs(3));
/// assert_eq!(run(None).await, Duration::from_secs(1));
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no limit",
    label = "expected a `usize`, a `NonZeroUsize`, or an `Option` of one",
    note = "write how many child tasks may run at once: `limit = 8`"
)]
pub trait IntoLimit {
    /// The limit, if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::IntoLimit;
    ///
    /// assert_eq!(8.into_limit(), Some(8));
    /// assert_eq!(None::<usize>.into_limit(), None);
    /// ```
    fn into_limit(self) -> Option<usize>;
}

impl IntoLimit for usize {
    fn into_limit(self) -> Option<usize> {
        Some(self)
    }
}

impl IntoLimit for NonZeroUsize {
    fn into_limit(self) -> Option<usize> {
        Some(self.get())
    }
}

impl<T: IntoLimit> IntoLimit for Option<T> {
    fn into_limit(self) -> Option<usize> {
        self.and_then(T::into_limit)
    }
}
