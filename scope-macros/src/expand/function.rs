//! `#[cancel_scope]`

use super::{names, options, parts, site};
use crate::check::Served;
use crate::model::{Function, Side};
use crate::parse::item;
use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::{Expr, Stmt};

/// The user's function with a new body; all else is as it was.
pub(crate) fn function(served: Served) -> TokenStream {
    let Served { mut item, shape, function } = served;
    let body = body(&function);
    if let Some(block) = item::body(&mut item, shape) {
        block.stmts = vec![Stmt::Expr(Expr::Verbatim(body), None)];
    }
    item.into_token_stream()
}

fn body(function: &Function) -> TokenStream {
    let at = Span::mixed_site();
    let rt = &function.runtime.as_written();
    let (ret, scope) = (names::returns(0), names::scope(0));
    let site = site::site(&function.site, rt);
    let pin = parts::pin(&ret, function.returns_at);
    let ty = function.returns.as_ref().map(|ty| quote_spanned!(at=> : #rt::Return<#ty>));
    let own_scope = function.has_children().then_some(&scope);
    let new_scope = own_scope
        .map(|scope| parts::new_scope(function.binding.as_ref(), &function.settings, 0, scope, &ret, rt));
    let new_forks = parts::new_forks(&function.body, 0, &scope, rt);
    let options = options::options(&function.settings, own_scope, rt);
    let capture = function.owned.then(|| quote_spanned!(at=> move));
    let binding = parts::binding(function.binding.as_ref(), &scope);
    let statements = &function.body.statements;
    // A closure's type can be told from outside; and behind the pin, the compiler would add to every wrong type that it
    // is that of the function's value.
    let pin_inside = (function.side == Side::Async).then_some(&pin);
    let mut braced = Group::new(Delimiter::Brace, quote_spanned!(at=> #binding #pin_inside #(#statements)*));
    braced.set_span(at.located_at(function.body.braces));
    let is_error = parts::error_of(&ret, rt);
    let owner = names::owner(function.binding.as_ref(), 0);
    let boundary = parts::boundary(&function.body, 0, &is_error, rt);
    let settle = match own_scope {
        Some(_) => quote_spanned!(at=> |__left| #owner.settle(__left)),
        None => quote_spanned!(at=> #rt::settle),
    };
    let settle_fn = match &function.fallback {
        Some(_) => quote_spanned!(at=> #rt::settle_fallback),
        None => quote_spanned!(at=> #rt::settle_fn),
    };
    let (cancelled, on_cancel) = match &function.fallback {
        Some(fallback) => parts::fallback(fallback),
        None => {
            // A return type that can't say it is to be blamed itself, and a crate that is not there is not.
            let blamed = at.located_at(function.returns_at);
            let convert = quote_spanned!(blamed=> __Say::from_cancelled(__cancelled));
            (
                quote_spanned!(at=> __cancelled),
                quote_spanned!(at=> { use #rt::FromCancelled as __Say; #convert }),
            )
        }
    };
    let (body, boundary) = match function.side {
        Side::Async => {
            (quote_spanned!(at=> let __body = async #capture #braced;), quote_spanned!(at=> #boundary.await))
        }
        Side::Sync => {
            let sure = parts::no_future(&ret, function.returns_at, rt);
            let body = quote_spanned!(at=> let __body = #rt::once(#ret, || #braced););
            let boundary = quote_spanned!(at=> #rt::blocking_fn(__options, __body, #is_error, #sure));
            let threads = function.body.facts.lends.then(|| names::threads(0));
            parts::lending(threads.as_ref(), body, boundary, rt)
        }
    };
    quote_spanned! {at=>
        #site
        let #ret #ty = #rt::Return::new();
        #pin
        #new_scope
        #new_forks
        let __options = #options;
        #body
        #[allow(unreachable_code)]
        let #cancelled = match #settle_fn(#boundary, #settle) {
            #rt::Ok(__returned) => return __returned,
            #rt::Err(__cancelled) => __cancelled,
        };
        #on_cancel
    }
}
