//! What may be written for options that take anything that converts, and for children: traits of our own, so that the
//! compiler says what is expected there, and not what we do with it.

use std::borrow::Cow;
use std::error::Error;
use std::future::{Future, IntoFuture};

use crate::scope::Scope;
use crate::token::CancelToken;

/// What may be written for `name = …`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no name",
    label = "expected a `&'static str`, a `String` or a `Cow<'static, str>`",
    note = "write `name = \"fetch\"`, or `name = format!(…)`"
)]
pub trait IntoName {
    #[doc(hidden)]
    fn into_name(self) -> Cow<'static, str>;
}

#[diagnostic::do_not_recommend]
impl<T: Into<Cow<'static, str>>> IntoName for T {
    fn into_name(self) -> Cow<'static, str> {
        self.into()
    }
}

/// What may be written for `token = …`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no cancel token",
    label = "expected a `CancelToken`, or what converts into one",
    note = "write `token = token`, with a `CancelToken` that others hold as well"
)]
pub trait IntoToken {
    #[doc(hidden)]
    fn into_token(self) -> CancelToken;
}

#[diagnostic::do_not_recommend]
impl<T: Into<CancelToken>> IntoToken for T {
    fn into_token(self) -> CancelToken {
        self.into()
    }
}

/// What may be written for `error = …`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no error",
    label = "expected an error that is `Send + Sync + 'static`, or a text",
    note = "write `error = MyError::Stopped`, or `error = \"stopped\"`"
)]
pub trait IntoError {
    #[doc(hidden)]
    fn into_error(self) -> Box<dyn Error + Send + Sync>;
}

#[diagnostic::do_not_recommend]
impl<T: Into<Box<dyn Error + Send + Sync>>> IntoError for T {
    fn into_error(self) -> Box<dyn Error + Send + Sync> {
        self.into()
    }
}

/// What may be written as a child: every future is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a future; write `async {{ … }}` around the code, or call the `async fn`",
    label = "expected a future",
    note = "hand over the future itself, without `.await`"
)]
pub trait ChildFuture: Future + Gives {}

#[diagnostic::do_not_recommend]
impl<F: Future> ChildFuture for F {}

/// The output of a future once more, under another name: what waits for this one is never known of what is no future.
pub trait Gives {
    /// The output.
    type Given;
}

#[diagnostic::do_not_recommend]
impl<F: Future> Gives for F {
    type Given = F::Output;
}

/// What may be written for `cancel_on = …`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a future, which `cancel_on` waits for",
    label = "expected a future",
    note = "of a token, write `cancel_on = token.cancelled()`, or `token = token`"
)]
pub trait CancelFuture<G, O> {
    #[doc(hidden)]
    fn polled(self) -> G;
}

#[diagnostic::do_not_recommend]
impl<F: IntoFuture<IntoFuture = G, Output = O>, G: Future<Output = O>, O> CancelFuture<G, O> for F {
    fn polled(self) -> G {
        self.into_future()
    }
}

/// What may be written for `s` in `spawn!(in s, …)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no scope to spawn into",
    label = "expected a `&Scope`",
    note = "name the scope, as in `scope!(|s| {{ spawn!(in s, …) }})`, or take it as a parameter, `s: &Scope<R>`; what \
            is kept elsewhere spawns by `s.spawner()`"
)]
pub trait ScopeRef<'a> {
    /// The scope's return type.
    type R;
    /// The scope's policy.
    type P;
    #[doc(hidden)]
    fn named(self) -> &'a Scope<Self::R, Self::P>;
}

#[diagnostic::do_not_recommend]
impl<'a, R, P> ScopeRef<'a> for &'a Scope<R, P> {
    type R = R;
    type P = P;

    fn named(self) -> &'a Scope<R, P> {
        self
    }
}

#[diagnostic::do_not_recommend]
impl<'a, R, P> ScopeRef<'a> for &&'a Scope<R, P> {
    type R = R;
    type P = P;

    fn named(self) -> &'a Scope<R, P> {
        self
    }
}
