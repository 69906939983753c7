//! What belongs to async code only, or to sync code only, and was written on the other side.
//!
//! A function or a block is on one side. In it, a closure is sync code, and an `async` block is async code, whatever is
//! around; what can be spawned is a matter of the block, and not of where in it the `spawn!` stands.

use super::{Misuse, Walk};
use crate::model::{BlockKind, Side};
use crate::parse;
use proc_macro2::{Ident, Span};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, ExprCall, Macro};

impl Walk<'_> {
    fn wrong_side(&mut self, at: Span, form: impl Into<String>, remedy: &'static str) {
        self.misuses.push(Misuse::WrongSide { at, form: form.into(), remedy });
    }

    /// Whether the block is one of sync code, and what stands here is its own.
    fn in_sync_scope(&self) -> bool {
        self.around.side == Side::Sync && self.in_child.is_none()
    }

    /// The block that a `scope!`, `blocking_scope!` or `shield!` has to be where it is written, and its side.
    pub(super) fn block_here(&mut self, name: &str, at: Span) -> (BlockKind, Side) {
        match (name, self.side) {
            ("shield", side) => (BlockKind::Shield, side),
            ("scope", Side::Sync) if !self.in_macro => {
                self.wrong_side(at, "`scope!` awaits, which sync code can't", "write `blocking_scope!`");
                (BlockKind::BlockingScope, Side::Sync)
            }
            ("blocking_scope", Side::Async) if !self.in_macro => {
                self.wrong_side(
                    at,
                    "`blocking_scope!` blocks the thread that async code runs on",
                    "write `scope!`",
                );
                (BlockKind::Scope, Side::Async)
            }
            ("scope", _) => (BlockKind::Scope, Side::Async),
            _ => (BlockKind::BlockingScope, Side::Sync),
        }
    }

    /// A block that is expanded by itself, later.
    pub(super) fn left_to_itself(&mut self, mac: &mut Macro, name: &str) {
        if parse::is_marked(&mac.tokens) {
            return;
        }
        let told = self.misuses.len();
        let (kind, side) = self.block_here(name, mac.path.span());
        let tokens = &mac.tokens;
        if self.misuses.len() > told {
            // It is told; as the one that was meant, its code is analysed like the code around.
            let runtime = &self.around.runtime.0;
            let meant = Ident::new(kind.called().trim_end_matches('!'), Span::mixed_site());
            mac.tokens = quote!(@expanded #runtime::#meant! { #tokens });
        } else if kind == BlockKind::Shield && side == Side::Sync {
            mac.tokens = quote!(@blocking #tokens);
        }
    }

    /// `fork!(…)` and its like in sync code.
    pub(super) fn form_of_the_other_side(&mut self, mac: &Macro, name: &str) {
        if !self.in_sync_scope() || self.side == Side::Async {
            return;
        }
        let remedy = match name {
            "fork" => "write `spawn_blocking!(|| …)`, a thread that may borrow",
            "race" | "try_join" => {
                "start each with `spawn_blocking!(|| …)`, or wait with `blocking::wait(async { … })`"
            }
            _ => return,
        };
        if library_item(&mac.path).is_none() {
            return;
        }
        self.wrong_side(mac.path.span(), format!("`{name}!` awaits, which sync code can't"), remedy);
    }

    /// `spawn!` in a sync scope.
    pub(super) fn task_in_sync_scope(&mut self, at: Span) {
        self.wrong_side(
            at,
            "`spawn!` starts a tokio task, and this scope is sync code",
            "write `spawn_blocking!(|| …)`, a thread that may borrow",
        );
    }

    /// `defer(…)` and `guard(…)` in sync code.
    pub(super) fn cleanup_of_the_other_side(&mut self, call: &ExprCall) {
        if !self.in_sync_scope() || self.side == Side::Async {
            return;
        }
        let Expr::Path(function) = &*call.func else { return };
        let Some((name, surely)) = library_item(&function.path) else { return };
        // Others may have a function of that name, too.
        if !surely && !call.args.iter().any(is_async) {
            return;
        }
        let (form, remedy) = match name.as_str() {
            "defer" => ("`defer` registers async cleanup", "in sync code write `defer_blocking(move || …)`"),
            "guard" => {
                ("`guard` runs async cleanup", "in sync code write `guard_blocking(value, |value| …)`")
            }
            _ => return,
        };
        self.wrong_side(function.span(), form, remedy);
    }

    /// Whether an `.await` that stands here is a mistake.
    pub(super) fn cant_await(&self) -> bool {
        self.in_sync_scope() && self.side == Side::Sync && !self.in_macro
    }

    /// `.await` in sync code: the value keeps its type.
    pub(super) fn await_in_sync_code(&mut self, expr: &mut Expr) {
        let Expr::Await(awaited) = expr else { return };
        self.misuses.push(Misuse::Await { at: awaited.await_token.span });
        let rt = self.around.runtime.private(awaited.await_token.span);
        let future = &awaited.base;
        *expr = Expr::Verbatim(quote_spanned!(Span::mixed_site()=> #rt::awaited(#future)));
    }
}

/// The name of what may be one of ours, and whether the path says that it is.
fn library_item(path: &syn::Path) -> Option<(String, bool)> {
    let mut names = path.segments.iter().map(|segment| segment.ident.to_string());
    match (names.next()?, names.next(), names.next()) {
        (name, None, _) => Some((name, false)),
        (library, Some(name), None) if library == "scope_runtime" => Some((name, true)),
        _ => None,
    }
}

/// Whether an argument is async code, or makes some.
fn is_async(argument: &Expr) -> bool {
    match argument {
        Expr::Async(_) => true,
        Expr::Closure(closure) => closure.asyncness.is_some() || is_async(&closure.body),
        _ => false,
    }
}
