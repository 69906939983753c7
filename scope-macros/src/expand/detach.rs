//! `detach!`

use crate::model::Runtime;
use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::Expr;
use syn::spanned::Spanned as _;

pub(crate) fn detach(runtime: &Runtime, future: &Expr, others: &[Expr]) -> TokenStream {
    let at = Span::mixed_site().located_at(future.span());
    let rt = runtime.private(at);
    let start = quote_spanned!(at=> #rt::detach(#future));
    match others {
        [] => start,
        others => quote_spanned!(at=> { #(if false { let _ = #others; })* #start }),
    }
}
