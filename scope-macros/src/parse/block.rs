//! The input of `scope!` and `shield!`: options and a body, or statements alone.

use super::list::{self, Element, Subject};
use crate::diagnostics::Diagnostics;
use crate::options;
use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
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

/// Reads what stands between the macro's delimiters. `around` is where those are.
pub(crate) fn block(
    tokens: TokenStream,
    around: Span,
    diagnostics: &mut Diagnostics,
) -> Vec<Element<RawBody>> {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    if is_list(&trees) {
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

/// Tells `timeout = 3s, { body }` from `first = 1; second()`: the macro can't see whether it was called with
/// parentheses or with braces, and both begin alike.
fn is_list(trees: &[TokenTree]) -> bool {
    let [first, rest @ ..] = trees else { return true };
    let comma_next = is_punct(rest.first(), ',');
    match first {
        TokenTree::Group(group) => {
            is_brace(first) && (rest.is_empty() || comma_next) || {
                // Tokens that come out of another macro as one fragment.
                group.delimiter() == Delimiter::None
                    && rest.is_empty()
                    && is_list(&group.stream().into_iter().collect::<Vec<_>>())
            }
        }
        TokenTree::Punct(punct) => {
            punct.as_char() == '|' || (punct.as_char() == ',' && ends_with_body(trees))
        }
        TokenTree::Literal(_) => comma_next,
        // Somebody took the body for a closure or a future.
        TokenTree::Ident(name) if name == "move" => true,
        TokenTree::Ident(name) if name == "async" => match rest {
            [body] => is_brace(body),
            [next, body] => is_brace(body) && matches!(next, TokenTree::Ident(next) if next == "move"),
            [next, ..] => is_punct(Some(next), '|'),
            [] => false,
        },
        TokenTree::Ident(name) => {
            let meant = options::resembles(&name.to_string());
            match rest {
                [] => options::find(&name.to_string()).is_some(),
                [TokenTree::Punct(punct), behind @ ..] => match punct.as_char() {
                    ',' => true,
                    '=' if punct.spacing() == Spacing::Alone || !is_punct(behind.first(), '=') => {
                        ends_with_body(trees) || (meant && !has_semicolon(trees))
                    }
                    ':' => punct.spacing() == Spacing::Alone && meant && ends_with_body(trees),
                    _ => false,
                },
                [TokenTree::Group(_), ..] if is_brace(&rest[0]) => options::find(&name.to_string()).is_some(),
                [TokenTree::Group(_), ..] => meant && ends_with_body(trees),
                [TokenTree::Literal(_), ..] => meant,
                [TokenTree::Ident(_), ..] => meant && ends_with_body(trees),
            }
        }
    }
}

/// Whether it ends with `, { … }` or `| { … }`, which no statement does.
fn ends_with_body(trees: &[TokenTree]) -> bool {
    let trees = match trees {
        [front @ .., last] if is_punct(Some(last), ',') => front,
        trees => trees,
    };
    match trees {
        [.., before, last] => {
            is_brace(last)
                && (is_punct(Some(before), ',')
                    || is_punct(Some(before), '|')
                    || (is_punct(Some(before), ';')
                        && trees.iter().filter(|tree| is_semicolon(tree)).count() == 1))
        }
        _ => false,
    }
}

fn has_semicolon(trees: &[TokenTree]) -> bool {
    trees.iter().any(is_semicolon)
}

fn is_semicolon(tree: &TokenTree) -> bool {
    is_punct(Some(tree), ';')
}

fn is_punct(tree: Option<&TokenTree>, char: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == char)
}

fn is_brace(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

#[cfg(test)]
mod tests {
    use super::is_list;

    #[track_caller]
    fn list(code: &str) -> bool {
        let tokens: proc_macro2::TokenStream = code.parse().unwrap();
        is_list(&tokens.into_iter().collect::<Vec<_>>())
    }

    #[test]
    fn options_before_a_body_are_a_list() {
        for code in [
            "",
            "{ body }",
            "{ body },",
            "|s| { body }",
            "timeout = 3s, { body }",
            "timeout = a::<B, C>(), { body },",
            "shield, { body }",
            "timeout = 3s",
            "timout = 3s, { body }",
            "frobnicate = 1, { body }",
            "frobnicate, { body }",
            "timeout = 3s { body }",
            "timeout 3s, { body }",
            "timeout: 3s, { body }",
            "timeout(3s), { body }",
            "timeout = 3s; { body }",
            "\"3s\", { body }",
            "crate = x, { body }",
            "name = \"x\", |s| { body }",
            "move |s| { body }",
            "async { body }",
            "async move { body }",
        ] {
            assert!(list(code), "{code}");
        }
    }

    #[test]
    fn statements_are_no_list() {
        for code in [
            "let x = 1; x",
            "x = 5; foo(x)",
            "timeout = limit(); run(timeout).await",
            "x = 5",
            "x == 5",
            "name == other",
            "fetch().await",
            "if a { b } else { c }",
            "{ a; } b",
            "first::<A, B>()",
            "let m: Map<A, B> = m(); { m }",
            "timeout; {}",
            "crate::fetch().await",
            "async { 1 }.await",
            "3 + 4",
            "x",
        ] {
            assert!(!list(code), "{code}");
        }
    }
}
