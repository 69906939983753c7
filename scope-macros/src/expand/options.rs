//! The options, as the runtime is told them.

use crate::model::{Delay, Setting};
use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::spanned::Spanned as _;

/// `Options` with every setting, in the order written.
pub(super) fn options(settings: &[Setting], scope: Option<&syn::Ident>, rt: &TokenStream) -> TokenStream {
    let at = Span::mixed_site();
    let mut options = quote_spanned!(at=> #rt::Options::new(&__SITE));
    if let Some(scope) = scope {
        options.extend(quote_spanned!(at=> .of(#scope)));
    }
    options.extend(settings.iter().filter_map(|setting| call(setting, rt)));
    options
}

fn call(setting: &Setting, rt: &TokenStream) -> Option<TokenStream> {
    Some(match setting {
        Setting::Timeout(length) => delay("timeout", length, rt),
        Setting::CleanupTimeout(length) => delay("cleanup_timeout", length, rt),
        Setting::Deadline(instant) => method("deadline", instant, instant.span()),
        Setting::Shield(condition) => method("shield", condition, condition.span()),
        Setting::Name(name) => method("name", name, name.span()),
        Setting::Grace(length) => delay("grace", length, rt),
        Setting::Cooperative => quote_spanned!(Span::mixed_site()=> .cooperative()),
        Setting::Error(error) => method("error", error, error.span()),
        Setting::Bubble(condition) => method("bubble", condition, condition.span()),
        Setting::Link(handles) => method("link", handles, handles.span()),
        Setting::CancelOn(future) => method("cancel_on", future, future.span()),
        Setting::Token(token) => method("token", token, token.span()),
        Setting::Limit(most) => method("limit", most, most.span()),
        Setting::Supervise => return None,
        Setting::Mistaken(value) => {
            method("mistaken", &quote_spanned!(Span::mixed_site()=> &#value), value.span())
        }
    })
}

fn delay(name: &str, length: &Delay, rt: &TokenStream) -> TokenStream {
    match length {
        Delay::Literal(length) => {
            let (seconds, nanos) = (length.as_secs(), length.subsec_nanos());
            let length = quote_spanned!(Span::mixed_site()=> #rt::Duration::new(#seconds, #nanos));
            method(name, &length, Span::mixed_site())
        }
        Delay::Computed(length) => method(name, &**length, length.span()),
    }
}

/// A value of the wrong type is blamed on the value.
fn method(name: &str, value: &impl quote::ToTokens, blame: Span) -> TokenStream {
    let name = syn::Ident::new(name, Span::mixed_site().located_at(blame));
    quote_spanned!(Span::mixed_site().located_at(blame)=> .#name(#value))
}
