//! What lives in the host task beside the body, and is polled by the boundary itself: children, and what it watches.
//!
//! A boundary has them as one value of a type of its own, a list of pairs that ends with `()`: so the future around
//! stays `Send` exactly when they are, they may borrow, and a boundary without them carries nothing.

use std::pin::Pin;
use std::task::Context;

use pin_project_lite::pin_project;

use crate::failure::Payload;

/// What a boundary polls beside its body; `R` is what that ends with.
pub trait Hosted<R> {
    /// Polls the children, new ones included (rule D1).
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>);

    /// Whether one was started that was not polled yet.
    fn has_new(&self) -> bool {
        false
    }

    /// Polls what is watched beside the body, after it (rule B3); true if that is over.
    fn watch(self: Pin<&mut Self>, _: &mut Context<'_>) -> bool {
        false
    }

    /// Drops what is watched.
    fn stop_watching(self: Pin<&mut Self>) -> Result<(), Payload> {
        Ok(())
    }

    /// The same at the end of the body, unless children are left.
    fn stop_watching_unless(self: Pin<&mut Self>, children: &dyn Fn() -> bool) -> Result<(), Payload> {
        let _ = children;
        Ok(())
    }

    /// The error of the one that failed first, as the body would have returned it.
    fn take_failure(self: Pin<&mut Self>) -> Option<R>;

    /// Drops what is left (rule U5).
    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload>;
}

impl<R> Hosted<R> for () {
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) {}

    fn take_failure(self: Pin<&mut Self>) -> Option<R> {
        None
    }

    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload> {
        Ok(())
    }
}

pin_project! {
    /// One kind of children, and the others.
    pub struct And<A, B> {
        #[pin]
        first: A,
        #[pin]
        rest: B,
    }
}

impl<A, B> And<A, B> {
    pub(crate) fn new(first: A, rest: B) -> Self {
        Self { first, rest }
    }
}

impl<R, A: Hosted<R>, B: Hosted<R>> Hosted<R> for And<A, B> {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut this = self.project();
        loop {
            this.first.as_mut().poll(cx);
            this.rest.as_mut().poll(cx);
            // Any of them may have started one of these.
            if !this.first.has_new() {
                return;
            }
        }
    }

    fn has_new(&self) -> bool {
        self.first.has_new() || self.rest.has_new()
    }

    fn watch(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.project();
        // What was written first is polled first: it is the last of the list.
        let over = this.rest.watch(cx);
        this.first.watch(cx) || over
    }

    fn stop_watching(self: Pin<&mut Self>) -> Result<(), Payload> {
        let this = self.project();
        let stopped = this.first.stop_watching();
        stopped.and(this.rest.stop_watching())
    }

    fn stop_watching_unless(self: Pin<&mut Self>, children: &dyn Fn() -> bool) -> Result<(), Payload> {
        let this = self.project();
        let stopped = this.first.stop_watching_unless(children);
        stopped.and(this.rest.stop_watching_unless(children))
    }

    fn take_failure(self: Pin<&mut Self>) -> Option<R> {
        let this = self.project();
        this.first.take_failure().or_else(|| this.rest.take_failure())
    }

    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload> {
        let mut this = self.project();
        let mut dropped = Ok(());
        loop {
            let first = this.first.as_mut().drop_in_place();
            dropped = dropped.and(first).and(this.rest.as_mut().drop_in_place());
            if !this.first.has_new() {
                return dropped;
            }
        }
    }
}
