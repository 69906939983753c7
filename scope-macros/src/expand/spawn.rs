//! `spawn!` and `fork!`

use super::site;
use crate::model::{Child, Fork, Into, Spawn};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::spanned::Spanned as _;

pub(crate) fn spawn(spawn: &Spawn) -> TokenStream {
    let Spawn { runtime, scope, child } = spawn;
    // A future that can't be spawned is to be blamed itself.
    let at = Span::mixed_site().located_at(child.future.span());
    let rt = &runtime.private(at);
    let scope = match scope {
        Into::Block(name) => located(name, at),
        Into::Named(scope) => scope.to_token_stream(),
    };
    let start = if child.endless {
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
    started(child, &quote_spanned!(at=> .into_scope(#scope)), &start, at, rt)
}

pub(crate) fn fork(fork: &Fork) -> TokenStream {
    let Fork { runtime, slot, child } = fork;
    let at = Span::mixed_site().located_at(child.future.span());
    let rt = &runtime.private(at);
    let slot = located(slot, at);
    let output = if child.endless {
        quote_spanned!(at=> #rt::NeverErr)
    } else {
        quote_spanned! {at=>
            {
                #[allow(unused_imports)]
                use #rt::classify::*;
                (&&&&&__child.output()).classify()
            }
        }
    };
    let start = quote_spanned!(at=> { let __output = #output; #slot.fork(__child, __output) });
    started(child, &TokenStream::new(), &start, at, rt)
}

fn started(
    child: &Child,
    place: &TokenStream,
    start: &TokenStream,
    at: Span,
    rt: &TokenStream,
) -> TokenStream {
    let site = site::site(&child.site, rt);
    let child = self::child(child, &quote_spanned!(at=> __SITE), at, rt);
    // A `match` keeps what the future's expression borrows from alive until it is started.
    quote_spanned! {at=>
        {
            #site
            match #child #place { __child => #start }
        }
    }
}

/// The child with its options, under the site of that name.
pub(super) fn child(child: &Child, site: &TokenStream, at: Span, rt: &TokenStream) -> TokenStream {
    let Child { site: _, name, background, skip_if_cancelled, future, endless: _ } = child;
    let background = background.then(|| quote_spanned!(at=> .background()));
    let skip = skip_if_cancelled.then(|| quote_spanned!(at=> .skip_if_cancelled()));
    let name = name.as_ref().map(|name| quote_spanned!(at.located_at(name.span())=> .name(#name)));
    quote_spanned!(at=> #rt::Child::new(&#site, #future) #background #skip #name)
}

/// The name is written where its block begins; what is wrong with a child is not wrong there.
fn located(name: &TokenStream, at: Span) -> TokenStream {
    let tokens = name.clone().into_iter().map(|mut token| {
        token.set_span(token.span().located_at(at));
        token
    });
    tokens.collect()
}
