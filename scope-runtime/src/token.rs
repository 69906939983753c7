//! Cancel tokens: a named switch that is passed around by hand, for code that no scope connects.
//!
//! # Invariants
//!
//! 1. **A token that fired stays fired,** and has its place in the order in which tokens fired before anybody who waits
//!    for it is woken. So everybody names the same one.
//! 2. **Sources know nothing of their chains.** A chain holds its sources and looks at them; what waits is registered
//!    with tokio-util's token inside of each [`Leaf`], for as long as it waits. So nothing piles up in a source.
//! 3. **Looking at a token wakes nobody** and runs no user's code: it may be done under locks.

use std::borrow::Cow;
use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::cause::{Cancelled, Cause, Who};
use crate::site::{Kind, Site};
use crate::sync::atomic::AtomicU64;
use crate::sync::token::CancellationToken;

mod first_of;
mod interop;
mod run;
mod wait;

pub use first_of::{FirstOf, FirstOfError};
pub use run::TokenRun;
pub(crate) use wait::Firing;
pub use wait::TokenWait;

use interop::Follower;

/// A named switch that cancels whatever watches it: passed by hand to where no scope reaches.
///
/// Triggering a token is permanent. Clones are the same token; [`chain`](Self::chain) makes a new one that triggers when
/// either of two does. A token needs no runtime, and works across runtimes and threads.
///
/// Within a tree of scopes a scope's own cancel ([`ScopeHandle::cancel`](crate::ScopeHandle::cancel)) does the same with
/// nothing to pass around. A token is for what comes from outside: a signal handler, a connection that others own, a
/// library that takes a [`CancellationToken`] of tokio-util, which converts both ways.
///
/// | to | use |
/// | --- | --- |
/// | leave a loop | `while !token.is_triggered()`, or [`token.check()?`](Self::check) |
/// | wait for it | [`token.wait().await`](Self::wait) |
/// | bound a future that knows nothing of tokens | [`token.run(future).await`](Self::run) |
/// | bound several, the first of which is enough | [`token.first_of(futures).await`](Self::first_of) |
///
/// `Display` is the name, `Debug` is `<CancelToken: name>`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{spawn, scope, CancelToken};
/// use std::time::Duration;
/// use tokio::time::sleep;
///
/// async fn poll_the_queue(stop: CancelToken) -> u32 {
///     let mut rounds = 0;
///     while !stop.is_triggered() {
///         rounds += 1;
///         let _ = stop.run(sleep(Duration::from_secs(10))).await;
///     }
///     rounds
/// }
///
/// let stop = CancelToken::new("stop");
/// let rounds = scope!({
///     let worker = spawn!(poll_the_queue(stop.clone()));
///     sleep(Duration::from_secs(25)).await;
///     stop.trigger();
///     worker.await.unwrap()
/// });
/// assert_eq!(rounds.unwrap(), 3);
/// # }
/// ```
#[derive(Clone)]
pub struct CancelToken {
    leaf: Arc<Leaf>,
    chain: Option<Arc<Chain>>,
}

/// A switch with its name.
struct Leaf {
    name: Cow<'static, str>,
    /// [`PRIVATE`], [`SHARED`], or the place in the order in which tokens fired.
    state: AtomicU64,
    inner: CancellationToken,
}

/// Only `trigger()` can fire it: the state tells all.
const PRIVATE: u64 = 0;
/// Others hold the inner token, and may cancel that.
const SHARED: u64 = 1;
const FIRST_PLACE: u64 = 2;

/// What a chain triggers with, besides its own leaf.
struct Chain {
    /// Every leaf once, in the order in which they were chained.
    sources: Arc<[Arc<Leaf>]>,
    follower: Follower,
}

impl Leaf {
    fn fire(&self) {
        self.take_place();
        self.inner.cancel();
    }

    fn take_place(&self) {
        static NEXT_PLACE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(FIRST_PLACE);
        let place = NEXT_PLACE.fetch_add(1, Ordering::Relaxed);
        // The second of two keeps the place of the first.
        let _ = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
            (state < FIRST_PLACE).then_some(place)
        });
    }

    fn has_fired(&self) -> bool {
        self.place().is_some()
    }

    /// Its place in the order in which tokens fired; one that was cancelled through tokio-util gets it when it is first
    /// looked at.
    fn place(&self) -> Option<u64> {
        match self.state.load(Ordering::Acquire) {
            PRIVATE => None,
            SHARED if !self.inner.is_cancelled() => None,
            SHARED => {
                self.take_place();
                Some(self.state.load(Ordering::Acquire))
            }
            place => Some(place),
        }
    }

    /// From now on the inner token may be in other hands.
    fn share(&self) -> &CancellationToken {
        let _ = self.state.compare_exchange(PRIVATE, SHARED, Ordering::AcqRel, Ordering::Acquire);
        &self.inner
    }
}

impl CancelToken {
    /// A new token with a name, which errors show.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::CancelToken;
    ///
    /// let token = CancelToken::new("demo");
    /// assert_eq!(format!("{token:?}"), "<CancelToken: demo>");
    /// let named_at_run_time = CancelToken::new(format!("job {}", 7));
    /// assert_eq!(named_at_run_time.to_string(), "job 7");
    /// ```
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self::of(name.into(), PRIVATE, CancellationToken::new())
    }

    fn of(name: Cow<'static, str>, state: u64, inner: CancellationToken) -> Self {
        Self::of_leaf(Arc::new(Leaf { name, state: AtomicU64::new(state), inner }))
    }

    fn of_leaf(leaf: Arc<Leaf>) -> Self {
        Self { leaf, chain: None }
    }

    /// The token's name: what [`new`](Self::new) was given; `a:b` for a chain of `a` and `b`.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(scope_runtime::CancelToken::new("demo").name(), "demo");
    /// ```
    pub fn name(&self) -> &str {
        &self.leaf.name
    }

    /// Triggers the token, for good: every waiter is woken before this returns.
    ///
    /// A second call has no effect. Triggering a chain leaves its sources alone.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::CancelToken;
    ///
    /// let token = CancelToken::new("demo");
    /// assert!(!token.is_triggered());
    /// token.trigger();
    /// token.trigger();
    /// assert!(token.is_triggered());
    /// ```
    pub fn trigger(&self) {
        self.leaf.fire();
    }

    /// Whether the token was triggered, or, for a chain, one of its sources.
    ///
    /// Needs no runtime, and is cheap enough for a loop's condition.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::CancelToken;
    ///
    /// let stop = CancelToken::new("stop");
    /// let mut rounds = 0;
    /// while !stop.is_triggered() {
    ///     rounds += 1;
    ///     if rounds == 3 {
    ///         stop.trigger();
    ///     }
    /// }
    /// assert_eq!(rounds, 3);
    /// ```
    pub fn is_triggered(&self) -> bool {
        self.leaf.has_fired() || self.sources().iter().any(|leaf| leaf.has_fired())
    }

    /// The token that really fired: this one, or of a chain the source that fired first; `None` if none has.
    ///
    /// Sources of sources are looked through, so it is never a chain, unless somebody triggered the chain itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::CancelToken;
    ///
    /// let (a, b, c) = (CancelToken::new("a"), CancelToken::new("b"), CancelToken::new("c"));
    /// let any = a.chain(&b).chain(&c);
    /// assert!(any.fired().is_none());
    /// b.trigger();
    /// c.trigger();
    /// assert_eq!(any.fired().unwrap().name(), "b");
    /// ```
    pub fn fired(&self) -> Option<Self> {
        let leaves = std::iter::once(&self.leaf).chain(self.sources());
        let fired = leaves.filter_map(|leaf| Some((leaf.place()?, leaf)));
        let (_, leaf) = fired.min_by_key(|(place, _)| *place)?;
        Some(if Arc::ptr_eq(leaf, &self.leaf) { self.clone() } else { Self::of_leaf(Arc::clone(leaf)) })
    }

    /// Asks whether the token was triggered: the error form of [`is_triggered`](Self::is_triggered).
    ///
    /// # Errors
    ///
    /// [`Cancelled`] with the cause [`Cause::Token`]; it names the token that really fired ([`fired`](Self::fired)).
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{CancelToken, Cancelled};
    ///
    /// fn work(stop: &CancelToken) -> Result<(), Cancelled> {
    ///     loop {
    ///         stop.check()?;
    ///         stop.trigger(); // as somebody else would
    ///     }
    /// }
    /// let cancelled = work(&CancelToken::new("token-a")).unwrap_err();
    /// assert_eq!(cancelled.to_string(), "cancellation requested by token-a token");
    /// ```
    #[track_caller]
    pub fn check(&self) -> Result<(), Cancelled> {
        let Some(cause) = self.cause() else { return Ok(()) };
        let site = Site::of_call(Kind::Token, "check", Location::caller());
        Err(Cancelled::new(Who { name: site.name().into(), site }, cause))
    }

    /// What a scope that this token cancels has as its cause; `None` if it has not fired.
    pub(crate) fn cause(&self) -> Option<Cause> {
        self.fired().map(|fired| Cause::Token { name: fired.leaf.name.clone() })
    }

    /// A new token that triggers when either of two does; they themselves are left alone by it.
    ///
    /// The new one can be triggered, too. Its name is that of both: `a:b`, and `a:b:c` for a chain of a chain.
    /// [`fired`](Self::fired) tells which one it was. A chain costs its sources nothing, and leaves nothing behind in
    /// them when it is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::CancelToken;
    ///
    /// let shutdown = CancelToken::new("shutdown");
    /// let request = CancelToken::new("request").chain(&shutdown);
    /// assert_eq!(request.name(), "request:shutdown");
    ///
    /// request.trigger();
    /// assert!(!shutdown.is_triggered());
    ///
    /// let next = CancelToken::new("next").chain(&shutdown);
    /// shutdown.trigger();
    /// assert!(next.is_triggered());
    /// ```
    #[must_use = "it makes a new token, and changes neither of the two"]
    pub fn chain(&self, other: impl Into<Self>) -> Self {
        let other = other.into();
        let mut sources: Vec<Arc<Leaf>> = Vec::new();
        for token in [self, &other] {
            for leaf in std::iter::once(&token.leaf).chain(token.sources()) {
                if !sources.iter().any(|known| Arc::ptr_eq(known, leaf)) {
                    sources.push(Arc::clone(leaf));
                }
            }
        }
        let chained = Self::new(format!("{self}:{other}"));
        Self {
            chain: Some(Arc::new(Chain { sources: sources.into(), follower: Follower::default() })),
            ..chained
        }
    }

    fn sources(&self) -> &[Arc<Leaf>] {
        self.chain.as_ref().map_or(&[], |chain| &*chain.sources)
    }
}

/// A token that somebody saw while unwinding is as good as before.
impl UnwindSafe for CancelToken {}
impl RefUnwindSafe for CancelToken {}

/// A clone, for functions that take `impl Into<CancelToken>`.
///
/// # Examples
///
/// ```
/// use scope_runtime::CancelToken;
///
/// let token = CancelToken::new("demo");
/// let same = CancelToken::from(&token);
/// same.trigger();
/// assert!(token.is_triggered());
/// ```
impl From<&CancelToken> for CancelToken {
    fn from(token: &CancelToken) -> Self {
        token.clone()
    }
}

impl fmt::Display for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<CancelToken: {self}>")
    }
}
