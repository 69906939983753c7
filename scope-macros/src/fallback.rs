//! What is emitted after a mistake: the errors, and the user's code in a form that still has its types.

use crate::diagnostics::Diagnostics;
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Expr;

/// A served item with its errors beside it. What a wrong option mentions is not unused.
pub(crate) fn item(item: TokenStream, diagnostics: Diagnostics) -> TokenStream {
    if diagnostics.is_empty() {
        return item;
    }
    let errors = diagnostics.into_tokens();
    quote!(#[allow(unused)] #item #errors)
}

/// An item that can't be served, as it was written, with the errors beside it.
pub(crate) fn unserved(item: TokenStream, diagnostics: Diagnostics) -> TokenStream {
    let errors = diagnostics.into_tokens();
    quote!(#item #errors)
}

/// An expression with its errors in front. Without one, the last error stands for it: its type fits everywhere.
pub(crate) fn expression(expanded: Option<TokenStream>, diagnostics: Diagnostics) -> TokenStream {
    if let (Some(expanded), true) = (&expanded, diagnostics.is_empty()) {
        return expanded.clone();
    }
    let errors = diagnostics.into_tokens();
    quote_spanned!(Span::mixed_site()=> { #errors #expanded })
}

/// A future that can't be spawned is still checked.
pub(crate) fn future(future: Box<Expr>, diagnostics: Diagnostics) -> TokenStream {
    let errors = diagnostics.into_tokens();
    quote_spanned!(Span::mixed_site()=> { let _ = #future; #errors })
}
