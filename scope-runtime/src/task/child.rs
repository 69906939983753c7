//! What a child is made from, and what its future or closure ends with (rules F2-F5).

use std::any::Any;
use std::borrow::Cow;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::beside::CancelOn;
use crate::blocking::spawn::Job;
use crate::boundary::Left;
use crate::cause::{Cancelled, Cause};
use crate::context::with_stack;
use crate::failure::{ChildError, ErrorText, Failure, FailureKind, Suppressed, panic_text};
use crate::private::Return;
use crate::race::{Here, Parallel};
use crate::signal::Signal;
use crate::site::Site;
use crate::sync::Mutex;
use crate::tree::{ChildEnd, Look, Node, Origin, Role, Untaken};
use crate::values::{ChildFuture, IntoName};
use crate::watch;

/// How a child is spawned: what `spawn!` gathers from its options.
pub struct Child<F> {
    pub(crate) site: &'static Site,
    pub(crate) future: F,
    pub(crate) name: Option<Box<str>>,
    pub(super) role: Role,
    pub(super) skip_if_cancelled: bool,
    /// Somebody may ask for its result.
    pub(super) held: bool,
    /// It does not fail its scope (rule F5).
    pub(crate) supervised: bool,
}

/// A child from a `spawn!` or a `fork!` written at `site`.
///
/// What is no future has no output either, and so `Asked` makes nothing of it that has methods: the compiler says once
/// what is wrong, and nothing about what we do next.
pub fn child<F: ChildFuture<Output = O>, O>(site: &'static Site, future: F) -> <O as Asked>::Child<F> {
    Child::new(site, future)
}

/// Every type: for `child` and `job`, whose types wait for that of an output.
pub trait Asked {
    /// A child with this output.
    type Child<F>;
    /// A blocking child with this output.
    type Job<F>;
    /// An arm with this output, in the host task.
    type Here<F>;
    /// An arm with this output that is spawned.
    type Parallel<F>;
    /// A future with this output that cancels a scope.
    type CancelOn<F>;
}

impl<O> Asked for O {
    type Child<F> = Child<F>;
    type Job<F> = Job<F>;
    type Here<F> = Here<F>;
    type Parallel<F> = Parallel<F>;
    type CancelOn<F> = CancelOn<F>;
}

impl<F> Child<F> {
    /// An arm that was written at `site`: whether it is a future is asked by the race.
    pub fn arm(site: &'static Site, future: F) -> Self {
        let role = Role::Foreground;
        Self { site, future, name: None, role, skip_if_cancelled: false, held: true, supervised: false }
    }

    /// A name that is computed at run time.
    #[must_use]
    pub fn name(mut self, name: impl IntoName) -> Self {
        self.name = Some(name.into_name().into());
        self
    }
}

impl<F: Future> Child<F> {
    /// A child that was written at `site`.
    pub fn new(site: &'static Site, future: F) -> Self {
        Self::arm(site, future)
    }

    /// The same with another future.
    pub(crate) fn map<G>(self, f: impl FnOnce(F) -> G) -> Child<G> {
        let Self { site, future, name, role, skip_if_cancelled, held, supervised } = self;
        Child { site, future: f(future), name, role, skip_if_cancelled, held, supervised }
    }

    /// The type of the output, for the choice between fallible and plain.
    pub fn output(&self) -> Return<F::Output> {
        Return::new()
    }

    /// The boundary does not wait for it (rule F8).
    #[must_use]
    pub fn background(mut self) -> Self {
        self.role = Role::Background;
        self
    }

    /// Nobody has its handle: it is a statement.
    #[must_use]
    pub fn unheld(mut self) -> Self {
        self.held = false;
        self
    }

    /// It does not start if the scope is cancelled already.
    #[must_use]
    pub fn skip_if_cancelled(mut self) -> Self {
        self.skip_if_cancelled = true;
        self
    }
}

/// A child's output as its scope sees it (rules F4, F5).
pub enum Output<T, E = Box<dyn Any + Send>> {
    /// Its handle's value.
    Value(T),
    /// A supervised child's value that is an error: what it says of itself, and the cancel that it wraps.
    Error {
        /// The value, error and all.
        value: T,
        /// What the error says.
        text: ErrorText,
        /// What it wraps.
        signal: Option<Signal>,
    },
    /// An error that fails the scope.
    Failure(ChildError<E>),
}

pub(crate) type Convert<O, T, E = Box<dyn Any + Send>> = fn(O) -> Output<T, E>;

/// Where a child's error is kept until the boundary is left.
pub trait Keep {
    /// The error.
    type Error;

    /// Fails the scope, and says how.
    fn fail(&self, scope: &Node, task: Cow<'static, str>, text: ErrorText, error: Self::Error) -> Cause;
}

/// In the failure itself, whatever its type.
pub struct InFailure;

impl Keep for InFailure {
    type Error = Box<dyn Any + Send>;

    fn fail(&self, scope: &Node, task: Cow<'static, str>, text: ErrorText, error: Self::Error) -> Cause {
        let failure = Failure { task, text, kind: FailureKind::Error(error) };
        let cause = failure.cause();
        scope.fail(failure);
        cause
    }
}

/// Beside the failure, where the boundary knows its type: so it need be neither `Send` nor `'static`.
pub struct InPlace<E>(Arc<Mutex<Option<E>>>);

impl<E> InPlace<E> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn take(&self) -> Option<E> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<E> Clone for InPlace<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E> Keep for InPlace<E> {
    type Error = E;

    fn fail(&self, scope: &Node, task: Cow<'static, str>, text: ErrorText, error: E) -> Cause {
        let failure = Failure { task, text, kind: FailureKind::InPlace };
        let cause = failure.cause();
        // The boundary can't be left meanwhile: this child has not ended.
        if scope.fail(failure) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        cause
    }
}

pin_project! {
    /// The user's future: reports a failure the moment it is ready, before the child's cleanup runs (rule F3).
    pub(super) struct Body<F: Future, T, K: Keep> {
        #[pin]
        future: F,
        convert: Convert<F::Output, T, K::Error>,
        keep: K,
        supervised: bool,
    }
}

impl<F: Future, T, K: Keep> Body<F, T, K> {
    pub(super) fn new(
        future: F,
        convert: Convert<F::Output, T, K::Error>,
        keep: K,
        supervised: bool,
    ) -> Self {
        Self { future, convert, keep, supervised }
    }
}

/// How a child's future or closure ended.
pub(crate) enum Outcome<T> {
    Value(T),
    /// An error that its handle has, and that is reported unless somebody takes it.
    Error(T, Option<Untaken>),
    /// It returned a cancel that it was told of: no failure (rule W3). The value is for a supervised child's handle.
    Signalled(Origin, Option<T>),
    /// With what its handle says.
    Failed(Cancelled),
}

impl<F: Future, T, K: Keep> Future for Body<F, T, K> {
    type Output = Outcome<T>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let convert = *this.convert;
        let seen = watch::seen();
        let polled = match *this.supervised {
            // A panic stays the child's own, and its boundary keeps it.
            true => Ok(this.future.poll(cx).map(convert)),
            false => catch_unwind(AssertUnwindSafe(|| this.future.poll(cx).map(convert))),
        };
        Poll::Ready(match polled {
            Ok(Poll::Pending) => {
                watch::suspended(seen);
                return Poll::Pending;
            }
            Ok(Poll::Ready(Output::Value(value))) => Outcome::Value(value),
            Ok(Poll::Ready(output)) => {
                let (node, scope) = child_and_scope();
                outcome_of(output, this.keep, &scope, &node)
            }
            Err(payload) => {
                let (node, scope) = child_and_scope();
                let failure = Failure::panic(node.name(), payload);
                let cancelled = Cancelled::new(node.who(), failure.cause());
                scope.fail(failure);
                Outcome::Failed(cancelled)
            }
        })
    }
}

/// The child whose body is being polled, and its scope.
#[cold]
fn child_and_scope() -> (Arc<Node>, Arc<Node>) {
    let node = with_stack(|stack| stack.make_top_node()).flatten().expect("a child's frame is on the stack");
    let scope = node.parent().expect("a child has a scope");
    (node, scope)
}

/// What an output means to `scope`, which takes failures, and to the child.
pub(crate) fn outcome_of<T, K: Keep>(
    output: Output<T, K::Error>,
    keep: &K,
    scope: &Arc<Node>,
    node: &Node,
) -> Outcome<T> {
    let origin = |signal: Option<Signal>| signal.and_then(|signal| node.origin_of(signal));
    match output {
        Output::Value(value) => Outcome::Value(value),
        Output::Error { value, text, signal } => match origin(signal) {
            Some(origin) => Outcome::Signalled(origin, Some(value)),
            None => Outcome::Error(value, scope.hold_failure(Suppressed::error(node.name(), text))),
        },
        Output::Failure(ChildError { text, signal, error }) => match origin(signal) {
            Some(origin) => Outcome::Signalled(origin, None),
            None => {
                let cause = keep.fail(scope, node.name(), text, error);
                Outcome::Failed(Cancelled::new(node.who(), cause))
            }
        },
    }
}

/// What the boundary of a child's own frame says of the child; `scope` takes its failures.
pub(crate) fn result_of<T>(
    left: Left<Outcome<T>>,
    node: &Arc<Node>,
    scope: &Arc<Node>,
    supervised: bool,
    begun: bool,
) -> (Result<T, Cancelled>, Option<Untaken>, ChildEnd) {
    let panicked = matches!(left, Left::Panicked(_));
    let mut untaken = None;
    let (result, end) = match left {
        Left::Returned(Outcome::Value(value)) => (Ok(value), ChildEnd::Settled),
        Left::Returned(Outcome::Error(value, failure)) => {
            untaken = failure;
            (Ok(value), ChildEnd::Settled)
        }
        Left::Returned(Outcome::Signalled(origin, value)) => {
            let result = value.ok_or_else(|| node.cancelled_error(&mut Look::new()));
            (result, ChildEnd::of(origin, node))
        }
        Left::Returned(Outcome::Failed(cancelled)) => (Err(cancelled), ChildEnd::Settled),
        Left::Cancelled { error, own } => {
            let end = ChildEnd::of(if own { Origin::Own } else { Origin::Outer }, node);
            // While a scope has grace, nothing of it is dropped: what has not begun is no loss (rule G1).
            let spared = end == ChildEnd::SoftlyLost && !begun;
            (Err(error), if spared { ChildEnd::Settled } else { end })
        }
        Left::Panicked(payload) if supervised => {
            let (task, text) = (node.name(), panic_text(&*payload));
            let untaken = scope.hold_failure(Suppressed::panic(task.clone(), text.clone()));
            let cause = Cause::TaskPanicked { task, text };
            (Err(Cancelled::new(node.who(), cause).carrying(payload, untaken)), ChildEnd::Settled)
        }
        Left::Panicked(payload) => {
            // A cleanup of the child panicked, or a destructor.
            let failure = Failure::panic(node.name(), payload);
            let cancelled = Cancelled::new(node.who(), failure.cause());
            scope.fail(failure);
            (Err(cancelled), ChildEnd::Settled)
        }
        Left::Finished | Left::Cut | Left::Errored(_) | Left::Failed(_) | Left::Signalled { .. } => {
            unreachable!("a child task has neither a block's end nor children")
        }
    };
    if panicked {
        scope.take_over_reports(node);
    }
    (result, untaken, end)
}
