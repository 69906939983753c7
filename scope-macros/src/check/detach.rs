//! `detach!`

use crate::diagnostics::Diagnostics;
use crate::parse::list::Element;
use crate::parse::spawn::RawFuture;
use proc_macro2::Span;
use syn::Expr;

/// The future, and what stands beside it by mistake.
pub(crate) fn detach(
    written: Vec<Element<RawFuture>>,
    place: Span,
    diagnostics: &mut Diagnostics,
) -> (Expr, Vec<Expr>) {
    let mut futures = Vec::new();
    for element in written {
        match element {
            Element::Option(option) => {
                let message = format!("`detach!` takes no options; remove `{}`", option.name);
                diagnostics.at(option.name.span(), message);
            }
            Element::Subject(RawFuture(future)) => {
                if !futures.is_empty() {
                    diagnostics
                        .on(&future, "`detach!` takes one future; write another `detach!` for this one");
                }
                futures.push(future);
            }
        }
    }
    if futures.is_empty() {
        futures.push(diagnostics.missing(place, "`detach!` has no future; write `detach!(future)`"));
    }
    let others = futures.split_off(1);
    (futures.remove(0), others)
}
