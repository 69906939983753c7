//! `race!` and `try_join!`

use super::{parts, site};
use crate::model::{Arm, Race, RaceKind};
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{format_ident, quote_spanned};
use syn::spanned::Spanned as _;

pub(crate) fn race(race: &Race) -> TokenStream {
    let at = Span::mixed_site();
    let rt = &race.runtime.as_written();
    let site = site::site(&race.site, rt);
    let mistaken = &race.mistaken;
    let sites = race.arms.iter().enumerate().filter_map(|(number, arm)| match arm {
        Arm::Here { site, future: _ } => Some(site::named(&arm_site(number), site, rt)),
        Arm::Spawn { .. } => None,
    });
    let arms = race.arms.iter().enumerate().rev().fold(quote_spanned!(at=> ()), |others, (number, arm)| {
        let arm = self::arm(race, arm, number);
        quote_spanned!(at=> (#arm, #others))
    });
    // What is asked of the arms that are spawned is asked where the first of them stands.
    let spawned = race.arms.iter().find_map(|arm| match arm {
        Arm::Here { .. } => None,
        Arm::Spawn { call, .. } => Some(call.span()),
    });
    let blamed = spawned.map_or(at, |first| at.located_at(first));
    let left = match race.kind {
        RaceKind::Race => raced(race, blamed),
        RaceKind::TryJoin => joined(race, blamed),
    };
    let before = quote_spanned! {at=>
        #site
        #(#sites)*
        #(if false { let _ = &#mistaken; })*
        let __output = #rt::Return::new();
    };
    // What the arms' expressions borrow from lives until the race is over, and no longer.
    let run = quote_spanned!(at=> let __left = match #arms { __arms => { #left } };);
    match race.kind {
        RaceKind::Race => {
            parts::outcome(&quote_spanned!(at=> #before #run), &quote_spanned!(at=> __left), at, at)
        }
        RaceKind::TryJoin => quote_spanned!(at=> { #before #rt::joined(__output, { #run __left }) }),
    }
}

fn arm_site(number: usize) -> TokenStream {
    let name = format_ident!("__SITE{number}", span = Span::mixed_site());
    quote_spanned!(Span::mixed_site()=> #name)
}

/// An arm of the wrong type is to be blamed itself.
fn arm(race: &Race, arm: &Arm, number: usize) -> TokenStream {
    let at = Span::mixed_site().located_at(match arm {
        Arm::Here { future, .. } => future.span(),
        Arm::Spawn { call, .. } => call.span(),
    });
    let rt = &race.runtime.private(at);
    let output = match race.kind {
        RaceKind::Race => quote_spanned!(at=> __output),
        RaceKind::TryJoin => quote_spanned!(at=> #rt::fallible(__output)),
    };
    match arm {
        Arm::Here { site: _, future } => {
            let site = arm_site(number);
            quote_spanned!(at=> #rt::here(#output, &#site, #future))
        }
        Arm::Spawn { call, name } => {
            let mut call = call.clone();
            let tokens = call.mac.tokens;
            call.mac.tokens = quote_spanned!(at=> @arm (#output) (#name) #tokens);
            quote_spanned!(at=> #call)
        }
    }
}

/// The call of `function` and its `.await`, in one place: so the compiler tells a mistake once.
fn awaited(function: &TokenStream, arguments: &TokenStream, blamed: Span) -> TokenStream {
    let mut call = Group::new(Delimiter::Parenthesis, arguments.clone());
    call.set_span(blamed);
    quote_spanned!(blamed=> { use #function as __start; __start #call.await })
}

/// Of a type that may not be known to the end it is asked only whether it is a `Result`.
fn raced(race: &Race, blamed: Span) -> TokenStream {
    let rt = &race.runtime.as_written();
    let function = quote_spanned!(blamed=> #rt::race);
    let left = awaited(&function, &quote_spanned!(blamed=> &__SITE, __arms, __kind), blamed);
    quote_spanned! {Span::mixed_site()=>
        let __kind = {
            #[allow(unused_imports)]
            use #rt::classify::{ReturnsAny as _, ReturnsResult as _};
            (&__output).classify()
        };
        #left
    }
}

/// The values as a tuple; of the error it is asked what it can say of itself.
fn joined(race: &Race, blamed: Span) -> TokenStream {
    let at = Span::mixed_site();
    let rt = &race.runtime.as_written();
    let values: Vec<Ident> =
        (0..race.arms.len()).map(|number| format_ident!("__value{number}", span = at)).collect();
    let pairs =
        values.iter().rev().fold(quote_spanned!(at=> ()), |rest, value| quote_spanned!(at=> (#value, #rest)));
    let function = quote_spanned!(blamed=> #rt::try_join);
    let left = awaited(&function, &quote_spanned!(blamed=> &__SITE, __output, __arms, __kind), blamed);
    quote_spanned! {at=>
        let __kind = {
            #[allow(unused_imports)]
            use #rt::classify::*;
            (&&&&&#rt::fallible::<(), _>(__output)).classify()
        };
        match #left {
            #rt::Ok(#pairs) => #rt::Ok((#(#values,)*)),
            #rt::Err(__error) => #rt::Err(__error),
        }
    }
}
