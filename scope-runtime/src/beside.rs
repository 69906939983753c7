//! Futures that a scope watches beside its body: `cancel_on = …` and `token = …` (rule B3).

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use pin_project_lite::pin_project;

use crate::cause::Cause;
use crate::context::{self, with_stack};
use crate::failure::{Failure, Payload};
use crate::hosted::{And, Hosted};

/// What is watched beside a body.
pub trait Watch {
    /// As the boundary has it.
    type Hosted<R>: Hosted<R>;

    /// Hands it to the boundary.
    fn hosted<R>(self) -> Self::Hosted<R>;
}

/// Nothing is watched.
#[derive(Debug, Clone, Copy)]
pub struct NoWatch;

impl Watch for NoWatch {
    type Hosted<R> = ();

    fn hosted<R>(self) {}
}

/// A future that cancels the scope with its output, beside what is watched already.
#[derive(Debug)]
pub struct Also<W, F> {
    pub(crate) others: W,
    pub(crate) future: F,
}

impl<W: Watch, F: Future<Output = Cause>> Watch for Also<W, F> {
    type Hosted<R> = And<Watched<F>, W::Hosted<R>>;

    fn hosted<R>(self) -> Self::Hosted<R> {
        And::new(Watched::new(self.future), self.others.hosted())
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
    /// A future that is watched, until it is over, or nobody watches any more.
    #[derive(Debug)]
    pub struct Watched<F> {
        #[pin]
        future: Option<F>,
    }
}

impl<F> Watched<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future: Some(future) }
    }
}

impl<R, F: Future<Output = Cause>> Hosted<R> for Watched<F> {
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) {}

    fn watch(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return false };
        if with_stack(|stack| stack.goes_on()) != Some(true) {
            return false;
        }
        let watched = catch_unwind(AssertUnwindSafe(|| context::outside(|| future.poll(cx))));
        if matches!(watched, Ok(Poll::Pending)) {
            return false;
        }
        act_on(watched, stop(this.future));
        true
    }

    fn stop_watching(self: Pin<&mut Self>) -> Result<(), Payload> {
        stop(self.project().future)
    }

    fn stop_watching_unless(self: Pin<&mut Self>, children: &dyn Fn() -> bool) -> Result<(), Payload> {
        if children() { Ok(()) } else { stop(self.project().future) }
    }

    fn take_failure(self: Pin<&mut Self>) -> Option<R> {
        None
    }

    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload> {
        stop(self.project().future)
    }
}

/// Drops it as it was polled: in the parent's context.
fn stop<F>(mut future: Pin<&mut Option<F>>) -> Result<(), Payload> {
    if future.is_none() {
        return Ok(());
    }
    catch_unwind(AssertUnwindSafe(|| context::outside(|| future.set(None))))
}
