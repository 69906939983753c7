//! The scope that people hold: the typed [`Scope`] inside of a block, [`ScopeHandle`] and [`Spawner`] anywhere.

use std::any::{Any, TypeId, type_name};
use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::cause::Cause;
use crate::deadline::Moment;
use crate::failure::{ChildError, ErrorText, Suppressed};
use crate::orphan;
use crate::policy::{FailFast, Policy, Supervise};
use crate::private::Return;
use crate::signal;
use crate::site::{Kind, Site};
use crate::task::{Child, Closed, Output, Task, spawn_adopted, spawn_into};
use crate::tree::{Look, Node};

/// A reference to a scope that can be kept, cloned and sent anywhere.
///
/// It keeps nothing alive but a little memory: a scope ends when its block does. A handle of a scope that was left
/// says so ([`is_closed`](Self::is_closed)) and does nothing (rule F7).
///
/// # Examples
///
/// ```
/// # #[tokio::main]
/// # async fn main() {
/// use scope_runtime::{current, scope, ScopeHandle};
///
/// fn stop_from_elsewhere(handle: ScopeHandle) {
///     std::thread::spawn(move || handle.cancel_with("the operator said so"));
/// }
///
/// let stopped = scope!({
///     stop_from_elsewhere(current());
///     std::future::pending::<()>().await;
/// });
/// assert!(stopped.unwrap_err().to_string().contains("the operator said so"));
/// # }
/// ```
#[derive(Clone)]
pub struct ScopeHandle {
    pub(crate) node: Arc<Node>,
}

impl ScopeHandle {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// Requests cancellation of this scope and of everything in it.
    ///
    /// Bodies are dropped at their next suspension (rule D2), innermost first (rule U1). A shielded scope inside sees
    /// the request once its shield ends (rule S2). The request is permanent, and the first cause is kept (rules D3,
    /// L6). Returns true if the scope is cancelled now, by this or an earlier call, and false if it had been left
    /// (rule F7).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let cut = scope_runtime::scope!(|s| {
    ///     assert!(s.cancel());
    ///     assert!(s.cancel(), "a second call changes nothing");
    ///     std::future::pending::<()>().await;
    /// });
    /// assert!(cut.is_err());
    /// # }
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.node.cancel(Cause::Explicit { reason: None, at: Location::caller() })
    }

    /// Requests cancellation as [`cancel`](Self::cancel) does, with a reason that every error of it shows
    /// ([`Cause::Explicit`]).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let cut = scope_runtime::scope!(|s| {
    ///     s.cancel_with("no longer needed");
    ///     std::future::pending::<()>().await;
    /// });
    /// assert!(cut.unwrap_err().to_string().contains("no longer needed"));
    /// # }
    /// ```
    #[track_caller]
    pub fn cancel_with(&self, reason: impl Into<Cow<'static, str>>) -> bool {
        self.node.cancel(Cause::Explicit { reason: Some(reason.into()), at: Location::caller() })
    }

    /// Requests cancellation as [`cancel`](Self::cancel) does, without the scope's grace: it is hard at once (rule G2).
    ///
    /// After an earlier request that is still soft it ends the grace.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let cut = scope_runtime::scope!(grace = 1h, |s| {
    ///     s.cancel(); // soft: the body goes on
    ///     tokio::task::yield_now().await;
    ///     s.cancel_now();
    ///     std::future::pending::<()>().await;
    /// });
    /// assert!(cut.is_err());
    /// # }
    /// ```
    #[track_caller]
    pub fn cancel_now(&self) -> bool {
        self.node.cancel_now(Cause::Explicit { reason: None, at: Location::caller() })
    }

    /// Moves the deadline, both ways, or takes it away with `None` (rule L3).
    ///
    /// A deadline in the past fires at once. Once the scope is cancelled, or its deadline has passed, moving it
    /// changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use std::time::Duration;
    ///
    /// let done = scope_runtime::scope!(timeout = 1s, |s| {
    ///     s.set_deadline(None);
    ///     tokio::time::sleep(Duration::from_secs(60)).await;
    /// });
    /// assert!(done.is_ok());
    /// # }
    /// ```
    pub fn set_deadline(&self, deadline: impl Into<Option<Instant>>) {
        self.node.set_deadline(deadline.into().map_or(Moment::NEVER, Moment::at));
    }

    /// Turns the scope's shield on or off (rules T4, S1).
    ///
    /// Turned off while an outer scope is cancelled, it makes that cancel visible at once. For a block that is shielded
    /// as a whole there is [`shield!`](crate::shield).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::scope;
    /// use std::time::Duration;
    ///
    /// let mut saved = false;
    /// let _ = scope!(timeout = 1s, {
    ///     let _ = scope!(|s| {
    ///         s.set_shield(true);
    ///         tokio::time::sleep(Duration::from_secs(2)).await;
    ///         saved = true;
    ///     });
    /// });
    /// assert!(saved);
    /// # }
    /// ```
    pub fn set_shield(&self, shield: bool) {
        self.node.set_shield(shield);
    }

    /// Whether a cancel is visible in this scope: its own, or one from outside that no shield hides (rules T3, L5).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// let value = scope!(|outer| {
    ///     scope!(|inner| {
    ///         outer.cancel();
    ///         assert!(inner.is_cancelled());
    ///         inner.set_shield(true);
    ///         assert!(!inner.is_cancelled());
    ///     })
    /// });
    /// assert!(value.is_ok()); // no suspension, so nothing was cut
    /// # }
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.node.sees_cancel(&mut Look::new())
    }

    /// Whether this scope itself was asked to stop: by `cancel()`, or by its own deadline while it was open.
    ///
    /// A failure, which ends the scope too (rule F2), does not count; nor does a cancel from outside.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// let _ = scope!(|outer| {
    ///     scope!(|inner| {
    ///         outer.cancel();
    ///         assert!(outer.cancel_called() && !inner.cancel_called());
    ///         assert!(inner.is_cancelled());
    ///     })
    /// });
    /// # }
    /// ```
    pub fn cancel_called(&self) -> bool {
        self.node.cancel_called(&mut Look::new())
    }

    /// Whether the scope was left (rule F7).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// let handle = scope!(|s| {
    ///     assert!(!s.is_closed());
    ///     s.handle()
    /// });
    /// let handle = handle.unwrap();
    /// assert!(handle.is_closed());
    /// assert!(!handle.cancel(), "there is nothing left to cancel");
    /// # }
    /// ```
    pub fn is_closed(&self) -> bool {
        self.node.is_closed()
    }

    /// Waits until a cancel is visible in this scope, or until the scope was left (rules T3, F7).
    ///
    /// # Cancellation safety
    ///
    /// Nothing is lost if this future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::{scope, shield};
    /// use std::time::Duration;
    /// use tokio::time::Instant;
    ///
    /// let start = Instant::now();
    /// let _ = scope!(timeout = 1s, |job| {
    ///     // Work that finishes whatever happens, and hurries up when its job was cancelled:
    ///     shield!({ job.cancelled().await });
    ///     assert_eq!(start.elapsed(), Duration::from_secs(1));
    /// });
    /// # }
    /// ```
    pub async fn cancelled(&self) {
        Watch {
            node: &self.node,
            key: None,
            done: |node| node.is_closed() || node.sees_cancel(&mut Look::new()),
        }
        .await;
    }

    /// Waits until the scope's body is gone: it ended, or it was dropped; children and cleanup may still run (rule U2).
    ///
    /// # Cancellation safety
    ///
    /// Nothing is lost if this future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{scope, spawn};
    ///
    /// let mut watcher = None;
    /// scope!(|s| {
    ///     let handle = s.handle();
    ///     watcher = Some(spawn!(async move {
    ///         handle.delivered().await; // the body has ended; its scope waits for this child
    ///         handle.is_closed()
    ///     }));
    /// })
    /// .unwrap();
    /// assert_eq!(watcher.unwrap().await.unwrap(), false);
    /// # }
    /// ```
    pub async fn delivered(&self) {
        Watch { node: &self.node, key: None, done: |node| node.is_delivered() }.await;
    }

    /// Finishes a future in this scope: the scope waits for it at its boundary (rule U5).
    ///
    /// For futures that somebody else drops before they are done, as a server does with the request of a client that
    /// hung up: whoever owns such a future gives it away in its `Drop`, instead of losing it. It may have been polled
    /// before, under another scope; from now on it is a child task of this one, under its cancel, deadline and shield
    /// (rules T1, T2), and what it owes (shields, children, cleanup) is owed by this scope. Calling this cancels nothing:
    /// to let the future unwind, cancel a scope inside of it.
    ///
    /// It counts neither for `limit` nor as lost when it is cancelled (rules D6, F6), and a panic of it fails nobody: it is
    /// reported at the boundary, like a later failure (rule U5). A scope that was left hands the future to the
    /// [`root`](crate::root). This never blocks and never panics; without a runtime the future is dropped, and its loss
    /// reported.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::{scope, shield, ScopeHandle};
    /// use std::{future::Future, pin::Pin, time::Duration};
    /// use tokio::time::{sleep, timeout};
    ///
    /// struct Job {
    ///     future: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    ///     server: ScopeHandle,
    /// }
    ///
    /// impl Drop for Job {
    ///     fn drop(&mut self) {
    ///         self.server.adopt(self.future.take().unwrap());
    ///     }
    /// }
    ///
    /// let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    /// scope!(|server| {
    ///     let write = async move {
    ///         shield!({ sleep(Duration::from_secs(5)).await });
    ///         tx.send("written").unwrap();
    ///     };
    ///     let mut job = Job { future: Some(Box::pin(write)), server: server.handle() };
    ///     // Something that knows nothing of scopes stops polling it, and drops it:
    ///     let dropped = timeout(Duration::from_secs(1), job.future.as_mut().unwrap()).await;
    ///     assert!(dropped.is_err());
    /// })
    /// .unwrap();
    /// assert_eq!(rx.try_recv(), Ok("written"));
    /// # }
    /// ```
    #[track_caller]
    pub fn adopt(&self, future: impl Future<Output = ()> + Send + 'static) {
        let site = Site::of_call(Kind::Task, "adopted", Location::caller());
        if let Err(future) = spawn_adopted(&self.node, site, future) {
            orphan::run_at_root(Some(&self.node), Box::pin(future));
        }
    }

    /// The scope's own deadline, set by `timeout` or `deadline` (rule L1); an enclosing scope may have an earlier one.
    ///
    /// The one that counts is [`effective_deadline`](Self::effective_deadline).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::scope;
    /// use std::time::Duration;
    /// use tokio::time::Instant;
    ///
    /// let start = Instant::now();
    /// let limit = Duration::from_secs(10);
    /// let seen = scope!(timeout = limit, { scope!(timeout = 60s, |s| { s.deadline() }).unwrap() });
    /// assert_eq!(seen.unwrap(), Some(start + Duration::from_secs(60)));
    /// # }
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.node.deadline().instant()
    }

    /// The earliest deadline that counts here: over this scope and all visible ones around it (rule L2).
    ///
    /// Once a cancel is visible, it is an instant that is not in the future.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::scope;
    /// use std::time::Duration;
    /// use tokio::time::Instant;
    ///
    /// let start = Instant::now();
    /// let limit = Duration::from_secs(10);
    /// let seen = scope!(timeout = limit, {
    ///     scope!(timeout = 60s, |s| { s.effective_deadline() }).unwrap()
    /// });
    /// assert_eq!(seen.unwrap(), Some(start + Duration::from_secs(10)));
    /// # }
    /// ```
    pub fn effective_deadline(&self) -> Option<Instant> {
        let mut look = Look::new();
        let deadline = self.node.effective_deadline();
        let cancelled = self.node.sees_cancel(&mut look);
        effective_instant(cancelled, deadline, &mut look)
    }

    /// The time that is left until the effective deadline: `None` without one, zero once a cancel is visible
    /// (rule L2).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::scope;
    /// use std::time::Duration;
    /// use tokio::time::sleep;
    ///
    /// let _ = scope!(timeout = 10s, |s| {
    ///     sleep(Duration::from_secs(4)).await;
    ///     assert_eq!(s.remaining(), Some(Duration::from_secs(6)));
    ///     s.cancel();
    ///     assert_eq!(s.remaining(), Some(Duration::ZERO));
    /// });
    /// # }
    /// ```
    pub fn remaining(&self) -> Option<Duration> {
        let mut look = Look::new();
        let deadline = self.node.effective_deadline();
        let cancelled = self.node.sees_cancel(&mut look);
        remaining_time(cancelled, deadline, &mut look)
    }

    /// The failures that came after the first one, in the order in which they came (rule F2); in a scope with
    /// `supervise`, those of children that nobody took by the time it was left (rule F5).
    ///
    /// They are kept with the scope, and can be read after it was left.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{scope, spawn, ScopeHandle};
    /// use std::io;
    ///
    /// async fn fail(handle: &mut Option<ScopeHandle>) -> Result<(), io::Error> {
    ///     let _ = scope!(|s| {
    ///         *handle = Some(s.handle());
    ///         spawn!(name = "late", async { Err::<(), _>(io::Error::other("disk full")) });
    ///         Err::<(), _>(io::Error::other("bad input"))?; // the first failure: it leaves
    ///     });
    ///     Ok(())
    /// }
    /// let mut handle = None;
    /// assert_eq!(fail(&mut handle).await.unwrap_err().to_string(), "bad input");
    /// assert_eq!(handle.unwrap().suppressed()[0].to_string(), "late failed: disk full");
    /// # }
    /// ```
    pub fn suppressed(&self) -> Vec<Suppressed> {
        self.node.suppressed()
    }

    /// The scope's name: what `name = …` said, the function's name, or "scope".
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// assert_eq!(scope!(name = "job", |s| { s.name() }).unwrap(), "job");
    /// assert_eq!(scope!(|s| { s.name() }).unwrap(), "scope");
    /// # }
    /// ```
    pub fn name(&self) -> Cow<'static, str> {
        self.node.name()
    }

    /// Where the scope is written (rule W1).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{scope, Kind};
    ///
    /// let site = scope!(|s| { s.site() }).unwrap();
    /// assert_eq!((site.file(), site.kind()), (file!(), Kind::Scope));
    /// # }
    /// ```
    pub fn site(&self) -> &'static Site {
        self.node.site()
    }
}

impl fmt::Debug for ScopeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeHandle")
            .field("name", &self.name())
            .field("cancelled", &self.is_cancelled())
            .field("closed", &self.is_closed())
            .finish()
    }
}

pub(crate) fn effective_instant(cancelled: bool, deadline: Moment, look: &mut Look) -> Option<Instant> {
    if cancelled { deadline.min(look.now()).instant() } else { deadline.instant() }
}

pub(crate) fn remaining_time(cancelled: bool, deadline: Moment, look: &mut Look) -> Option<Duration> {
    if cancelled {
        return Some(Duration::ZERO);
    }
    (!deadline.is_never()).then(|| deadline.since(look.now()))
}

/// Waits for a state of a node.
struct Watch<'a> {
    node: &'a Node,
    key: Option<usize>,
    done: fn(&Node) -> bool,
}

impl Future for Watch<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Register, then look (invariant 3 of the tree).
        let this = &mut *self;
        this.node.watch(&mut this.key, cx.waker());
        if (this.done)(this.node) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.node.unwatch(key);
        }
    }
}

/// A scope as its own block sees it, by `|s|` or `scope = s`: every method of [`ScopeHandle`], and spawning.
///
/// `R` is the return type of the function around the block: a failed child is converted into it (rule F4). A helper
/// that spawns into its caller's scope takes `&Scope<R>` and uses `spawn!(in s, …)`. `P` is the policy: [`FailFast`],
/// or [`Supervise`] in a scope with that option (rule F5).
///
/// It can't leave its block:
///
/// ```compile_fail,E0597
/// # async fn f() {
/// let mut escaped = None;
/// let _ = scope_runtime::scope!(|s| {
///     escaped = Some(s);
/// });
/// drop(escaped);
/// # }
/// ```
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{scope, spawn, Scope, Task};
///
/// fn helper<R>(s: &Scope<R>) -> Task<u32> {
///     spawn!(in s, async { 7 })
/// }
///
/// let seven = scope!(|s| { helper(s).await.unwrap() });
/// assert_eq!(seven.unwrap(), 7);
/// # }
/// ```
pub struct Scope<R, P = FailFast> {
    // Boxed, so that it adds one word to the future that it stands in.
    inner: Box<Inner<R>>,
    policy: PhantomData<P>,
}

struct Inner<R> {
    handle: OnceLock<ScopeHandle>,
    converters: Mutex<Vec<(TypeId, Converter<R>)>>,
}

type Converter<R> = fn(Box<dyn Any + Send>) -> R;

impl<R> Scope<R> {
    #[doc(hidden)]
    pub fn new(_site: &'static Site, _ret: Return<R>) -> Self {
        Self::with_policy()
    }
}

impl<R> Scope<R, Supervise> {
    #[doc(hidden)]
    pub fn supervise(_site: &'static Site, _ret: Return<R>) -> Self {
        Self::with_policy()
    }
}

impl<R, P> Scope<R, P> {
    fn with_policy() -> Self {
        let inner = Inner { handle: OnceLock::new(), converters: Mutex::new(Vec::new()) };
        Self { inner: Box::new(inner), policy: PhantomData }
    }

    /// The node, made by the options of the block before its body runs.
    pub(crate) fn init(&self, node: Arc<Node>) {
        let _ = self.inner.handle.set(ScopeHandle::new(node));
    }

    /// A handle that can be kept, cloned and sent, to threads and out of the block.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// let stopped = scope!(|s| {
    ///     let handle = s.handle();
    ///     let thread = std::thread::Builder::new().spawn(move || handle.cancel_with("from a thread")).unwrap();
    ///     assert!(thread.join().unwrap());
    ///     std::future::pending::<()>().await;
    /// });
    /// assert!(stopped.unwrap_err().to_string().contains("from a thread"));
    /// # }
    /// ```
    pub fn handle(&self) -> ScopeHandle {
        ScopeHandle::clone(self)
    }

    pub(crate) fn convert_with<E: 'static>(&self)
    where
        R: FromFailure<E>,
    {
        self.keep_converter(TypeId::of::<E>(), |error| R::from_failure(*downcast::<E>(error)));
    }

    fn keep_converter(&self, error: TypeId, converter: Converter<R>) {
        let mut converters = self.inner.converters.lock().unwrap_or_else(PoisonError::into_inner);
        if !converters.iter().any(|(known, _)| *known == error) {
            converters.push((error, converter));
        }
    }

    /// The function's value for a child's error.
    pub(crate) fn convert(&self, error: Box<dyn Any + Send>) -> R {
        let id = (*error).type_id();
        let converters = self.inner.converters.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, convert) =
            *converters.iter().find(|(of, _)| *of == id).expect("every fallible spawn adds one");
        drop(converters);
        convert(error)
    }
}

impl<R: ReturnType> Scope<R> {
    /// A spawner that can be kept, cloned and sent; its errors are those of the function around the scope.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let value = scope_runtime::scope!(|s| {
    ///     let spawner = s.spawner();
    ///     spawner.spawn(async { 7 }).unwrap().await.unwrap()
    /// });
    /// assert_eq!(value.unwrap(), 7);
    /// # }
    /// ```
    pub fn spawner(&self) -> Spawner<R::Error> {
        self.keep_converter(TypeId::of::<R::Error>(), |error| R::from_error(*downcast(error)));
        Spawner { handle: self.handle(), error: PhantomData }
    }
}

impl<R> Scope<R, Supervise> {
    /// A spawner that can be kept, cloned and sent; its children do not fail the scope either (rule F5).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let text = scope_runtime::scope!(supervise, |s| {
    ///     let task = s.spawner().spawn(async { "7x".parse::<u8>() }).unwrap();
    ///     task.await.unwrap().unwrap_err().to_string()
    /// });
    /// assert_eq!(text.unwrap(), "invalid digit found in string");
    /// # }
    /// ```
    pub fn spawner(&self) -> Spawner<Infallible, Supervise> {
        Spawner { handle: self.handle(), error: PhantomData }
    }
}

fn downcast<E: 'static>(error: Box<dyn Any + Send>) -> Box<E> {
    error.downcast().expect("converters are kept by the type of the error")
}

/// A return type as a [`Spawner`] sees it: which error it carries (rule F4).
///
/// Known for `Result<T, E>`, and with [`Infallible`] for `()`, `Option<T>` and plain values of std. Implement it for a
/// return type of your own to use [`Scope::spawner`] in functions that have it.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{scope, ReturnType};
/// use std::convert::Infallible;
///
/// struct Answer(u8);
///
/// impl ReturnType for Answer {
///     type Error = Infallible; // it carries none: children must be plain
///
///     fn from_error(error: Infallible) -> Self {
///         match error {}
///     }
/// }
///
/// async fn answer() -> Answer {
///     let seven = scope!(|s| { s.spawner().spawn(async { 7_u8 }).unwrap().await.unwrap() });
///     Answer(seven.unwrap())
/// }
/// assert_eq!(answer().await.0, 7);
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "a scope in a function that returns `{Self}` has no `spawner()`",
    note = "use `spawn!(in s, …)`, or let the function return `()` or a `Result`"
)]
pub trait ReturnType {
    /// The error that the function can return: that of [`Scope::spawner`]'s `Spawner`.
    type Error: Send + 'static;

    /// The return value for an error.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::ReturnType;
    ///
    /// assert_eq!(Result::<u8, &str>::from_error("late"), Err("late"));
    /// ```
    fn from_error(error: Self::Error) -> Self;
}

impl<T, E: Send + 'static> ReturnType for Result<T, E> {
    type Error = E;

    fn from_error(error: E) -> Self {
        Err(error)
    }
}

impl<R, P> Deref for Scope<R, P> {
    type Target = ScopeHandle;

    fn deref(&self) -> &ScopeHandle {
        self.inner.handle.get().expect("a scope is entered before its body runs")
    }
}

impl<R, P> fmt::Debug for Scope<R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.inner.handle.get()).finish()
    }
}

/// A function's return type that can carry a child's error of type `E` (rule F4).
///
/// Known for `Result<T, E2>` with `E2: From<E>`, as for `?`. It is what decides whether a fallible child compiles:
///
/// ```compile_fail,E0277
/// # use scope_runtime::{scope, spawn};
/// async fn no_place_for_an_error() {
///     let _ = scope!({ spawn!(async { "7x".parse::<u8>() }); });
/// }
/// ```
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{scope, spawn};
/// use std::error::Error;
///
/// async fn parse() -> Result<(), Box<dyn Error + Send + Sync>> {
///     let _ = scope!({ spawn!(async { "7x".parse::<u8>() }); });
///     Ok(())
/// }
/// assert_eq!(parse().await.unwrap_err().to_string(), "invalid digit found in string");
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "the function around this scope returns `{Self}`, which can't carry the child's error `{E}`",
    label = "this child's output is a `Result`, so it can fail the scope",
    note = "let the function return `Result<_, X>` with `X: From<{E}>`, or handle the error inside the child"
)]
pub trait FromFailure<E> {
    /// The return value for a failed child.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::FromFailure;
    ///
    /// assert_eq!(Result::<u8, String>::from_failure("late"), Err("late".to_owned()));
    /// ```
    fn from_failure(error: E) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T, E, E2: From<E>> FromFailure<E> for Result<T, E2> {
    fn from_failure(error: E) -> Self {
        Err(E2::from(error))
    }
}

/// Spawns into a scope from anywhere: `Clone + Send + Sync + 'static` (rule F7).
///
/// Got from [`Scope::spawner`]; `E` is the error type of the function around the scope
/// ([`Infallible`] where it has none). In the block itself [`spawn!`](crate::spawn) is shorter and takes every type.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::io::Error> {
/// use scope_runtime::scope;
///
/// scope!(|s| {
///     let spawner = s.spawner();
///     let task = spawner.spawn(async { Ok::<_, std::io::Error>(5) }).unwrap();
///     assert_eq!(task.await?, 5);
/// })?;
/// # Ok(())
/// # }
/// ```
pub struct Spawner<E, P = FailFast> {
    handle: ScopeHandle,
    error: PhantomData<fn() -> (E, P)>,
}

impl<E: Send + 'static, P: Policy> Spawner<E, P> {
    /// Spawns a child task into the scope.
    ///
    /// An output `Result<T, E2>` with `E: From<E2>` makes the child fallible (rule F4), any other output is the
    /// task's value; for outputs that [`ChildOutput`] doesn't know, `spawn!(in s, …)` takes every type.
    ///
    /// # Errors
    ///
    /// [`Closed`] gives the future back if the scope was left.
    ///
    /// # Panics
    ///
    /// If there is no tokio runtime here, and there was none where the scope was opened.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{scope, Spawner};
    /// use std::io;
    ///
    /// fn from_elsewhere(spawner: Spawner<io::Error>) {
    ///     // An error of this child fails the scope, and leaves the function around it.
    ///     drop(spawner.spawn(async { Err::<(), _>(io::Error::other("disk full")) }));
    /// }
    ///
    /// async fn serve() -> io::Result<()> {
    ///     Ok(scope!(|s| { from_elsewhere(s.spawner()) })?)
    /// }
    /// assert_eq!(serve().await.unwrap_err().to_string(), "disk full");
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn<F, O>(&self, future: F) -> Result<Task<O::Value>, Closed<F>>
    where
        F: Future<Output = O> + Send + 'static,
        O: ChildOutput<E, P>,
    {
        self.spawn_child(Child::new(Site::of_call(Kind::Task, "", Location::caller()), future))
    }

    /// Spawns a child task with a name, for errors and events; else as [`spawn`](Self::spawn).
    ///
    /// # Errors
    ///
    /// [`Closed`] gives the future back if the scope was left.
    ///
    /// # Panics
    ///
    /// If there is no tokio runtime here, and there was none where the scope was opened.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// let name = scope!(|s| {
    ///     let task = s.spawner().spawn_named("fetch", async { 7 }).unwrap();
    ///     task.name()
    /// });
    /// assert_eq!(name.unwrap(), "fetch");
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_named<F, O>(
        &self,
        name: impl Into<Cow<'static, str>>,
        future: F,
    ) -> Result<Task<O::Value>, Closed<F>>
    where
        F: Future<Output = O> + Send + 'static,
        O: ChildOutput<E, P>,
    {
        self.spawn_child(Child::new(Site::of_call(Kind::Task, "", Location::caller()), future).name(name))
    }

    #[track_caller]
    fn spawn_child<F, O>(&self, child: Child<F>) -> Result<Task<O::Value>, Closed<F>>
    where
        F: Future<Output = O> + Send + 'static,
        O: ChildOutput<E, P>,
    {
        spawn_into(&self.handle.node, child.of_policy::<P>(), |output| {
            let text = |name: &str| ErrorText { text: name.to_owned(), source: None };
            let error = output.error().map(|(name, error)| (text(name), signal::in_any(error)));
            match (output.into_value(), error) {
                (Ok(value), None) => Output::Value(value),
                (Ok(value), Some((text, signal))) => Output::Error { value, text, signal },
                (Err(error), _) => {
                    let (text, signal) = (text(type_name::<E>()), signal::in_any(&error));
                    Output::Failure(ChildError { text, signal, error: Box::new(error) })
                }
            }
        })
    }

    /// A handle of the scope that it spawns into.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// let spawner = scope!(|s| { s.spawner() }).unwrap();
    /// assert!(spawner.handle().is_closed());
    /// # }
    /// ```
    pub fn handle(&self) -> ScopeHandle {
        self.handle.clone()
    }
}

impl<E, P> Clone for Spawner<E, P> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone(), error: PhantomData }
    }
}

impl<E, P> fmt::Debug for Spawner<E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spawner").field(&self.handle).finish()
    }
}

/// What a child of a [`Spawner<E>`] may end with: a `Result` whose error becomes an `E`, or a plain value (rule F4).
///
/// Known for `Result<T, E2>` with `E: From<E2>`, and for `()`, `Option`, `Vec`, `Box`, tuples and plain values of std.
/// Implement it for an output of your own, or spawn with `spawn!(in s, …)`, which takes every type.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{scope, ChildOutput};
///
/// struct Page(&'static str);
///
/// impl<E> ChildOutput<E> for Page {
///     type Value = Self;
///
///     fn into_value(self) -> Result<Self, E> {
///         Ok(self) // a plain value: it can't fail the scope
///     }
/// }
///
/// let page = scope!(|s| { s.spawner().spawn(async { Page("hello") }).unwrap().await.unwrap() });
/// assert_eq!(page.unwrap().0, "hello");
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "a child with the output `{Self}` can't be spawned through a `Spawner<{E}>`",
    note = "a fallible child needs `{E}: From<its error>`; another output can be had with `spawn!(in s, …)`, or be put into a `Vec` or an `Option`"
)]
pub trait ChildOutput<E, P = FailFast> {
    /// The value of the task's handle.
    type Value: Send + 'static;

    /// The value, or the failure.
    ///
    /// # Errors
    ///
    /// The child's error, converted.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::ChildOutput;
    ///
    /// let failed: Result<u8, String> = <_ as ChildOutput<_>>::into_value(Err::<u8, _>("late"));
    /// assert_eq!(failed, Err("late".to_owned()));
    /// let plain: Result<u8, String> = <_ as ChildOutput<_>>::into_value(7_u8);
    /// assert_eq!(plain, Ok(7));
    /// ```
    fn into_value(self) -> Result<Self::Value, E>;

    /// The error that this output is, with the name of its type, if it stays with the handle: where nobody takes it from
    /// there, it is reported (rule F5).
    ///
    /// None by default, and for all that can fail the scope.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{ChildOutput, Supervise};
    /// use std::convert::Infallible;
    ///
    /// let failed: Result<u8, String> = Err("late".to_owned());
    /// let (name, error) = ChildOutput::<Infallible, Supervise>::error(&failed).unwrap();
    /// assert_eq!((name, error.downcast_ref()), ("alloc::string::String", Some(&"late".to_owned())));
    /// ```
    fn error(&self) -> Option<(&'static str, &dyn Any)> {
        None
    }
}

impl<T: Send + 'static, E2, E: From<E2>> ChildOutput<E> for Result<T, E2> {
    type Value = T;

    fn into_value(self) -> Result<T, E> {
        self.map_err(E::from)
    }
}

impl<T: Send + 'static, E2: Send + 'static, E> ChildOutput<E, Supervise> for Result<T, E2> {
    type Value = Self;

    fn into_value(self) -> Result<Self, E> {
        Ok(self)
    }

    fn error(&self) -> Option<(&'static str, &dyn Any)> {
        self.as_ref().err().map(|error| (type_name::<E2>(), error as &dyn Any))
    }
}

macro_rules! plain_values {
    ($([$($generics:tt)*] $ty:ty),* $(,)?) => {
        $(impl<$($generics)*> ReturnType for $ty {
            type Error = Infallible;

            fn from_error(error: Infallible) -> Self {
                match error {}
            }
        }

        impl<E, P, $($generics)*> ChildOutput<E, P> for $ty {
            type Value = Self;

            fn into_value(self) -> Result<Self, E> {
                Ok(self)
            }
        })*
    };
}

plain_values! {
    [] (), [] bool, [] char, [] String, [] &'static str,
    [] u8, [] u16, [] u32, [] u64, [] u128, [] usize,
    [] i8, [] i16, [] i32, [] i64, [] i128, [] isize, [] f32, [] f64,
    [T: Send + 'static] Option<T>, [T: Send + 'static] Vec<T>, [T: Send + 'static] Box<T>,
    [A: Send + 'static, B: Send + 'static] (A, B),
    [A: Send + 'static, B: Send + 'static, C: Send + 'static] (A, B, C),
}
