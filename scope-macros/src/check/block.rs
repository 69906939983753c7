//! `scope!`, `blocking_scope!` and `shield!`.

use super::values::{self, Values};
use super::{misuse, timeouts};
use crate::diagnostics::Diagnostics;
use crate::model::{Block, BlockKind, Body, Form, Setting, Site, SiteKind};
use crate::options::Place;
use crate::parse::block::{Braced, RawBody};
use crate::parse::list::{Element, RawOption, Value};
use crate::rewrite::{self, Surroundings};
use proc_macro2::{Ident, Span};
use quote::quote_spanned;
use syn::spanned::Spanned as _;
use syn::{Attribute, Expr, Pat, Stmt};

/// Makes a model of a block that was written at `place`.
pub(crate) fn block(
    written: Vec<Element<RawBody>>,
    kind: BlockKind,
    place: Span,
    around: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
) -> Block {
    let called = kind.called();
    let mut given = Vec::new();
    let mut behind = Vec::new();
    let mut bodies = Vec::new();
    for element in written {
        match element {
            Element::Option(option) if bodies.is_empty() => given.push(option),
            Element::Option(option) => {
                let message = match kind {
                    BlockKind::Shield => NO_OPTIONS.to_owned(),
                    _ => format!("`{}` stands behind the body; write the options first", option.name),
                };
                diagnostics.at(option.name.span(), message);
                behind.extend(values::mistaken(option));
            }
            Element::Subject(body) => bodies.push(body),
        }
    }
    let mut bodies = bodies.into_iter();
    let first = bodies.next();
    let mut others = Vec::new();
    for more in bodies {
        match (&first, &more) {
            (Some(RawBody::Named(_)), RawBody::Named(_)) => diagnostics.at(span(&more), NAMED_TWICE),
            _ => diagnostics.at(span(&more), format!("`{called}` has one body; join the two")),
        }
        others.push(more);
    }
    let end = RawOption::end(&given, place);
    let mut values = match kind {
        BlockKind::Scope => values::values(given, Place::Scope, diagnostics),
        BlockKind::BlockingScope => values::values(given, Place::BlockingScope, diagnostics),
        BlockKind::Shield => {
            for option in given.iter().filter(|option| !matches!(option.value, Value::Stray(_))) {
                diagnostics.at(option.name.span(), NO_OPTIONS);
            }
            Values { settings: given.into_iter().filter_map(values::mistaken).collect(), ..Values::default() }
        }
    };
    values.settings.extend(behind);
    let (binding, braced) = match first {
        Some(body) => body_of(body, called, diagnostics),
        None => {
            let message = format!("`{called}` has no body; write it last, in braces: `{called}({{ … }})`");
            (None, Braced::of(diagnostics.missing(end, message)))
        }
    };
    if let (BlockKind::Shield, Some(name)) = (kind, &binding) {
        diagnostics.at(name.span(), "`shield!` opens no scope to name; write `scope!(shield, |s| { … })`");
    }
    attributes(&braced.attributes, diagnostics);
    let others = others.into_iter().filter_map(|more| code_of(more, binding.as_ref()));
    let mut statements = others.fold(braced.statements, beside);
    if kind == BlockKind::Shield {
        statements.splice(0..0, values.settings.drain(..).filter_map(mentioned));
    }
    timeouts::judge(&values.settings, binding.is_some(), &statements, called, diagnostics);
    let (facts, misuses) = rewrite::body(&mut statements, around, diagnostics);
    misuse::judge(misuses, called, diagnostics);

    let Values { settings, name, fallback, binding: _, crate_path: _, every_await: _ } = values;
    let (site_kind, form) = match kind {
        BlockKind::Scope | BlockKind::BlockingScope => {
            (SiteKind::Scope, Form::Scope { settings, fallback, binding })
        }
        BlockKind::Shield => (SiteKind::Shield, Form::Shield),
    };
    Block {
        runtime: around.runtime.clone(),
        side: around.side,
        site: Site { kind: site_kind, name: name.unwrap_or_default(), place },
        form,
        body: Body { statements, braces: braced.braces, facts },
        level: around.level,
        inside: false,
    }
}

/// What an option mentions that a shield has no place for.
fn mentioned(setting: Setting) -> Option<Stmt> {
    let Setting::Mistaken(value) = setting else { return None };
    syn::parse2(quote_spanned!(Span::mixed_site()=> if false { let _ = &#value; })).ok()
}

const NO_OPTIONS: &str =
    "`shield!` takes no options; write `scope!(shield, …, { … })` for a shield that can be cancelled";

const NAMED_TWICE: &str = "the scope has a name already; write `|s| { … }` once";

fn span(body: &RawBody) -> Span {
    match body {
        RawBody::Plain(braced) => braced.braces,
        RawBody::Named(closure) => closure.span(),
        RawBody::Bare(expr) => expr.span(),
    }
}

/// The code of a body that is one too many, if `binding` is the only name that it was given.
fn code_of(body: RawBody, binding: Option<&Ident>) -> Option<Vec<Stmt>> {
    match body {
        RawBody::Plain(braced) => Some(braced.statements),
        RawBody::Bare(expr) => Some(vec![Stmt::Expr(*expr, None)]),
        RawBody::Named(closure) => {
            let name = closure.inputs.first();
            let same =
                matches!((name, binding), (Some(Pat::Ident(name)), Some(binding)) if name.ident == *binding);
            match *closure.body {
                Expr::Block(block) if same || name.is_none() => Some(block.block.stmts),
                _ => None,
            }
        }
    }
}

/// A body with another beside it, which never runs: both are still checked, and neither moves what the other uses.
fn beside(body: Vec<Stmt>, other: Vec<Stmt>) -> Vec<Stmt> {
    let never = quote_spanned!(Span::mixed_site()=> if true { #(#body)* } else { let _ = { #(#other)* }; #[allow(unreachable_code)] loop {}; });
    match syn::parse2(never) {
        Ok(never) => vec![Stmt::Expr(never, None)],
        Err(_) => body,
    }
}

fn body_of(body: RawBody, called: &str, diagnostics: &mut Diagnostics) -> (Option<Ident>, Braced) {
    match body {
        RawBody::Plain(braced) => (None, braced),
        RawBody::Named(closure) => {
            let binding = values::closure_binding(&closure, diagnostics);
            let bars = closure.inputs.is_empty().then_some(("||", closure.inputs_begin.span));
            let keyword = closure
                .asyncness
                .map(|keyword| ("async", keyword.span))
                .or_else(|| closure.capture.map(|keyword| ("move", keyword.span)));
            if let Some((first, at)) = keyword.or(bars) {
                let word = match bars {
                    Some(_) if first != "||" => format!("{first} ||"),
                    _ => first.to_owned(),
                };
                diagnostics
                    .at(at, format!("`{called}` runs its body in place, like any block; drop `{word}`"));
            }
            if let syn::ReturnType::Type(arrow, _) = &closure.output {
                diagnostics.at(arrow.spans[0], "a body's type is that of its value; drop the return type");
            }
            match values::unwrapped(*closure.body) {
                Expr::Block(block) if block.label.is_none() => (binding, Braced::from(block)),
                Expr::Closure(again) => {
                    diagnostics.at(again.inputs_begin.span, NAMED_TWICE);
                    let body = values::unwrapped(*again.body);
                    match body {
                        Expr::Block(block) if block.label.is_none() => (binding, Braced::from(block)),
                        other => (binding, Braced::of(other)),
                    }
                }
                other => {
                    diagnostics.on(&other, "a body stands in braces; write `|s| { … }`");
                    (binding, Braced::of(other))
                }
            }
        }
        RawBody::Bare(expr) => (None, bare_body(*expr, called, diagnostics)),
    }
}

/// A body that is no block is a mistake; an async block has at least one.
fn bare_body(expr: Expr, called: &str, diagnostics: &mut Diagnostics) -> Braced {
    match expr {
        Expr::Async(block) => {
            let does = if called == BlockKind::BlockingScope.called() { "runs" } else { "awaits" };
            let message = format!("`{called}` {does} its body in place, like any block; drop `async`");
            diagnostics.at(block.async_token.span, message);
            let braces = block.block.brace_token.span.join();
            Braced { braces, attributes: block.attrs, statements: block.block.stmts }
        }
        other => {
            diagnostics.on(&other, "a body stands in braces; write `{ … }`");
            Braced::of(other)
        }
    }
}

fn attributes(attributes: &[Attribute], diagnostics: &mut Diagnostics) {
    for attribute in attributes {
        diagnostics.on(attribute, "a body takes no attributes; put them on the statements");
    }
}
