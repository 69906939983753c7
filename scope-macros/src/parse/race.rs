//! The input of `race!` and `try_join!`: expressions of futures.

use super::list;
use crate::diagnostics::Diagnostics;
use proc_macro2::TokenStream;
use syn::{Expr, ExprMacro};

pub(crate) enum RawArm {
    Future(Expr),
    /// `spawn!(…)`
    Spawn(ExprMacro),
}

pub(crate) fn arms(tokens: TokenStream, diagnostics: &mut Diagnostics) -> Vec<RawArm> {
    list::expressions(tokens, diagnostics).into_iter().map(arm).collect()
}

fn arm(arm: Expr) -> RawArm {
    match arm {
        Expr::Macro(call) if call.mac.path.segments.last().is_some_and(|name| name.ident == "spawn") => {
            RawArm::Spawn(call)
        }
        other => RawArm::Future(other),
    }
}
