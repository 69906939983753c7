//! The static that tells a block from all others.

use crate::model::{Site, SiteKind};
use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;

pub(super) fn site(site: &Site, rt: &TokenStream) -> TokenStream {
    let at = Span::mixed_site();
    named(&quote_spanned!(at=> __SITE), site, rt)
}

/// The same under a name of its own.
pub(super) fn named(called: &TokenStream, site: &Site, rt: &TokenStream) -> TokenStream {
    let at = Span::mixed_site();
    let kind = match site.kind {
        SiteKind::Scope => quote_spanned!(at=> Scope),
        SiteKind::Shield => quote_spanned!(at=> Shield),
        SiteKind::Function => quote_spanned!(at=> Function),
        SiteKind::Task => quote_spanned!(at=> Task),
        SiteKind::Race => quote_spanned!(at=> Race),
    };
    let name = &site.name;
    // These tell the place of the outermost macro around them. With the user's own span there is none, so a block
    // that is expanded together with the one around it still gets its own line.
    let [file, line, column, module] = [
        quote_spanned!(site.place=> ::core::file!()),
        quote_spanned!(site.place=> ::core::line!()),
        quote_spanned!(site.place=> ::core::column!()),
        quote_spanned!(site.place=> ::core::module_path!()),
    ];
    quote_spanned! {at=>
        static #called: #rt::Site = #rt::Site::new(#rt::Kind::#kind, #name, #file, #line, #column, #module);
    }
}
