//! What may be written for `link = …` (rule B2).

use crate::scope::{Scope, ScopeHandle};

/// What may be written for `link`: a handle, a named scope, or a tuple, array or vector of these (rule B2).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{scope, Cause};
///
/// let outer = scope!(|a| {
///     let middle = scope!(|b| {
///         let _ = scope!(link = (a, b), |inner| {
///             inner.cancel(); // and with it `a` and `b`
///         });
///         assert!(a.cancel_called() && b.cancel_called());
///         std::future::pending::<()>().await;
///     });
///     drop(middle);
/// });
/// assert!(matches!(outer.unwrap_err().cause(), Cause::Link(_)));
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no scope that can be linked",
    label = "expected a `ScopeHandle`, a `&Scope`, or a tuple of these",
    note = "write `link = handle`, or `link = (a, b)` for several"
)]
pub trait IntoLinks {
    /// Gives each handle to `link`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{scope, IntoLinks};
    ///
    /// let names = scope!(|a| {
    ///     let mut names = Vec::new();
    ///     (a, a.handle()).each(&mut |handle| names.push(handle.name()));
    ///     names
    /// });
    /// assert_eq!(names.unwrap(), ["scope", "scope"]);
    /// # }
    /// ```
    fn each(&self, link: &mut dyn FnMut(&ScopeHandle));
}

impl IntoLinks for ScopeHandle {
    fn each(&self, link: &mut dyn FnMut(&ScopeHandle)) {
        link(self);
    }
}

impl<R> IntoLinks for Scope<R> {
    fn each(&self, link: &mut dyn FnMut(&ScopeHandle)) {
        link(self);
    }
}

impl<T: IntoLinks + ?Sized> IntoLinks for &T {
    fn each(&self, link: &mut dyn FnMut(&ScopeHandle)) {
        (**self).each(link);
    }
}

impl<T: IntoLinks> IntoLinks for [T] {
    fn each(&self, link: &mut dyn FnMut(&ScopeHandle)) {
        self.iter().for_each(|one| one.each(link));
    }
}

impl<T: IntoLinks, const N: usize> IntoLinks for [T; N] {
    fn each(&self, link: &mut dyn FnMut(&ScopeHandle)) {
        self.as_slice().each(link);
    }
}

impl<T: IntoLinks> IntoLinks for Vec<T> {
    fn each(&self, link: &mut dyn FnMut(&ScopeHandle)) {
        self.as_slice().each(link);
    }
}

impl<T: IntoLinks> IntoLinks for Option<T> {
    fn each(&self, link: &mut dyn FnMut(&ScopeHandle)) {
        self.iter().for_each(|one| one.each(link));
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)*) => {
        $(impl<$($name: IntoLinks),+> IntoLinks for ($($name,)+) {
            fn each(&self, link: &mut dyn FnMut(&ScopeHandle)) {
                #[allow(non_snake_case)] // each is named as its type is
                let ($($name,)+) = self;
                $($name.each(link);)+
            }
        })*
    };
}

tuples! { A; A B; A B C; A B C D; A B C D E; A B C D E F; }
