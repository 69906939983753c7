//! `#[cancel_scope]`

use super::options::unwatched;
use super::values::{self, Values};
use super::{misuse, timeouts};
use crate::diagnostics::Diagnostics;
use crate::model::{Body, Fallback, Function, Runtime, Setting, Side, Site, SiteKind};
use crate::options::{Key, Place};
use crate::parse::item::{self, RawItem, Shape};
use crate::parse::list::{Element, Nothing, RawOption, Value};
use crate::rewrite::{self, Boundary, Surroundings};
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use std::convert::Infallible;
use std::mem;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, FnArg, ItemFn, PatIdent, Path, ReturnType, Type, parse_quote};

/// The function with its body taken out, and what is to be put in its place.
pub(crate) struct Served {
    pub(crate) item: ItemFn,
    pub(crate) shape: Shape,
    pub(crate) function: Function,
}

pub(crate) fn function(
    arguments: Vec<Element<Nothing>>,
    item: RawItem,
    diagnostics: &mut Diagnostics,
) -> Option<Served> {
    let values = values::values(options(arguments), Place::Attribute, diagnostics);
    let (mut item, shape) = served(item, diagnostics)?;
    if let Some(again) = item.attrs.iter().position(is_this) {
        let again = item.attrs.remove(again);
        diagnostics.on(again.path(), "`#[cancel_scope]` is given twice; write all options into one");
    }
    serve(item, shape, values, Place::Attribute, diagnostics)
}

/// The options of an attribute, which has nothing else.
pub(super) fn options<T: Into<Infallible>>(arguments: Vec<Element<T>>) -> Vec<RawOption> {
    let options = arguments.into_iter().map(|argument| match argument {
        Element::Option(option) => option,
        Element::Subject(nothing) => match nothing.into() {},
    });
    options.collect()
}

/// Makes the body of a function that can be served a scope.
pub(super) fn serve(
    mut item: ItemFn,
    shape: Shape,
    values: Values,
    place: Place,
    diagnostics: &mut Diagnostics,
) -> Option<Served> {
    let Values { mut settings, name, fallback, binding, crate_path, every_await: _ } = values;
    let side = if shape == Shape::Sync { Side::Sync } else { Side::Async };
    if side == Side::Sync {
        settings.retain(|setting| is_watched_in_sync_code(setting, diagnostics));
    }

    let runtime = runtime(crate_path.as_ref());
    let parameters = parameters(&item);
    let returns = match shape {
        // The body's `return` says it as well, with better places in what the compiler reports. Not so if another
        // attribute is about to move the body into an async block, as `#[tokio::main]` does.
        Shape::Async | Shape::Sync if item.attrs.iter().all(is_inert) => None,
        Shape::Boxed => {
            item::output(&item.sig, shape).cloned().map(writable).or_else(|| awaited(&item.sig.output))
        }
        Shape::Async | Shape::Entry | Shape::Sync => {
            Some(item::output(&item.sig, shape).cloned().map_or_else(|| parse_quote!(()), writable))
        }
    };
    let returns_at = item::output(&item.sig, shape).map_or(item.sig.ident.span(), name_of);
    let body = item::body(&mut item, shape)?;
    let braces = body.brace_token.span.join();
    let mut statements = mem::take(&mut body.stmts);
    timeouts::judge(&settings, binding.is_some(), &statements, place.called(), diagnostics);
    let around = Surroundings { runtime: &runtime, level: 0, boundary: Boundary::Final, side };
    let (facts, misuses) = rewrite::body(&mut statements, &around, diagnostics);
    misuse::judge(misuses, place.called(), diagnostics);

    let site = Site {
        kind: SiteKind::Function,
        name: name.unwrap_or_else(|| item.sig.ident.to_string()),
        place: item.sig.ident.span(),
    };
    let owned =
        facts.forks == 0 && !fallback.as_ref().is_some_and(|fallback| mentions(fallback, &parameters));
    let body = Body { statements, braces, facts };
    let function =
        Function { runtime, side, site, settings, fallback, binding, owned, returns, returns_at, body };
    Some(Served { item, shape, function })
}

/// What the runtime is called in an attribute.
pub(super) fn runtime(crate_path: Option<&Path>) -> Runtime {
    Runtime(crate_path.map_or_else(|| quote!(::scope_runtime), |path| path.into_token_stream()))
}

/// The same before the options are judged, if it is said and can be read.
pub(crate) fn named_runtime<T>(arguments: &[Element<T>]) -> Option<Runtime> {
    arguments.iter().find_map(|argument| match argument {
        Element::Option(RawOption { name, value: Value::Given(path), .. }) if name == Key::Crate.name() => {
            syn::parse2::<Path>(path.to_token_stream()).ok().map(|path| Runtime(path.into_token_stream()))
        }
        _ => None,
    })
}

/// Rejects what can't be a scope.
fn served(item: RawItem, diagnostics: &mut Diagnostics) -> Option<(ItemFn, Shape)> {
    let mut function = match item {
        RawItem::Function(function) => *function,
        RawItem::Declaration(method) => {
            let at = method.semi_token.map_or(method.sig.ident.span(), |semicolon| semicolon.spans[0]);
            let remedy = match method.sig.receiver() {
                Some(_) => "put the attribute on the `fn` in each `impl`",
                None => "write one; of a trait's `fn`, put the attribute on the one in each `impl`",
            };
            let message = format!("`#[cancel_scope]` needs a body, and this `fn` is only declared; {remedy}");
            diagnostics.at(at, message);
            return None;
        }
        RawItem::Other { called, keyword } => {
            let remedy = match called {
                "an `impl`" | "a trait" => "put it on each `fn` in it",
                _ => "put it on a `fn`",
            };
            diagnostics.at(
                keyword,
                format!("`#[cancel_scope]` cannot serve {called}: a scope is code that runs; {remedy}"),
            );
            return None;
        }
        RawItem::Unreadable(error) => {
            diagnostics.syntax(error);
            return None;
        }
    };
    if let Some(keyword) = function.sig.constness {
        diagnostics.at(
            keyword.span,
            "`#[cancel_scope]` cannot serve a `const fn`: a scope exists at run time only; drop `const`",
        );
        return None;
    }
    if let Some(shape) = item::shape(&mut function) {
        return Some((function, shape));
    }
    let message = if item::returns_future(&function.sig) {
        "`#[cancel_scope]` cannot see the async code of this `fn`; make it `async fn`, \
         or let its last line be `Box::pin(async move { … })`"
    } else {
        "`#[cancel_scope]` cannot tell whether this `fn` is async: all that it does is to block on async code; \
         put this attribute above the one that took the `async` away, or `scope!` into the async code"
    };
    diagnostics.at(function.sig.fn_token.span, message);
    None
}

/// Nothing is awaited in sync code, so no future can be watched meanwhile.
fn is_watched_in_sync_code(setting: &Setting, diagnostics: &mut Diagnostics) -> bool {
    let (key, value) = match setting {
        Setting::CancelOn(value) => (Key::CancelOn, value),
        Setting::Token(value) => (Key::Token, value),
        _ => return true,
    };
    diagnostics.on(value, unwatched(key, Place::Attribute));
    false
}

/// The names that the parameters bind.
fn parameters(item: &ItemFn) -> Vec<Ident> {
    struct Names(Vec<Ident>);
    impl<'ast> Visit<'ast> for Names {
        fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
            self.0.push(pattern.ident.clone());
            visit::visit_pat_ident(self, pattern);
        }
    }
    let mut names = Names(Vec::new());
    for input in &item.sig.inputs {
        match input {
            FnArg::Receiver(receiver) => names.0.push(Ident::new("self", receiver.self_token.span)),
            FnArg::Typed(typed) => names.visit_pat(&typed.pat),
        }
    }
    names.0
}

fn mentions(fallback: &Fallback, names: &[Ident]) -> bool {
    fn any(tokens: TokenStream, names: &[Ident]) -> bool {
        tokens.into_iter().any(|tree| match tree {
            TokenTree::Ident(word) => names.contains(&word),
            TokenTree::Group(group) => any(group.stream(), names),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
    any(fallback.value.to_token_stream(), names)
}

/// Whether an attribute is this one, under its own name.
fn is_this(attribute: &Attribute) -> bool {
    let names: Vec<String> =
        attribute.path().segments.iter().map(|segment| segment.ident.to_string()).collect();
    names == ["cancel_scope"] || names == ["scope_runtime", "cancel_scope"]
}

/// Whether an attribute leaves the body where it is.
fn is_inert(attribute: &Attribute) -> bool {
    const INERT: [&str; 10] =
        ["allow", "cfg", "deny", "deprecated", "doc", "expect", "inline", "must_use", "track_caller", "warn"];
    INERT.iter().any(|name| attribute.path().is_ident(name))
}

/// Where a type is named, behind the path to it.
fn name_of(ty: &Type) -> Span {
    match ty {
        Type::Path(path) => path.path.segments.last().map_or(ty.span(), |last| last.ident.span()),
        _ => ty.span(),
    }
}

/// What a future of that type gives, under whatever name the type goes.
fn awaited(output: &ReturnType) -> Option<Type> {
    let ReturnType::Type(_, future) = output else { return None };
    Some(parse_quote!(<#future as ::core::future::Future>::Output))
}

/// The type as it may stand in a body: neither `impl Trait` nor `!` may.
fn writable(mut ty: Type) -> Type {
    struct Erase;
    impl VisitMut for Erase {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            if matches!(ty, Type::ImplTrait(_) | Type::Never(_)) {
                let at = Span::mixed_site().located_at(ty.span());
                *ty = Type::Infer(syn::TypeInfer { attrs: Vec::new(), underscore_token: syn::Token![_](at) });
            }
            visit_mut::visit_type_mut(self, ty);
        }
    }
    Erase.visit_type_mut(&mut ty);
    ty
}
