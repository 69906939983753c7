//! `#[scope_runtime::test]`

use super::function;
use crate::check::Test;
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;

/// A function that the test harness can call, around the one that was written, whose body is a scope.
pub(crate) fn test(test: Test) -> TokenStream {
    let Test { runtime, attributes, visibility, name, returns_at, every_await, body } = test;
    let at = Span::mixed_site();
    let body = function(body);
    let run = Ident::new(if every_await { "every_await" } else { "once" }, at);
    // A return type that can't tell success from failure is to be blamed itself.
    let rt = runtime.private(returns_at);
    let blamed = at.located_at(returns_at);
    let call = quote_spanned!(blamed=> #rt::tests::#run(#name));
    // The test stays on one thread, so what it shares with its checks may be an `Rc`.
    quote_spanned! {at=>
        #[::core::prelude::v1::test]
        #(#attributes)*
        #visibility fn #name() {
            #[allow(clippy::future_not_send)]
            #body
            #call
        }
    }
}
