//! Tells each `spawn!` its scope. Hygiene hides the scope from the macro itself.

use super::Walk;
use crate::diagnostics::Diagnostics;
use crate::expand::names;
use crate::options::Key;
use crate::parse::list::{Element, Value};
use crate::parse::spawn::{self, RawFuture};
use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use std::mem;
use syn::Macro;
use syn::visit_mut::VisitMut as _;

impl Walk<'_> {
    pub(super) fn spawn(&mut self, mac: &mut Macro) {
        if is_marked(&mac.tokens) {
            return;
        }
        // What can't be read is left as it is: `spawn!` itself will say what is wrong with it.
        let mut unreadable = Diagnostics::default();
        let mut elements = spawn::spawn(mac.tokens.clone(), &mut unreadable);
        let mut names_scope = false;
        if unreadable.is_empty() {
            for element in &mut elements {
                match element {
                    Element::Option(option) => {
                        names_scope |= option.name == Key::In.name();
                        if let Value::Given(value) = &mut option.value {
                            self.visit_expr_mut(value);
                        }
                    }
                    Element::Subject(RawFuture(future)) => {
                        let outer = mem::replace(&mut self.in_spawn, true);
                        self.visit_expr_mut(future);
                        self.in_spawn = outer;
                    }
                    Element::Unreadable => {}
                }
            }
            let elements = elements.iter().map(|element| match element {
                Element::Option(option) => option.to_token_stream(),
                Element::Subject(RawFuture(future)) => future.to_token_stream(),
                Element::Unreadable => TokenStream::new(),
            });
            mac.tokens = quote!(#(#elements),*);
        }
        let tokens = &mac.tokens;
        if names_scope {
            // It says itself where it belongs.
        } else if self.in_spawn {
            mac.tokens = quote!(@nested #tokens);
        } else {
            self.facts.spawns = true;
            let scope = names::scope(self.around.level);
            mac.tokens = quote!(@scope (#scope) #tokens);
        }
    }
}

/// Whether a walk was here before.
pub(super) fn is_marked(tokens: &TokenStream) -> bool {
    matches!(
        tokens.clone().into_iter().next(),
        Some(proc_macro2::TokenTree::Punct(punct)) if punct.as_char() == '@'
    )
}
