//! The input of `scope!`, `blocking_scope!` and `shield!`: options and a body, or statements alone.

use super::form;
use super::list::{self, Element, Example, Subject};
use super::recover;
use crate::diagnostics::Diagnostics;
use crate::model::{BlockKind, Side};
use crate::options;
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser as _, discouraged::Speculative as _};
use syn::spanned::Spanned as _;
use syn::{Attribute, Expr, ExprBlock, ExprClosure, Stmt, Token};

pub(crate) enum RawBody {
    /// `{ … }`, or the macro's own braces.
    Plain(Braced),
    /// `|s| { … }`
    Named(Box<ExprClosure>),
    /// An expression that is no block, such as `async { … }` or `fetch()`.
    Bare(Box<Expr>),
}

pub(crate) struct Braced {
    pub(crate) braces: Span,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) statements: Vec<Stmt>,
}

impl Braced {
    /// The body that has this value.
    pub(crate) fn of(value: Expr) -> Self {
        Braced { braces: value.span(), attributes: Vec::new(), statements: vec![Stmt::Expr(value, None)] }
    }
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
    kind: BlockKind,
    around: Span,
    diagnostics: &mut Diagnostics,
) -> Vec<Element<RawBody>> {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    if form::is_list(&trees) {
        return match kind {
            BlockKind::Scope | BlockKind::BlockingScope => list::list(tokens, diagnostics),
            BlockKind::Shield => {
                let elements = list::list(tokens, diagnostics).into_iter();
                elements.map(|element| element.map(|ShieldBody(body)| body)).collect()
            }
        };
    }
    let end = trees.last().map_or(around, TokenTree::span);
    vec![Element::Subject(RawBody::Plain(braced(tokens, around, end, diagnostics)))]
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

/// The inside of braces, which end at `end`.
fn braced(tokens: TokenStream, braces: Span, end: Span, diagnostics: &mut Diagnostics) -> Braced {
    let parser = |input: ParseStream<'_>| Ok((input.call(Attribute::parse_inner)?, input.parse()?));
    let (attributes, code) = parser.parse2(tokens.clone()).unwrap_or((Vec::new(), tokens));
    Braced { braces, attributes, statements: recover::statements(code, end, diagnostics) }
}

/// What stands in a `shield!`, which has no options.
struct ShieldBody(RawBody);

impl Subject for ShieldBody {
    const EXPECTED: &str = "`shield!` takes no options";
    const EXAMPLE: Example = Example::Timeout;

    fn peek(input: ParseStream<'_>) -> bool {
        RawBody::peek(input)
    }

    fn instead(_: ParseStream<'_>) -> Option<&'static str> {
        Some("write `scope!(shield, …, { … })` for a shield that can be cancelled")
    }

    fn read(input: ParseStream<'_>, diagnostics: &mut Diagnostics) -> Self {
        ShieldBody(RawBody::read(input, diagnostics))
    }
}

impl Subject for RawBody {
    const EXPECTED: &str = "expected an option or the body in braces";
    const EXAMPLE: Example = Example::Timeout;

    fn peek(input: ParseStream<'_>) -> bool {
        input.peek(syn::token::Brace)
            || input.peek(Token![|])
            || input.peek(Token![move])
            || input.peek(Token![async])
            || named_otherwise(input).is_some()
            || is_bare(input)
    }

    fn read(input: ParseStream<'_>, diagnostics: &mut Diagnostics) -> Self {
        if let Some((TokenTree::Group(group), _)) = input.cursor().token_tree()
            && group.delimiter() == Delimiter::Brace
        {
            let _body = input.parse::<TokenTree>();
            return RawBody::Plain(braced(group.stream(), group.span(), group.span_close(), diagnostics));
        }
        if input.peek(Token![move]) && input.peek2(syn::token::Brace) {
            diagnostics.at(input.span(), "the body runs in place, like any block; drop `move`");
            let _move = input.parse::<Token![move]>();
            return Self::read(input, diagnostics);
        }
        if let Some(Otherwise { name, body, at, message, behind }) = named_otherwise(input) {
            diagnostics.at(at, message);
            for _ in 0..behind {
                let _tree = input.parse::<TokenTree>();
            }
            let body = braced(body.stream(), body.span(), body.span_close(), diagnostics);
            let statements = body.statements;
            if let Ok(closure) = syn::parse2(quote::quote!(|#name| { #(#statements)* })) {
                return RawBody::Named(Box::new(closure));
            }
        }
        let mut expr = match named_without_braces(input, diagnostics) {
            Some(closure) => Expr::Closure(closure),
            None => list::expression(input, diagnostics),
        };
        // A fragment of another macro comes in an invisible group.
        while let Expr::Group(group) = expr {
            expr = *group.expr;
        }
        match expr {
            Expr::Closure(closure) => RawBody::Named(Box::new(closure)),
            Expr::Block(block) if block.label.is_none() => RawBody::Plain(Braced::from(block)),
            other => RawBody::Bare(Box::new(other)),
        }
    }
}

/// A body whose name is written in another way than `|s|`.
struct Otherwise {
    name: Ident,
    body: Group,
    at: Span,
    message: &'static str,
    /// How many trees it is.
    behind: usize,
}

/// `|s { … }`, `|s, { … }`, `|s|, { … }`, `s| { … }` or `s => { … }`
fn named_otherwise(input: ParseStream<'_>) -> Option<Otherwise> {
    let mut cursor = input.cursor();
    let mut trees = Vec::new();
    while let (true, Some((tree, next))) = (trees.len() < 5, cursor.token_tree()) {
        trees.push(tree);
        cursor = next;
    }
    let is =
        |tree: &TokenTree, sign: char| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == sign);
    let (name, body, at, message, behind) = match &trees[..] {
        [bar, TokenTree::Ident(name), TokenTree::Group(body), ..] if is(bar, '|') => {
            (name, body, bar.span(), "a `|` is missing behind the name; write `|s| { … }`", 3)
        }
        [bar, TokenTree::Ident(name), comma, TokenTree::Group(body), ..]
            if is(bar, '|') && is(comma, ',') =>
        {
            (name, body, comma.span(), "a `|` ends the name; write `|s| { … }`", 4)
        }
        [bar, TokenTree::Ident(name), end, comma, TokenTree::Group(body)]
            if is(bar, '|') && is(end, '|') && is(comma, ',') =>
        {
            (name, body, comma.span(), "the body stands right behind the name; remove this `,`", 5)
        }
        [TokenTree::Ident(name), bar, TokenTree::Group(body), ..] if is(bar, '|') => {
            (name, body, name.span(), "a `|` is missing before the name; write `|s| { … }`", 3)
        }
        [TokenTree::Ident(name), equals, arrow, TokenTree::Group(body), ..]
            if is(equals, '=') && is(arrow, '>') =>
        {
            (name, body, equals.span(), "a scope is named between bars; write `|s| { … }`", 4)
        }
        _ => return None,
    };
    let is_braced = body.delimiter() == Delimiter::Brace && name != "move" && name != "async";
    is_braced.then(|| Otherwise { name: name.clone(), body: body.clone(), at, message, behind })
}

/// `|s|`, `|` or `|s| half.`, when the rest of the body is still to be typed.
fn named_without_braces(input: ParseStream<'_>, diagnostics: &mut Diagnostics) -> Option<ExprClosure> {
    if !input.peek(Token![|]) || input.fork().parse::<Expr>().is_ok() {
        return None;
    }
    let fork = input.fork();
    let trees: Vec<TokenTree> = list::to_comma(&fork).into_iter().collect();
    if matches!(trees.last(), Some(TokenTree::Group(body)) if body.delimiter() == Delimiter::Brace) {
        return None;
    }
    let bar = |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '|');
    let (name, body) = match trees[1..].iter().position(bar) {
        Some(second) => (&trees[1..=second], &trees[second + 2..]),
        None => (&trees[1..], &[][..]),
    };
    let missing = diagnostics.missing(trees.last()?.span(), "a body stands in braces; write `|s| { … }`");
    let body = recover::statements(body.iter().cloned().collect(), trees.last()?.span(), diagnostics);
    let closure = syn::parse2(quote::quote!(|#(#name)*| { #(#body;)* #missing })).ok()?;
    input.advance_to(&fork);
    Some(closure)
}

/// Whether a call or the like stands at the end of the list, where the body should.
fn is_bare(input: ParseStream<'_>) -> bool {
    let looks_like_option = input.cursor().ident().is_some_and(|(name, rest)| {
        let behind = rest.punct().map(|(punct, _)| punct.as_char());
        // `scope!(…)` is a call, like any other.
        behind != Some('!') && (matches!(behind, Some('=' | ',')) || options::resembles(&name.to_string()))
    });
    let fork = input.fork();
    !looks_like_option
        && fork.parse::<Expr>().is_ok_and(|expr| !matches!(expr, Expr::Lit(_)))
        && fork.is_empty()
}
