//! `scope!`, `blocking_scope!` and `shield!`

use super::{names, options, parts, site};
use crate::model::{Block, Exits, Form, Side};
use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::quote_spanned;

/// The block as an expression. `blame` is where the macro was called.
pub(crate) fn block(block: &Block, blame: Span) -> TokenStream {
    let at = Span::mixed_site().located_at(blame);
    let rt = &block.runtime.private(blame);
    let level = block.level;
    let site = site::site(&block.site, rt);
    let (ret, scope, value, jump) =
        (names::returns(level), names::scope(level), names::value(level), names::jump(level));
    let (settings, binding): (&[_], Option<&Ident>) = match &block.form {
        Form::Scope { settings, binding, fallback: _ } => (settings, binding.as_ref()),
        Form::Shield => (&[], None),
    };

    let pin = block.may_return().then(|| parts::pin(&ret, blame));
    let new_ret = block.may_return().then(|| quote_spanned!(at=> let #ret = #rt::Return::new(); #pin));
    // To a wrong type in what comes behind the pin, the compiler adds that it is that of the function's value.
    let (pin_before, pin_behind) = match block.body.facts.exits {
        Exits::Never => (None, pin),
        Exits::Hidden | Exits::Seen => (pin, None),
    };
    let own_scope = block.has_children().then_some(&scope);
    let new_scope = own_scope.map(|scope| parts::new_scope(binding, settings, level, scope, &ret, rt));
    let new_forks = parts::new_forks(&block.body, level, &scope, rt);
    let has_jumps = !block.body.facts.jumps.is_empty();
    let new_jump = has_jumps.then(|| quote_spanned!(at=> let mut #jump = 0u8;));
    let options = options::options(settings, own_scope, rt);
    let binding_name = binding;
    let binding = parts::binding(binding, &scope);
    let body = parts::braced(&block.body.statements, block.body.braces);
    let is_error = parts::is_error(block.body.facts.exits, &ret, rt);
    // The scope itself lives across the await anyway; a reference to it would be kept beside it.
    let owner = names::owner(binding_name, level);
    let settle = match own_scope {
        Some(_) => quote_spanned!(at=> #owner.settle),
        None => quote_spanned!(at=> #rt::settle),
    };

    let end = &end(block, rt, &value);
    let finished = finished(block, end, &jump);
    let (cancelled, on_cancel) = match &block.form {
        Form::Scope { fallback: Some(fallback), .. } => parts::fallback(fallback),
        Form::Scope { fallback: None, .. } => {
            (quote_spanned!(at=> __cancelled), quote_spanned!(at=> #rt::Err(__cancelled)))
        }
        Form::Shield => {
            (quote_spanned!(at=> __cancelled), quote_spanned!(at=> match #rt::shield_cut(__cancelled) {}))
        }
    };
    let finish = if block.may_return() {
        quote_spanned!(at=> match #rt::finish().await {})
    } else {
        // Nothing is ever returned, which needs a type as well: what `finish` never resolves to.
        quote_spanned!(at=> #rt::finish().await)
    };
    let returned = returned(block, rt);

    // The unreachable branch keeps a body that always leaves from making our own code unreachable. The
    // value of such a body has the type `!`, and clippy finds that what gives or takes it is needless.
    let body = quote_spanned! {at=>
        #[allow(clippy::diverging_sub_expression)]
        let __body = async {
            #binding
            #pin_before
            #value = #rt::Some(if false { #rt::value(#value.take()) } else #body);
            #pin_behind
            #finish
        };
    };
    let (body, boundary) = match block.side {
        Side::Async => {
            let boundary = parts::boundary(&block.body, level, &is_error, rt);
            (body, quote_spanned!(at=> #boundary.await))
        }
        Side::Sync => {
            let boundary = quote_spanned!(at=> #rt::blocking_block(__options, __body, #is_error));
            let threads = block.body.facts.lends.then(|| names::threads(level));
            parts::lending(threads.as_ref(), body, boundary, rt)
        }
    };
    let is_plain = !block.may_return() && !has_jumps && block.is_result();
    let left = if is_plain {
        quote_spanned!(at=> let __left = #rt::settle_value(#boundary, #value);)
    } else {
        quote_spanned! {at=>
            #[allow(clippy::diverging_sub_expression)]
            let __left = match #settle(#boundary) {
                #rt::Settled::Finished => #finished,
                #returned
                #rt::Settled::Cancelled(#cancelled) => #on_cancel,
            };
        }
    };
    let run = quote_spanned! {at=>
        #new_ret
        #new_scope
        #new_forks
        #new_jump
        let __options = #options;
        #body
        #left
    };
    // Where the value is the body's own, the type that is expected of the block is that of the body, as in any
    // block: the branch that comes first carries it there, so that coercions work, and a mismatch is blamed on the
    // user's value. A `Result` of the wrong type would be reported in both branches.
    let before = quote_spanned!(at=> #site let mut #value = #rt::None;);
    match &block.form {
        // In a constant the compiler then complains of one call, and not of every one in it.
        Form::Scope { .. } if is_plain && block.side == Side::Sync => {
            quote_spanned!(at=> (|| { #before #run __left })())
        }
        Form::Scope { fallback: None, .. } => {
            parts::outcome(&quote_spanned!(at=> #before #run), &quote_spanned!(at=> __left), blame, blame)
        }
        Form::Scope { fallback: Some(_), .. } | Form::Shield => {
            quote_spanned!(at=> { #before if false { #end } else { #run __left } })
        }
    }
}

/// What happens when the body left the function.
fn returned(block: &Block, rt: &TokenStream) -> TokenStream {
    let at = Span::mixed_site();
    match (block.may_return(), block.inside) {
        (false, _) => quote_spanned! {at=>
            #rt::Settled::Returned(__never) | #rt::Settled::Failed(__never) => match __never {},
        },
        (true, false) => quote_spanned! {at=>
            #rt::Settled::Returned(__returned) | #rt::Settled::Failed(__returned) => return __returned,
        },
        // The block around may not know its return type well enough to tell that this is an error.
        (true, true) => quote_spanned! {at=>
            #rt::Settled::Returned(__returned) => return __returned,
            #rt::Settled::Failed(__failed) => {
                #rt::pass_failure();
                return __failed;
            }
        },
    }
}

/// What the block evaluates to when the body came to its end.
fn end(block: &Block, rt: &TokenStream, value: &Ident) -> TokenStream {
    let at = Span::mixed_site();
    match &block.form {
        Form::Scope { fallback: None, .. } => quote_spanned!(at=> #rt::Ok(#rt::value(#value))),
        Form::Scope { fallback: Some(_), .. } | Form::Shield => quote_spanned!(at=> #rt::value(#value)),
    }
}

/// What happens when the body came to its end, or to a jump out of it.
fn finished(block: &Block, end: &TokenStream, jump: &Ident) -> TokenStream {
    let at = Span::mixed_site();
    let Some((last, before)) = block.body.facts.jumps.split_last() else { return end.clone() };
    let numbers = (1..).map(Literal::usize_unsuffixed);
    let before = before.iter().zip(numbers).map(|(jump, number)| {
        let landing = &jump.landing;
        quote_spanned!(at=> #number => #landing,)
    });
    let last = &last.landing;
    quote_spanned!(at=> match #jump { 0 => #end, #(#before)* _ => #last, })
}
