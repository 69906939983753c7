//! The input of `spawn!`, `fork!` and `spawn_blocking!`: options, and the future or the closure at the end.

use super::list::{self, Element, Example, Subject};
use crate::diagnostics::Diagnostics;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::{Expr, Ident, Lit, LitStr, Token};

/// What the walk over the surrounding block noted in front of the user's tokens.
pub(crate) enum Around {
    /// `@scope (scope)`: written in a block's body. For `fork!`, the name is that of its slot.
    Block(TokenStream),
    /// `@unheld (scope)`: the same as a statement, whose handle nobody can have.
    Statement(TokenStream),
    /// `@lending (scope) (threads)`: written in the body of a sync one.
    Lending { scope: TokenStream, threads: TokenStream },
    /// `@nested (spawned)`: written in the future of another child.
    Child(String),
    /// `@reported`: written where it can't be, which was said.
    Reported,
    /// `@refused "why"`: written where it can't be, and why that is so.
    Refused(LitStr),
    /// `@arm (output) ("arm 1")`: an arm of a race, with what gives the type of its output, and its name.
    Arm { output: TokenStream, name: String },
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
        [TokenTree::Punct(at), TokenTree::Ident(word), TokenTree::Group(scope), ..]
            if at.as_char() == '@' && word == "unheld" =>
        {
            (Around::Statement(scope.stream()), 3)
        }
        [
            TokenTree::Punct(at),
            TokenTree::Ident(word),
            TokenTree::Group(scope),
            TokenTree::Group(threads),
            ..,
        ] if at.as_char() == '@' && word == "lending" => {
            (Around::Lending { scope: scope.stream(), threads: threads.stream() }, 4)
        }
        [TokenTree::Punct(at), TokenTree::Ident(word), TokenTree::Group(how), ..]
            if at.as_char() == '@' && word == "nested" =>
        {
            (Around::Child(how.stream().to_string()), 3)
        }
        [TokenTree::Punct(at), TokenTree::Ident(word), ..] if at.as_char() == '@' && word == "reported" => {
            (Around::Reported, 2)
        }
        [TokenTree::Punct(at), TokenTree::Ident(word), TokenTree::Literal(why), ..]
            if at.as_char() == '@' && word == "refused" =>
        {
            let why = syn::parse2(why.to_token_stream());
            (why.map_or(Around::Reported, Around::Refused), 3)
        }
        [
            TokenTree::Punct(at),
            TokenTree::Ident(word),
            TokenTree::Group(output),
            TokenTree::Group(name),
            ..,
        ] if at.as_char() == '@' && word == "arm" => {
            let name = syn::parse2::<LitStr>(name.stream()).map(|name| name.value());
            (Around::Arm { output: output.stream(), name: name.unwrap_or_default() }, 4)
        }
        _ => (Around::Nothing, 0),
    };
    (around, trees.into_iter().skip(skip).collect())
}

/// The future or the closure, or what stands in its place.
pub(crate) struct RawFuture(pub(crate) Expr);

pub(crate) fn spawn(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Vec<Element<RawFuture>> {
    list::list(tokens, diagnostics)
}

impl Subject for RawFuture {
    const EXPECTED: &str = "expected an option or a future";
    const EXAMPLE: Example = Example::Name;

    fn peek(input: ParseStream<'_>) -> bool {
        let behind = input.fork();
        let option = input.peek(Token![in])
            || Ident::parse_any(&behind).is_ok()
                && (is_value(&behind) || behind.parse::<Token![,]>().is_ok() && !behind.is_empty());
        // No expression goes on like this: a `=` or a `,` is missing.
        let behind = input.fork();
        let broken = behind.parse::<Ident>().is_ok()
            && (behind.peek(Ident) || behind.peek(Lit) || behind.peek(Token![:]) && !behind.peek(Token![::]));
        // The value of an option.
        let behind = input.fork();
        let value =
            behind.parse::<Lit>().is_ok() && behind.parse::<Token![,]>().is_ok() && !behind.is_empty();
        !option && !broken && !value
    }

    fn read(input: ParseStream<'_>, diagnostics: &mut Diagnostics) -> Self {
        RawFuture(list::expression(input, diagnostics))
    }
}

fn is_value(input: ParseStream<'_>) -> bool {
    input.peek(Token![=]) && !input.peek(Token![==]) && !input.peek(Token![=>])
}
