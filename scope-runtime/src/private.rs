//! What expansions call, and nothing else. Not a public interface: it changes without notice.

use std::any::{Any, type_name};
use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::fmt::{Debug, Display};
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::beside::{Also, CancelOn, Watch};
use crate::blocking::boundary::{self as thread_boundary, Body};
use crate::blocking::spawn::{on_pool, on_thread};
use crate::boundary::{Block, Classify, Left};
use crate::cause::Cancelled;
use crate::context::{Frame, with_stack};
use crate::deadline::{Bound, IntoDeadline, IntoTimeout};
use crate::failure::{ChildError, ErrorText};
use crate::fork::ForkOutput;
use crate::hosted::{And, Hosted};
use crate::link::IntoLinks;
use crate::policy::{FailFast, IntoLimit, Policy, Supervise};
use crate::signal::{self, Signal};
use crate::sync::runtime::Handle;
use crate::task::{Asked, Output, Task, closed_task, spawn_into};
use crate::token::Firing;
use crate::tree::{Extra, Node, announce_bubble};
use crate::values::{CancelFuture, ChildFuture, IntoError, IntoName, IntoToken, ScopeRef};
use crate::watch::{Numbered, numbered};

pub use crate::beside::NoWatch;
pub use crate::blocking::spawn::{Job, job};
pub use crate::boundary::NeverErr;
pub use crate::fork::{Forks, forks};
pub use crate::landing::{AwaitSite, at};
pub use crate::race::{fallible, here, joined, named_arm, parallel, race, try_join};
pub use crate::scope::FromFailure;
pub use crate::scope::Scope;
pub use crate::site::{Kind, Site};
pub use crate::task::{Child, child};
pub use core::{
    option::Option::{None, Some},
    result::Result::{Err, Ok},
};
pub use std::thread::scope as threads;
pub use std::time::Duration;

/// The hidden procedural macros behind `scope!` and its friends.
pub mod macros {
    pub use scope_macros::{
        __blocking_scope, __detach, __fork, __race, __scope, __shield, __spawn, __spawn_blocking, __try_join,
    };
}

/// What `#[scope_runtime::test]` calls.
#[cfg(feature = "test-util")]
pub mod tests {
    pub use crate::every_await::{every_await, once};
}
#[cfg(feature = "test-util")]
pub use crate::every_await::cancelled_itself;

/// The return type of the enclosing function, as a value that inference can work on.
pub struct Return<R>(PhantomData<fn() -> R>);

impl<R> Return<R> {
    /// A return type that is not known yet.
    #[allow(clippy::new_without_default)] // expansions call it by name
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// Typed like the return value; stands in code that is never run.
    pub fn never(self) -> R {
        unreachable!("it pins a type and is never called")
    }
}

impl<R> Clone for Return<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Return<R> {}

/// The options of one scope, in the order written.
pub struct Options<'a, S = (), W = NoWatch> {
    site: &'static Site,
    scope: Option<&'a S>,
    init: fn(&S, Arc<Node>),
    shield: bool,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    extra: Option<Box<Extra>>,
    watch: W,
}

impl Options<'static> {
    /// The options of a scope, or of a shield.
    #[inline(always)]
    pub fn new(site: &'static Site) -> Self {
        Self {
            site,
            scope: None,
            init: |(), _| (),
            shield: matches!(site.kind(), Kind::Shield),
            timeout: None,
            deadline: None,
            extra: None,
            watch: NoWatch,
        }
    }

    /// The block has a `Scope`: it spawns, or names its scope.
    #[inline(always)]
    pub fn of<R, P>(self, scope: &Scope<R, P>) -> Options<'_, Scope<R, P>> {
        let Options { site, scope: None, init: _, shield, timeout, deadline, extra, watch } = self else {
            unreachable!("a block has one scope")
        };
        Options { site, scope: Some(scope), init: Scope::init, shield, timeout, deadline, extra, watch }
    }
}

impl<'a, S, W: Watch> Options<'a, S, W> {
    /// `timeout = …`
    #[inline(always)]
    #[must_use]
    pub fn timeout(mut self, timeout: impl IntoTimeout) -> Self {
        self.timeout = timeout.into_timeout();
        self
    }

    /// `deadline = …`
    #[inline(always)]
    #[must_use]
    pub fn deadline(mut self, deadline: impl IntoDeadline) -> Self {
        self.deadline = deadline.into_deadline();
        self
    }

    /// `shield`, `shield = …`
    #[inline(always)]
    #[must_use]
    pub fn shield(mut self, shield: bool) -> Self {
        self.shield = shield;
        self
    }

    /// `name = …`, where it is no literal
    #[must_use]
    pub fn name(mut self, name: impl IntoName) -> Self {
        self.extra.get_or_insert_default().name = Some(name.into_name().into());
        self
    }

    /// `cleanup_timeout = …`
    #[must_use]
    pub fn cleanup_timeout(mut self, timeout: impl IntoTimeout) -> Self {
        if let Some(timeout) = timeout.into_timeout() {
            self.extra.get_or_insert_default().cleanup_timeout = Some(timeout);
        }
        self
    }

    /// An option that is a mistake; stands in code that does not compile.
    #[must_use]
    pub fn mistaken<T: ?Sized>(self, _: &T) -> Self {
        self
    }

    fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// `grace = …`
    #[must_use]
    pub fn grace(mut self, grace: impl IntoTimeout) -> Self {
        if let Some(grace) = grace.into_timeout() {
            self.extra().grace = grace;
        }
        self
    }

    /// `limit = …`
    #[must_use]
    pub fn limit(mut self, limit: impl IntoLimit) -> Self {
        if let Some(limit) = limit.into_limit() {
            self.extra().limit = Some(limit);
        }
        self
    }

    /// `cooperative`
    #[must_use]
    pub fn cooperative(mut self) -> Self {
        self.extra().grace = Duration::MAX;
        self
    }

    /// `error = …`
    #[must_use]
    pub fn error(mut self, error: impl IntoError) -> Self {
        self.extra().error = Some(error.into_error().into());
        self
    }

    /// `bubble`, `bubble = …`
    #[must_use]
    pub fn bubble(mut self, bubble: bool) -> Self {
        if bubble {
            announce_bubble();
        }
        self.extra().bubble = Some(bubble);
        self
    }

    /// `link = …`
    #[must_use]
    pub fn link(mut self, scopes: impl IntoLinks) -> Self {
        scopes.each(&mut |handle| self.extra().links.push(Arc::clone(&handle.node)));
        self
    }

    /// `cancel_on = …`. The type of what is no future stays unknown, as that of a child does.
    pub fn cancel_on<F, G, O>(self, future: F) -> Options<'a, S, Also<W, <O as Asked>::CancelOn<G>>>
    where
        F: CancelFuture<G, O>,
    {
        self.watch(CancelOn { future: future.polled() })
    }

    /// `token = …`
    pub fn token(self, token: impl IntoToken) -> Options<'a, S, Also<W, Firing>> {
        self.watch(token.into_token().firing())
    }

    fn watch<F>(self, future: F) -> Options<'a, S, Also<W, F>> {
        let Self { site, scope, init, shield, timeout, deadline, extra, watch: others } = self;
        Options { site, scope, init, shield, timeout, deadline, extra, watch: Also { others, future } }
    }

    fn name_for_people(&self) -> &str {
        self.extra.as_ref().and_then(|extra| extra.name.as_deref()).unwrap_or(self.site.name())
    }

    /// An async scope with a deadline needs tokio's timer.
    #[track_caller]
    #[inline(always)]
    fn require_runtime(&self) {
        let bounds_more = self.extra.as_ref().is_some_and(|extra| extra.needs_timer());
        if self.timeout.is_some() || self.deadline.is_some() || bounds_more {
            require_runtime(|| self.name_for_people().to_owned());
        }
    }

    #[track_caller]
    #[inline(always)]
    fn into_frame(self) -> (Frame, W) {
        if let Some(0) = self.extra.as_ref().and_then(|extra| extra.limit) {
            no_limit(self.name_for_people());
        }
        let Self { site, scope, init, shield, timeout, deadline, extra, watch } = self;
        let bound = match (deadline, timeout) {
            (Some(deadline), _) => Bound::at(deadline),
            (None, Some(timeout)) => Bound::after(timeout),
            (None, None) => Bound::NONE,
        };
        let mut frame = Frame::with(site, bound, shield);
        if let Some(extra) = extra {
            frame = frame.with_extra(extra);
        }
        if let Some(scope) = scope {
            init(scope, frame.make_node());
        }
        (frame, watch)
    }
}

thread_local! {
    /// This thread was seen to be one of a runtime's.
    static HAD_RUNTIME: Cell<bool> = const { Cell::new(false) };
}

/// An async scope with a deadline needs tokio's timer: says so before anything runs. Once a thread has had a runtime, it
/// is left to tokio to complain: asking costs as much as all the rest of a scope that does not wait.
#[track_caller]
#[inline(always)]
pub(crate) fn require_runtime(scope: impl FnOnce() -> String) {
    if !HAD_RUNTIME.get() {
        look_for_runtime(scope);
    }
}

#[cold]
#[track_caller]
fn look_for_runtime(scope: impl FnOnce() -> String) {
    if Handle::try_current().is_err() {
        no_runtime(&scope());
    }
    HAD_RUNTIME.set(true);
}

#[cold]
#[track_caller]
fn no_limit(scope: &str) -> ! {
    panic!("scope \"{scope}\" has a limit of 0: none of its children could ever run")
}

#[cold]
#[track_caller]
fn no_runtime(scope: &str) -> ! {
    panic!("scope \"{scope}\" has a deadline, which needs a tokio runtime; there is no reactor running here")
}

/// The boundary around a body. A few stores where the call is, if the options are known there.
#[inline(always)]
#[track_caller]
pub fn block<B, C, S, W>(
    options: Options<'_, S, W>,
    body: B,
    classify: C,
) -> Block<Numbered<B>, C, W::Hosted<B::Output>>
where
    B: Future,
    C: Classify<B::Output>,
    W: Watch,
{
    options.require_runtime();
    let (frame, watch) = options.into_frame();
    Block::hosting(frame, numbered(body), classify, watch.hosted())
}

/// What is watched, and the forks.
type Beside<W, H, R> = And<<W as Watch>::Hosted<R>, H>;

/// The boundary around a body that forks.
#[track_caller]
pub fn block_with_forks<B, C, S, W, H>(
    options: Options<'_, S, W>,
    body: B,
    classify: C,
    forks: H,
) -> Block<Numbered<B>, C, Beside<W, H, B::Output>>
where
    B: Future,
    C: Classify<B::Output>,
    W: Watch,
    H: Hosted<B::Output>,
{
    options.require_runtime();
    let (frame, watch) = options.into_frame();
    Block::hosting(frame, numbered(body), classify, And::new(watch.hosted(), forks))
}

/// The boundary around a block of sync code. Its body is an async block only for the way in which that ends: with the
/// enclosing function's value, or with [`finish`]. It awaits nothing else, so it is polled once.
pub fn blocking_block<B, C, S>(options: Options<'_, S>, body: B, classify: C) -> Left<B::Output>
where
    B: Future,
    C: Classify<B::Output>,
{
    let poll = || match pin!(body).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Body::Value(value),
        Poll::Pending if with_stack(|stack| stack.has_finished()) == Some(true) => Body::Finished,
        Poll::Pending => panic!(
            "a macro in a sync scope has an `.await` in it; \
             wait for a future with `blocking::wait`, or open the scope in async code with `scope!`"
        ),
    };
    let (frame, NoWatch) = options.into_frame();
    thread_boundary::run(frame, poll, classify)
}

/// A body that is run once, so it may give away what it captures, and gives what the function returns.
pub fn once<R, F: FnOnce() -> R>(_returns: Return<R>, body: F) -> F {
    body
}

/// The boundary around the body of a sync function.
pub fn blocking_fn<R, C, S>(
    options: Options<'_, S>,
    body: impl FnOnce() -> R,
    classify: C,
    _: impl NoFuture,
) -> Left<R>
where
    C: Classify<R>,
{
    let (frame, NoWatch) = options.into_frame();
    thread_boundary::run(frame, || Body::Value(body()), classify)
}

/// What it gets; stands around code that the macros could not read.
pub fn same<T>(value: T) -> T {
    value
}

/// Typed like what a future gives; stands for an `.await` that was reported.
pub fn awaited<F: IntoFuture>(_: F) -> F::Output {
    unreachable!("it stands in code that does not compile")
}

/// What a function returns that is not async.
#[diagnostic::on_unimplemented(
    message = "`#[cancel_scope]` on a sync `fn` that returns a future would be over before the future is polled",
    note = "make it `async fn`, or let its last line be `Box::pin` of an `async move` block"
)]
pub trait NoFuture {}

/// Whether a sync function returns a future, told as [`classify`] does.
pub mod returned {
    use super::{Future, NoFuture, Return};

    #[doc(hidden)]
    pub struct Value;
    #[diagnostic::do_not_recommend]
    impl NoFuture for Value {}

    #[doc(hidden)]
    pub struct AFuture;

    #[doc(hidden)]
    pub trait ReturnsAFuture {
        fn what(&self) -> AFuture {
            AFuture
        }
    }
    impl<R: Future> ReturnsAFuture for &Return<R> {}

    #[doc(hidden)]
    pub trait ReturnsAValue {
        fn what(&self) -> Value {
            Value
        }
    }
    impl<R> ReturnsAValue for Return<R> {}
}

/// The end of a body: raises the frame's flag and never resolves; the boundary drops the body.
#[inline]
pub fn finish() -> Finish {
    Finish
}

/// See [`finish`].
pub struct Finish;

impl Future for Finish {
    type Output = Infallible;

    #[inline]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Infallible> {
        with_stack(|stack| stack.finish());
        Poll::Pending
    }
}

/// What an expansion tells apart behind the boundary.
pub enum Settled<R> {
    /// Leave the function with this value.
    Returned(R),
    /// Leave the function with this value, which is an error.
    Failed(R),
    /// The body reached its end, or jumped.
    Finished,
    /// The scope absorbed a cancel.
    Cancelled(Cancelled),
}

#[inline]
fn settle_with<R>(left: Left<R>, convert: impl FnOnce(Box<dyn Any + Send>) -> R) -> Settled<R> {
    match left {
        Left::Returned(value) => Settled::Returned(value),
        Left::Finished => Settled::Finished,
        Left::Errored(value) => Settled::Failed(value),
        Left::Failed(error) => Settled::Failed(convert(error)),
        Left::Panicked(payload) => resume_unwind(payload),
        Left::Signalled { error, .. } | Left::Cancelled { error, .. } => Settled::Cancelled(error),
        Left::Cut => unreachable!("only a child task is cut without a word"),
    }
}

fn no_children<R>(_: Box<dyn Any + Send>) -> R {
    unreachable!("a block without `spawn!` and without a name has no fallible children")
}

/// Settles a block that has no `Scope`.
#[inline]
pub fn settle<R>(left: Left<R>) -> Settled<R> {
    settle_with(left, no_children)
}

/// Settles a block that nothing leaves but its value, which is in the slot.
///
/// # Errors
///
/// The scope absorbed a cancel.
#[inline]
pub fn settle_value<T>(left: Left<Infallible>, slot: Option<T>) -> Result<T, Cancelled> {
    match settle(left) {
        Settled::Finished => Ok(value(slot)),
        Settled::Returned(never) | Settled::Failed(never) => match never {},
        Settled::Cancelled(cancelled) => Err(cancelled),
    }
}

/// Settles a function. Where the body ended with an error that tells of the scope's own cancel, that error is the
/// value, with the context that it gathered (rule W3).
///
/// # Errors
///
/// The function's scope was cancelled.
#[inline]
pub fn settle_fn<R>(left: Left<R>, settle: impl FnOnce(Left<R>) -> Settled<R>) -> Result<R, Cancelled> {
    match left {
        Left::Signalled { value, .. } => Ok(value),
        left => settle_fallback(left, settle),
    }
}

/// Settles a function that has a fallback for every cancel.
///
/// # Errors
///
/// The function's scope was cancelled.
pub fn settle_fallback<R>(left: Left<R>, settle: impl FnOnce(Left<R>) -> Settled<R>) -> Result<R, Cancelled> {
    match settle(left) {
        Settled::Returned(value) | Settled::Failed(value) => Ok(value),
        Settled::Cancelled(cancelled) => Err(cancelled),
        Settled::Finished => unreachable!("the body of a function ends with its value"),
    }
}

impl<R, P> Scope<R, P> {
    #[doc(hidden)]
    pub fn settle(&self, left: Left<R>) -> Settled<R> {
        settle_with(left, |error| self.convert(error))
    }
}

/// The block that was just left stands in the body of another one, which ends with its failure (rule U4). The outer
/// block may not know its return type well enough to tell.
pub fn pass_failure() {
    with_stack(|stack| stack.pass_failure());
}

/// The value of a body that reached its end.
#[inline]
pub fn value<T>(slot: Option<T>) -> T {
    slot.expect("the body stores its value before it says that it is finished")
}

/// A shield opens no cancel switch; it can lose its body only if it was given up as abandoned, or moved while it
/// unwound for a scope inside of it.
pub fn shield_cut(cancelled: Cancelled) -> Infallible {
    panic!("a shield was moved out of the scope that it unwound for: {cancelled}")
}

/// What a function under `#[cancel_scope]` returns if its scope was cancelled.
#[diagnostic::on_unimplemented(
    message = "a function that returns `{Self}` can't say that it was cancelled",
    label = "`{Self}` has no place for a `Cancelled`",
    note = "return `Result<_, E>` with `E: From<scope_runtime::Cancelled>`, or say what to return: `#[cancel_scope(fallback = …)]`"
)]
pub trait FromCancelled {
    #[doc(hidden)]
    fn from_cancelled(cancelled: Cancelled) -> Self;
}

#[diagnostic::do_not_recommend]
impl FromCancelled for () {
    fn from_cancelled(_: Cancelled) -> Self {}
}

#[diagnostic::do_not_recommend]
impl<T, E: From<Cancelled>> FromCancelled for Result<T, E> {
    fn from_cancelled(cancelled: Cancelled) -> Self {
        Err(cancelled.into())
    }
}

/// How an error whose type is known as far as `Self` says is asked what it says of itself, and what it wraps.
trait Reading<E> {
    fn text(error: &E) -> ErrorText;
    fn signal(error: &E) -> Option<Signal>;
}

/// One level of knowledge about an error type, and what can be asked of it.
macro_rules! readings {
    ($($(#[$doc:meta])* $name:ident: $($bound:path),+; |$error:ident| $text:expr, $source:expr; $signal:expr;)*) => {$(
        $(#[$doc])*
        #[doc(hidden)]
        #[derive(Clone, Copy, Default)]
        pub struct $name;

        impl<E: $($bound +)+> Reading<E> for $name {
            fn text($error: &E) -> ErrorText {
                // A user's `Display` may panic, which must not keep an error from where it goes.
                catch_unwind(AssertUnwindSafe(|| ErrorText { text: $text, source: $source }))
                    .unwrap_or_else(|_| ErrorText { text: type_name::<E>().to_owned(), source: None })
            }

            fn signal(error: &E) -> Option<Signal> {
                let find: fn(&E) -> Option<Signal> = $signal;
                // So may its `source`.
                catch_unwind(AssertUnwindSafe(|| find(error))).unwrap_or(None)
            }
        }

        impl<T, E: $($bound +)+> Classify<Result<T, E>> for $name {
            fn is_err(self, value: &Result<T, E>) -> bool {
                value.is_err()
            }

            fn text(self, value: &Result<T, E>) -> ErrorText {
                match value {
                    Ok(_) => ErrorText { text: String::new(), source: None },
                    Err(error) => <Self as Reading<E>>::text(error),
                }
            }

            fn signal(self, value: &Result<T, E>) -> Option<Signal> {
                value.as_ref().err().and_then(<Self as Reading<E>>::signal)
            }
        }

        impl<T, E, R> Fails<Result<T, E>, R, FailFast> for $name {
            type Error = E;
            type Into = R;
        }

        impl<T, E, R> Fails<Result<T, E>, R, Supervise> for $name {
            type Error = Infallible;
            type Into = Result<(), Infallible>;
        }

        impl<T, E, R> JobOutput<Result<T, E>, R, FailFast> for $name
        where
            E: $($bound +)+ Send + 'static,
            R: FromFailure<E>,
        {
            type Value = T;

            fn convert(scope: &Scope<R, FailFast>) -> fn(Result<T, E>) -> Output<T> {
                scope.convert_with::<E>();
                |output| may_fail::<Self, T, E, _>(output, |error| Box::new(error) as _)
            }
        }

        impl<T, E: $($bound +)+, R> JobOutput<Result<T, E>, R, Supervise> for $name {
            type Value = Result<T, E>;

            fn convert(_: &Scope<R, Supervise>) -> fn(Result<T, E>) -> Output<Result<T, E>> {
                supervised::<Self, T, E, _>
            }
        }

        impl<T, E: $($bound +)+, R: FromFailure<E>> ForkOutput<Result<T, E>, R, FailFast> for $name {
            type Value = T;

            fn split(output: Result<T, E>) -> Output<T, R> {
                may_fail::<Self, T, E, R>(output, R::from_failure)
            }
        }

        impl<T, E: $($bound +)+, R> ForkOutput<Result<T, E>, R, Supervise> for $name {
            type Value = Result<T, E>;

            fn split(output: Result<T, E>) -> Output<Result<T, E>, R> {
                supervised::<Self, T, E, R>(output)
            }
        }
    )*};
}

/// What a child fails with, and what has to be made of it. Asked for by itself, so that the compiler speaks of these two
/// types, and of nothing around them.
pub trait Fails<O, R, P> {
    /// The child's error.
    type Error;
    /// What carries it.
    type Into;
}

/// It does not fail.
impl<T, R, P> Fails<T, R, P> for NeverErr {
    type Error = Infallible;
    type Into = Result<(), Infallible>;
}

/// The scope again. Called with [`FromFailure::from_failure`], which is where the compiler complains of an error that the
/// function around can't carry.
pub fn carries<O, R, P, K: Fails<O, R, P>>(
    scope: &Scope<R, P>,
    _output: Return<O>,
    _kind: K,
    _carry: fn(K::Error) -> K::Into,
) -> &Scope<R, P> {
    scope
}

impl<T, R, P> ForkOutput<T, R, P> for NeverErr {
    type Value = T;

    fn split(output: T) -> Output<T, R> {
        Output::Value(output)
    }
}

/// The output of a child that fails its scope (rule F4).
fn may_fail<L: Reading<E>, T, E, K>(output: Result<T, E>, keep: impl FnOnce(E) -> K) -> Output<T, K> {
    match output {
        Ok(value) => Output::Value(value),
        Err(error) => {
            let (text, signal) = (L::text(&error), L::signal(&error));
            Output::Failure(ChildError { text, signal, error: keep(error) })
        }
    }
}

/// The output of a child that does not (rule F5).
fn supervised<L: Reading<E>, T, E, K>(output: Result<T, E>) -> Output<Result<T, E>, K> {
    match &output {
        Ok(_) => Output::Value(output),
        Err(error) => {
            let (text, signal) = (L::text(error), L::signal(error));
            Output::Error { value: output, text, signal }
        }
    }
}

trait Static: 'static {}
impl<T: 'static> Static for T {}

readings! {
    AsError: Error, Static; |error| error.to_string(), error.source().map(ToString::to_string); |error| signal::in_error(error);
    AsText: Display, Debug; |error| format!("{error:#}"), None; |error| signal::in_debug(error);
    AsDisplay: Display; |error| format!("{error:#}"), None; |_| None;
    AsDebug: Debug; |error| format!("{error:?}"), None; |error| signal::in_debug(error);
    AsAny: Sized; |_error| type_name::<E>().to_owned(), None; |_| None;
}

/// Whether a return type is a `Result`, told by the number of references that a method call peels off.
pub mod classify {
    use super::{
        AsAny, AsDebug, AsDisplay, AsError, AsText, Debug, Display, Error, NeverErr, Return, Static,
    };

    macro_rules! levels {
        ($($trait:ident: [$($bound:path),+], $this:ty, $reading:ident;)*) => {$(
            #[doc(hidden)]
            pub trait $trait {
                fn classify(&self) -> $reading {
                    $reading
                }
            }

            impl<T, E: $($bound +)+> $trait for $this {}
        )*};
    }

    levels! {
        ReturnsError: [Error, Static], &&&&Return<Result<T, E>>, AsError;
        ReturnsText: [Display, Debug], &&&Return<Result<T, E>>, AsText;
        ReturnsDisplay: [Display], &&Return<Result<T, E>>, AsDisplay;
        ReturnsDebug: [Debug], &Return<Result<T, E>>, AsDebug;
        ReturnsResult: [Sized], Return<Result<T, E>>, AsAny;
    }

    #[doc(hidden)]
    pub trait ReturnsAny: Sized {
        fn classify(self) -> NeverErr {
            NeverErr
        }
    }

    impl<R> ReturnsAny for Return<R> {}
}

/// `detach!`
#[track_caller]
pub fn detach<F, T>(future: F) -> JoinHandle<T>
where
    F: ChildFuture<Output = T> + Send + 'static,
    T: Send + 'static,
{
    tokio::spawn(future)
}

/// The type of a child's output and the policy of its scope, for the choice between fallible, supervised and plain.
pub struct OutputOf<T, P>(PhantomData<fn() -> (T, P)>);

impl<T, P> Clone for OutputOf<T, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, P> Copy for OutputOf<T, P> {}

impl<F: Future> Child<F> {
    /// The scope that it is spawned into.
    pub fn into_scope<R, P: Policy>(self, scope: &Scope<R, P>) -> Placed<'_, R, P, F> {
        Placed { child: self.of_policy::<P>(), scope }
    }
}

/// A child with its scope.
pub struct Placed<'a, R, P, F> {
    child: Child<F>,
    scope: &'a Scope<R, P>,
}

impl<R, P, F: Future> Placed<'_, R, P, F> {
    /// What decides how it is spawned.
    pub fn kind(&self) -> OutputOf<F::Output, P> {
        OutputOf(PhantomData)
    }

    #[track_caller]
    fn start<T>(self, convert: fn(F::Output) -> Output<T>) -> Task<T>
    where
        F: Send + 'static,
        T: Send + 'static,
    {
        let Self { child, scope } = self;
        let site = child.site;
        spawn_into(&scope.node, child, convert).unwrap_or_else(|_| closed_task(&scope.node, site))
    }
}

/// Spawns a child whose output is its value.
#[track_caller]
pub fn spawn_plain<R, P, F>(child: Placed<'_, R, P, F>) -> Task<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    child.start(Output::Value)
}

/// How `spawn!` tells fallible children from plain ones: by the number of references that the call peels off. What is not
/// asked for that choice is asked by the method, so that the compiler complains of the user's type, and not of ours.
pub mod output {
    use super::{AsAny, AsDebug, AsDisplay, AsError, AsText, Debug, Display, Error};
    use super::{
        FailFast, Future, MayFail, OutputOf, Placed, Spawned, Supervise, may_fail, spawn_plain, supervised,
    };

    macro_rules! levels {
        ($($trait:ident, $supervised:ident: [$($bound:path),+], [$($peeled:tt)*], $reading:ty;)*) => {$(
            #[doc(hidden)]
            pub trait $trait<T, E> {
                #[track_caller]
                fn spawn<'a, R, F>(&self, child: Placed<'a, R, FailFast, F>) -> MayFail<'a, R, F, T, E>
                where
                    F: Future<Output = Result<T, E>> + Send + 'static,
                    T: Send + 'static,
                    E: Send + 'static;
            }

            impl<T, E: $($bound +)+> $trait<T, E> for $($peeled)* OutputOf<Result<T, E>, FailFast> {
                fn spawn<'a, R, F>(&self, child: Placed<'a, R, FailFast, F>) -> MayFail<'a, R, F, T, E>
                where
                    F: Future<Output = Result<T, E>> + Send + 'static,
                    T: Send + 'static,
                    E: Send + 'static,
                {
                    MayFail { child, convert: |output| may_fail::<$reading, _, _, _>(output, |error| Box::new(error) as _) }
                }
            }

            #[doc(hidden)]
            pub trait $supervised<T, E> {
                #[track_caller]
                fn spawn<R, F>(&self, child: Placed<'_, R, Supervise, F>) -> Spawned<Result<T, E>>
                where
                    F: Future<Output = Result<T, E>> + Send + 'static,
                    T: Send + 'static,
                    E: Send + 'static;
            }

            impl<T, E: $($bound +)+> $supervised<T, E> for $($peeled)* OutputOf<Result<T, E>, Supervise> {
                fn spawn<R, F>(&self, child: Placed<'_, R, Supervise, F>) -> Spawned<Result<T, E>>
                where
                    F: Future<Output = Result<T, E>> + Send + 'static,
                    T: Send + 'static,
                    E: Send + 'static,
                {
                    Spawned(child.start(supervised::<$reading, _, _, _>))
                }
            }
        )*};
    }

    levels! {
        EndsWithError, HandsOverError: [Error], [&&&&], AsError;
        EndsWithText, HandsOverText: [Display, Debug], [&&&], AsText;
        EndsWithDisplay, HandsOverDisplay: [Display], [&&], AsDisplay;
        EndsWithDebug, HandsOverDebug: [Debug], [&], AsDebug;
        EndsWithResult, HandsOverResult: [Sized], [], AsAny;
    }

    #[doc(hidden)]
    pub trait EndsWithAny<T, P> {
        #[track_caller]
        fn spawn<R, F>(self, child: Placed<'_, R, P, F>) -> Spawned<T>
        where
            F: Future<Output = T> + Send + 'static,
            T: Send + 'static;
    }

    impl<T, P> EndsWithAny<T, P> for OutputOf<T, P> {
        fn spawn<R, F>(self, child: Placed<'_, R, P, F>) -> Spawned<T>
        where
            F: Future<Output = T> + Send + 'static,
            T: Send + 'static,
        {
            Spawned(spawn_plain(child))
        }
    }
}

/// A child that is spawned.
pub struct Spawned<T>(Task<T>);

impl<T> Spawned<T> {
    /// It fails nobody, so there is nothing to carry.
    #[must_use]
    pub fn carried(self, _: fn(Infallible) -> Result<(), Infallible>) -> Self {
        self
    }

    /// Its handle.
    pub fn start(self) -> Task<T> {
        self.0
    }
}

/// A fallible child that is not spawned yet: so that what is asked of the function around it is asked here.
pub struct MayFail<'a, R, F: Future, T, E> {
    child: Placed<'a, R, FailFast, F>,
    convert: fn(Result<T, E>) -> Output<T>,
}

impl<R, F: Future<Output = Result<T, E>>, T, E> MayFail<'_, R, F, T, E> {
    /// Called with [`FromFailure::from_failure`], which is where the compiler complains of an error that the function
    /// around can't carry.
    #[must_use]
    pub fn carried(self, _: fn(E) -> R) -> Self {
        self
    }

    /// Spawns it.
    #[track_caller]
    pub fn start(self) -> Task<T>
    where
        R: FromFailure<E>,
        F: Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        self.child.scope.convert_with::<E>();
        self.child.start(self.convert)
    }
}

/// The scope in `spawn!(in s, …)`. Of what is no scope, the types stay unknown.
pub fn named_scope<'a, R, P>(scope: impl ScopeRef<'a, R = R, P = P>) -> &'a Scope<R, P> {
    scope.named()
}

/// Spawns a blocking child that borrows nothing.
#[track_caller]
pub fn spawn_blocking<R, P, F, O, K>(scope: &Scope<R, P>, job: Job<F>, _kind: K) -> Task<K::Value>
where
    P: Policy,
    F: FnOnce() -> O + Send + 'static,
    O: 'static,
    K: JobOutput<O, R, P, Value: Send + 'static>,
{
    on_pool(&scope.node, job.of_policy::<P>(), K::convert(scope))
}

/// Spawns a blocking child that may borrow from outside of its sync scope.
#[track_caller]
pub fn spawn_thread<'scope, R, P, F, O, K>(
    scope: &Scope<R, P>,
    threads: &'scope thread::Scope<'scope, '_>,
    job: Job<F>,
    _kind: K,
) -> Task<K::Value>
where
    P: Policy,
    F: FnOnce() -> O + Send + 'scope,
    O: 'scope,
    K: JobOutput<O, R, P, Value: Send + 'scope>,
{
    on_thread(threads, &scope.node, job.of_policy::<P>(), K::convert(scope))
}

/// What becomes of the output of a blocking child, by what kind of type it is.
pub trait JobOutput<O, R, P> {
    /// What the handle gives.
    type Value;

    #[doc(hidden)]
    fn convert(scope: &Scope<R, P>) -> fn(O) -> Output<Self::Value>;
}

impl<T, R, P> JobOutput<T, R, P> for NeverErr {
    type Value = T;

    fn convert(_: &Scope<R, P>) -> fn(T) -> Output<T> {
        Output::Value
    }
}
