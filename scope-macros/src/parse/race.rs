//! The input of `race!` and `try_join!`: expressions of futures.

use crate::diagnostics::Diagnostics;
use proc_macro2::TokenStream;
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::{Expr, ExprMacro, Token};

pub(crate) enum RawArm {
    Future(Expr),
    /// `spawn!(…)`
    Spawn(ExprMacro),
}

pub(crate) fn arms(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Option<Vec<RawArm>> {
    match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(tokens) {
        Ok(arms) => Some(arms.into_iter().map(arm).collect()),
        Err(error) => {
            diagnostics.syntax(error);
            None
        }
    }
}

fn arm(arm: Expr) -> RawArm {
    match arm {
        Expr::Macro(call) if call.mac.path.segments.last().is_some_and(|name| name.ident == "spawn") => {
            RawArm::Spawn(call)
        }
        other => RawArm::Future(other),
    }
}
