//! **Cancel scopes for tokio: structured concurrency as a language of blocks.**
//!
//! A *scope* is a block of async code with a cancel switch, an optional deadline and a set of child tasks. Control
//! enters at the top and leaves at the bottom, and when it has left, *nothing that was started inside is still
//! running*: no task, no half-done cleanup.
//!
//! ```
//! use scope_runtime::{cancel_scope, scope, shield, spawn, Cancelled};
//! # use std::{io, time::Duration};
//! # async fn fetch(id: u32) -> io::Result<String> { tokio::time::sleep(Duration::from_millis(5)).await; Ok(format!("page {id}")) }
//! # async fn save(pages: &[String]) -> io::Result<()> { Ok(()) }
//!
//! #[cancel_scope(timeout = "3s")]                    // the whole function: 3 seconds for everything in it
//! async fn crawl(ids: &[u32]) -> io::Result<usize> {
//!     let tasks: Vec<_> = ids.iter().map(|&id| spawn!(fetch(id))).collect(); // run in parallel, as tokio tasks
//!     let mut pages = Vec::new();
//!     for task in tasks {
//!         let page = scope!(timeout = 250ms, { task.await? });   // `?` leaves the scope and the function
//!         match page {
//!             Ok(page) => pages.push(page),
//!             Err(cancelled) => println!("skipped: {cancelled}"),
//!         }
//!     }
//!     shield!({ save(&pages).await? });              // finishes even if the 3 seconds pass meanwhile
//!     Ok(pages.len())
//! }
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() { assert_eq!(crawl(&[1, 2, 3]).await.unwrap(), 3); }
//! ```
//!
//! # A tour
//!
//! **Open a scope** with [`#[cancel_scope]`](cancel_scope) on an async function, with an inline [`scope!`] block, or
//! around a future with [`fail_after`] and [`move_on_after`]. A `scope!` is a block, not a closure: `?`, `return`,
//! `break` and `continue` inside mean what they mean without it. Its value is `Result<T, Cancelled>`: `scope!(…)?` is
//! Trio's `fail_after`, `scope!(…).ok()` its `move_on_after`.
//!
//! **Bound it** with `timeout = 3s` or `deadline = instant`. Deadlines nest: [`remaining()`] is what is left over all
//! enclosing scopes, whoever opened them.
//!
//! **Start children** with [`spawn!`]: tokio tasks that the scope waits for. The first that fails cancels the others,
//! and its error leaves the scope as if the body had used `?` on it, converted with `From`.
//!
//! **Stay in the task** with [`fork!`]: children that are polled next to the body, and may borrow. [`race!`] takes the
//! first of several futures, [`try_join!`] all or the first error; both await what they cancel.
//!
//! **Cancel** from anywhere with a [`ScopeHandle`] ([`current()`], or `|s|`). A cancel is a level, not an edge, and is
//! delivered at a suspension: a result that is ready is never thrown away.
//!
//! **Protect** what must finish with [`shield!`]; **clean up** with [`defer`] and [`guard()`]: async cleanup that runs on
//! every way out, shielded, innermost scope first, while the locals of the outer bodies are still alive.
//!
//! **On threads**, the same attribute works on a `fn`, and [`blocking_scope!`] is the `scope!` of sync code; its children
//! come from [`spawn_blocking!`], which also runs blocking code in async scopes. A cancel is delivered by [`check()`] and
//! the waits of [`blocking`].
//!
//! **Ask why**: every [`Cancelled`] says which scope, what cause and where, down to the root cause:
//! `fetch (src/a.rs:12) cancelled: parent ingest (src/b.rs:7) passed its deadline of 3s`.
//!
//! **Try what a cancel breaks**: [`#[test(every_await)]`](macro@test), with the feature `test-util`, runs a test once for each
//! of its suspensions, cancelled there.
//!
//! # Lifecycle of a scope
//!
//! ```text
//!   enter         body is polled          boundary                                        left
//!     │ options     │   spawn!, defer       │ body ended, or dropped by a delivery          │
//!     ▼             ▼                       ▼                                               ▼
//!  ───●─────────────●───────────────────────●── children end ── cleanup, last first ────────●── code behind
//!                                           ▲            (both alternate until empty)
//!                     cancel, deadline,     │
//!                     failure ──────────────┘   at the next suspension, innermost scope first
//! ```
//!
//! # Semantics
//!
//! The rules have numbers, which the items of this page cite and the tests carry in their names. The whole text is in
//! `docs/semantics.md`.
//!
//! | rules | what they say | where |
//! | --- | --- | --- |
//! | T1–T6 | a scope's parent is the one that polls it; a child task belongs to the scope that it was spawned into; a foreign task starts outside | [`current`], [`spawn!`], [`detach!`], [`InScope`] |
//! | D1–D7 | the code before the first suspension runs; delivery only at a suspension, completion wins; level-triggered; a foreign cancel is not absorbed; an own one is | [`scope!`], [`check`] |
//! | U1–U5 | innermost first; children, then cleanup, on every way out; what is dropped from outside is adopted | [`defer`], [`guard()`], [`root`] |
//! | F1–F9 | a boundary waits for all children; the first failure decides and leaves with its own type; later ones are reported; children that fail nobody, that wait for their turn, that run on threads | [`spawn!`], [`fork!`], [`race!`], [`try_join!`], [`spawn_blocking!`], [`Task`], [`Spawner`], [`Suppressed`], [`Supervise`], [`IntoLimit`] |
//! | L1–L6 | timeouts count from entry; the effective deadline is the earliest visible one; the first cause stays | [`remaining`], [`ScopeHandle::set_deadline`] |
//! | S1, S2 | a shield hides outer cancels; the code behind it runs to its next suspension | [`shield!`] |
//! | G1, G2 | a cancel can be soft for a while: seen by who asks, before bodies are dropped | [`check`], [`ScopeHandle::cancel_now`] |
//! | B1–B3 | cancels that go up, over to other scopes, or come from a future | [`scope!`], [`IntoLinks`] |
//! | W1–W4 | every `Cancelled` names scope, cause and place, chains to the root cause, is recognised in other errors, and says where it landed | [`Cancelled`], [`Cause`], [`AwaitSite`] |
//! | Y1–Y3 | sync code: delivery by `check()` and the waits, threads that borrow, deadlines without a timer | [`blocking`], [`blocking_scope!`], [`spawn_blocking!`] |
//! | tokens | a named switch, passed by hand; what it cancels is awaited; the error names the one that fired | [`CancelToken`] |
//!
//! # Cancel safety
//!
//! Inside a scope, code is cancelled only by dropping it at an `.await` that is pending, as everywhere in tokio. What
//! the scopes add is order and completeness: inner scopes first, children before the boundary is left, cleanup in
//! between. A scope's own future may be dropped at any time by code that knows nothing of scopes (`select!`,
//! `tokio::time::timeout`, `abort`): then its children are cancelled, and children and cleanup are adopted by the
//! enclosing scope or by the [`root`] (rule U5).
//!
//! # Panics
//!
//! A panic in a body, a child or a cleanup cancels the scope, waits for everything in it, and is then resumed at the
//! boundary with its original payload (rule F2).
//!
//! # Limits
//!
//! * A `scope!` body is an async block that borrows: `let x;` outside and `x = …` inside does not compile, nor does a
//!   conditional `return Ok(&mut self.x)` that is followed by another use of `self`. What the body moves, in a `return` as
//!   elsewhere, is moved into the block at once: `return Ok(std::mem::take(&mut lines))` keeps `lines` for the code
//!   behind it. A shared borrow of something that is not `Sync` makes the future `!Send`.
//! * `?` on an `Option` in an async block without a type annotation is taken for one on a `Result`; so is the output of a
//!   child whose type is only known from later code.
//! * While a scope in one branch of a `join!` holds back the drop of an outer body, the other branches run on
//!   (rule D3).
//! * An await that never suspends again, or blocking code, is not cancelled: use [`check()`].

mod ambient;
mod base;
mod beside;
pub mod blocking;
mod boundary;
mod cause;
mod cleanup;
mod context;
mod deadline;
mod event;
#[cfg(feature = "test-util")]
mod every_await;
mod failure;
mod fork;
mod hosted;
mod landing;
mod link;
#[cfg(all(test, scope_loom))]
mod models;
mod orphan;
mod policy;
mod poll_stack;
mod race;
mod scope;
mod signal;
mod site;
mod sync;
mod task;
mod timer;
mod token;
mod tree;
mod values;
mod watch;

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
use crate::__private as private;

pub use crate::ambient::{
    FailAfter, GuestFuture, InScope, MoveOnAfter, cancelled, check, checkpoint, current, effective_deadline,
    fail_after, is_cancelled, move_on_after, remaining, try_current,
};
pub use crate::blocking::cleanup::{BlockingGuard, defer_blocking, guard_blocking};
pub use crate::cause::{Cancelled, Cause};
pub use crate::cleanup::{Guard, defer, guard, try_defer};
pub use crate::deadline::{IntoDeadline, IntoTimeout};
pub use crate::failure::Suppressed;
pub use crate::landing::AwaitSite;
pub use crate::link::IntoLinks;
pub use crate::orphan::root;
pub use crate::policy::{FailFast, IntoLimit, Supervise};
pub use crate::private::FromCancelled;
pub use crate::scope::{ChildOutput, FromFailure, ReturnType, Scope, ScopeHandle, Spawner};
pub use crate::site::{Kind, Site};
pub use crate::task::{Closed, Task};
pub use crate::token::{CancelToken, FirstOf, FirstOfError, TokenRun, TokenWait};
pub use crate::values::{CancelFuture, ChildFuture, IntoError, IntoName, IntoToken, ScopeRef};

/// What tests of your own need.
pub mod testing {
    pub use crate::blocking::clock::SyncClock;
    #[cfg(feature = "test-util")]
    pub use crate::every_await::{every_await, finally, once};
    #[doc(hidden)]
    pub use crate::tree::census::{count_nodes, describe, live_nodes};
}

/// Makes the body of a function, async or not, a cancel scope.
///
/// Works on functions and methods of every shape: generics, lifetimes, `&mut self`, `impl Trait`, trait impls,
/// `Box::pin(async move { … })`; together with `#[tokio::main]`, `#[tokio::test]`, `#[async_trait]` and
/// `#[tracing::instrument]`, in either order. Signature and other attributes stay untouched.
///
/// On a `fn` that is not async it means the same for sync code (rule Y1): a cancel is delivered by [`check()`] and the
/// waits of [`blocking`], deadlines need no runtime, and [`spawn_blocking!`] starts threads that may borrow the
/// parameters. A sync function that returns a future is rejected, unless its last line is `Box::pin(async move { … })`.
///
/// # Options
///
/// Each at most once; expressions are evaluated in the order written, at entry, with the parameters in sight.
///
/// | option | meaning |
/// | --- | --- |
/// | `timeout = 3s`, `"1m30s"`, an expression | a `Duration` or `Option<Duration>`, counted from entry (rule L1) |
/// | `deadline = expr` | tokio's or std's `Instant`, or an `Option` of one |
/// | `shield`, `shield = expr` | outer cancels and deadlines are not seen inside (rule S1) |
/// | `name = "…"`, an expression | the name in errors and events; the function's name by default |
/// | `grace = 5s` | a cancel is soft for so long: `check()` and its like see it, bodies go on (rule G1) |
/// | `cooperative` | a grace without end: only code that asks is stopped (rule G1) |
/// | `cleanup_timeout = 2s` | bounds the whole cleanup of this scope (rule U3) |
/// | `error = expr` | what a cancel of this scope is displayed as, and below it (rule W2) |
/// | `bubble`, `bubble = expr` | an own cancel of a scope below cancels this one, too (rule B1) |
/// | `link = handle`, `link = (a, b)` | scopes that are cancelled when this one is (rule B2) |
/// | `cancel_on = future` | cancels the scope when the future is ready (rule B3) |
/// | `token = expr` | cancels the scope when a [`CancelToken`] is triggered, or a token of tokio-util (rule B3) |
/// | `limit = n` | a `usize`, a `NonZeroUsize` or an `Option` of one: so many child tasks run at once (rule F6) |
/// | `supervise` | children do not fail the scope (rule F5) |
/// | `fallback = expr`, `\|cancelled\| expr` | what the function returns if its scope was cancelled |
/// | `scope = s` | names the scope: `s: &Scope<…>` in the body |
/// | `crate = ::path` | where the runtime is, if it is re-exported |
///
/// # Return value
///
/// The function's own. If the scope absorbs a cancel (rule D5), a function that returns `()` returns; one that returns
/// `Result<_, E>` with `E: From<Cancelled>` returns the error; any other needs `fallback`, or does not compile. An `Err`
/// that leaves the function cancels the children first (rule U4); a failed child leaves as the function's `Err`
/// (rule F4).
///
/// # Panics
///
/// An async function with a deadline panics outside a tokio runtime, naming the scope; so does one with a limit of 0. Panics of the body and of children are
/// resumed at the boundary (rule F2).
///
/// # Cancellation safety
///
/// An async function's future is a boundary: if it is dropped, rule U5 holds.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::cancel_scope;
/// use std::{io, time::Duration};
///
/// #[cancel_scope(timeout = "1s")]
/// async fn slow() -> io::Result<()> {
///     tokio::time::sleep(Duration::from_secs(60)).await;
///     Ok(())
/// }
/// assert_eq!(slow().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
///
/// #[cancel_scope(timeout = limit, fallback = 0)]
/// async fn count(limit: Duration) -> u32 {
///     std::future::pending().await
/// }
/// assert_eq!(count(Duration::from_millis(10)).await, 0);
/// # }
/// ```
///
/// A return type that can't say "cancelled" needs a `fallback`:
///
/// ```compile_fail,E0277
/// #[scope_runtime::cancel_scope(timeout = "1s")]
/// async fn count() -> u32 {
///     7
/// }
/// ```
///
/// # The options by example
///
/// How long: `timeout`, `deadline`, and `cleanup_timeout` for what comes behind them. With `shield` only these count, and
/// not those of outer scopes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{cancel_scope, defer, Cancelled};
/// use std::{future::pending, time::Duration};
/// use tokio::time::{sleep, Instant};
///
/// #[cancel_scope(deadline = until, cleanup_timeout = 1s, shield)]
/// async fn listen(until: Instant) -> Result<(), Cancelled> {
///     defer(pending()); // hangs, and is given up a second later
///     sleep(Duration::from_secs(3600)).await;
///     Ok(())
/// }
/// let start = Instant::now();
/// assert!(listen(start + Duration::from_secs(5)).await.is_err());
/// assert_eq!(start.elapsed(), Duration::from_secs(6));
/// # }
/// ```
///
/// How gently: `grace` lets bodies go on for a while, `cooperative` for as long as they don't ask.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{cancel_scope, cancelled, check, Cancelled};
/// use std::{future::pending, time::Duration};
/// use tokio::time::{sleep, Instant};
///
/// #[cancel_scope(timeout = "10s", grace = 2s)]
/// async fn serve() -> Result<u32, Cancelled> {
///     cancelled().await; // take no new requests…
///     sleep(Duration::from_secs(1)).await; // …and finish those in flight, in two seconds at most
///     Ok(7)
/// }
/// assert_eq!(serve().await.unwrap(), 7);
///
/// #[cancel_scope(timeout = "10s", cooperative)]
/// async fn migrate() -> Result<(), Cancelled> {
///     loop {
///         sleep(Duration::from_secs(4)).await; // a step is never torn in half
///         check()?;
///     }
/// }
/// let start = Instant::now();
/// assert!(migrate().await.unwrap_err().is_timeout());
/// assert_eq!(start.elapsed(), Duration::from_secs(12));
/// # }
/// ```
///
/// Who else: `bubble` and `link` cancel other scopes with one, `cancel_on` and `token` cancel this one.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{cancel_scope, scope, spawn, CancelToken, Cause, ScopeHandle};
/// use std::{future::pending, time::Duration};
/// use tokio::time::sleep;
///
/// #[cancel_scope(link = group, timeout = "1s")]
/// async fn member(group: ScopeHandle) {
///     pending::<()>().await;
/// }
/// let group = scope!(|group| {
///     spawn!(member(group.handle())); // its timeout is the end of the group
///     pending::<()>().await;
/// });
/// assert!(matches!(group.unwrap_err().cause(), Cause::Link(_)));
///
/// let all = scope!(bubble, {
///     spawn!(async {
///         // The cancel of any scope below is that of all.
///         let _ = scope!(timeout = 1s, { pending::<()>().await });
///     });
///     pending::<()>().await;
/// });
/// assert!(matches!(all.unwrap_err().cause(), Cause::Bubble(_)));
///
/// let stop = CancelToken::new("stop");
/// let until = sleep(Duration::from_secs(1));
/// let either = scope!(token = &stop, cancel_on = until, { pending::<()>().await });
/// assert!(matches!(either.unwrap_err().cause(), Cause::CancelOn));
/// # }
/// ```
///
/// What is told: `name` and `error` are for the reader of an error, `scope` for the body, `fallback` for the caller.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::cancel_scope;
/// use std::future::pending;
///
/// #[cancel_scope(
///     name = format!("job {id}"),
///     error = "the job was withdrawn",
///     scope = s,
///     fallback = |cancelled| format!("{} ended: {cancelled}", cancelled.scope_name()),
/// )]
/// async fn job(id: u32) -> String {
///     s.cancel();
///     pending().await
/// }
/// assert_eq!(job(7).await, "job 7 ended: the job was withdrawn");
/// # }
/// ```
///
/// Which children: `limit` says how many run at once; in a `supervise` scope a child's error stays with its handle.
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{cancel_scope, scope, spawn, Cancelled};
/// use std::time::Duration;
/// use tokio::time::{sleep, Instant};
///
/// #[cancel_scope(limit = 2, supervise)]
/// async fn parse_all(words: Vec<String>) -> Result<usize, Cancelled> {
///     let tasks: Vec<_> = words
///         .into_iter()
///         .map(|word| spawn!(async move { sleep(Duration::from_secs(1)).await; word.parse::<u32>() }))
///         .collect();
///     let mut good = 0;
///     for task in tasks {
///         good += usize::from(task.await?.is_ok());
///     }
///     Ok(good)
/// }
/// let start = Instant::now();
/// assert_eq!(parse_all(vec!["1".into(), "x".into(), "3".into()]).await.unwrap(), 2);
/// assert_eq!(start.elapsed(), Duration::from_secs(2));
/// # }
/// ```
pub use scope_macros::cancel_scope;

/// Runs an async test on paused time, and, with `every_await`, once more for each of its suspensions, cancelled there.
///
/// It stands in place of `#[tokio::test(start_paused = true)]`, and needs the feature `test-util`, which belongs under
/// `[dev-dependencies]`. The body is a scope, so that [`spawn!`] and [`fork!`] work in it. Behind each run nothing may be
/// alive, and every cleanup must have run: [`testing::every_await`] says what is asked, what is a suspension, and where the
/// limits are. [`testing::finally`] is for the test's own assertions behind a cancel.
///
/// The function is async, without parameters; it returns what a test may, `()` or `Result<(), E>` mostly. An `Err` of a
/// run that was not cancelled fails the test.
///
/// # Options
///
/// | option | meaning |
/// | --- | --- |
/// | `every_await` | a run for each suspension, cancelled there, after one that is not |
/// | `crate = ::path` | where the runtime is, if it is re-exported |
///
/// # Panics
///
/// With what is wrong, and at which suspension: `cancelled at suspension 2 of 5, at src/jobs.rs:12: `self.send(&job)`: …`.
/// A test that cancels its own scope, with `current().cancel()` for one, has no result, and fails: it opens a `scope!` for
/// that.
///
/// # Examples
///
/// A job stays in the queue until it is done, so that a cancel in the middle of it loses none. Were it taken out in front
/// of the `await`, the test would fail, "cancelled at suspension 1 of 2":
///
/// ```
/// use scope_runtime::testing;
/// use std::{cell::RefCell, rc::Rc, time::Duration};
///
/// type Jobs = Rc<RefCell<Vec<&'static str>>>;
///
/// async fn work(jobs: Jobs, done: Jobs) {
///     while let Some(job) = { jobs.borrow().last().copied() } {
///         tokio::time::sleep(Duration::from_secs(1)).await;
///         jobs.borrow_mut().pop();
///         done.borrow_mut().push(job);
///     }
/// }
///
/// #[scope_runtime::test(every_await)]
/// async fn no_job_is_lost() {
///     let (jobs, done) = (Jobs::default(), Jobs::default());
///     jobs.borrow_mut().extend(["a", "b"]);
///     testing::finally({
///         let (jobs, done) = (jobs.clone(), done.clone());
///         move || assert_eq!(jobs.borrow().len() + done.borrow().len(), 2)
///     });
///     work(jobs, done).await;
/// }
/// ```
#[cfg(feature = "test-util")]
pub use scope_macros::test;

/// Needs the feature `test-util`, which belongs under `[dev-dependencies]`.
#[cfg(not(feature = "test-util"))]
pub use scope_macros::__test_without_feature as test;

/// A block that is a cancel scope: `scope!(options, { body })`.
///
/// It awaits in place, like `select!` and `join!`, and has the value `Result<T, Cancelled>`, `T` being the body's
/// value; with `fallback = …` it has the value `T`. `?`, `return`, `break` and `continue` inside leave the scope, in
/// good order, and go where they point: out of the enclosing function or loop.
///
/// The options are those of [`#[cancel_scope]`](cancel_scope), without `scope` and `crate`; `scope!(options, |s| { … })`
/// names the scope: `s: &`[`Scope`]. In the parenthesised form rustfmt and rust-analyzer treat the body as code;
/// `scope! { stmt; expr }` works, too.
///
/// # Errors
///
/// `Err(Cancelled)` if the scope absorbed a cancel of its own: its deadline, [`ScopeHandle::cancel`] (rules D5, D6). A
/// cancel from outside is never absorbed: no code behind the block runs (rule D4). A child's error is not the value:
/// it leaves the function (rule F2).
///
/// # Panics
///
/// With a deadline outside a tokio runtime, or with a limit of 0. Panics of the body and of children are resumed here
/// (rule F2).
///
/// # Cancellation safety
///
/// The block is a boundary: if the future around it is dropped, rule U5 holds.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::scope;
/// use std::{io, time::Duration};
///
/// async fn read(line: &str) -> io::Result<u32> {
///     tokio::time::sleep(Duration::from_millis(line.len() as u64)).await;
///     line.parse().map_err(io::Error::other)
/// }
///
/// async fn sum(lines: &[&str]) -> io::Result<u32> {
///     let mut sum = 0;
///     for line in lines {
///         let value = scope!(timeout = 5ms, name = "line", {
///             if line.is_empty() {
///                 continue; // goes on with the loop
///             }
///             read(line).await? // leaves the function
///         });
///         match value {
///             Ok(value) => sum += value,
///             Err(cancelled) => assert!(cancelled.is_timeout()),
///         }
///     }
///     Ok(sum)
/// }
/// assert_eq!(sum(&["1", "", "20", "far too long"]).await.unwrap(), 21);
/// assert!(sum(&["x"]).await.is_err());
/// # }
/// ```
///
/// The other ways to write it:
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::scope;
/// use std::future::pending;
///
/// // With a name for the scope, in the body: `s: &Scope<_>`.
/// let stopped = scope!(|s| {
///     s.cancel_with("enough");
///     pending::<()>().await
/// });
/// assert!(stopped.is_err());
///
/// // With a fallback the value is plain; control flow works in it.
/// for late in [true, false] {
///     let value = scope!(timeout = 1s, fallback = continue, { if late { pending().await } else { 7 } });
///     assert_eq!(value, 7);
/// }
/// let text = scope!(timeout = 1s, fallback = |cancelled| cancelled.to_string(), { pending::<String>().await });
/// assert!(text.ends_with("deadline of 1s passed"));
///
/// // As statements, without options.
/// let sum = scope! {
///     let a = 3;
///     a + 4
/// };
/// assert_eq!(sum.unwrap(), 7);
/// # }
/// ```
#[macro_export]
macro_rules! scope {
    (@expanded $($t:tt)*) => { $($t)* };
    ($($t:tt)*) => { $crate::__private::macros::__scope! { [$crate] $($t)* } };
}

/// A block of sync code that is a cancel scope: `blocking_scope!(options, { body })`.
///
/// What [`scope!`] is in async code: it has the value `Result<T, Cancelled>`, or `T` with `fallback = …`; `?`, `return`,
/// `break` and `continue` inside leave the scope and go where they point. It works on every thread, inside or outside
/// of a runtime, nested in other scopes of sync code by itself, and in those of async code through
/// [`spawn_blocking!`] (rule Y1). The options are those of `scope!`, without `cancel_on` and `token`.
///
/// Sync code can't be dropped. A cancel is delivered where the body asks for it: by [`check()`] and the waits of
/// [`blocking`], as an error that `?` carries here. If the error wraps it, it is recognised all the same.
///
/// # Errors
///
/// `Err(Cancelled)` if the body ended with the scope's own cancel, or if that cut a child (rules D5, D6). A cancel from
/// outside leaves the enclosing function as the error that it is. A child's error leaves it, too (rule F2).
///
/// # Panics
///
/// Panics of the body and of children are resumed here (rule F2).
///
/// # Examples
///
/// ```
/// use scope_runtime::{blocking, blocking_scope, check, Cancelled};
/// use std::time::Duration;
///
/// fn search(haystack: &[u32], needle: u32) -> Result<Option<usize>, Cancelled> {
///     let found = blocking_scope!(timeout = 10s, name = "search", {
///         for (index, straw) in haystack.iter().enumerate() {
///             check()?; // leaves the scope, if it was cancelled
///             if *straw == needle {
///                 return Ok(Some(index)); // leaves the function
///             }
///         }
///     });
///     found.map(|()| None)
/// }
/// assert_eq!(search(&[1, 2, 3], 2).unwrap(), Some(1));
/// assert_eq!(search(&[1, 2, 3], 4).unwrap(), None);
/// ```
#[macro_export]
macro_rules! blocking_scope {
    (@expanded $($t:tt)*) => { $($t)* };
    ($($t:tt)*) => { $crate::__private::macros::__blocking_scope! { [$crate] $($t)* } };
}

/// A block that finishes whatever is cancelled outside of it: `shield!({ body })`.
///
/// Outer cancels and deadlines are not seen inside (rule S1). When the block has ended, the code behind it runs on to
/// its next suspension, and there the cancel is delivered (rule S2). It has the block's own value, and control flow
/// crosses it. It opens no cancel switch: [`current()`] inside is the enclosing scope's handle. It is a boundary:
/// children that it spawned and cleanup that it registered end with it, and a failed child leaves the function. A
/// shield that can be cancelled, or that has a deadline, is `scope!(shield, timeout = …, { … })`.
///
/// # Panics
///
/// Panics of the body and of children are resumed here (rule F2).
///
/// # Cancellation safety
///
/// A shield holds against scopes, not against code that drops futures: then rule U5 holds. A shield that nobody polls
/// any more is given up 5 seconds after an outer scope was cancelled (rule U1a).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{scope, shield};
/// use std::time::Duration;
/// use tokio::time::sleep;
///
/// let mut committed = false;
/// let late = scope!(timeout = 10ms, {
///     shield!({ sleep(Duration::from_millis(50)).await });
///     committed = true;
///     sleep(Duration::from_millis(1)).await; // delivered here
///     unreachable!();
/// });
/// assert!(late.is_err() && committed);
/// # }
/// ```
#[macro_export]
macro_rules! shield {
    (@expanded $($t:tt)*) => { $($t)* };
    ($($t:tt)*) => { $crate::__private::macros::__shield! { [$crate] $($t)* } };
}

/// Spawns a child task into the scope that it is written in: `spawn!(future)`, a [`Task`].
///
/// The child is a tokio task: it runs in parallel, and is `Send + 'static`. Its scope waits for it, always (rule F1),
/// and its cancel, deadline and shield are the child's (rule T2). The task may be dropped without a warning.
///
/// | form | meaning |
/// | --- | --- |
/// | `spawn!(future)` | a child of the innermost scope that is written around it |
/// | `spawn!(name = "…", future)` | with a name for errors and events |
/// | `spawn!(background, future)` | the boundary does not wait for it: it is cancelled when all others have ended (rule F8) |
/// | `spawn!(skip_if_cancelled, future)` | does not start if the scope is cancelled already: looked at here, and at its first poll |
/// | `spawn!(in s, future)` | a child of the scope `s: &Scope<R>`, or `&Scope<R, Supervise>` |
///
/// A child whose output is `Result<T, E>` is fallible: `Ok(v)` goes to the handle, `Err(e)` fails the scope and leaves
/// the enclosing function as its own error, converted with `From` (rule F4). Any other output goes to the handle as it
/// is. From anywhere else, spawn with a [`Spawner`].
///
/// In a scope with `supervise` the task has the child's output as it is, a `Result` included, and no child fails the scope
/// (rule F5). In one with `limit = n`, a child may have to wait for its turn, and never starts if the scope is cancelled
/// before (rule F6).
///
/// # Panics
///
/// If no tokio runtime is running. A child that panics fails its scope, which resumes the panic (rule F2).
///
/// # Cancellation safety
///
/// The child is cancelled with its scope, at its next suspension. One that is spawned into a cancelled scope runs to
/// its first suspension (rules D1, F7).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{cancel_scope, spawn};
/// use std::num::ParseIntError;
///
/// #[derive(Debug)]
/// enum Error { Parse(ParseIntError), Cancelled }
/// impl From<ParseIntError> for Error { fn from(e: ParseIntError) -> Self { Error::Parse(e) } }
/// impl From<scope_runtime::Cancelled> for Error { fn from(_: scope_runtime::Cancelled) -> Self { Error::Cancelled } }
///
/// #[cancel_scope]
/// async fn sum(words: Vec<String>) -> Result<u32, Error> {
///     let tasks: Vec<_> = words.into_iter().map(|word| spawn!(async move { word.parse::<u32>() })).collect();
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await?;
///     }
///     Ok(sum)
/// }
/// assert_eq!(sum(vec!["1".into(), "2".into()]).await.unwrap(), 3);
/// // The child's own error, not the `Cancelled` of its handle:
/// assert!(matches!(sum(vec!["1".into(), "x".into()]).await, Err(Error::Parse(_))));
/// # }
/// ```
///
/// The other forms:
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{scope, spawn, Scope, Task};
/// use std::{future::pending, time::Duration};
/// use tokio::time::{sleep, Instant};
///
/// /// Spawns into its caller's scope, and leaves.
/// fn download<R>(s: &Scope<R>, page: u32) -> Task<()> {
///     spawn!(in s, name = format!("page {page}"), sleep(Duration::from_secs(1)))
/// }
///
/// let start = Instant::now();
/// let group = scope!(|group| {
///     spawn!(background, pending::<()>()); // nobody waits for it
///     assert_eq!(download(group, 7).name(), "page 7");
/// });
/// assert!(group.is_ok());
/// assert_eq!(start.elapsed(), Duration::from_secs(1));
///
/// let cancelled = scope!(|group| {
///     group.cancel();
///     spawn!(skip_if_cancelled, async { unreachable!("it is not even begun") });
/// });
/// assert!(cancelled.is_err());
/// # }
/// ```
#[macro_export]
macro_rules! spawn {
    ($($t:tt)*) => { $crate::__private::macros::__spawn! { [$crate] $($t)* } };
}

/// Runs a closure on a thread of its own, as a child of the scope that it is written in: `spawn_blocking!(closure)`, a
/// [`Task`].
///
/// The scope waits for it (rule F1). Scope, deadline and shield are the child's context (rule T2): [`check()`],
/// [`remaining()`], [`current()`], sync scopes and the waits of [`blocking`] inside see its scope's cancel.
///
/// | written in | the child | its value |
/// | --- | --- | --- |
/// | async code | runs on tokio's blocking pool; `Send + 'static` | `task.await` |
/// | a sync scope | runs on a thread that may borrow from outside of the scope, like `std::thread::scope` (rule Y2); in an annotated function, its parameters | [`task.join()`](Task::join) |
///
/// | form | meaning |
/// | --- | --- |
/// | `spawn_blocking!(closure)` | a child of the innermost scope that is written around it |
/// | `spawn_blocking!(name = "…", closure)` | with a name for errors and events, and for the thread |
/// | `spawn_blocking!(background, closure)` | the boundary does not wait for it: it is cancelled when all others have ended (rule F8) |
/// | `spawn_blocking!(abandon, closure)` | for code that never asks: a hard cancel leaves its thread to the [`root`]; the handle says `Cancelled`, the result is dropped (rule F9); `Send + 'static` |
/// | `spawn_blocking!(in s, closure)` | a child of the scope `s: &Scope<R>`; `Send + 'static` |
///
/// A child whose output is `Result<T, E>` is fallible, as with [`spawn!`] (rule F4); an error that wraps a cancel that it
/// was told of is no failure.
///
/// # Panics
///
/// If the system can't start a thread. A child that panics fails its scope, which resumes the panic (rule F2).
///
/// # Cancellation safety
///
/// A thread can't be killed: the child ends when it asks, with [`check()`] or a wait. One that never asks makes its
/// boundary wait (rule F9). Where no runtime is known there is no root: nobody counts a thread that was abandoned there.
///
/// # Examples
///
/// ```
/// use scope_runtime::{blocking_scope, spawn_blocking};
///
/// let words = vec!["one".to_owned(), "two".to_owned()];
/// let lengths = blocking_scope!({
///     let tasks: Vec<_> = words.iter().map(|word| spawn_blocking!(move || word.len())).collect();
///     tasks.into_iter().map(|task| task.join().unwrap()).sum::<usize>()
/// });
/// assert_eq!(lengths.unwrap(), 6);
/// ```
///
/// In async code:
///
/// ```
/// # #[tokio::main]
/// # async fn main() {
/// use scope_runtime::{blocking, cancel_scope, spawn_blocking, Cancelled};
/// use std::time::Duration;
///
/// #[cancel_scope(timeout = "20ms")]
/// async fn late() -> Result<(), Cancelled> {
///     let task = spawn_blocking!(|| blocking::sleep(Duration::from_secs(3600))); // ends with the scope
///     task.await
/// }
/// assert!(late().await.unwrap_err().is_timeout());
/// # }
/// ```
///
/// The other forms:
///
/// ```
/// # #[tokio::main]
/// # async fn main() {
/// use scope_runtime::{blocking, root, scope, spawn_blocking};
/// use std::{sync::mpsc, time::Duration};
///
/// let (press, key) = mpsc::channel::<()>();
/// let cancelled = scope!(|s| {
///     // It asks, so it ends with the scope, which does not wait for it otherwise.
///     spawn_blocking!(background, || while blocking::sleep(Duration::from_millis(1)).is_ok() {});
///     // It never asks, and nobody can make it: the scope leaves it behind.
///     spawn_blocking!(abandon, move || drop(key.recv()));
///     s.cancel();
/// });
/// assert!(cancelled.is_err());
/// assert_eq!(root::count(), 1); // still there
/// drop(press);
/// root::wait_idle().await;
/// # }
/// ```
#[macro_export]
macro_rules! spawn_blocking {
    ($($t:tt)*) => { $crate::__private::macros::__spawn_blocking! { [$crate] $($t)* } };
}

/// Starts a task that outlives its scope: the explicit leak, a plain `tokio::spawn` with tokio's `JoinHandle`.
///
/// `tokio::spawn` written out in a scope's body does not compile, since it is mostly a mistake; this says that it is meant.
/// The task starts outside of every scope (rule T5). To let it know of one, put its future [`in_scope`](InScope::in_scope).
///
/// # Panics
///
/// Outside a tokio runtime, as `tokio::spawn` does.
///
/// # Cancellation safety
///
/// No scope cancels the task, and none waits for it.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{detach, scope, try_current};
/// use std::time::Duration;
/// use tokio::time::{Instant, sleep};
///
/// let begun = Instant::now();
/// let outliving = scope!({
///     detach!(async {
///         sleep(Duration::from_secs(5)).await;
///         try_current().is_none()
///     })
/// });
/// assert_eq!(begun.elapsed(), Duration::ZERO); // nobody waited
/// assert!(outliving.unwrap().await.unwrap());
/// # }
/// ```
#[macro_export]
macro_rules! detach {
    ($($t:tt)*) => { $crate::__private::macros::__detach! { [$crate] $($t)* } };
}

/// Starts a child that runs concurrently inside the host task: `fork!(future)`, a [`Task`].
///
/// It is a child of the block that it is written in, `scope!`, `shield!` or a `#[cancel_scope]` function, like one from
/// [`spawn!`]: the boundary waits for it (rule F1), cancels reach it, its error leaves the function converted with `From`
/// (rules F2, F4), its handle can be dropped. But it is polled by the boundary, next to the body, and not by a task of its
/// own. So it may borrow what was declared before the scope, in an annotated function the parameters, and need be neither
/// `Send` nor `'static`; and it does not run in parallel. The future around is `Send` exactly when its forks are.
///
/// | | |
/// | --- | --- |
/// | `fork!(future)` | |
/// | `fork!(name = "fetch", future)` | the name that errors and reports show |
/// | `fork!(background, future)` | the boundary does not wait for it, but cancels it at the end (rule F8) |
/// | `fork!(skip_if_cancelled, future)` | does not start if the scope is cancelled already: looked at here, and at its first poll |
///
/// In loops and closures of the body it starts one fork each time. A fork that is started is polled in the same pass
/// (rule D1). What a local of the *body* owns it can't borrow; move that into it: `async move { … }`.
///
/// # Errors
///
/// The `Task` resolves to [`Cancelled`] if the fork was cut, or failed (rule F3). An `Err` of the fork itself leaves the
/// enclosing function (rule F2).
///
/// # Panics
///
/// Panics of the fork are resumed at the boundary (rule F2).
///
/// # Cancellation safety
///
/// The scope owns the fork: dropping the `Task` changes nothing. If the future of the scope is dropped from outside, the
/// fork is dropped in place, and what it registered is adopted (rule U5).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{cancel_scope, fork};
/// use std::{io, time::Duration};
/// use tokio::time::{sleep, Instant};
///
/// async fn get(host: &str, path: &str) -> io::Result<String> {
///     sleep(Duration::from_secs(1)).await;
///     Ok(format!("{host}{path}"))
/// }
///
/// #[cancel_scope(timeout = "3s")]
/// async fn pages(host: &str, paths: &[&str]) -> io::Result<Vec<String>> {
///     let tasks: Vec<_> = paths.iter().map(|path| fork!(get(host, path))).collect(); // at once, and by reference
///     let mut pages = Vec::new();
///     for task in tasks {
///         pages.push(task.await?);
///     }
///     Ok(pages)
/// }
/// let start = Instant::now();
/// assert_eq!(pages("a.org", &["/x", "/y"]).await.unwrap(), ["a.org/x", "a.org/y"]);
/// assert_eq!(start.elapsed(), Duration::from_secs(1));
/// # }
/// ```
///
/// A fork that borrows from the body would outlive it:
///
/// ```compile_fail,E0373
/// # async fn f() {
/// let _ = scope_runtime::scope!({
///     let name = String::from("dropped with the body");
///     scope_runtime::fork!(async { name.len() });
/// });
/// # }
/// ```
#[macro_export]
macro_rules! fork {
    ($($t:tt)*) => { $crate::__private::macros::__fork! { [$crate] $($t)* } };
}

/// Runs futures at once, and has the value of the first: `race!(a, b, …)`.
///
/// The arms are expressions of futures with one output. They are evaluated in order, in the code around, so that `?` in
/// them is that code's. The first that is ready wins, and its output is the value; if the output is a `Result`, the first
/// `Ok` wins, and if all fail, the last error is the value. Then the others are *cancelled and awaited*: what they opened
/// unwinds, their children end and their cleanup runs, before the value is there (rules F3, U2). With `select!` a loser is
/// dropped, and what it had begun is left to others.
///
/// The arms are polled in the host task, in the order written, which decides between those that are ready together. They
/// may borrow, and need be neither `Send` nor `'static`. An arm that is itself a `spawn!(…)`, or `spawn!(name = …, …)`,
/// runs in parallel: its output, not its handle, takes part.
///
/// A race is a scope, but opens no cancel switch: [`current()`] in an arm is the scope around. It works outside of scopes
/// as well. When all arms are needed, there is [`try_join!`].
///
/// # Errors
///
/// The last error, if all arms fail. There is no error for "cancelled": a cancel from outside unwinds all arms, and no
/// code behind the race runs (rule D4). Once it is won, the value is kept, whatever is cancelled meanwhile (rule D2).
///
/// # Panics
///
/// A panic of an arm cancels the others, and is resumed when they have ended (rule F2). A race with a spawned arm panics
/// outside a tokio runtime.
///
/// # Cancellation safety
///
/// It is a boundary: if its future is dropped, rule U5 holds. Losing is a cancel: what is lost in an arm that is dropped
/// at an `.await` is lost with it.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{defer, race};
/// use std::{io, sync::mpsc, time::Duration};
/// use tokio::time::sleep;
///
/// async fn fetch(mirror: &str, seconds: u64, log: mpsc::Sender<String>) -> io::Result<String> {
///     let bye = format!("{mirror} closed");
///     defer(async move {
///         sleep(Duration::from_secs(1)).await; // a loser says goodbye, too
///         log.send(bye).unwrap();
///     });
///     sleep(Duration::from_secs(seconds)).await;
///     Ok(format!("page of {mirror}"))
/// }
///
/// let (tx, log) = mpsc::channel();
/// let page = race!(
///     fetch("slow.org", 9, tx.clone()),
///     fetch("quick.org", 2, tx),
///     async { Err(io::Error::other("not even tried")) },
/// );
/// assert_eq!(page.unwrap(), "page of quick.org");
/// assert_eq!(log.try_iter().count(), 2); // both have closed
/// # }
/// ```
#[macro_export]
macro_rules! race {
    ($($t:tt)*) => { $crate::__private::macros::__race! { [$crate] $($t)* } };
}

/// Runs futures at once, and has all their values, or the first error: `try_join!(a, b, …)`.
///
/// The value is `Result<(A, B, …), E>`; every arm gives a `Result` with the same `E`. After the first error the other arms
/// are *cancelled and awaited*, cleanup included, and only then is the error there (rule F2). Errors of those that fail as
/// they unwind are reported like later failures. Otherwise the arms are those of [`race!`]: expressions of futures that are
/// evaluated in the code around, that may borrow, and of which a `spawn!(…)` runs in parallel.
///
/// # Errors
///
/// The first error of an arm. A cancel from outside is none: it unwinds all arms, and no code behind runs (rule D4).
///
/// # Panics
///
/// A panic of an arm cancels the others, and is resumed when they have ended (rule F2). With a spawned arm it panics
/// outside a tokio runtime.
///
/// # Cancellation safety
///
/// It is a boundary: if its future is dropped, rule U5 holds.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> std::io::Result<()> {
/// use scope_runtime::{spawn, try_join};
/// use std::{io, time::Duration};
/// use tokio::time::{sleep, Instant};
///
/// async fn load(name: &str) -> io::Result<usize> {
///     sleep(Duration::from_secs(1)).await;
///     if name.is_empty() { Err(io::Error::other("no name")) } else { Ok(name.len()) }
/// }
///
/// let name = String::from("user");
/// let start = Instant::now();
/// let (user, orders) = try_join!(load(&name), spawn!(load("orders")))?;
/// assert_eq!((user, orders), (4, 6));
/// assert_eq!(start.elapsed(), Duration::from_secs(1));
///
/// let failed = try_join!(load(""), async { Ok(std::future::pending::<()>().await) });
/// assert_eq!(failed.unwrap_err().to_string(), "no name");
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! try_join {
    ($($t:tt)*) => { $crate::__private::macros::__try_join! { [$crate] $($t)* } };
}

/// The code of the pages is compiled and run by the tests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/semantics.md")]
    struct Semantics;
    #[doc = include_str!("../../docs/coming-from.md")]
    struct ComingFrom;
}
