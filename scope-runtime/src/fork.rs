//! `fork!`: children that run concurrently inside the host task (rules F1-F4, F8, U5).
//!
//! Each `fork!` that is written in a block has a slot of its own type, [`Forks`], declared before the body: so a fork
//! may borrow whatever was there before the block, and the future around is `Send` exactly when the parts are. The body
//! puts new forks into the slot; the boundary takes them out and polls them.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use pin_project_lite::pin_project;

use crate::boundary::Classify;
use crate::failure::{ChildError, Payload};
use crate::hosted::{And, Hosted};
use crate::policy::{FailFast, Policy};
use crate::scope::Scope;
use crate::sync::{Mutex, MutexGuard};
use crate::task::{Child, ChildTask, InPlace, Output, Task, closed_task, host};

/// What becomes of the output of a fork, by what kind of type it is: a fork needs neither `Send` nor `'static` for it.
pub trait ForkOutput<O, R, P> {
    /// What the handle gives.
    type Value;

    /// The value, or the failure, as the enclosing function returns it (rules F4, F5).
    fn split(output: O) -> Output<Self::Value, R>;
}

/// A fallible output, taken apart.
pub(crate) fn split<T, E, C: Classify<Result<T, E>>>(output: Result<T, E>) -> Output<T, E> {
    match output {
        Ok(value) => Output::Value(value),
        Err(error) => {
            let output = Err(error);
            let (text, signal) = (C::default().text(&output), C::default().signal(&output));
            let Err(error) = output else { unreachable!("it was made an error above") };
            Output::Failure(ChildError { text, signal, error })
        }
    }
}

/// The forks of one `fork!`.
pub struct Forks<'s, F: Future, T, R, P = FailFast> {
    scope: &'s Scope<R, P>,
    slot: Mutex<Slot<F, T, R>>,
}

struct Slot<F: Future, T, R> {
    new: Vec<Fork<F, T, R>>,
    failure: Option<InPlace<R>>,
    /// From the destructor of a fork.
    panicked: Option<Payload>,
}

type Fork<F, T, R> = ChildTask<F, T, InPlace<R>>;

impl<'s, F: Future, T, R, P: Policy> Forks<'s, F, T, R, P> {
    /// A slot of the block with this scope.
    pub fn new(scope: &'s Scope<R, P>) -> Self {
        Self { scope, slot: Mutex::new(Slot { new: Vec::new(), failure: None, panicked: None }) }
    }

    /// The scope of that block.
    pub fn scope(&self) -> &Scope<R, P> {
        self.scope
    }

    fn slot(&self) -> MutexGuard<'_, Slot<F, T, R>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a fork in the block that the slot belongs to.
    pub fn fork<K>(&self, child: Child<F>, _kind: K) -> Task<T>
    where
        K: ForkOutput<F::Output, R, P, Value = T>,
    {
        let site = child.site;
        let failure = self.slot().failure.get_or_insert_with(InPlace::new).clone();
        match host(&self.scope.node, child.of_policy::<P>(), K::split, failure) {
            Ok((task, fork)) => {
                self.slot().new.push(fork);
                task
            }
            // Only what runs while the future of an abandoned scope is dropped finds it left.
            Err(_) => closed_task(&self.scope.node, site),
        }
    }
}

/// The forks of one slot, as the boundary polls them.
pub struct Running<'a, F: Future, T, R, P = FailFast> {
    slot: &'a Forks<'a, F, T, R, P>,
    running: FuturesUnordered<Quiet<'a, F, T, R, P>>,
}

pin_project! {
    /// A fork whose destructor does not panic: what a `FuturesUnordered` drops in a panic it loses, memory and all.
    struct Quiet<'a, F: Future, T, R, P> {
        #[pin]
        fork: Option<Fork<F, T, R>>,
        slot: &'a Forks<'a, F, T, R, P>,
    }

    impl<F: Future, T, R, P> PinnedDrop for Quiet<'_, F, T, R, P> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| this.fork.set(None))) {
                let mut slot = this.slot.slot.lock().unwrap_or_else(PoisonError::into_inner);
                slot.panicked.get_or_insert(payload);
            }
        }
    }
}

impl<F: Future, T, R, P> Future for Quiet<'_, F, T, R, P> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().fork.as_pin_mut().expect("it is there until the end").poll(cx)
    }
}

/// The forks of one slot, and those of the others.
pub fn forks<'a, F: Future, T, R, P: Policy, H>(
    slot: &'a Forks<'a, F, T, R, P>,
    others: H,
) -> And<Running<'a, F, T, R, P>, H> {
    And::new(Running { slot, running: FuturesUnordered::new() }, others)
}

impl<F: Future, T, R, P: Policy> Running<'_, F, T, R, P> {
    fn take_new(&self) -> Vec<Fork<F, T, R>> {
        std::mem::take(&mut self.slot.slot().new)
    }
}

impl<F: Future, T, R, P: Policy> Hosted<R> for Running<'_, F, T, R, P> {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let this = self.get_mut();
        let slot = this.slot;
        this.running.extend(this.take_new().into_iter().map(|fork| Quiet { fork: Some(fork), slot }));
        while let Poll::Ready(Some(())) = this.running.poll_next_unpin(cx) {}
    }

    fn has_new(&self) -> bool {
        !self.slot.slot().new.is_empty()
    }

    fn take_failure(self: Pin<&mut Self>) -> Option<R> {
        let failure = self.slot.slot().failure.take()?;
        failure.take()
    }

    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload> {
        let this = self.get_mut();
        let mut dropped = Ok(());
        loop {
            let mut new = this.take_new();
            if new.is_empty() && this.running.is_empty() {
                return dropped;
            }
            // A destructor that panics takes nobody else along, and may have started another fork.
            this.running.clear();
            dropped = dropped.and(this.slot.slot().panicked.take().map_or(Ok(()), Err));
            while let Some(fork) = new.pop() {
                dropped = dropped.and(catch_unwind(AssertUnwindSafe(|| drop(fork))));
            }
        }
    }
}
