//! The model as code: the user's own, plus calls of the runtime. Nothing here can fail.
//!
//! Invariants:
//! 1. Every generated name has the macro's own hygiene, so no user code can see it or be hidden by it.
//! 2. Every path starts at the runtime's, so shadowed names of the prelude do no harm.
//! 3. Code that the compiler may complain about carries the place that is to blame in the user's code.

mod block;
mod function;
pub(crate) mod names;
mod options;
mod parts;
mod site;
mod spawn;

pub(crate) use block::block;

use crate::diagnostics::Diagnostics;
use crate::model::BlockKind;
use crate::rewrite::{Boundary, Surroundings};
use crate::{check, fallback, parse};
use proc_macro2::{Span, TokenStream};

/// `scope!` and `shield!`
pub(crate) fn block_macro(kind: BlockKind, input: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let place = Span::call_site();
    let (runtime, written) = parse::runtime(input);
    let written = parse::block::block(written, place, &mut diagnostics);
    let around = Surroundings { runtime: &runtime, level: 0, boundary: Boundary::Crossed };
    let expanded = check::block(written, kind, place, &around, &mut diagnostics)
        .map(|model| block::block(&model, Span::mixed_site()));
    fallback::expression(expanded, diagnostics)
}

/// `spawn!`
pub(crate) fn spawn_macro(input: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let place = Span::call_site();
    let (runtime, written) = parse::runtime(input);
    let (around, written) = parse::spawn::around(written);
    let written = parse::spawn::spawn(written, &mut diagnostics);
    match check::spawn(runtime, around, written, place, &mut diagnostics) {
        Ok(model) => fallback::expression(Some(spawn::spawn(&model)), diagnostics),
        Err(future) => fallback::future(future, diagnostics),
    }
}

/// `#[cancel_scope]`
pub(crate) fn attribute(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut diagnostics = Diagnostics::default();
    let arguments = parse::list::list(arguments, &mut diagnostics);
    let read = parse::item::item(item.clone());
    match check::function(arguments, read, &mut diagnostics) {
        Some(served) => fallback::item(function::function(served), diagnostics),
        None => fallback::item(item, diagnostics),
    }
}
