//! Tokens to typed syntax, spans kept. What is no syntax at all is reported here, or left to the compiler; nothing else
//! is judged.

pub(crate) mod block;
pub(crate) mod duration;
mod form;
pub(crate) mod item;
pub(crate) mod list;
pub(crate) mod macros;
pub(crate) mod race;
mod recover;
pub(crate) mod spawn;

use crate::model::Runtime;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Takes off the `[$crate]` that the wrapping `macro_rules!` put in front of what the user wrote.
pub(crate) fn runtime(input: TokenStream) -> (Runtime, TokenStream) {
    let mut tokens = input.clone().into_iter();
    match tokens.next() {
        Some(TokenTree::Group(path)) if path.delimiter() == Delimiter::Bracket => {
            (Runtime(path.stream()), tokens.collect())
        }
        _ => (Runtime(quote::quote!(::scope_runtime)), input),
    }
}

/// Whether a walk was here before, and left its mark in front of what the user wrote.
pub(crate) fn is_marked(tokens: &TokenStream) -> bool {
    let first = tokens.clone().into_iter().next();
    matches!(first, Some(TokenTree::Punct(mark)) if mark.as_char() == '@')
}
