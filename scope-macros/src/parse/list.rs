//! `name = value`, `name` and `in value`, separated by commas, before whatever the options are about.

use super::{duration, recover};
use crate::diagnostics::Diagnostics;
use crate::options;
use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use std::convert::Infallible;
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
        if let Value::Stray(stray) = &self.value {
            return stray.to_tokens(tokens);
        }
        self.name.to_tokens(tokens);
        self.equals.to_tokens(tokens);
        if let Value::Given(value) = &self.value {
            value.to_tokens(tokens);
        }
    }
}

impl RawOption {
    /// Where the last of these ends, and something is missing; `place` if there are none.
    pub(crate) fn end(options: &[Self], place: Span) -> Span {
        let last = options.last().and_then(|option| option.to_token_stream().into_iter().last());
        last.map_or(place, |last| last.span())
    }
}

pub(crate) enum Value {
    Missing,
    Given(Box<Expr>),
    /// Reported already.
    Unreadable,
    /// It is no option at all, but an expression that begins with that name. Reported already.
    Stray(Box<Expr>),
}

pub(crate) enum Element<T> {
    Option(RawOption),
    Subject(T),
}

impl<T> Element<T> {
    pub(crate) fn map<U>(self, map: impl FnOnce(T) -> U) -> Element<U> {
        match self {
            Element::Option(option) => Element::Option(option),
            Element::Subject(subject) => Element::Subject(map(subject)),
        }
    }
}

/// What the options are about: a body, a future, or, in an attribute, nothing.
pub(crate) trait Subject: Sized {
    /// What to write in its place, for messages.
    const EXPECTED: &str;
    /// An option that may stand in front of it.
    const EXAMPLE: Example;

    fn peek(input: ParseStream<'_>) -> bool;

    /// What to write for something that is neither, if that is not an option.
    fn instead(_: ParseStream<'_>) -> Option<&'static str> {
        None
    }

    /// Reads as much as belongs to it, at least one token.
    fn read(input: ParseStream<'_>, diagnostics: &mut Diagnostics) -> Self;
}

/// For attributes: options only.
pub(crate) enum Nothing {}

impl Subject for Nothing {
    const EXPECTED: &str = "expected an option";
    const EXAMPLE: Example = Example::Timeout;

    fn peek(_: ParseStream<'_>) -> bool {
        false
    }

    fn instead(input: ParseStream<'_>) -> Option<&'static str> {
        if input.peek(Token![|]) {
            Some("name the scope with `scope = s`")
        } else if input.peek(syn::token::Brace) {
            Some("the body of the scope is that of the function")
        } else {
            None
        }
    }

    fn read(_: ParseStream<'_>, _: &mut Diagnostics) -> Self {
        unreachable!("nothing is there to be read")
    }
}

impl From<Nothing> for Infallible {
    fn from(nothing: Nothing) -> Self {
        match nothing {}
    }
}

/// For the attribute of a test: options only, and others.
pub(crate) enum NothingOfTest {}

impl Subject for NothingOfTest {
    const EXPECTED: &str = Nothing::EXPECTED;
    const EXAMPLE: Example = Example::EveryAwait;

    fn peek(_: ParseStream<'_>) -> bool {
        false
    }

    fn read(_: ParseStream<'_>, _: &mut Diagnostics) -> Self {
        unreachable!("nothing is there to be read")
    }
}

impl From<NothingOfTest> for Infallible {
    fn from(nothing: NothingOfTest) -> Self {
        match nothing {}
    }
}

/// Reads the whole list, going on behind each mistake.
pub(crate) fn list<T: Subject>(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Vec<Element<T>> {
    let mut elements = Vec::new();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            element(input, &mut elements, diagnostics);
            separator(input, "options end with `,`", diagnostics);
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
        diagnostics.at(input.span(), format!("{}; {}", T::EXPECTED, instead::<T>(input)));
        let _skipped = to_comma(input);
    }
}

/// What to write for what stands here, which is no option.
fn instead<T: Subject>(input: ParseStream<'_>) -> String {
    if let Some(instead) = T::instead(input) {
        return instead.to_owned();
    }
    if let Ok(literal) = input.fork().parse::<Lit>() {
        return match T::EXAMPLE {
            // Its options have no values.
            Example::EveryAwait => format!("write `{}`", T::EXAMPLE.text()),
            example => format!("give the value a name, as in `{}`", example.of(&literal)),
        };
    }
    let negated = input.fork();
    if negated.parse::<Token![!]>().is_ok()
        && let Some(option) =
            negated.parse::<Ident>().ok().filter(|name| options::resembles(&name.to_string()))
    {
        return format!("write `{option} = false`");
    }
    if input.peek(Token![#]) {
        "it takes no attributes".to_owned()
    } else if input.peek(syn::token::Paren) {
        "remove the parentheses".to_owned()
    } else if input.peek(syn::token::Bracket) {
        "remove the brackets".to_owned()
    } else {
        format!("write one such as `{}`", T::EXAMPLE.text())
    }
}

/// An option to show to those who wrote none.
#[derive(Clone, Copy)]
pub(crate) enum Example {
    Timeout,
    Name,
    EveryAwait,
}

impl Example {
    fn text(self) -> &'static str {
        match self {
            Example::Timeout => "timeout = \"3s\"",
            Example::Name => "name = \"fetch\"",
            Example::EveryAwait => "every_await",
        }
    }

    /// The option that this was probably meant to be the value of.
    fn of(self, literal: &Lit) -> String {
        let written = literal.to_token_stream();
        match literal {
            Lit::Str(text) if matches!(self, Example::Name) || duration::parse(&text.value()).is_err() => {
                format!("name = {written}")
            }
            _ if matches!(self, Example::Timeout) && duration::parse(&text_of(literal)).is_ok() => {
                format!("timeout = {written}")
            }
            _ => self.text().to_owned(),
        }
    }
}

/// A literal without the quotes of a string.
fn text_of(literal: &Lit) -> String {
    match literal {
        Lit::Str(text) => text.value(),
        other => other.to_token_stream().to_string(),
    }
}

/// Takes the comma; `rule` says where one belongs.
fn separator(input: ParseStream<'_>, rule: &str, diagnostics: &mut Diagnostics) {
    if input.is_empty() || input.parse::<Token![,]>().is_ok() {
        return;
    }
    if input.peek(Token![;]) {
        diagnostics.at(input.span(), format!("{rule}; write `,` instead of `;`"));
        let _semicolon = input.parse::<Token![;]>();
        return;
    }
    if input.peek(Token![:]) && !input.peek(Token![::]) {
        diagnostics.at(input.span(), format!("{rule}; write `,` instead of `:`"));
        let _colon = input.parse::<Token![:]>();
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
    let whole = input.fork();
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
    let is_option = options::resembles(&name.to_string());
    let goes_on = input.peek(Token![::]) || input.peek(Token![.]) || input.peek(syn::token::Paren);
    if input.peek(Token![::]) || goes_on && !is_option {
        let example = T::EXAMPLE.text();
        let message = format!("{}; give the value a name, as in `{example}`", T::EXPECTED);
        diagnostics.at(name.span(), message);
        let stray = expression(&whole, diagnostics);
        let _skipped = to_comma(input);
        return Some(RawOption { name, equals: None, value: Value::Stray(Box::new(stray)) });
    }
    // Of a word that is no option, that is told.
    if is_option {
        let message = format!("`{name}` takes its value with `=`; write `{name} = …`");
        diagnostics.at(input.span(), message);
    }
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
            if let Some(unit) = unit_behind(&expr, input) {
                let number = expr.to_token_stream();
                let message = format!("a space stands before the unit; write `{number}{unit}`");
                diagnostics.at(unit.span(), message);
                return Value::Unreadable;
            }
            if let Some(part) = part_behind(&expr, input) {
                let (first, end) = (expr.to_token_stream(), part.to_token_stream());
                let message = format!("a space stands inside of the duration; write `{first}{end}`");
                diagnostics.at(part.span(), message);
                return Value::Unreadable;
            }
            Value::Given(Box::new(expr))
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

/// Takes the `30m` of `1h 30m`.
fn part_behind(first: &Expr, input: ParseStream<'_>) -> Option<Lit> {
    let length = |literal: &Lit| duration::parse(&text_of(literal)).is_ok();
    let is_length =
        matches!(first, Expr::Lit(ExprLit { lit: lit @ (Lit::Int(_) | Lit::Float(_)), .. }) if length(lit));
    let fork = input.fork();
    let part =
        fork.parse::<Lit>().ok().filter(|part| is_length && !matches!(part, Lit::Str(_)) && length(part))?;
    input.advance_to(&fork);
    Some(part)
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
            if input.peek(Token![=>]) {
                diagnostics
                    .at(input.span(), "an arm ends with its future; remove the `=>` and what is behind it");
                let _skipped = to_comma(input);
            }
            separator(input, "arms are separated by `,`", diagnostics);
        }
        Ok(())
    };
    if let Err(error) = parser.parse2(tokens) {
        diagnostics.syntax(error);
    }
    expressions
}

const NOTHING_BEFORE: &str = "nothing stands before this `,`; remove it";
