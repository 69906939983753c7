//! `spawn!`, `spawn_blocking!` and `fork!`

use super::options::Given;
use super::values::{self, Name};
use crate::diagnostics::Diagnostics;
use crate::model::{Child, Fork, Into, Runtime, Site, SiteKind, Spawn, SpawnKind};
use crate::options::{self, Key, Place};
use crate::parse::list::{Element, RawOption, Value};
use crate::parse::spawn::{Around, RawFuture};
use crate::rewrite;
use proc_macro2::Span;
use quote::quote_spanned;
use syn::Expr;
use syn::spanned::Spanned as _;

/// What was meant, or, after a mistake, the future or the closure alone.
pub(crate) fn spawn(
    kind: SpawnKind,
    runtime: Runtime,
    around: Around,
    written: Vec<Element<RawFuture>>,
    place: Span,
    diagnostics: &mut Diagnostics,
) -> Result<Spawn, Box<Expr>> {
    let called = kind.called();
    let at = match kind {
        SpawnKind::Task if matches!(around, Around::Arm { .. }) => Place::Arm,
        SpawnKind::Task => Place::Spawn,
        SpawnKind::Thread => Place::SpawnBlocking,
    };
    let Read { scope, names_scope, mut child } = read(written, at, place, diagnostics);
    let scope = match (scope, around) {
        (Some(scope), _) => Some(Into::Named(scope)),
        (None, _) if names_scope => None,
        (None, Around::Block(scope)) => Some(Into::Block(scope)),
        (None, Around::Statement(scope)) => {
            child.unheld = true;
            Some(Into::Block(scope))
        }
        // Who may be left to the root borrows nothing.
        (None, Around::Lending { scope, .. }) if child.abandon => Some(Into::Block(scope)),
        (None, Around::Lending { scope, threads }) => Some(Into::Lending { scope, threads }),
        (None, Around::Child(how)) => {
            diagnostics.at(place, nested(called, at, &how));
            None
        }
        (None, Around::Reported) => None,
        (None, Around::Refused(why)) => {
            diagnostics.at(why.span(), why.value());
            None
        }
        (None, Around::Arm { output, name }) => {
            if child.site.name.is_empty() {
                child.site.name = name;
            }
            Some(Into::Race(output))
        }
        (None, Around::Nothing) => {
            let scopes = match kind {
                SpawnKind::Task => "`scope!`",
                SpawnKind::Thread => "`scope!`, `blocking_scope!`",
            };
            diagnostics.at(
                place,
                format!(
                    "`{called}` outside of a scope; put it in {scopes} or a `#[cancel_scope]` function, \
                     or name the scope: `{called}(in s, …)`"
                ),
            );
            None
        }
    };
    match scope {
        Some(scope) => Ok(Spawn { kind, runtime, scope, child }),
        None => Err(Box::new(child.subject)),
    }
}

/// The same for a fork, which has no scope but that of its block.
pub(crate) fn fork(
    runtime: Runtime,
    around: Around,
    written: Vec<Element<RawFuture>>,
    place: Span,
    diagnostics: &mut Diagnostics,
) -> Result<Fork, Box<Expr>> {
    let Read { scope: _, names_scope, child } = read(written, Place::Fork, place, diagnostics);
    let slot = match around {
        Around::Block(slot) | Around::Statement(slot) => Some(slot),
        _ if names_scope => None,
        Around::Child(how) => {
            diagnostics.at(place, nested("fork!", Place::Fork, &how));
            None
        }
        Around::Reported => None,
        Around::Refused(why) => {
            diagnostics.at(why.span(), why.value());
            None
        }
        Around::Arm { .. } | Around::Lending { .. } | Around::Nothing => {
            diagnostics.at(
                place,
                "`fork!` outside of a scope; put it in `scope!`, `shield!` or a `#[cancel_scope]` function, \
                 where no other macro hides it",
            );
            None
        }
    };
    match slot {
        Some(slot) => Ok(Fork { runtime, slot, child }),
        None => Err(Box::new(child.subject)),
    }
}

fn nested(called: &str, at: Place, how: &str) -> String {
    let (what, remedy) = match at {
        Place::SpawnBlocking => ("child", "blocking_scope!({ … })"),
        _ => ("future", "scope!({ … })"),
    };
    format!("`{called}` inside a {how} {what} has no scope of its own; open one there with `{remedy}`")
}

/// What the options and the future say.
struct Read {
    scope: Option<Box<Expr>>,
    /// Also if it can't be read, or may not be named here.
    names_scope: bool,
    child: Child,
}

/// An option without a value that was taken for the name of a future.
fn flag(expr: &Expr, at: Place) -> Option<&'static str> {
    let Expr::Path(path) = expr else { return None };
    let name = path.path.get_ident()?;
    options::names(at).find(|option| name == option)
}

fn read(written: Vec<Element<RawFuture>>, at: Place, place: Span, diagnostics: &mut Diagnostics) -> Read {
    let called = at.called();
    let subject = if at == Place::SpawnBlocking { "closure" } else { "future" };
    let mut given = Vec::new();
    let mut futures = Vec::new();
    let mut misplaced = Vec::new();
    let mut names_scope = false;
    for element in written {
        match element {
            Element::Option(option) if futures.is_empty() => given.push(option),
            Element::Option(option) => {
                diagnostics.at(
                    option.name.span(),
                    format!("`{}` stands behind the {subject}; write the options first", option.name),
                );
                // It still says that it belongs to another scope.
                names_scope |= option.name == Key::In.name();
                if let Value::Given(value) = option.value {
                    misplaced.push(*value);
                }
            }
            Element::Subject(RawFuture(future)) => futures.push(future),
        }
    }
    let end = RawOption::end(&given, place);
    let mut futures = futures.into_iter();
    let future = futures.next();
    for more in futures {
        let option = flag(&more, at);
        let message = match option {
            Some(name) => format!("`{name}` stands behind the {subject}; write the options first"),
            None => format!("`{called}` takes one {subject}; write another `{called}` for this one"),
        };
        diagnostics.on(&more, message);
        if option.is_none() {
            misplaced.push(more);
        }
    }

    let mut scope = None;
    let mut name = None;
    let mut background = false;
    let mut skip_if_cancelled = false;
    let mut abandon = false;
    let mut options = Given::at(at);
    for option in given {
        if let Value::Stray(stray) = option.value {
            misplaced.push(*stray);
            continue;
        }
        names_scope |= option.name == Key::In.name();
        let Some(key) = options.admit(&option, diagnostics) else { continue };
        let at = option.name.span();
        match (key, option.value) {
            (Key::In, Value::Given(value)) => scope = Some(value),
            (Key::In, Value::Missing) => {
                diagnostics.at(at, format!("`in` names a scope; write `{called}(in s, …)`"));
            }
            (Key::Background, Value::Missing) => background = true,
            (Key::SkipIfCancelled, Value::Missing) => skip_if_cancelled = true,
            (Key::Abandon, Value::Missing) => abandon = true,
            (Key::Background | Key::SkipIfCancelled | Key::Abandon, Value::Given(value)) => {
                diagnostics.on(&value, format!("`{}` takes no value; write it alone", key.name()));
                misplaced.push(*value);
            }
            (Key::Name, value) => {
                let option = RawOption { value, ..option };
                name = values::name(option, diagnostics);
            }
            _ => {}
        }
    }
    let subject = future.unwrap_or_else(|| {
        diagnostics.missing(end, format!("`{called}` has no {subject}; write `{called}({subject})`"))
    });
    let (literal, name) = match name {
        Some(Name::Literal(text)) => (text, None),
        Some(Name::Computed(expr)) => (String::new(), Some(*expr)),
        None => (String::new(), None),
    };
    let child = Child {
        site: Site { kind: SiteKind::Task, name: literal, place },
        name,
        background,
        skip_if_cancelled,
        abandon,
        unheld: false,
        endless: rewrite::is_endless(&subject),
        subject: with_misplaced(subject, &misplaced),
    };
    Read { scope, names_scope, child }
}

/// What stands where it may not is still checked, in branches that never run and move nothing from the subject.
fn with_misplaced(subject: Expr, misplaced: &[Expr]) -> Expr {
    if misplaced.is_empty() {
        return subject;
    }
    let at = Span::mixed_site().located_at(subject.span());
    let both = quote_spanned!(at=> { #(if false { let _ = #misplaced; #[allow(unreachable_code)] loop {}; })* #subject });
    syn::parse2(both).unwrap_or(subject)
}
