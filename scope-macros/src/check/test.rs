//! `#[scope_runtime::test]`

use super::function::{self, Served};
use super::values::{self, Values};
use crate::diagnostics::Diagnostics;
use crate::model::{Fallback, Runtime};
use crate::options::Place;
use crate::parse::item::{RawItem, Shape};
use crate::parse::list::{Element, NothingOfTest};
use proc_macro2::Span;
use quote::quote_spanned;
use std::mem;
use syn::spanned::Spanned as _;
use syn::{Attribute, Expr, Ident, ItemFn, Visibility, parse_quote};

/// A test: the function that the test harness calls, and the async one in it that was written.
pub(crate) struct Test {
    pub(crate) runtime: Runtime,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) name: Ident,
    /// Whom to blame if what it returns says neither success nor failure.
    pub(crate) returns_at: Span,
    pub(crate) every_await: bool,
    pub(crate) body: Served,
}

pub(crate) fn test(
    arguments: Vec<Element<NothingOfTest>>,
    item: RawItem,
    diagnostics: &mut Diagnostics,
) -> Option<Test> {
    let mut values = values::values(function::options(arguments), Place::Test, diagnostics);
    let mut item = asynchronous(item, diagnostics)?;
    for again in item.attrs.iter().filter(|attribute| runs_tests(attribute)) {
        diagnostics.on(again.path(), "`#[scope_runtime::test]` runs the test already; remove this attribute");
    }
    item.attrs.retain(|attribute| !runs_tests(attribute));

    let runtime = function::runtime(values.crate_path.as_ref());
    let every_await = values.every_await;
    values = Values { fallback: Some(Box::new(cancelled_itself(&runtime))), ..values };
    let attributes = mem::take(&mut item.attrs);
    let visibility = mem::replace(&mut item.vis, Visibility::Inherited);
    let name = item.sig.ident.clone();
    let returns_at = match &item.sig.output {
        syn::ReturnType::Type(_, ty) => ty.span(),
        syn::ReturnType::Default => name.span(),
    };
    let body = function::serve(item, Shape::Async, values, Place::Test, diagnostics)?;
    Some(Test { runtime, attributes, visibility, name, returns_at, every_await, body })
}

/// Rejects what is no async function that can be called as it is.
fn asynchronous(item: RawItem, diagnostics: &mut Diagnostics) -> Option<ItemFn> {
    let function = match item {
        RawItem::Function(function) => *function,
        RawItem::Declaration(method) => {
            diagnostics.at(
                method.sig.ident.span(),
                "`#[scope_runtime::test]` needs a body, and this `fn` is only declared",
            );
            return None;
        }
        RawItem::Other { called, keyword } => {
            let message = format!(
                "`#[scope_runtime::test]` cannot serve {called}: a test is code that runs; put it on an `async fn`"
            );
            diagnostics.at(keyword, message);
            return None;
        }
        RawItem::Unreadable(error) => {
            diagnostics.syntax(error);
            return None;
        }
    };
    let signature = &function.sig;
    let mut fits = true;
    let mut reject = |at: Span, message: &str| {
        diagnostics.at(at, message);
        fits = false;
    };
    if signature.asyncness.is_none() {
        reject(
            signature.fn_token.span,
            "`#[scope_runtime::test]` runs async code; write `async fn`, or `#[test]`",
        );
    }
    if let Some(parameter) = signature.inputs.first() {
        reject(parameter.span(), "a test takes no parameters; make what it needs in its body");
    }
    if let Some(generic) = signature.generics.params.first() {
        reject(generic.span(), "a test has no generic parameters; write a test for each type that matters");
    }
    fits.then_some(function)
}

/// Whether an attribute makes a test of the function by itself.
fn runs_tests(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "test")
}

/// The test's own scope is none to experiment with: if that was cancelled, the test says so.
fn cancelled_itself(runtime: &Runtime) -> Fallback {
    let at = Span::mixed_site();
    let rt = runtime.as_written();
    let value = Expr::Verbatim(quote_spanned!(at=> #rt::cancelled_itself(__cancelled)));
    let name = Ident::new("__cancelled", at);
    Fallback { pattern: Some(parse_quote!(#name)), value }
}
