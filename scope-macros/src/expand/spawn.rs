//! `spawn!`, `spawn_blocking!` and `fork!`

use super::{parts, site};
use crate::model::{Child, Fork, Into, Spawn, SpawnKind};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::spanned::Spanned as _;

pub(crate) fn spawn(spawn: &Spawn) -> TokenStream {
    let Spawn { kind, runtime, scope, child } = spawn;
    // What can't be spawned is to be blamed itself.
    let at = Span::mixed_site().located_at(child.subject.span());
    let rt = &runtime.private(at);
    let future = future(child, at, rt);
    let (scope, threads) = match scope {
        Into::Block(name) => (located(name, at), None),
        Into::Lending { scope, threads } => (located(scope, at), Some(located(threads, at))),
        Into::Named(scope) => {
            let blamed = Span::mixed_site().located_at(scope.span());
            let rt = &runtime.private(blamed);
            (quote_spanned!(blamed=> #rt::named_scope(#scope)), None)
        }
        Into::Race(output) => return arm(child, &located(output, at), at, rt),
    };
    if *kind == SpawnKind::Thread {
        let output = output(child, at, rt);
        let scope = carries(&scope, at, rt);
        let (start, arguments) = match threads {
            None => ("spawn_blocking", quote_spanned!(at=> #scope, __child, __output)),
            Some(threads) => ("spawn_thread", quote_spanned!(at=> #scope, #threads, __child, __output)),
        };
        let start = Ident::new(start, at);
        let start = quote_spanned! {at=>
            { use #rt::{#start as __start, FromFailure as __Carry}; let __output = #output; __start(#arguments) }
        };
        let new =
            if child.endless { quote_spanned!(at=> #rt::Job::new) } else { quote_spanned!(at=> #rt::job) };
        return started(child, &new, &TokenStream::new(), &start, at, rt);
    }
    let start = if child.endless {
        quote_spanned!(at=> #rt::spawn_plain(__child))
    } else {
        // Asked in this order, the first that the output can do decides what becomes of it.
        quote_spanned! {at=>
            {
                #[allow(unused_imports)]
                use #rt::{FromFailure as __Carry, output::*};
                (&&&&&__child.kind()).spawn(__child).carried(__Carry::from_failure).start()
            }
        }
    };
    let place = quote_spanned!(at=> .into_scope(#scope));
    started(child, &future, &place, &start, at, rt)
}

/// A name is the only option that an arm has. It goes into the call: what is wrong with the arm is then told of its
/// future, whatever stands in front.
fn arm(child: &Child, output: &TokenStream, at: Span, rt: &TokenStream) -> TokenStream {
    let (site, subject) = (site::site(&child.site, rt), &child.subject);
    let arm = match &child.name {
        None => {
            parts::call(quote_spanned!(at=> #rt::Child::arm), quote_spanned!(at=> &__SITE, #subject), subject)
        }
        Some(name) => parts::call(
            quote_spanned!(at=> #rt::named_arm),
            quote_spanned!(at=> &__SITE, #subject, #name),
            subject,
        ),
    };
    quote_spanned!(at=> { #site #rt::parallel(#output, #arm) })
}

pub(crate) fn fork(fork: &Fork) -> TokenStream {
    let Fork { runtime, slot, child } = fork;
    let at = Span::mixed_site().located_at(child.subject.span());
    let rt = &runtime.private(at);
    let slot = located(slot, at);
    let output = output(child, at, rt);
    let carries = carries(&quote_spanned!(at=> #slot.scope()), at, rt);
    let start = quote_spanned!(at=> { use #rt::FromFailure as __Carry; let __output = #output; #carries; #slot.fork(__child, __output) });
    started(child, &future(child, at, rt), &TokenStream::new(), &start, at, rt)
}

/// What makes a child of a future. That which says best what is no future needs an output whose type is decided.
fn future(child: &Child, at: Span, rt: &TokenStream) -> TokenStream {
    if child.endless { quote_spanned!(at=> #rt::Child::new) } else { quote_spanned!(at=> #rt::child) }
}

/// What kind of output it is, told in the order of what can be asked of it.
fn output(child: &Child, at: Span, rt: &TokenStream) -> TokenStream {
    if child.endless {
        return quote_spanned!(at=> #rt::NeverErr);
    }
    quote_spanned! {at=>
        {
            #[allow(unused_imports)]
            use #rt::classify::*;
            (&&&&&__child.output()).classify()
        }
    }
}

/// The scope, once it is asked whether the function around can carry the child's error.
fn carries(scope: &TokenStream, at: Span, rt: &TokenStream) -> TokenStream {
    quote_spanned!(at=> #rt::carries(#scope, __child.output(), __output, __Carry::from_failure))
}

fn started(
    child: &Child,
    what: &TokenStream,
    place: &TokenStream,
    start: &TokenStream,
    at: Span,
    rt: &TokenStream,
) -> TokenStream {
    let site = site::site(&child.site, rt);
    let subject = &child.subject;
    let child = options(child, quote_spanned!(at=> #what(&__SITE, #subject)), at);
    // A `match` keeps what the future's expression borrows from alive until it is started.
    let start = quote_spanned!(at=> match #child #place { __child => #start });
    let last = subject.to_token_stream().into_iter().last().map_or(at, |last| last.span());
    parts::outcome(&site, &start, at, last)
}

fn options(child: &Child, new: TokenStream, at: Span) -> TokenStream {
    let Child { site: _, name, background, skip_if_cancelled, abandon, unheld, subject: _, endless: _ } =
        child;
    let background = background.then(|| quote_spanned!(at=> .background()));
    let skip = skip_if_cancelled.then(|| quote_spanned!(at=> .skip_if_cancelled()));
    let abandon = abandon.then(|| quote_spanned!(at=> .abandon()));
    let unheld = unheld.then(|| quote_spanned!(at=> .unheld()));
    let name = name.as_ref().map(|name| quote_spanned!(at.located_at(name.span())=> .name(#name)));
    quote_spanned!(at=> #new #background #skip #abandon #unheld #name)
}

/// The name is written where its block begins; what is wrong with a child is not wrong there.
fn located(name: &TokenStream, at: Span) -> TokenStream {
    let tokens = name.clone().into_iter().map(|mut token| {
        token.set_span(token.span().located_at(at));
        token
    });
    tokens.collect()
}
