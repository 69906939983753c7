//! The input of `spawn!` and `fork!`: options, and the future at the end.

use super::list::{self, Element, Subject};
use crate::diagnostics::Diagnostics;
use proc_macro2::{TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::{Expr, Ident, Lit, Token};

/// What the walk over the surrounding block noted in front of the user's tokens.
pub(crate) enum Around {
    /// `@scope (scope)`: written in a block's body. For `fork!`, the name is that of its slot.
    Block(TokenStream),
    /// `@nested (spawned)`: written in the future of another child.
    Child(String),
    /// Nothing: no block has seen it.
    Nothing,
}

pub(crate) fn around(input: TokenStream) -> (Around, TokenStream) {
    let trees: Vec<TokenTree> = input.into_iter().collect();
    let (around, skip) = match &trees[..] {
        [TokenTree::Punct(at), TokenTree::Ident(word), TokenTree::Group(scope), ..]
            if at.as_char() == '@' && word == "scope" =>
        {
            (Around::Block(scope.stream()), 3)
        }
        [TokenTree::Punct(at), TokenTree::Ident(word), TokenTree::Group(how), ..]
            if at.as_char() == '@' && word == "nested" =>
        {
            (Around::Child(how.stream().to_string()), 3)
        }
        _ => (Around::Nothing, 0),
    };
    (around, trees.into_iter().skip(skip).collect())
}

/// The future, or what stands in its place.
pub(crate) struct RawFuture(pub(crate) Expr);

pub(crate) fn spawn(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Vec<Element<RawFuture>> {
    list::list(tokens, diagnostics)
}

impl Subject for RawFuture {
    const EXPECTED: &str = "expected an option or a future";

    fn peek(input: ParseStream<'_>) -> bool {
        let behind = input.fork();
        let option = input.peek(Token![in])
            || Ident::parse_any(&behind).is_ok()
                && (is_value(&behind) || behind.parse::<Token![,]>().is_ok() && !behind.is_empty());
        // No expression goes on like this: a `=` or a `,` is missing.
        let behind = input.fork();
        let broken = behind.parse::<Ident>().is_ok() && (behind.peek(Ident) || behind.peek(Lit));
        !option && !broken
    }

    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        input.parse().map(RawFuture)
    }
}

fn is_value(input: ParseStream<'_>) -> bool {
    input.peek(Token![=]) && !input.peek(Token![==]) && !input.peek(Token![=>])
}
