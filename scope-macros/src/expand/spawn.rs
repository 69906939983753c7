//! `spawn!`

use super::site;
use crate::model::{Into, Spawn};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::spanned::Spanned as _;

pub(crate) fn spawn(spawn: &Spawn) -> TokenStream {
    // A future that can't be spawned is to be blamed itself.
    let at = Span::mixed_site().located_at(spawn.future.span());
    let rt = &spawn.runtime.private(at);
    let Spawn { runtime: _, site, scope, name, background, skip_if_cancelled, future, endless } = spawn;
    let site = site::site(site, rt);
    let scope = located(scope, at);
    let background = background.then(|| quote_spanned!(at=> .background()));
    let skip = skip_if_cancelled.then(|| quote_spanned!(at=> .skip_if_cancelled()));
    let name = name.as_ref().map(|name| quote_spanned!(at.located_at(name.span())=> .name(#name)));
    let child = quote_spanned!(at=> #rt::Child::new(&__SITE, #future));
    let start = if *endless {
        quote_spanned!(at=> #rt::spawn_plain(__child))
    } else {
        // Asked in this order, the first that the output can do decides what becomes of it.
        quote_spanned! {at=>
            {
                #[allow(unused_imports)]
                use #rt::output::*;
                (&&&&&__child.kind()).spawn(__child)
            }
        }
    };
    // A `match` keeps what the future's expression borrows from alive until it is spawned.
    quote_spanned! {at=>
        {
            #site
            match #child #background #skip #name.into_scope(#scope) { __child => #start }
        }
    }
}

/// The scope's name is written where its block begins; what is wrong with a child is not wrong there.
fn located(scope: &Into, at: Span) -> TokenStream {
    match scope {
        Into::Block(name) => name
            .clone()
            .into_iter()
            .map(|mut token| {
                token.set_span(token.span().located_at(at));
                token
            })
            .collect(),
        Into::Named(scope) => scope.to_token_stream(),
    }
}
