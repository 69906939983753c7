//! Futures that a scope watches beside its body: `cancel_on = …` and `token = …` (rule B3).

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use pin_project_lite::pin_project;

use crate::cause::Cause;
use crate::context::{self, with_stack};
use crate::failure::Failure;

/// What is watched beside a body.
pub trait Watch {
    /// The body with it.
    type Body<B: Future>: Future<Output = B::Output>;

    /// Puts it beside a body.
    fn beside<B: Future>(self, body: B) -> Self::Body<B>;
}

/// Nothing is watched.
#[derive(Debug, Clone, Copy)]
pub struct NoWatch;

impl Watch for NoWatch {
    type Body<B: Future> = B;

    fn beside<B: Future>(self, body: B) -> B {
        body
    }
}

/// A future that cancels the scope with its output, beside what is watched already.
#[derive(Debug)]
pub struct Also<W, F> {
    pub(crate) others: W,
    pub(crate) future: F,
}

impl<W: Watch, F: Future<Output = Cause>> Watch for Also<W, F> {
    type Body<B: Future> = Watched<W::Body<B>, F>;

    fn beside<B: Future>(self, body: B) -> Self::Body<B> {
        Watched { watched: Some(self.future), body: self.others.beside(body) }
    }
}

pin_project! {
    /// A user's future, whose output is dropped.
    #[derive(Debug)]
    pub struct CancelOn<F> {
        #[pin]
        pub(crate) future: F,
    }
}

impl<F: Future> Future for CancelOn<F> {
    type Output = Cause;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Cause> {
        self.project().future.poll(cx).map(|_output| Cause::CancelOn)
    }
}

/// It is over, and gone. A panic of it is a failure like that of a child: the body unwinds as for any cancel, shields
/// and inner scopes first (rules F2, U1).
fn act_on(watched: thread::Result<Poll<Cause>>, dropped: thread::Result<()>) {
    let Some(node) = with_stack(|stack| stack.make_top_node()).flatten() else { return };
    match watched {
        Ok(Poll::Ready(cause)) if dropped.is_ok() => drop(node.cancel(cause)),
        watched => {
            for payload in [watched.err(), dropped.err()].into_iter().flatten() {
                node.fail(Failure::panic(node.name(), payload));
            }
        }
    }
}

pin_project! {
    /// A body with something that is watched.
    #[derive(Debug)]
    pub struct Watched<B, F> {
        // Dropped before the body.
        #[pin]
        watched: Option<F>,
        #[pin]
        body: B,
    }
}

impl<B: Future, F: Future<Output = Cause>> Future for Watched<B, F> {
    type Output = B::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<B::Output> {
        let mut this = self.project();
        let polled = this.body.poll(cx);
        if polled.is_pending()
            && let Some(future) = this.watched.as_mut().as_pin_mut()
            && with_stack(|stack| stack.goes_on()) == Some(true)
        {
            let watched = catch_unwind(AssertUnwindSafe(|| context::outside(|| future.poll(cx))));
            if !matches!(watched, Ok(Poll::Pending)) {
                let dropped = catch_unwind(AssertUnwindSafe(|| context::outside(|| this.watched.set(None))));
                act_on(watched, dropped);
            }
        }
        polled
    }
}
