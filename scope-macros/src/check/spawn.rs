//! `spawn!`

use super::options::Given;
use super::values::{self, Name};
use crate::diagnostics::Diagnostics;
use crate::model::{Into, Runtime, Site, SiteKind, Spawn};
use crate::options::{Key, Place};
use crate::parse::list::{Element, Value};
use crate::parse::spawn::{Around, RawFuture};
use crate::rewrite;
use proc_macro2::Span;
use syn::Expr;

/// What was meant, or, after a mistake, the future alone.
pub(crate) fn spawn(
    runtime: Runtime,
    around: Around,
    written: Vec<Element<RawFuture>>,
    place: Span,
    diagnostics: &mut Diagnostics,
) -> Result<Spawn, Option<Box<Expr>>> {
    let mut given = Vec::new();
    let mut futures = Vec::new();
    for element in written {
        match element {
            Element::Option(option) if futures.is_empty() => given.push(option),
            Element::Option(option) => diagnostics.at(
                option.name.span(),
                format!("`{}` stands behind the future; write the options first", option.name),
            ),
            Element::Subject(RawFuture(future)) => futures.push(Some(future)),
            Element::Unreadable => futures.push(None),
        }
    }
    let mut futures = futures.into_iter();
    let future = futures.next();
    for more in futures.flatten() {
        diagnostics.on(more, "`spawn!` takes one future; write another `spawn!` for this one");
    }

    let mut scope = None;
    let mut names_scope = false;
    let mut name = None;
    let mut background = false;
    let mut skip_if_cancelled = false;
    let mut options = Given::at(Place::Spawn);
    for option in given {
        let Some(key) = options.admit(&option, diagnostics) else { continue };
        let at = option.name.span();
        match (key, option.value) {
            (Key::In, Value::Given(value)) => scope = Some(Into::Named(value)),
            (Key::In, Value::Missing) => {
                names_scope = true;
                diagnostics.at(at, "`in` names a scope; write `spawn!(in s, …)`");
            }
            (Key::In, Value::Unreadable) => names_scope = true,
            (Key::Background, Value::Missing) => background = true,
            (Key::SkipIfCancelled, Value::Missing) => skip_if_cancelled = true,
            (Key::Background | Key::SkipIfCancelled, Value::Given(value)) => {
                diagnostics.on(value, format!("`{}` takes no value; write it alone", key.name()));
            }
            (Key::Name, value) => {
                let option = crate::parse::list::RawOption { value, ..option };
                name = values::name(option, diagnostics);
            }
            _ => {}
        }
    }
    if scope.is_none() && !names_scope {
        match around {
            Around::Scope(block) => scope = Some(Into::Block(block)),
            Around::Spawn => diagnostics.at(
                place,
                "`spawn!` inside a spawned future has no scope of its own; open one there with `scope!({ … })`",
            ),
            Around::Nothing => diagnostics.at(
                place,
                "`spawn!` outside of a scope; put it in `scope!` or a `#[cancel_scope]` function, \
                 or name the scope: `spawn!(in s, …)`",
            ),
        }
    }
    let future = match future {
        Some(Some(future)) => future,
        Some(None) => return Err(None),
        None => {
            diagnostics.at(place, "`spawn!` has no future; write `spawn!(future)`");
            return Err(None);
        }
    };
    let Some(scope) = scope else { return Err(Some(Box::new(future))) };
    let (literal, name) = match name {
        Some(Name::Literal(text)) => (text, None),
        Some(Name::Computed(expr)) => (String::new(), Some(expr)),
        None => (String::new(), None),
    };
    Ok(Spawn {
        runtime,
        site: Site { kind: SiteKind::Task, name: literal, place },
        scope,
        name,
        background,
        skip_if_cancelled,
        endless: rewrite::is_endless(&future),
        future,
    })
}
