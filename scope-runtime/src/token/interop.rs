//! To and from tokio-util's [`CancellationToken`].
//!
//! A token *is* a `CancellationToken` with a name, so a conversion shares the switch. A chain has a switch of its own,
//! which its sources know nothing of: once tokio-util's side may look at it, a [`Relay`] throws it when a source fires.
//! It needs no task: it is the waker of futures that wait for the sources.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Wake, Waker};

use super::{CancelToken, Leaf, SHARED};
use crate::sync::token::{CancellationToken, WaitForCancellationFutureOwned};

impl CancelToken {
    /// A token of tokio-util under a name of its own; triggering either shows on the other.
    ///
    /// `CancelToken::from(token)` does the same under the name `tokio`.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::CancelToken;
    /// use tokio_util::sync::CancellationToken;
    ///
    /// let theirs = CancellationToken::new();
    /// let ours = CancelToken::from_tokio("shutdown", theirs.clone());
    /// theirs.cancel();
    /// assert_eq!(ours.check().unwrap_err().to_string(), "cancellation requested by shutdown token");
    /// ```
    pub fn from_tokio(name: impl Into<Cow<'static, str>>, token: CancellationToken) -> Self {
        Self::of(name.into(), SHARED, token)
    }
}

/// The same switch under the name `tokio`: triggering either shows on the other. For a name of your own there is
/// [`CancelToken::from_tokio`].
///
/// # Examples
///
/// ```
/// use scope_runtime::CancelToken;
/// use tokio_util::sync::CancellationToken;
///
/// let theirs = CancellationToken::new();
/// let ours = CancelToken::from(theirs.clone());
/// ours.trigger();
/// assert!(theirs.is_cancelled());
/// ```
impl From<CancellationToken> for CancelToken {
    fn from(token: CancellationToken) -> Self {
        Self::from_tokio("tokio", token)
    }
}

/// The same as for a token that is given away.
///
/// # Examples
///
/// ```
/// use scope_runtime::CancelToken;
/// use tokio_util::sync::CancellationToken;
///
/// let theirs = CancellationToken::new();
/// let either = CancelToken::new("ours").chain(&theirs); // takes `impl Into<CancelToken>`
/// theirs.cancel();
/// assert!(either.is_triggered());
/// ```
impl From<&CancellationToken> for CancelToken {
    fn from(token: &CancellationToken) -> Self {
        token.clone().into()
    }
}

/// The same switch for code that knows tokio-util: triggering either shows on the other.
///
/// What is made from a *chain* follows its sources as long as a clone of the chain is alive, and costs them nothing
/// afterwards: keep the chain for as long. To give it away for good, convert it by value.
///
/// # Examples
///
/// ```
/// use scope_runtime::CancelToken;
/// use tokio_util::sync::CancellationToken;
///
/// let (shutdown, request) = (CancelToken::new("shutdown"), CancelToken::new("request"));
/// let either = request.chain(&shutdown);
/// let theirs = CancellationToken::from(&either);
/// shutdown.trigger();
/// assert!(theirs.is_cancelled());
/// ```
impl From<&CancelToken> for CancellationToken {
    fn from(token: &CancelToken) -> Self {
        let inner = token.leaf.share().clone();
        if let Some(chain) = &token.chain {
            let relay = Relay::new(token);
            chain.follower.0.get_or_init(|| relay.register());
            relay.wake();
        }
        inner
    }
}

/// The same switch for code that knows tokio-util: triggering either shows on the other.
///
/// What is made from a *chain* stays registered with its sources until one of them fires or it is cancelled itself,
/// since tokio-util does not tell when its last clone is gone. Where sources outlive many chains, as a shutdown token
/// outlives requests, convert a reference; or cancel the new token when it is no longer needed, as its
/// [`drop_guard`](CancellationToken::drop_guard) does.
///
/// # Examples
///
/// ```
/// use scope_runtime::CancelToken;
/// use tokio_util::sync::CancellationToken;
///
/// let shutdown = CancelToken::new("shutdown");
/// let theirs = CancellationToken::from(CancelToken::new("server").chain(&shutdown));
/// shutdown.trigger();
/// assert!(theirs.is_cancelled());
/// ```
impl From<CancelToken> for CancellationToken {
    fn from(token: CancelToken) -> Self {
        let inner = token.leaf.share().clone();
        if token.chain.is_some() {
            let relay = Relay::new(&token);
            let registered = relay.register();
            *relay.lock() = registered;
            relay.wake();
        }
        inner
    }
}

/// Waits for all leaves of a chain; dropping it takes it off them.
type Registered = Vec<Pin<Box<WaitForCancellationFutureOwned>>>;

/// What keeps a chain's relay registered as long as the chain lives.
#[derive(Default)]
pub(super) struct Follower(OnceLock<Registered>);

/// Throws a chain's own switch when one of its sources fires: the waker of what is registered with them.
struct Relay {
    own: Arc<Leaf>,
    sources: Arc<[Arc<Leaf>]>,
    /// What nobody else keeps. It holds this relay as its waker: a cycle, which ends when it is woken.
    kept: Mutex<Registered>,
}

impl Relay {
    fn new(token: &CancelToken) -> Arc<Self> {
        let sources = token.chain.as_ref().map_or_else(|| Arc::from([]), |chain| Arc::clone(&chain.sources));
        Arc::new(Self { own: Arc::clone(&token.leaf), sources, kept: Mutex::default() })
    }

    /// Registers with all leaves. Wake it afterwards: one of them may have fired before.
    fn register(self: &Arc<Self>) -> Registered {
        let waker = Waker::from(Arc::clone(self));
        let leaves = std::iter::once(&self.own).chain(&*self.sources);
        let mut registered: Registered = leaves.map(|leaf| Box::pin(leaf.cancelled())).collect();
        for future in &mut registered {
            let _ = future.as_mut().poll(&mut Context::from_waker(&waker));
        }
        registered
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registered> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        // The source gets its place before the chain's own leaf (invariant 1 of the tokens).
        let sources = self.sources.iter().filter(|leaf| leaf.has_fired()).count();
        if sources > 0 || self.own.has_fired() {
            self.own.inner.cancel();
            let kept = std::mem::take(&mut *self.lock());
            drop(kept);
        }
    }
}
