//! What options may be set to. Each of these reports what is wrong and gives `None`, so that the option is left out.

use super::options::Given;
use crate::diagnostics::Diagnostics;
use crate::model::{Delay, Fallback, Setting};
use crate::options::{Key, Place};
use crate::parse::list::{RawOption, Value};
use crate::parse::{duration, is_marked};
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::spanned::Spanned as _;
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, ExprLit, Lit, Pat, Path, ReturnType, UnOp, parse_quote};

/// What both forms of a scope can be told.
#[derive(Default)]
pub(super) struct Values {
    pub(super) settings: Vec<Setting>,
    /// The literal name; another one is a setting.
    pub(super) name: Option<String>,
    pub(super) fallback: Option<Box<Fallback>>,
    pub(super) binding: Option<Ident>,
    pub(super) crate_path: Option<Path>,
    /// `every_await`, of a test.
    pub(super) every_await: bool,
}

pub(super) fn values(options: Vec<RawOption>, place: Place, diagnostics: &mut Diagnostics) -> Values {
    let mut values = Values::default();
    let mut admitted = Given::at(place);
    for mut option in options {
        if let Value::Given(value) = &mut option.value
            && !is_literal(value)
        {
            Lengths { diagnostics }.visit_expr_mut(value);
        }
        if let Value::Stray(_) = option.value {
            values.settings.extend(mistaken(option));
            continue;
        }
        let Some(key) = admitted.admit(&option, diagnostics) else {
            values.settings.extend(mistaken(option));
            continue;
        };
        let at = option.name.span();
        match key {
            Key::Timeout => values.settings.extend(delay(key, option, diagnostics).map(Setting::Timeout)),
            Key::CleanupTimeout => {
                values.settings.extend(delay(key, option, diagnostics).map(Setting::CleanupTimeout));
            }
            Key::Limit => values.settings.extend(limit(option, diagnostics).map(Setting::Limit)),
            Key::Deadline => values.settings.extend(deadline(option, diagnostics).map(Setting::Deadline)),
            Key::Shield => values.settings.extend(condition(key, option, diagnostics).map(Setting::Shield)),
            Key::Bubble => values.settings.extend(condition(key, option, diagnostics).map(Setting::Bubble)),
            Key::Grace => values.settings.extend(delay(key, option, diagnostics).map(Setting::Grace)),
            Key::Cooperative => {
                if flag(key, option, diagnostics) {
                    values.settings.push(Setting::Cooperative);
                }
            }
            Key::Supervise => {
                if flag(key, option, diagnostics) {
                    values.settings.push(Setting::Supervise);
                }
            }
            Key::Error => values.settings.extend(computed(key, option, diagnostics).map(Setting::Error)),
            Key::Link => values.settings.extend(computed(key, option, diagnostics).map(Setting::Link)),
            Key::CancelOn => {
                values.settings.extend(computed(key, option, diagnostics).map(Setting::CancelOn))
            }
            Key::Token => values.settings.extend(computed(key, option, diagnostics).map(Setting::Token)),
            Key::Name => match name(option, diagnostics) {
                Some(Name::Literal(text)) => values.name = Some(text),
                Some(Name::Computed(expr)) => values.settings.push(Setting::Name(*expr)),
                None => {}
            },
            Key::Fallback => values.fallback = Some(Box::new(fallback(option, diagnostics))),
            Key::Scope => values.binding = binding(option, diagnostics),
            Key::Crate => values.crate_path = crate_path(option, diagnostics),
            Key::EveryAwait => values.every_await = flag(key, option, diagnostics),
            // The table lets these stand in `spawn!` only.
            Key::Background | Key::SkipIfCancelled | Key::Abandon | Key::In => {
                diagnostics.at(at, "this option belongs to `spawn!`")
            }
        }
    }
    values
}

/// Whether a value is one literal, with a sign in front or without.
fn is_literal(value: &Expr) -> bool {
    match bare(value) {
        Expr::Unary(unary) => matches!(*unary.expr, Expr::Lit(_)),
        value => matches!(value, Expr::Lit(_)),
    }
}

/// Finds lengths of time such as `3s` inside of larger expressions, which are Rust's, and puts what they mean in their
/// place.
struct Lengths<'a> {
    diagnostics: &'a mut Diagnostics,
}

impl VisitMut for Lengths<'_> {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        let Expr::Lit(ExprLit { lit: lit @ (Lit::Int(_) | Lit::Float(_)), .. }) = expr else {
            return visit_mut::visit_expr_mut(self, expr);
        };
        let written = lit.to_token_stream().to_string();
        let Ok(length) = duration::parse(&written) else { return };
        let (unit, count) = match length.subsec_nanos() {
            0 => ("secs", u128::from(length.as_secs())),
            nanos if nanos % 1_000_000 == 0 => ("millis", length.as_millis()),
            nanos if nanos % 1_000 == 0 => ("micros", length.as_micros()),
            _ => ("nanos", length.as_nanos()),
        };
        self.diagnostics.at(
            lit.span(),
            format!(
                "`{written}` is a duration only where it is the whole value; write `Duration::from_{unit}({count})`"
            ),
        );
        let (secs, nanos) = (length.as_secs(), length.subsec_nanos());
        *expr = parse_quote!(::core::time::Duration::new(#secs, #nanos));
    }
}

/// What is left of an option that may not stand where it does.
pub(super) fn mistaken(option: RawOption) -> Option<Setting> {
    let introduces = [Key::Scope, Key::Crate].iter().any(|key| option.name == key.name());
    match option.value {
        // A literal mentions nothing, and may be none of Rust's, such as `3s`.
        Value::Given(value) if !introduces && !matches!(bare(&value), Expr::Lit(_)) => {
            Some(Setting::Mistaken(*value))
        }
        Value::Stray(stray) => Some(Setting::Mistaken(*stray)),
        _ => None,
    }
}

/// The value of an option that needs one.
fn given(key: Key, option: RawOption, diagnostics: &mut Diagnostics) -> Option<Expr> {
    match option.value {
        Value::Given(value) => Some(*value),
        Value::Missing => {
            let message = format!("`{}` needs a value; write `{}`", key.name(), key.entry().example);
            diagnostics.at(option.name.span(), message);
            None
        }
        Value::Unreadable | Value::Stray(_) => None,
    }
}

/// A value that no literal can be; but for `error`, whose text may be one.
fn computed(key: Key, option: RawOption, diagnostics: &mut Diagnostics) -> Option<Expr> {
    let value = given(key, option, diagnostics)?;
    let what = match key {
        Key::Link => "scope that can be linked",
        Key::CancelOn => "future",
        Key::Token => "cancel token",
        _ => "error",
    };
    match bare(&value) {
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) if key == Key::Error => Some(value),
        Expr::Lit(literal) => {
            let (written, example) = (literal.to_token_stream(), key.entry().example);
            diagnostics.at(literal.span(), format!("`{written}` is no {what}; write `{example}`"));
            None
        }
        _ => Some(value),
    }
}

fn delay(key: Key, option: RawOption, diagnostics: &mut Diagnostics) -> Option<Delay> {
    let value = given(key, option, diagnostics)?;
    let text = match bare(&value) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => text.value(),
        Expr::Lit(ExprLit { lit: lit @ (Lit::Int(_) | Lit::Float(_)), .. }) => {
            lit.to_token_stream().to_string()
        }
        Expr::Lit(ExprLit { lit, .. }) => {
            diagnostics.at(lit.span(), format!("`{}` is no duration; write \"3s\"", lit.to_token_stream()));
            return None;
        }
        Expr::Unary(syn::ExprUnary { op: UnOp::Neg(minus), expr, .. }) if matches!(**expr, Expr::Lit(_)) => {
            diagnostics.at(minus.span, "a duration can't be negative; remove the `-`");
            return None;
        }
        _ => return Some(Delay::Computed(Box::new(value))),
    };
    match duration::parse(&text) {
        Ok(duration) => Some(Delay::Literal(duration)),
        Err(problem) => {
            diagnostics.on(value, problem);
            None
        }
    }
}

fn deadline(option: RawOption, diagnostics: &mut Diagnostics) -> Option<Expr> {
    let value = given(Key::Deadline, option, diagnostics)?;
    // The compiler would ask for the type of the instant that is not there.
    if let Expr::Path(path) = bare(&value)
        && path.path.is_ident("None")
    {
        diagnostics.at(path.span(), "`None` is no deadline; leave the option out");
        return None;
    }
    if let Expr::Lit(literal) = bare(&value) {
        let written = literal.to_token_stream();
        let message = match literal.lit {
            Lit::Int(_) | Lit::Float(_) | Lit::Str(_) => {
                let text = match &literal.lit {
                    Lit::Str(text) => text.value(),
                    other => other.to_token_stream().to_string(),
                };
                let length = duration::parse(&text).map_or("\"3s\"".to_owned(), |_| written.to_string());
                format!("`deadline` is an instant; for a length of time write `timeout = {length}`")
            }
            _ => format!("`{written}` is no instant; write `deadline = instant`"),
        };
        diagnostics.at(literal.span(), message);
        return None;
    }
    Some(value)
}

/// `shield`, or `shield = condition`
fn condition(key: Key, option: RawOption, diagnostics: &mut Diagnostics) -> Option<Expr> {
    let value = match option.value {
        Value::Given(value) => *value,
        Value::Missing => return Some(parse_quote!(true)),
        Value::Unreadable | Value::Stray(_) => return None,
    };
    match bare(&value) {
        Expr::Lit(literal) if !matches!(literal.lit, Lit::Bool(_)) => {
            let written = literal.to_token_stream();
            let name = key.name();
            let message = format!("`{written}` is no `bool`; write `{name}` or `{name} = condition`");
            diagnostics.at(literal.span(), message);
            None
        }
        _ => Some(value),
    }
}

/// An option that is there or not; a value is a mistake, and the option is meant all the same.
fn flag(key: Key, option: RawOption, diagnostics: &mut Diagnostics) -> bool {
    if let Value::Given(value) = option.value {
        diagnostics.on(value, format!("`{}` takes no value; write it alone", key.name()));
    }
    true
}

fn limit(option: RawOption, diagnostics: &mut Diagnostics) -> Option<Expr> {
    let value = given(Key::Limit, option, diagnostics)?;
    let problem = match bare(&value) {
        Expr::Lit(ExprLit { lit: Lit::Int(most), .. })
            if most.suffix().is_empty() || most.suffix() == "usize" =>
        {
            match most.base10_digits() {
                "0" => "a limit of 0 lets no child run; write at least 1".to_owned(),
                _ => return Some(value),
            }
        }
        Expr::Lit(literal) => {
            let written = literal.to_token_stream().to_string();
            let digits: String =
                written.trim_start_matches('"').chars().take_while(char::is_ascii_digit).collect();
            let meant = digits.parse().ok().filter(|most| *most > 0).unwrap_or(8_usize);
            format!("`{written}` is no number of child tasks; write `limit = {meant}`")
        }
        Expr::Unary(syn::ExprUnary { op: UnOp::Neg(_), expr, .. }) if matches!(**expr, Expr::Lit(_)) => {
            "a limit can't be negative; remove the `-`".to_owned()
        }
        _ => return Some(value),
    };
    diagnostics.on(value, problem);
    None
}

pub(super) enum Name {
    Literal(String),
    Computed(Box<Expr>),
}

pub(super) fn name(option: RawOption, diagnostics: &mut Diagnostics) -> Option<Name> {
    let value = given(Key::Name, option, diagnostics)?;
    match bare(&value) {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(Name::Literal(text.value())),
        Expr::Lit(literal) => {
            let written = literal.to_token_stream().to_string();
            let text = match &literal.lit {
                Lit::ByteStr(bytes) => String::from_utf8_lossy(&bytes.value()).into_owned(),
                Lit::CStr(text) => text.value().to_string_lossy().into_owned(),
                Lit::Byte(byte) => char::from(byte.value()).to_string(),
                Lit::Char(char) => char.value().to_string(),
                _ => written.clone(),
            };
            diagnostics.at(literal.span(), format!("`{written}` is no name; write `name = {text:?}`"));
            None
        }
        _ => Some(Name::Computed(Box::new(value))),
    }
}

/// A wrong fallback is still one: the block keeps the type that it has with it.
fn fallback(option: RawOption, diagnostics: &mut Diagnostics) -> Fallback {
    let broken = || Fallback { pattern: None, value: Expr::Verbatim(quote::quote!(loop {})) };
    let Some(value) = given(Key::Fallback, option, diagnostics) else { return broken() };
    let Expr::Closure(closure) = value else { return Fallback { pattern: None, value } };
    if let Some(keyword) = closure.asyncness {
        diagnostics
            .at(keyword.span, "a fallback is evaluated in place; drop `async`, it may `.await` as it is");
        return broken();
    }
    if let ReturnType::Type(arrow, _) = &closure.output {
        diagnostics.at(arrow.spans[0], "a fallback's type is that of the body; drop the return type");
        return broken();
    }
    if closure.inputs.len() != 1 {
        let at = match closure.inputs.get(1) {
            Some(second) => second.span(),
            None => closure.inputs_begin.span,
        };
        diagnostics.at(
            at,
            "a fallback takes one value; write `fallback = |cancelled| …`, or `fallback = …` without it",
        );
        return broken();
    }
    Fallback { pattern: closure.inputs.into_iter().next(), value: *closure.body }
}

fn binding(option: RawOption, diagnostics: &mut Diagnostics) -> Option<Ident> {
    let value = given(Key::Scope, option, diagnostics)?;
    match &value {
        Expr::Path(path) if path.qself.is_none() && path.path.get_ident().is_some() => {
            let name = path.path.get_ident().filter(|name| *name != "self");
            if name.is_none() {
                diagnostics.at(path.span(), "`self` can't be the name of a scope; write `scope = s`");
            }
            name.cloned()
        }
        _ => {
            diagnostics.on(written(value), "`scope` introduces a name; write `scope = s`");
            None
        }
    }
}

fn crate_path(option: RawOption, diagnostics: &mut Diagnostics) -> Option<Path> {
    let value = given(Key::Crate, option, diagnostics)?;
    match value {
        Expr::Path(path) if path.qself.is_none() => Some(path.path),
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
            let message = format!("`crate` takes a path; write `crate = {}`", text.value());
            diagnostics.at(text.span(), message);
            None
        }
        other => {
            diagnostics.on(written(other), "`crate` takes a path; write `crate = ::scope_runtime`");
            None
        }
    }
}

/// A value as it was written: one that can't be read is in a macro of ours.
fn written(value: Expr) -> TokenStream {
    match value {
        Expr::Macro(unread) if is_marked(&unread.mac.tokens) => {
            let group = unread.mac.tokens.into_iter().find_map(|tree| match tree {
                TokenTree::Group(group) => group.stream().into_iter().next(),
                _ => None,
            });
            group.map(TokenStream::from).unwrap_or_default()
        }
        value => value.into_token_stream(),
    }
}

/// The name in front of a body, as in `|s| { … }`; `None` for `_`.
pub(super) fn closure_binding(closure: &syn::ExprClosure, diagnostics: &mut Diagnostics) -> Option<Ident> {
    let mut complain = |at: Span| diagnostics.at(at, "a scope gets one name; write `|s| { … }`");
    if closure.inputs.len() > 1 {
        complain(closure.inputs[1].span());
    }
    match closure.inputs.first()? {
        Pat::Ident(name)
            if name.by_ref.is_none()
                && name.mutability.is_none()
                && name.subpat.is_none()
                && name.ident != "self" =>
        {
            Some(name.ident.clone())
        }
        Pat::Wild(_) => None,
        Pat::Type(typed) => {
            diagnostics.at(typed.colon_token.span, "the name takes no type; write `|s| { … }`");
            name_in(&typed.pat)
        }
        other => {
            complain(other.span());
            name_in(other)
        }
    }
}

/// The name that a pattern was written for: the body speaks of it.
fn name_in(pattern: &Pat) -> Option<Ident> {
    match pattern {
        Pat::Ident(name) if name.ident != "self" => Some(name.ident.clone()),
        Pat::Reference(reference) => name_in(&reference.pat),
        Pat::Paren(paren) => name_in(&paren.pat),
        Pat::Type(typed) => name_in(&typed.pat),
        _ => None,
    }
}

/// See [`bare`].
pub(super) fn unwrapped(mut expr: Expr) -> Expr {
    while let Expr::Group(group) = expr {
        expr = *group.expr;
    }
    expr
}

/// Without parentheses, and without the invisible groups that a macro puts around its fragments.
pub(super) fn bare(mut expr: &Expr) -> &Expr {
    loop {
        expr = match expr {
            Expr::Group(group) => &group.expr,
            Expr::Paren(paren) => &paren.expr,
            _ => return expr,
        }
    }
}
