//! `name = value`, `name` and `in value`, separated by commas, before whatever the options are about.

use super::{duration, recover};
use crate::diagnostics::Diagnostics;
use crate::options;
use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _, discouraged::Speculative as _};
use syn::{Expr, ExprLit, Lit, Token};

/// An option as it was written.
pub(crate) struct RawOption {
    pub(crate) name: Ident,
    pub(crate) equals: Option<Token![=]>,
    pub(crate) value: Value,
}

impl ToTokens for RawOption {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.name.to_tokens(tokens);
        self.equals.to_tokens(tokens);
        if let Value::Given(value) = &self.value {
            value.to_tokens(tokens);
        }
    }
}

pub(crate) enum Value {
    Missing,
    Given(Box<Expr>),
    /// Reported already.
    Unreadable,
}

pub(crate) enum Element<T> {
    Option(RawOption),
    Subject(T),
}

/// What the options are about: a body, a future, or, in an attribute, nothing.
pub(crate) trait Subject: Sized {
    /// What to write in its place, for messages.
    const EXPECTED: &str;

    fn peek(input: ParseStream<'_>) -> bool;

    /// What to write for something that is neither, to be added to that.
    fn instead(_: ParseStream<'_>) -> &'static str {
        ""
    }

    /// Reads as much as belongs to it, at least one token.
    fn read(input: ParseStream<'_>, diagnostics: &mut Diagnostics) -> Self;
}

/// For attributes: options only.
pub(crate) enum Nothing {}

impl Subject for Nothing {
    const EXPECTED: &str = "expected an option";

    fn peek(_: ParseStream<'_>) -> bool {
        false
    }

    fn instead(input: ParseStream<'_>) -> &'static str {
        if input.peek(Token![|]) {
            "; name the scope with `scope = s`"
        } else if input.peek(syn::token::Brace) {
            "; the body of the scope is that of the function"
        } else {
            ""
        }
    }

    fn read(_: ParseStream<'_>, _: &mut Diagnostics) -> Self {
        unreachable!("nothing is there to be read")
    }
}

/// Reads the whole list, going on behind each mistake.
pub(crate) fn list<T: Subject>(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Vec<Element<T>> {
    let mut elements = Vec::new();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            element(input, &mut elements, diagnostics);
            separator(input, diagnostics);
        }
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        diagnostics.syntax(error);
    }
    elements
}

/// Consumes at least one token.
fn element<T: Subject>(
    input: ParseStream<'_>,
    elements: &mut Vec<Element<T>>,
    diagnostics: &mut Diagnostics,
) {
    if input.peek(Token![,]) {
        diagnostics.at(input.span(), NOTHING_BEFORE);
    } else if T::peek(input) {
        elements.push(Element::Subject(T::read(input, diagnostics)));
    } else if input.peek(Ident::peek_any) {
        elements.extend(option::<T>(input, diagnostics).map(Element::Option));
    } else {
        let message = match input.fork().parse::<Lit>() {
            Ok(_) => format!("{}; give the value a name, as in `timeout = \"3s\"`", T::EXPECTED),
            Err(_) => format!("{}{}", T::EXPECTED, T::instead(input)),
        };
        diagnostics.at(input.span(), message);
        let _skipped = to_comma(input);
    }
}

fn separator(input: ParseStream<'_>, diagnostics: &mut Diagnostics) {
    if input.is_empty() || input.parse::<Token![,]>().is_ok() {
        return;
    }
    if input.peek(Token![;]) {
        diagnostics.at(input.span(), "options end with `,`; write `,` instead of `;`");
        let _semicolon = input.parse::<Token![;]>();
        return;
    }
    let next = match input.cursor().token_tree() {
        Some((TokenTree::Group(group), _)) if group.delimiter() == Delimiter::Brace => "the body".to_owned(),
        Some((TokenTree::Group(_), _)) | None => "this".to_owned(),
        Some((TokenTree::Punct(punct), _)) if punct.as_char() == '|' => "the body".to_owned(),
        Some((token, _)) => format!("`{token}`"),
    };
    diagnostics.at(input.span(), format!("a `,` is missing; put one before {next}"));
    if !(input.peek(Ident::peek_any) || input.peek(syn::token::Brace) || input.peek(Token![|])) {
        let _skipped = to_comma(input);
        let _comma = input.parse::<Token![,]>();
    }
}

fn option<T: Subject>(input: ParseStream<'_>, diagnostics: &mut Diagnostics) -> Option<RawOption> {
    let name = Ident::parse_any(input).ok()?;
    if name == "in" && (input.peek(Token![=]) || input.peek(Token![:])) {
        diagnostics.at(input.span(), "the scope stands right behind `in`; write `in s`");
        return Some(RawOption { name, equals: None, value: misplaced_value(input) });
    }
    if name == "in" {
        return Some(RawOption { name, equals: None, value: value(input, diagnostics) });
    }
    if input.is_empty() || input.peek(Token![,]) || input.peek(Token![;]) || begins_next::<T>(input) {
        return Some(RawOption { name, equals: None, value: Value::Missing });
    }
    if input.peek(Token![=]) && !input.peek(Token![==]) && !input.peek(Token![=>]) {
        let equals = input.parse().ok();
        return Some(RawOption { name, equals, value: value(input, diagnostics) });
    }
    if input.peek(Token![::]) {
        let message = format!("{}; give the value a name, as in `timeout = \"3s\"`", T::EXPECTED);
        diagnostics.at(name.span(), message);
        let _skipped = to_comma(input);
        return None;
    }
    let message = format!("`{name}` takes its value with `=`; write `{name} = …`");
    diagnostics.at(input.span(), message);
    Some(RawOption { name, equals: None, value: misplaced_value(input) })
}

/// The value in `timeout(x)`, `timeout: x` and `timeout x`: what it mentions is not unused.
fn misplaced_value(input: ParseStream<'_>) -> Value {
    let mut trees: Vec<TokenTree> = to_comma(input).into_iter().collect();
    if let [TokenTree::Group(value)] = &trees[..] {
        trees = value.stream().into_iter().collect();
    }
    let is_sign = |tree: &TokenTree| matches!(tree, TokenTree::Punct(sign) if ":=>".contains(sign.as_char()));
    let value: TokenStream = trees.into_iter().skip_while(is_sign).collect();
    match syn::parse2(value) {
        Ok(value) => Value::Given(Box::new(value)),
        Err(_) => Value::Unreadable,
    }
}

/// Whether only a comma is missing before what comes next.
fn begins_next<T: Subject>(input: ParseStream<'_>) -> bool {
    let next_option = || {
        let fork = input.fork();
        // Another word is rather the value.
        Ident::parse_any(&fork).is_ok_and(|name| {
            let alone = fork.is_empty() || fork.peek(Token![,]);
            fork.peek(Token![=]) || alone && options::resembles(&name.to_string())
        })
    };
    let is_sign = input.peek(Token![=]) || input.peek(Token![:]) && !input.peek(Token![::]);
    let next_subject = || T::peek(input) && !input.peek(Lit) && !is_sign;
    next_subject() || next_option()
}

fn value(input: ParseStream<'_>, diagnostics: &mut Diagnostics) -> Value {
    if input.is_empty() || input.peek(Token![,]) || input.peek(Token![;]) {
        return Value::Missing;
    }
    let whole = input.fork();
    if let Ok(expr) = whole.parse::<Expr>()
        && (whole.is_empty() || whole.peek(Token![,]))
    {
        input.advance_to(&whole);
        return Value::Given(Box::new(expr));
    }
    // With the comma forgotten, `timeout = limit { body }` would read as a struct literal.
    let short = input.fork();
    match Expr::parse_without_eager_brace(&short) {
        Ok(expr) => {
            input.advance_to(&short);
            match unit_behind(&expr, input) {
                Some(unit) => {
                    let number = expr.to_token_stream();
                    let message = format!("a space stands before the unit; write `{number}{unit}`");
                    diagnostics.at(unit.span(), message);
                    Value::Unreadable
                }
                None => Value::Given(Box::new(expr)),
            }
        }
        Err(_) => Value::Given(Box::new(unread(input, diagnostics))),
    }
}

/// Takes the `s` of `3 s`.
fn unit_behind(number: &Expr, input: ParseStream<'_>) -> Option<Ident> {
    let is_number = matches!(number, Expr::Lit(ExprLit { lit: Lit::Int(_) | Lit::Float(_), .. }));
    let fork = input.fork();
    let unit = fork.parse::<Ident>().ok().filter(|unit| is_number && duration::is_unit(&unit.to_string()))?;
    input.advance_to(&fork);
    Some(unit)
}

/// What stands in front of the next comma.
pub(super) fn to_comma(input: ParseStream<'_>) -> TokenStream {
    let mut before = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![,]) {
        before.extend(input.parse::<TokenTree>());
    }
    before
}

/// An expression. One that does not parse goes up to the next comma.
pub(super) fn expression(input: ParseStream<'_>, diagnostics: &mut Diagnostics) -> Expr {
    let fork = input.fork();
    match fork.parse() {
        Ok(expr) => {
            input.advance_to(&fork);
            expr
        }
        Err(_) => unread(input, diagnostics),
    }
}

fn unread(input: ParseStream<'_>, diagnostics: &mut Diagnostics) -> Expr {
    let code = to_comma(input);
    let comma = input.cursor().token_tree().map(|(comma, _)| comma);
    recover::expression(code, comma, diagnostics)
}

/// Expressions without options.
pub(super) fn expressions(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Vec<Expr> {
    let mut expressions = Vec::new();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if input.peek(Token![,]) {
                diagnostics.at(input.span(), NOTHING_BEFORE);
            } else {
                expressions.push(expression(input, diagnostics));
            }
            separator(input, diagnostics);
        }
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        diagnostics.syntax(error);
    }
    expressions
}

const NOTHING_BEFORE: &str = "nothing stands before this `,`; remove it";
