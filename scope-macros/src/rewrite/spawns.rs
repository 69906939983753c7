//! Tells each `spawn!` and `spawn_blocking!` its scope, and each `fork!` its slot. Hygiene hides them from the macros
//! themselves.

use super::Walk;
use crate::diagnostics::Diagnostics;
use crate::expand::names;
use crate::model::Side;
use crate::options::Key;
use crate::parse;
use crate::parse::list::{Element, Value};
use crate::parse::spawn::{self, RawFuture};
use proc_macro2::{Ident, Span};
use quote::{ToTokens, quote};
use syn::Macro;
use syn::spanned::Spanned as _;
use syn::visit_mut::VisitMut as _;

/// What starts a child.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Spawn,
    Fork,
    Thread,
}

impl Start {
    /// What the child's future is called in messages.
    fn how(self) -> &'static str {
        match self {
            Start::Spawn | Start::Thread => "spawned",
            Start::Fork => "forked",
        }
    }
}

impl Walk<'_> {
    pub(super) fn child(&mut self, mac: &mut Macro, start: Start) {
        let unheld = std::mem::take(&mut self.unheld);
        if parse::is_marked(&mac.tokens) {
            return;
        }
        // What can't be read is left as it is: the macro itself will say what is wrong with it.
        let mut unreadable = Diagnostics::default();
        let mut elements = spawn::spawn(mac.tokens.clone(), &mut unreadable);
        let (mut names_scope, mut abandons) = (false, false);
        if unreadable.is_empty() {
            for element in &mut elements {
                match element {
                    Element::Option(option) => {
                        names_scope |= option.name == Key::In.name();
                        abandons |= option.name == Key::Abandon.name();
                        if let Value::Given(value) = &mut option.value {
                            self.visit_expr_mut(value);
                        }
                    }
                    Element::Subject(RawFuture(future)) => {
                        let outer = self.in_child.replace(start);
                        self.visit_expr_mut(future);
                        self.in_child = outer;
                    }
                }
            }
            let elements = elements.iter().map(|element| match element {
                Element::Option(option) => option.to_token_stream(),
                Element::Subject(RawFuture(future)) => future.to_token_stream(),
            });
            mac.tokens = quote!(#(#elements),*);
        }
        let tokens = &mac.tokens;
        if names_scope {
            // It says itself where it belongs.
        } else if let Some(child) = self.in_child {
            let how = Ident::new(child.how(), Span::call_site());
            mac.tokens = quote!(@nested (#how) #tokens);
        } else {
            self.facts.spawns = true;
            let (scope, threads) = (names::scope(self.around.level), names::threads(self.around.level));
            mac.tokens = match (start, self.around.side) {
                (Start::Thread, Side::Sync) if !abandons => {
                    self.facts.lends = true;
                    quote!(@lending (#scope) (#threads) #tokens)
                }
                (Start::Fork, Side::Async) => {
                    self.facts.forks += 1;
                    let slot = names::forks(self.around.level, self.facts.forks - 1);
                    quote!(@scope (#slot) #tokens)
                }
                (Start::Spawn, Side::Sync) => {
                    self.task_in_sync_scope(mac.path.span());
                    quote!(@scope (#scope) #tokens)
                }
                (Start::Fork, Side::Sync) => {
                    self.form_of_the_other_side(mac, "fork");
                    quote!(@reported #tokens)
                }
                (Start::Spawn, Side::Async) if unheld => quote!(@unheld (#scope) #tokens),
                _ => quote!(@scope (#scope) #tokens),
            };
        }
    }
}
