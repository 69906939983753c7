//! Code that is no Rust, or not yet: what people have typed half of.
//!
//! The statements that can be read are read. Those that can't go to the compiler as they are, in a macro that hands its
//! input on: so the compiler says what is wrong with them, in its own words and at its own place, and everything around
//! them keeps its form and its types. Nothing that is wrong becomes right by that: what can be read once it stands alone
//! is reported here.

use std::slice;

use crate::diagnostics::Diagnostics;
use proc_macro2::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::quote_spanned;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::token::Semi;
use syn::{Block, Expr, ExprMacro, Pat, Stmt, StmtMacro};

/// The statements of a block; `end` is where it is closed.
pub(crate) fn statements(tokens: TokenStream, end: Span, diagnostics: &mut Diagnostics) -> Vec<Stmt> {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = &trees[..];
    let mut statements = Vec::new();
    while !rest.is_empty() {
        // The last one may have no semicolon.
        if let Ok(last) = whole(rest) {
            statements.extend(last);
            break;
        }
        let length = match first(rest) {
            Ok((statement, length)) => {
                statements.push(statement);
                length
            }
            Err(_) => {
                let length = length(rest);
                statements.extend(statement(&rest[..length], rest.get(length), end, diagnostics));
                length
            }
        };
        rest = &rest[length..];
    }
    statements
}

/// An expression, of whatever can be made of it. Behind it is `next`, if anything is.
pub(crate) fn expression(
    tokens: TokenStream,
    next: Option<TokenTree>,
    diagnostics: &mut Diagnostics,
) -> Expr {
    if let Ok(expr) = syn::parse2(tokens.clone()) {
        return expr;
    }
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut inside = diagnostics.another();
    if let Ok(expr) = syn::parse2(mended(&trees, &mut inside)) {
        diagnostics.take_over(inside);
        return expr;
    }
    // With that behind it, the compiler speaks of it, and not of the end of a macro.
    let end = next.iter().chain(trees.last()).next().map_or_else(Span::mixed_site, TokenTree::span);
    let mut closed = Group::new(Delimiter::Parenthesis, quote_spanned!(end=> #tokens #next));
    closed.set_span(Span::mixed_site().located_at(end));
    let same = diagnostics.same();
    let code = quote_spanned!(Span::mixed_site()=> #same #closed);
    Expr::Macro(ExprMacro { attrs: Vec::new(), mac: diagnostics.unread(code) })
}

fn whole(trees: &[TokenTree]) -> syn::Result<Vec<Stmt>> {
    Block::parse_within.parse2(trees.iter().cloned().collect())
}

/// The statement at the beginning, and of how many trees it is.
fn first(trees: &[TokenTree]) -> syn::Result<(Stmt, usize)> {
    let parser = |input: ParseStream<'_>| {
        let statement = Stmt::parse(input)?;
        let behind: TokenStream = input.parse()?;
        Ok((statement, behind.into_iter().count()))
    };
    let (statement, behind) = parser.parse2(trees.iter().cloned().collect())?;
    match trees.len().checked_sub(behind) {
        // A statement of no tokens would never come to an end, and one may end inside of an invisible group.
        Some(0) | None => Err(syn::Error::new(trees[0].span(), "expected a statement")),
        Some(length) => Ok((statement, length)),
    }
}

/// Where the next statement probably begins.
fn length(trees: &[TokenTree]) -> usize {
    let is = |tree: Option<&TokenTree>, words: &[&str]| match tree {
        Some(TokenTree::Ident(ident)) => words.iter().any(|word| ident == word),
        Some(TokenTree::Punct(punct)) => words.iter().any(|word| word.starts_with(punct.as_char())),
        _ => false,
    };
    for (index, tree) in trees.iter().enumerate() {
        let next = trees.get(index + 1);
        let ends = match tree {
            TokenTree::Punct(punct) if punct.as_char() == ';' => true,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                matches!(next, Some(TokenTree::Ident(_))) && !is(next, &["else", "as"])
            }
            TokenTree::Punct(punct) if punct.as_char() == '.' => is(next, KEYWORDS),
            _ => is(next, &["let"]) && !is(Some(tree), &["if", "while", "&", "|"]),
        };
        if ends {
            return index + 1;
        }
    }
    trees.len()
}

/// Words that no name of a field or a method is.
const KEYWORDS: &[&str] = &[
    "async", "break", "const", "continue", "enum", "fn", "for", "if", "impl", "let", "loop", "match",
    "return", "static", "struct", "trait", "type", "unsafe", "use", "while",
];

/// What is left of a statement that can't be read. Behind it is `next`, or the block ends at `end`.
fn statement(
    trees: &[TokenTree],
    next: Option<&TokenTree>,
    end: Span,
    diagnostics: &mut Diagnostics,
) -> Vec<Stmt> {
    let semicolon = TokenTree::from(Punct::new(';', Spacing::Alone));
    if let (Some(next), Ok(alone)) = (next, whole(&[trees, slice::from_ref(&semicolon)].concat())) {
        let what = match next {
            TokenTree::Group(_) => "this".to_owned(),
            next => format!("`{next}`"),
        };
        diagnostics.at(next.span(), format!("a `;` is missing; put one before {what}"));
        return alone;
    }
    let mut inside = diagnostics.another();
    let mut mended: Vec<TokenTree> = mended(trees, &mut inside).into_iter().collect();
    let is_closed = matches!(mended.last(), Some(TokenTree::Punct(last)) if last.as_char() == ';');
    if next.is_some() && !is_closed {
        mended.push(semicolon.clone());
    }
    if let Ok(statements) = whole(&mended) {
        diagnostics.take_over(inside);
        return statements;
    }
    let code: TokenStream = trees.iter().cloned().collect();
    if let Some(binding) = binding(trees, &code, diagnostics) {
        return vec![binding];
    }
    // With a brace behind it, the compiler speaks of that, and not of the end of a macro.
    let (code, semi_token) = match next {
        None => (braced(code, end).into(), None),
        Some(_) => (code, Some(Semi::default())),
    };
    vec![Stmt::Macro(StmtMacro { attrs: Vec::new(), mac: diagnostics.unread(code), semi_token })]
}

/// `let name = …`, which still introduces the name.
fn binding(trees: &[TokenTree], code: &TokenStream, diagnostics: &mut Diagnostics) -> Option<Stmt> {
    let [TokenTree::Ident(word), behind @ ..] = trees else { return None };
    let is_equals = |tree: &TokenTree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '=' && punct.spacing() == Spacing::Alone);
    let equals = behind.iter().position(is_equals).filter(|_| word == "let")?;
    let pattern = Pat::parse_single.parse2(behind[..equals].iter().cloned().collect()).ok()?;
    let Pat::Ident(name) = pattern else { return None };
    let name: &Ident = &name.ident;
    let pattern = behind[..equals].iter().cloned().collect::<TokenStream>();
    let at = Span::mixed_site();
    let semicolon = match trees.last() {
        Some(TokenTree::Punct(punct)) if punct.as_char() == ';' => None,
        last => {
            let mut semicolon = Semi::default();
            semicolon.spans[0] = last.map_or(at, TokenTree::span);
            Some(semicolon)
        }
    };
    // If the compiler can make something of it, the name has the type that it had.
    let value = diagnostics.unread(quote_spanned!(at=> #code #semicolon #name));
    syn::parse2(quote_spanned!(at=> #[allow(unused)] let #pattern = { #value };)).ok()
}

/// The same code with blocks in it that can be parsed. Macros are left alone: theirs may be another language.
fn mended(trees: &[TokenTree], diagnostics: &mut Diagnostics) -> TokenStream {
    let mut behind_bang = false;
    let tree = |tree: &TokenTree| {
        let is_input = behind_bang;
        behind_bang = matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '!');
        let TokenTree::Group(group) = tree else { return tree.clone() };
        if is_input {
            return tree.clone();
        }
        let inside: Vec<TokenTree> = group.stream().into_iter().collect();
        let inside = if group.delimiter() == Delimiter::Brace && !has_arms(&inside) {
            let statements = statements(group.stream(), group.span_close(), diagnostics);
            quote_spanned!(Span::mixed_site()=> #(#statements)*)
        } else {
            mended(&inside, diagnostics)
        };
        let mut mended = Group::new(group.delimiter(), inside);
        mended.set_span(group.span());
        mended.into()
    };
    trees.iter().map(tree).collect()
}

/// Whether these are the arms of a `match`.
fn has_arms(trees: &[TokenTree]) -> bool {
    trees.windows(2).any(|pair| {
        let [TokenTree::Punct(a), TokenTree::Punct(b)] = pair else { return false };
        a.as_char() == '=' && a.spacing() == Spacing::Joint && b.as_char() == '>'
    })
}

fn braced(code: TokenStream, at: Span) -> TokenTree {
    let mut group = Group::new(Delimiter::Brace, code);
    // They are not the user's: those would be called needless.
    group.set_span(Span::mixed_site().located_at(at));
    group.into()
}
