//! The input of `race!` and `try_join!`: expressions of futures.

use super::spawn::{self, Around, RawFuture};
use crate::diagnostics::Diagnostics;
use crate::parse::list::Element;
use proc_macro2::{Span, TokenStream};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Expr, Token};

pub(crate) enum RawArm {
    Future(Expr),
    /// `spawn!(…)`, whose scope is that of the race, whatever a walk over the block around has noted.
    Spawn {
        place: Span,
        written: Vec<Element<RawFuture>>,
    },
}

pub(crate) fn arms(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Option<Vec<RawArm>> {
    match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(tokens) {
        Ok(arms) => Some(arms.into_iter().map(|arm| self::arm(arm, diagnostics)).collect()),
        Err(error) => {
            diagnostics.syntax(error);
            None
        }
    }
}

fn arm(arm: Expr, diagnostics: &mut Diagnostics) -> RawArm {
    match arm {
        Expr::Macro(call) if call.mac.path.segments.last().is_some_and(|name| name.ident == "spawn") => {
            let place = call.mac.path.segments.last().map_or_else(Span::call_site, |name| name.ident.span());
            let (_, written): (Around, _) = spawn::around(call.mac.tokens);
            RawArm::Spawn { place, written: spawn::spawn(written, diagnostics) }
        }
        other => RawArm::Future(other),
    }
}
