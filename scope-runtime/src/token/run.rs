//! A future under a token: [`CancelToken::run`].

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::{CancelToken, Firing};
use crate::ambient::value_of;
use crate::beside::Watched;
use crate::boundary::{Block, NeverErr};
use crate::cause::Cancelled;
use crate::context::Frame;
use crate::site::{Kind, Site};

pin_project! {
    /// The future of [`CancelToken::run`]; resolves to `Result<F::Output, Cancelled>`.
    ///
    /// # Panics
    ///
    /// With the payload of a panic of the inner future (rule F2), and if it is polled after it gave its result.
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
    /// use scope_runtime::{CancelToken, TokenRun};
    /// use std::future::Ready;
    ///
    /// let stop = CancelToken::new("stop");
    /// let running: TokenRun<Ready<u8>> = stop.run(std::future::ready(7));
    /// assert_eq!(running.await.unwrap(), 7);
    /// # }
    /// ```
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct TokenRun<F: Future> {
        #[pin]
        block: Block<F, NeverErr, Watched<Firing>>,
    }
}

impl CancelToken {
    /// Runs a future that need not know of tokens, until it is ready or the token is triggered.
    ///
    /// The future is a scope of its own, which the token cancels: scopes inside unwind first, children and cleanup of
    /// theirs included, before this returns (rule U1). What is ready at the very poll that sees the token triggered is not
    /// thrown away (rule D2); with a token that was triggered before, the future is polled once, and runs to its first
    /// suspension (rule D1). Ask [`check()?`](Self::check) first where even that is too much.
    ///
    /// # Errors
    ///
    /// [`Cancelled`], with the cause [`Cause::Token`](crate::Cause::Token) if it was the token.
    ///
    /// # Panics
    ///
    /// If the future panics (rule F2).
    ///
    /// # Cancellation safety
    ///
    /// The future is a scope of its own: if it is dropped, rule U5 holds.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::CancelToken;
    /// use std::time::Duration;
    /// use tokio::time::sleep;
    ///
    /// let stop = CancelToken::new("stop");
    /// let switch = stop.clone();
    /// tokio::spawn(async move {
    ///     sleep(Duration::from_secs(1)).await;
    ///     switch.trigger();
    /// });
    /// assert_eq!(stop.run(async { 7 }).await.unwrap(), 7);
    /// let cancelled = stop.run(sleep(Duration::from_secs(60))).await.unwrap_err();
    /// assert_eq!(cancelled.to_string(), "cancellation requested by stop token");
    /// # }
    /// ```
    #[track_caller]
    pub fn run<F: Future>(&self, future: F) -> TokenRun<F> {
        TokenRun { block: self.scope(Site::of_call(Kind::Token, "run", Location::caller()), future) }
    }

    /// A scope that this token cancels.
    pub(super) fn scope<B: Future>(
        &self,
        site: &'static Site,
        body: B,
    ) -> Block<B, NeverErr, Watched<Firing>> {
        Block::hosting(Frame::new(site), body, NeverErr, Watched::new(self.firing()))
    }
}

impl<F: Future> Future for TokenRun<F> {
    type Output = Result<F::Output, Cancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(value_of(ready!(self.project().block.poll(cx))))
    }
}
