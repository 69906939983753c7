//! What an attribute stands on, and where the code in it is that becomes a scope.

use super::recover;
use crate::diagnostics::Diagnostics;
use proc_macro2::{Group, Span, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::{Block, Expr, ExprAsync, Item, ItemFn, Pat, Signature, Stmt, TraitItemFn, Type};

pub(crate) enum RawItem {
    Function(Box<ItemFn>),
    /// A trait method that is only declared.
    Declaration(Box<TraitItemFn>),
    Other {
        called: &'static str,
        keyword: Span,
    },
    /// It is no Rust that we know.
    Unreadable(syn::Error),
}

pub(crate) fn item(tokens: TokenStream, diagnostics: &mut Diagnostics) -> RawItem {
    let error = match syn::parse2::<ItemFn>(tokens.clone()) {
        Ok(function) => return RawItem::Function(Box::new(function)),
        Err(error) => error,
    };
    if let Ok(declared) = syn::parse2::<TraitItemFn>(tokens.clone()) {
        return RawItem::Declaration(Box::new(declared));
    }
    let Ok(item) = syn::parse2::<Item>(tokens.clone()) else {
        return match unfinished(tokens, diagnostics) {
            Some(function) => RawItem::Function(Box::new(function)),
            None => RawItem::Unreadable(error),
        };
    };
    let (called, keyword) = match &item {
        Item::Struct(item) => ("a struct", item.struct_token.span),
        Item::Enum(item) => ("an enum", item.enum_token.span),
        Item::Union(item) => ("a union", item.union_token.span),
        Item::Impl(item) => ("an `impl`", item.impl_token.span),
        Item::Trait(item) => ("a trait", item.trait_token.span),
        Item::Mod(item) => ("a module", item.mod_token.span),
        Item::Const(item) => ("a constant", item.const_token.span),
        Item::Static(item) => ("a static", item.static_token.span),
        Item::Type(item) => ("a type alias", item.type_token.span),
        Item::Use(item) => ("an import", item.use_token.span),
        Item::Macro(item) => ("a macro", item.mac.path.span()),
        other => ("this item", other.span()),
    };
    RawItem::Other { called, keyword }
}

/// A function with a body that does not parse, as an editor sees it. The compiler parses it before it comes here.
fn unfinished(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Option<ItemFn> {
    let mut trees: Vec<TokenTree> = tokens.into_iter().collect();
    let Some(TokenTree::Group(body)) = trees.pop() else { return None };
    let mut inside = diagnostics.another();
    let statements = recover::statements(body.stream(), body.span_close(), &mut inside);
    let mut mended = Group::new(body.delimiter(), quote::quote!(#(#statements)*));
    mended.set_span(body.span());
    let function = syn::parse2(quote::quote!(#(#trees)* #mended)).ok()?;
    diagnostics.take_over(inside);
    Some(function)
}

/// An item that can't be served. A `fn` without a body gets one, unless it must be a trait's: of a free one the compiler
/// would say the same again.
pub(crate) fn closed(tokens: TokenStream) -> TokenStream {
    let Ok(mut declared) = syn::parse2::<TraitItemFn>(tokens.clone()) else { return tokens };
    let output = quote::ToTokens::to_token_stream(&declared.sig.output);
    let is_opaque = output.into_iter().any(|tree| matches!(tree, TokenTree::Ident(word) if word == "impl"));
    if declared.default.is_some() || declared.sig.receiver().is_some() || is_opaque {
        return tokens;
    }
    declared.semi_token = None;
    declared.default = Some(syn::parse_quote!({ loop {} }));
    quote::quote!(#[allow(unused)] #declared)
}

/// How a function holds the code that becomes a scope.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// `async fn`
    Async,
    /// `fn … { …; Box::pin(async move { … }) }`: what `#[async_trait]` leaves, and how recursion is boxed by hand.
    Boxed,
    /// `fn … { let body = async { … }; …block_on(body) }`: what `#[tokio::main]` and `#[tokio::test]` leave.
    Entry,
    /// `fn`: no async code at all.
    Sync,
}

/// The shape of a function that is not sure to be sync; `None` for one that has async code which can't be told.
pub(crate) fn shape(function: &mut ItemFn) -> Option<Shape> {
    if function.sig.asyncness.is_some() {
        Some(Shape::Async)
    } else if boxed(&mut function.block).is_some() {
        Some(Shape::Boxed)
    } else if entry(&mut function.block).is_some() {
        Some(Shape::Entry)
    } else if returns_future(&function.sig) || blocks_on(&function.block) {
        None
    } else {
        Some(Shape::Sync)
    }
}

/// Whether the signature says that the function returns a future.
pub(crate) fn returns_future(signature: &Signature) -> bool {
    output(signature, Shape::Boxed).is_some()
}

/// Whether all that a function does is to block on async code, as the entry macros of runtimes leave it.
fn blocks_on(block: &Block) -> bool {
    fn has(tokens: TokenStream, words: [&str; 2]) -> bool {
        tokens.into_iter().any(|tree| match tree {
            TokenTree::Ident(word) => words.iter().any(|known| word == known),
            TokenTree::Group(group) => has(group.stream(), words),
            TokenTree::Punct(_) | TokenTree::Literal(_) => false,
        })
    }
    block.stmts.last().is_some_and(|last| {
        let code = quote::ToTokens::to_token_stream(last);
        has(code, ["block_on", "block_on_all"])
    }) && has(quote::ToTokens::to_token_stream(block), ["async", "async"])
}

/// The code of a function of that shape that becomes a scope.
pub(crate) fn body(function: &mut ItemFn, shape: Shape) -> Option<&mut Block> {
    match shape {
        Shape::Async | Shape::Sync => Some(&mut function.block),
        Shape::Boxed => boxed(&mut function.block).map(|block| &mut block.block),
        Shape::Entry => entry(&mut function.block).map(|block| &mut block.block),
    }
}

fn boxed(block: &mut Block) -> Option<&mut ExprAsync> {
    let Some(Stmt::Expr(Expr::Call(call), None)) = block.stmts.last_mut() else { return None };
    let Expr::Path(function) = &*call.func else { return None };
    let mut names = function.path.segments.iter().rev().map(|segment| &segment.ident);
    let is_box_pin =
        names.next().is_some_and(|name| name == "pin") && names.next().is_some_and(|name| name == "Box");
    match call.args.first_mut() {
        Some(Expr::Async(body)) if is_box_pin => Some(body),
        _ => None,
    }
}

fn entry(block: &mut Block) -> Option<&mut ExprAsync> {
    let blocks_on_body = block.stmts.last().is_some_and(|last| {
        let code = quote::ToTokens::to_token_stream(last).to_string();
        code.contains("block_on")
    });
    match block.stmts.first_mut() {
        Some(Stmt::Local(local)) if blocks_on_body && is_named_body(&local.pat) => {
            match local.init.as_mut()?.expr.as_mut() {
                Expr::Async(body) => Some(body),
                _ => None,
            }
        }
        _ => None,
    }
}

fn is_named_body(pattern: &Pat) -> bool {
    matches!(pattern, Pat::Ident(name) if name.ident == "body")
}

/// What the async code returns, as far as the signature tells.
pub(crate) fn output(signature: &Signature, shape: Shape) -> Option<&Type> {
    let syn::ReturnType::Type(_, written) = &signature.output else { return None };
    match shape {
        Shape::Async | Shape::Entry | Shape::Sync => Some(written),
        Shape::Boxed => future_output(written),
    }
}

/// `T` in `Pin<Box<dyn Future<Output = T>>>` or `BoxFuture<'_, T>`.
fn future_output(ty: &Type) -> Option<&Type> {
    let bounds = match ty {
        Type::Path(path) => {
            let last = path.path.segments.last()?;
            let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
            let inner = arguments.args.iter().rev().find_map(|argument| match argument {
                syn::GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })?;
            let is_alias = last.ident == "BoxFuture" || last.ident == "LocalBoxFuture";
            return if is_alias { Some(inner) } else { future_output(inner) };
        }
        Type::TraitObject(object) => &object.bounds,
        Type::ImplTrait(object) => &object.bounds,
        _ => return None,
    };
    bounds.iter().find_map(|bound| {
        let syn::TypeParamBound::Trait(bound) = bound else { return None };
        let last = bound.path.segments.last().filter(|last| last.ident == "Future")?;
        let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
        arguments.args.iter().find_map(|argument| match argument {
            syn::GenericArgument::AssocType(output) if output.ident == "Output" => Some(&output.ty),
            _ => None,
        })
    })
}
