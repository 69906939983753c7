//! Several futures under a token, the first of which is enough: [`CancelToken::first_of`].
//!
//! The call is a scope, and so is each future in it. The first that is ready leaves its value in the [`Slot`]; the
//! call's scope is then cancelled, and its body stays pending: so the boundary ends the others as it ends any body,
//! innermost scopes first, and the value is taken when it has been left.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::{CancelToken, Firing};
use crate::ambient::value_of;
use crate::beside::Watched;
use crate::boundary::{Block, Left, NeverErr};
use crate::cause::{Cancelled, Cause};
use crate::context::{Frame, with_stack};
use crate::failure::Failure;
use crate::site::{Kind, Site};
use crate::sync::Mutex;

/// Where the value of the first future waits for the others to end; or the cancel that such a future ended with.
struct Slot<T>(Mutex<Option<Result<T, Cancelled>>>);

impl<T> Slot<T> {
    /// Takes what came first; whatever comes later is dropped.
    fn offer(&self, result: Result<T, Cancelled>) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            *slot = Some(result);
            return;
        }
        drop(slot);
        drop(result);
    }

    fn take(&self) -> Option<Result<T, Cancelled>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether there is something, and whether it is a value.
    fn peek(&self) -> Option<bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Result::is_ok)
    }
}

pin_project! {
    /// One of the futures. It wins when it is ready, not when its scope has ended (rule F3).
    struct Entrant<F: Future> {
        #[pin]
        future: F,
        slot: Arc<Slot<F::Output>>,
    }
}

impl<F: Future> Future for Entrant<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.slot.offer(Ok(ready!(this.future.poll(cx))));
        Poll::Ready(())
    }
}

type Boxed<F> = Pin<Box<Block<Entrant<F>, NeverErr>>>;

/// The futures, polled in their order at every pass: so each is always reached while it unwinds (rule U1a).
struct Race<F: Future> {
    /// Without those that have ended.
    entrants: Vec<Option<Boxed<F>>>,
    slot: Arc<Slot<F::Output>>,
    decided: bool,
}

impl<F: Future> Future for Race<F> {
    type Output = Infallible;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Infallible> {
        let Self { entrants, slot, decided } = &mut *self;
        for place in entrants {
            let Some(entrant) = place else { continue };
            if let Poll::Ready(left) = entrant.as_mut().poll(cx) {
                *place = None;
                ended(left, slot);
            }
            if !*decided && let Some(has_value) = slot.peek() {
                *decided = true;
                stop_the_others(has_value);
            }
        }
        Poll::Pending
    }
}

/// One of the futures has ended, and its scope was left.
fn ended<T>(left: Left<()>, slot: &Slot<T>) {
    match left {
        // Its scope unwinds as with any failure of a body, and resumes the panic (rule F2).
        Left::Panicked(payload) => {
            if let Some(scope) = with_stack(|stack| stack.make_top_node()).flatten() {
                scope.fail(Failure::panic(scope.name(), payload));
            }
        }
        Left::Cancelled { error, own: true } => slot.offer(Err(error)),
        // It has left its value in the slot; or it ends with the scope of the call, which knows why.
        _ => {}
    }
}

/// Cancels the scope of the call, on whose frame this runs.
fn stop_the_others(has_value: bool) {
    let Some(scope) = with_stack(|stack| stack.make_top_node()).flatten() else { return };
    if has_value {
        // A value is not thrown away by what is cancelled outside while the others end (rule D2).
        scope.set_shield(true);
    }
    scope.cancel_quietly(Cause::Task { at: None });
}

/// Why [`first_of`](CancelToken::first_of) has no value.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{CancelToken, FirstOfError};
/// use std::{future::pending, time::Duration};
///
/// let stop = CancelToken::new("stop");
/// let late = stop.first_of([pending::<u8>()]).timeout(Duration::from_secs(1)).await;
/// assert!(matches!(late, Err(FirstOfError::TimedOut)));
///
/// stop.trigger();
/// let Err(FirstOfError::Triggered(cancelled)) = stop.first_of([pending::<u8>()]).await else { panic!() };
/// assert_eq!(cancelled.to_string(), "cancellation requested by stop token");
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FirstOfError {
    /// The time of [`FirstOf::timeout`] was up.
    TimedOut,
    /// The token was triggered; the error names the one that really fired.
    Triggered(
        /// With the cause [`Cause::Token`].
        Cancelled,
    ),
    /// The scope of the call, or of one of the futures, was cancelled by something else: `current().cancel()` in it, or
    /// a scope inside that bubbles (rule B1).
    ScopeCancelled(
        /// What happened to it.
        Cancelled,
    ),
}

impl fmt::Display for FirstOfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => f.write_str("timed out before the first future was ready"),
            Self::Triggered(cancelled) | Self::ScopeCancelled(cancelled) => cancelled.fmt(f),
        }
    }
}

impl Error for FirstOfError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::TimedOut => None,
            Self::Triggered(cancelled) | Self::ScopeCancelled(cancelled) => cancelled.source(),
        }
    }
}

pin_project! {
    /// The future of [`CancelToken::first_of`]; resolves to `Result<F::Output, FirstOfError>`.
    ///
    /// # Panics
    ///
    /// With the payload of a panic of one of the futures (rule F2), and if it is polled after it gave its result.
    ///
    /// # Cancellation safety
    ///
    /// It is a scope of its own: if it is dropped, rule U5 holds.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{CancelToken, FirstOf};
    /// use std::future::{ready, Ready};
    ///
    /// let stop = CancelToken::new("stop");
    /// let running: FirstOf<Ready<u8>> = stop.first_of([ready(7), ready(8)]);
    /// assert_eq!(running.await.unwrap(), 7);
    /// # }
    /// ```
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct FirstOf<F: Future> {
        #[pin]
        block: Block<Race<F>, NeverErr, Watched<Firing>>,
        timeout: Option<Duration>,
        slot: Arc<Slot<F::Output>>,
    }
}

impl CancelToken {
    /// Runs several futures in this task until the first is ready, the token is triggered, or a
    /// [`timeout`](FirstOf::timeout) has passed.
    ///
    /// The futures have one output type; box those that are of different types. Each is a scope of its own. When it is
    /// decided, those that are not finished are cancelled *and awaited*, with children and cleanup of scopes in them,
    /// before this returns; so is everything if a scope around the call is cancelled (rule U1).
    ///
    /// What is ready at the very poll that sees the token triggered, or the time up, wins, an error value included (rule
    /// D2); of several that are ready at once, the first in the order given. With a token that was triggered before,
    /// every future is polled once, and runs to its first suspension (rule D1). Without any future it waits for the token.
    ///
    /// # Errors
    ///
    /// [`FirstOfError`] tells a timeout from the token. An error that a future has as its output is a value here.
    ///
    /// # Panics
    ///
    /// If one of the futures panics, once the others have ended (rule F2).
    ///
    /// # Cancellation safety
    ///
    /// The call is a scope of its own: if it is dropped, rule U5 holds.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::CancelToken;
    /// use std::time::Duration;
    /// use tokio::time::{sleep, Instant};
    ///
    /// async fn ask(server: u64) -> u64 {
    ///     sleep(Duration::from_millis(server * 10)).await;
    ///     server
    /// }
    ///
    /// let (stop, start) = (CancelToken::new("stop"), Instant::now());
    /// let fastest = stop.first_of([3, 1, 2].map(ask)).timeout(Duration::from_secs(1)).await;
    /// assert_eq!(fastest.unwrap(), 1);
    /// assert_eq!(start.elapsed(), Duration::from_millis(10));
    /// # }
    /// ```
    #[track_caller]
    pub fn first_of<I>(&self, futures: I) -> FirstOf<I::Item>
    where
        I: IntoIterator<Item: Future>,
    {
        let at = Location::caller();
        let one = Site::of_call(Kind::Scope, "future", at);
        let slot = Arc::new(Slot(Mutex::new(None)));
        let entrants = futures.into_iter().map(|future| {
            let entrant = Entrant { future, slot: Arc::clone(&slot) };
            Some(Box::pin(Block::new(Frame::new(one), entrant, NeverErr)))
        });
        let race = Race { entrants: entrants.collect(), slot: Arc::clone(&slot), decided: false };
        FirstOf { block: self.scope(Site::of_call(Kind::Token, "first_of", at), race), timeout: None, slot }
    }
}

impl<F: Future> FirstOf<F> {
    /// Gives up after this time, which counts from the first poll, with [`FirstOfError::TimedOut`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::{CancelToken, FirstOfError};
    /// use std::{future::pending, time::Duration};
    ///
    /// let stop = CancelToken::new("stop");
    /// let late = stop.first_of([pending::<()>()]).timeout(Duration::from_secs(1)).await;
    /// assert!(matches!(late, Err(FirstOfError::TimedOut)));
    /// # }
    /// ```
    #[track_caller]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        crate::private::require_runtime(|| "first_of".to_owned());
        self.timeout = Some(timeout);
        self
    }
}

impl<F: Future> Future for FirstOf<F> {
    type Output = Result<F::Output, FirstOfError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(timeout) = this.timeout.take() {
            this.block.as_mut().bound(timeout);
        }
        let Err(why) = value_of(ready!(this.block.poll(cx)));
        Poll::Ready(match (this.slot.take(), why.cause()) {
            (Some(first), _) => first.map_err(FirstOfError::ScopeCancelled),
            (None, Cause::Token { .. }) => Err(FirstOfError::Triggered(why)),
            (None, Cause::Deadline { .. }) => Err(FirstOfError::TimedOut),
            (None, _) => Err(FirstOfError::ScopeCancelled(why)),
        })
    }
}
