//! `spawn!` and `fork!`

use super::options::Given;
use super::values::{self, Name};
use crate::diagnostics::Diagnostics;
use crate::model::{Child, Fork, Into, Runtime, Site, SiteKind, Spawn};
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
    let Read { scope, names_scope, child } = read(written, Place::Spawn, place, diagnostics);
    let scope = match (scope, around) {
        (Some(scope), _) => Some(Into::Named(scope)),
        (None, _) if names_scope => None,
        (None, Around::Block(scope)) => Some(Into::Block(scope)),
        (None, Around::Child(how)) => {
            diagnostics.at(place, nested("spawn!", &how));
            None
        }
        (None, Around::Nothing) => {
            diagnostics.at(
                place,
                "`spawn!` outside of a scope; put it in `scope!` or a `#[cancel_scope]` function, \
                 or name the scope: `spawn!(in s, …)`",
            );
            None
        }
    };
    match (child, scope) {
        (Some(child), Some(scope)) => Ok(Spawn { runtime, scope, child }),
        (child, _) => Err(child.map(|child| Box::new(child.future))),
    }
}

/// The same for a fork, which has no scope but that of its block.
pub(crate) fn fork(
    runtime: Runtime,
    around: Around,
    written: Vec<Element<RawFuture>>,
    place: Span,
    diagnostics: &mut Diagnostics,
) -> Result<Fork, Option<Box<Expr>>> {
    let Read { scope: _, names_scope, child } = read(written, Place::Fork, place, diagnostics);
    let slot = match around {
        Around::Block(slot) => Some(slot),
        _ if names_scope => None,
        Around::Child(how) => {
            diagnostics.at(place, nested("fork!", &how));
            None
        }
        Around::Nothing => {
            diagnostics.at(
                place,
                "`fork!` outside of a scope; put it in `scope!`, `shield!` or a `#[cancel_scope]` function, \
                 where no other macro hides it",
            );
            None
        }
    };
    match (child, slot) {
        (Some(child), Some(slot)) => Ok(Fork { runtime, slot, child }),
        (child, _) => Err(child.map(|child| Box::new(child.future))),
    }
}

/// The same for a `spawn!` that is an arm: its scope is that of the race.
pub(super) fn arm(
    written: Vec<Element<RawFuture>>,
    place: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Child> {
    read(written, Place::Arm, place, diagnostics).child
}

fn nested(called: &str, how: &str) -> String {
    format!("`{called}` inside a {how} future has no scope of its own; open one there with `scope!({{ … }})`")
}

/// What the options and the future say.
struct Read {
    scope: Option<Box<Expr>>,
    /// Also if it can't be read, or may not be named here.
    names_scope: bool,
    child: Option<Child>,
}

fn read(written: Vec<Element<RawFuture>>, at: Place, place: Span, diagnostics: &mut Diagnostics) -> Read {
    let called = at.called();
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
        diagnostics.on(more, format!("`{called}` takes one future; write another `{called}` for this one"));
    }

    let mut scope = None;
    let mut names_scope = false;
    let mut name = None;
    let mut background = false;
    let mut skip_if_cancelled = false;
    let mut options = Given::at(at);
    for option in given {
        names_scope |= option.name == Key::In.name();
        let Some(key) = options.admit(&option, diagnostics) else { continue };
        let at = option.name.span();
        match (key, option.value) {
            (Key::In, Value::Given(value)) => scope = Some(value),
            (Key::In, Value::Missing) => diagnostics.at(at, "`in` names a scope; write `spawn!(in s, …)`"),
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
    if future.is_none() {
        diagnostics.at(place, format!("`{called}` has no future; write `{called}(future)`"));
    }
    let (literal, name) = match name {
        Some(Name::Literal(text)) => (text, None),
        Some(Name::Computed(expr)) => (String::new(), Some(expr)),
        None => (String::new(), None),
    };
    let child = future.flatten().map(|future| Child {
        site: Site { kind: SiteKind::Task, name: literal, place },
        name,
        background,
        skip_if_cancelled,
        endless: rewrite::is_endless(&future),
        future,
    });
    Read { scope, names_scope, child }
}
