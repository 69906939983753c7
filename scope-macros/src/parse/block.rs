//! The input of `scope!`, `blocking_scope!` and `shield!`: options and a body, or statements alone.

use super::form;
use super::list::{self, Element, Subject};
use crate::diagnostics::Diagnostics;
use crate::model::Side;
use crate::options;
use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, Block, Expr, ExprBlock, ExprClosure, Stmt, Token};

pub(crate) enum RawBody {
    /// `{ … }`, or the macro's own braces.
    Plain(Braced),
    /// `|s| { … }`
    Named(Box<ExprClosure>),
    /// An expression that is no block, such as `async { … }` or `fetch()`.
    Bare(Box<Expr>),
    /// Reported already.
    Unreadable,
}

pub(crate) struct Braced {
    pub(crate) braces: Span,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) statements: Vec<Stmt>,
}

/// Takes off the `@blocking` that the walk over a sync function put in front of a `shield!`'s body.
pub(crate) fn side(input: TokenStream) -> (Option<Side>, TokenStream) {
    let trees: Vec<TokenTree> = input.into_iter().collect();
    match &trees[..] {
        [TokenTree::Punct(at), TokenTree::Ident(word), ..] if at.as_char() == '@' && word == "blocking" => {
            (Some(Side::Sync), trees.into_iter().skip(2).collect())
        }
        _ => (None, trees.into_iter().collect()),
    }
}

/// Reads what stands between the macro's delimiters. `around` is where those are.
pub(crate) fn block(
    tokens: TokenStream,
    around: Span,
    diagnostics: &mut Diagnostics,
) -> Vec<Element<RawBody>> {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    if form::is_list(&trees) {
        return list::list(tokens, diagnostics);
    }
    vec![Element::Subject(match braced(around).parse2(tokens) {
        Ok(body) => RawBody::Plain(body),
        Err(error) => {
            diagnostics.syntax(error);
            RawBody::Unreadable
        }
    })]
}

impl From<ExprBlock> for Braced {
    fn from(block: ExprBlock) -> Self {
        Braced {
            braces: block.block.brace_token.span.join(),
            attributes: block.attrs,
            statements: block.block.stmts,
        }
    }
}

fn braced(braces: Span) -> impl FnOnce(ParseStream<'_>) -> syn::Result<Braced> {
    move |input| {
        let attributes = input.call(Attribute::parse_inner)?;
        Ok(Braced { braces, attributes, statements: input.call(Block::parse_within)? })
    }
}

impl Subject for RawBody {
    const EXPECTED: &str = "expected an option or the body in braces";

    fn peek(input: ParseStream<'_>) -> bool {
        input.peek(syn::token::Brace)
            || input.peek(Token![|])
            || input.peek(Token![move])
            || input.peek(Token![async])
            || is_bare(input)
    }

    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if let Some((TokenTree::Group(group), _)) = input.cursor().token_tree()
            && group.delimiter() == Delimiter::Brace
        {
            input.parse::<TokenTree>()?;
            let body = braced(group.span());
            return body.parse2(group.stream()).map(RawBody::Plain);
        }
        let mut expr: Expr = input.parse()?;
        // A fragment of another macro comes in an invisible group.
        while let Expr::Group(group) = expr {
            expr = *group.expr;
        }
        Ok(match expr {
            Expr::Closure(closure) => RawBody::Named(Box::new(closure)),
            Expr::Block(block) if block.label.is_none() => RawBody::Plain(Braced::from(block)),
            other => RawBody::Bare(Box::new(other)),
        })
    }
}

/// Whether a call or the like stands at the end of the list, where the body should.
fn is_bare(input: ParseStream<'_>) -> bool {
    let looks_like_option = input.cursor().ident().is_some_and(|(name, rest)| {
        let with_value = rest.punct().is_some_and(|(punct, _)| matches!(punct.as_char(), '=' | ','));
        with_value || options::resembles(&name.to_string())
    });
    let fork = input.fork();
    !looks_like_option
        && fork.parse::<Expr>().is_ok_and(|expr| !matches!(expr, Expr::Lit(_)))
        && fork.is_empty()
}
