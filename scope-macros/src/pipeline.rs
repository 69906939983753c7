//! One function per macro: parse, check, expand, each step in its own module.

use crate::diagnostics::Diagnostics;
use crate::model::{BlockKind, RaceKind, Side, SpawnKind};
use crate::rewrite::{Boundary, Surroundings};
use crate::{check, expand, fallback, parse};
use proc_macro2::{Span, TokenStream};

/// `scope!`, `blocking_scope!` and `shield!`
pub(crate) fn block_macro(kind: BlockKind, input: TokenStream) -> TokenStream {
    let place = Span::call_site();
    let (runtime, written) = parse::runtime(input);
    let mut diagnostics = Diagnostics::new(runtime.clone());
    let (marked, written) = parse::block::side(written);
    let written = parse::block::block(written, kind, place, &mut diagnostics);
    let side = kind.side().or(marked).unwrap_or(Side::Async);
    let around = Surroundings { runtime: &runtime, level: 0, boundary: Boundary::Crossed, side };
    let model = check::block(written, kind, place, &around, &mut diagnostics);
    fallback::expression(Some(expand::block(&model, Span::mixed_site())), diagnostics)
}

/// `spawn!` and `spawn_blocking!`
pub(crate) fn spawn_macro(kind: SpawnKind, input: TokenStream) -> TokenStream {
    let place = Span::call_site();
    let (runtime, written) = parse::runtime(input);
    let mut diagnostics = Diagnostics::new(runtime.clone());
    let (around, written) = parse::spawn::around(written);
    let written = parse::spawn::spawn(written, &mut diagnostics);
    match check::spawn(kind, runtime, around, written, place, &mut diagnostics) {
        Ok(model) => fallback::expression(Some(expand::spawn(&model)), diagnostics),
        Err(future) => fallback::future(future, diagnostics),
    }
}

/// `fork!`
pub(crate) fn fork_macro(input: TokenStream) -> TokenStream {
    let place = Span::call_site();
    let (runtime, written) = parse::runtime(input);
    let mut diagnostics = Diagnostics::new(runtime.clone());
    let (around, written) = parse::spawn::around(written);
    let written = parse::spawn::spawn(written, &mut diagnostics);
    match check::fork(runtime, around, written, place, &mut diagnostics) {
        Ok(model) => fallback::expression(Some(expand::fork(&model)), diagnostics),
        Err(future) => fallback::future(future, diagnostics),
    }
}

/// `detach!`
pub(crate) fn detach_macro(input: TokenStream) -> TokenStream {
    let (runtime, written) = parse::runtime(input);
    let mut diagnostics = Diagnostics::new(runtime.clone());
    let written = parse::spawn::spawn(written, &mut diagnostics);
    let (future, others) = check::detach(written, Span::call_site(), &mut diagnostics);
    fallback::expression(Some(expand::detach(&runtime, &future, &others)), diagnostics)
}

/// `race!` and `try_join!`
pub(crate) fn race_macro(kind: RaceKind, input: TokenStream) -> TokenStream {
    let (runtime, written) = parse::runtime(input);
    let mut diagnostics = Diagnostics::new(runtime.clone());
    let arms = parse::race::arms(written, &mut diagnostics);
    let expanded = check::race(kind, runtime, arms, Span::call_site(), &mut diagnostics)
        .map(|model| expand::race(&model));
    fallback::expression(expanded, diagnostics)
}

/// `#[cancel_scope]`
pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let arguments = parse::list::list(arguments, &mut diagnostics);
    if let Some(path) = check::named_runtime(&arguments) {
        diagnostics.speak_of(path);
    }
    let read = parse::item::item(item.clone(), &mut diagnostics);
    match check::function(arguments, read, &mut diagnostics) {
        Some(served) => fallback::item(expand::function(served), diagnostics),
        None => fallback::unserved(parse::item::closed(item), diagnostics),
    }
}

/// `#[scope_runtime::test]`
pub(crate) fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let arguments = parse::list::list(arguments, &mut diagnostics);
    if let Some(path) = check::named_runtime(&arguments) {
        diagnostics.speak_of(path);
    }
    let read = parse::item::item(item.clone(), &mut diagnostics);
    match check::test(arguments, read, &mut diagnostics) {
        Some(test) => fallback::item(expand::test(test), diagnostics),
        None => fallback::unserved(item, diagnostics),
    }
}

/// The same without the runtime's feature `test-util`.
pub(crate) fn test_without_feature(item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    diagnostics.at(
        Span::call_site(),
        "`#[scope_runtime::test]` needs the feature `test-util`; \
         under `[dev-dependencies]` write `scope-runtime = { version = \"…\", features = [\"test-util\"] }`",
    );
    fallback::item(item, diagnostics)
}
