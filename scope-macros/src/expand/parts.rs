//! What blocks and functions have in common.

use super::names;
use crate::model::{Body, Exits, Fallback, Setting};
use proc_macro2::{Delimiter, Group, Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, Pat, Stmt};

/// Pins the type that is returned to that of the code around. It stands once before the body and once in it, and
/// since it comes first, the compiler blames what the user returns, and not us.
pub(super) fn pin(ret: &Ident, at: Span) -> TokenStream {
    let at = Span::mixed_site().located_at(at);
    let mut ret = ret.clone();
    ret.set_span(at);
    // In a function that returns `!`, the pin itself is unreachable.
    quote_spanned!(at=> #[allow(unreachable_code)] if false { return #ret.never(); })
}

/// A call that begins and ends where the user's code does: so what the compiler says of the whole is said of that, and
/// what it suggests can be applied.
pub(crate) fn call(function: TokenStream, arguments: TokenStream, code: &Expr) -> TokenStream {
    let in_parentheses = |tokens, place| {
        let mut group = Group::new(Delimiter::Parenthesis, tokens);
        group.set_span(place);
        group
    };
    // A span of several tokens can't be made here, but the compiler makes one from the first and the last.
    let last = code.to_token_stream().into_iter().last();
    let function = in_parentheses(function, code.span());
    let arguments = in_parentheses(arguments, last.map_or_else(|| code.span(), |last| last.span()));
    quote!(#function #arguments)
}

/// A block whose value is `value`, as an expression that begins and ends where the user's code does.
///
/// Of a value that is a block's, the compiler adds to a wrong type where the function's return type comes from, and in a
/// body that is our pin. What a field holds is compared as it is.
pub(crate) fn outcome(before: &TokenStream, value: &TokenStream, first: Span, last: Span) -> TokenStream {
    let at = Span::mixed_site().located_at(first);
    let mut block = Group::new(Delimiter::Parenthesis, quote_spanned!(at=> { #before (#value,) }));
    block.set_span(at);
    let mut field = Literal::usize_unsuffixed(0);
    field.set_span(Span::mixed_site().located_at(last));
    quote_spanned!(at=> #block.#field)
}

/// Statements in braces that have the place of the user's, but are not theirs: theirs would be called needless.
pub(super) fn braced(statements: &[Stmt], braces: Span) -> TokenStream {
    let inner = statements.iter().map(ToTokens::to_token_stream).collect();
    let mut group = Group::new(Delimiter::Brace, inner);
    group.set_span(Span::mixed_site().located_at(braces));
    group.into_token_stream()
}

/// The scope that children are spawned into. It is borrowed where the user has named it: that is to blame if it
/// should escape.
pub(super) fn new_scope(
    name: Option<&Ident>,
    settings: &[Setting],
    level: usize,
    scope: &Ident,
    ret: &Ident,
    rt: &TokenStream,
) -> TokenStream {
    let at = Span::mixed_site();
    let owner = names::owner(name, level);
    let borrowed = quote_spanned!(owner.span()=> &#owner);
    let supervise = settings.iter().any(|setting| matches!(setting, Setting::Supervise));
    let new = Ident::new(if supervise { "supervise" } else { "new" }, at);
    quote_spanned!(at=> let #owner = #rt::Scope::#new(&__SITE, #ret); let #scope = #borrowed;)
}

/// The slots of the forks, one for each `fork!`: declared in front of the body, so that forks may borrow what the body
/// may.
pub(super) fn new_forks(body: &Body, level: usize, scope: &Ident, rt: &TokenStream) -> TokenStream {
    let at = Span::mixed_site();
    (0..body.facts.forks)
        .map(|number| {
            let slot = names::forks(level, number);
            quote_spanned!(at=> let #slot = &#rt::Forks::new(#scope);)
        })
        .collect()
}

/// The call that puts the boundary around the body.
pub(super) fn boundary(body: &Body, level: usize, is_error: &TokenStream, rt: &TokenStream) -> TokenStream {
    let at = Span::mixed_site();
    if body.facts.forks == 0 {
        return quote_spanned!(at=> #rt::block(__options, __body, #is_error));
    }
    let forks = (0..body.facts.forks).rev().fold(quote_spanned!(at=> ()), |others, number| {
        let slot = names::forks(level, number);
        quote_spanned!(at=> #rt::forks(#slot, #others))
    });
    quote_spanned!(at=> #rt::block_with_forks(__options, __body, #is_error, #forks))
}

/// `|s|`: the user's name for the scope. Reborrowed, so that the body captures the scope and not our reference to it.
pub(super) fn binding(name: Option<&Ident>, scope: &Ident) -> TokenStream {
    let at = Span::mixed_site();
    name.map(|name| quote_spanned!(at=> let #name: &_ = &*#scope;)).unwrap_or_default()
}

/// The function that tells an error from a value, and what the error says. The return type has to be known by then.
pub(super) fn error_of(ret: &Ident, rt: &TokenStream) -> TokenStream {
    quote_spanned! {Span::mixed_site()=>
        {
            #[allow(unused_imports)]
            use #rt::classify::*;
            (&&&&#ret).classify()
        }
    }
}

/// The same where the return type may not be known yet, as in an async block. Of the error it asks only what all can do,
/// to be written with `{:?}`: what an unknown type is asked for here, it would have to be able to do later.
pub(super) fn is_error(exits: Exits, ret: &Ident, rt: &TokenStream) -> TokenStream {
    let at = Span::mixed_site();
    match exits {
        Exits::Never | Exits::Hidden => quote_spanned!(at=> #rt::NeverErr),
        Exits::Seen => quote_spanned! {at=>
            {
                #[allow(unused_imports)]
                use #rt::classify::{ReturnsAny as _, ReturnsDebug as _, ReturnsResult as _};
                (&&#ret).classify()
            }
        },
    }
}

/// Makes sure that a sync function returns no future, under whatever name its type goes; `at` is where that stands.
pub(super) fn no_future(ret: &Ident, at: Span, rt: &TokenStream) -> TokenStream {
    let at = Span::mixed_site().located_at(at);
    quote_spanned! {at=>
        { use #rt::returned::{ReturnsAFuture as _, ReturnsAValue as _}; (&&#ret).what() }
    }
}

/// An arm for a scope that was cancelled: the pattern of the reason, and the user's own value.
pub(super) fn fallback(fallback: &Fallback) -> (TokenStream, TokenStream) {
    let at = Span::mixed_site();
    // `if a { 1 } else { 2 } + 3` would be two statements in the place where it goes.
    let mut value = Group::new(Delimiter::Parenthesis, fallback.value.to_token_stream());
    value.set_span(at.located_at(fallback.value.span()));
    match &fallback.pattern {
        // An arm's pattern can't be annotated.
        Some(Pat::Type(pattern)) => {
            let blamed = quote_spanned!(at.located_at(pattern.ty.span())=> __cancelled);
            (quote_spanned!(at=> __cancelled), quote_spanned!(at=> { let #pattern = #blamed; #value }))
        }
        Some(pattern) => (pattern.to_token_stream(), value.to_token_stream()),
        None => (quote_spanned!(at=> _), value.to_token_stream()),
    }
}

/// A sync body and its boundary. With threads that borrow from around it, both are inside of those.
pub(super) fn lending(
    threads: Option<&Ident>,
    body: TokenStream,
    boundary: TokenStream,
    rt: &TokenStream,
) -> (TokenStream, TokenStream) {
    match threads {
        None => (body, boundary),
        Some(threads) => {
            let lending = quote_spanned!(Span::mixed_site()=> #rt::threads(|#threads| { #body #boundary }));
            (TokenStream::new(), lending)
        }
    }
}
