//! Waiting for a token.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::{CancelToken, Leaf};
use crate::cause::Cause;
use crate::sync::token::WaitForCancellationFutureOwned;

pin_project! {
    /// The future of [`CancelToken::wait`]; it owns its token.
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
    /// use scope_runtime::{CancelToken, TokenWait};
    ///
    /// struct Worker { stopped: TokenWait }
    ///
    /// let stop = CancelToken::new("stop");
    /// let worker = Worker { stopped: stop.wait() };
    /// stop.trigger();
    /// worker.stopped.await;
    /// # }
    /// ```
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct TokenWait {
        token: CancelToken,
        #[pin]
        own: WaitForCancellationFutureOwned,
        // Empty for a token that is no chain, which so waits without an allocation.
        sources: Vec<Pin<Box<WaitForCancellationFutureOwned>>>,
    }
}

impl CancelToken {
    /// Waits until the token is triggered; at once if it was already. Every waiter is woken.
    ///
    /// The future is `Send + 'static`. It is ready at the very poll that sees the token triggered, so the code behind it
    /// runs even if a scope around it is cancelled by the same token (rule D2).
    ///
    /// # Cancellation safety
    ///
    /// Nothing is lost if this future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() {
    /// use scope_runtime::CancelToken;
    ///
    /// let done = CancelToken::new("done");
    /// let worker = done.clone();
    /// std::thread::spawn(move || worker.trigger());
    /// done.wait().await;
    /// assert!(done.is_triggered());
    /// # }
    /// ```
    pub fn wait(&self) -> TokenWait {
        TokenWait {
            token: self.clone(),
            own: self.leaf.cancelled(),
            sources: self.sources().iter().map(|leaf| Box::pin(leaf.cancelled())).collect(),
        }
    }
}

impl Leaf {
    pub(super) fn cancelled(&self) -> WaitForCancellationFutureOwned {
        self.inner.clone().cancelled_owned()
    }
}

impl Future for TokenWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.token.is_triggered() {
            return Poll::Ready(());
        }
        // Each registers, then looks. All are polled: any of them may be the next to fire.
        let mut ready = this.own.poll(cx).is_ready();
        for source in this.sources {
            ready |= source.as_mut().poll(cx).is_ready();
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    }
}

pin_project! {
    /// What a scope watches beside its body to be cancelled by a token: gives the cause.
    pub struct Firing {
        #[pin]
        wait: TokenWait,
    }
}

impl CancelToken {
    pub(crate) fn firing(&self) -> Firing {
        Firing { wait: self.wait() }
    }
}

impl Future for Firing {
    type Output = Cause;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cause> {
        let mut this = self.project();
        ready!(this.wait.as_mut().poll(cx));
        Poll::Ready(this.wait.token.cause().expect("a wait ends when its token has fired"))
    }
}
