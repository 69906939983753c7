//! Timeouts that are longer than one around them, and so can never fire.
//!
//! A scope judges what stands in it by its own timeout only. What a scope between the two judges as well is left to that
//! one, so that each timeout is reported once, whether the blocks are expanded together or one by one.

use super::values::{self, Values};
use crate::diagnostics::Diagnostics;
use crate::model::{BlockKind, Delay, Setting};
use crate::options::{Key, Place};
use crate::parse::block::RawBody;
use crate::parse::list::{Element, RawOption, Value};
use crate::parse::macros::Arguments;
use crate::parse::spawn::RawFuture;
use crate::parse::{self, block, spawn};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens as _;
use std::time::Duration;
use syn::visit::{self, Visit};
use syn::{Expr, Macro, Stmt};

/// Looks for longer timeouts in the body of a scope that is called `called`.
pub(super) fn judge(
    settings: &[Setting],
    named: bool,
    body: &[Stmt],
    called: &'static str,
    diagnostics: &mut Diagnostics,
) {
    if let Some(bound) = bound(settings, named, body) {
        let mut search = Search { bound, covered: None, called, diagnostics };
        body.iter().for_each(|statement| search.visit_stmt(statement));
    }
}

/// After what time a scope drops its body. `None` if it may be later, or if a handle may move it.
fn bound(settings: &[Setting], named: bool, body: &[Stmt]) -> Option<Duration> {
    let soft = settings.iter().any(|setting| matches!(setting, Setting::Grace(_) | Setting::Cooperative));
    let movable = || named || body.iter().any(|statement| asks_for_handle(statement.to_token_stream()));
    timeout(settings).filter(|_| !soft && !movable())
}

fn timeout(settings: &[Setting]) -> Option<Duration> {
    settings.iter().find_map(|setting| match setting {
        Setting::Timeout(Delay::Literal(length)) => Some(*length),
        _ => None,
    })
}

/// Whether `current()` or `try_current()` occurs.
fn asks_for_handle(tokens: TokenStream) -> bool {
    let mut asked = false;
    tokens.into_iter().any(|tree| {
        let is_call = matches!(&tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
        if asked && is_call {
            return true;
        }
        asked = matches!(&tree, TokenTree::Ident(word) if word == "current" || word == "try_current");
        matches!(tree, TokenTree::Group(group) if asks_for_handle(group.stream()))
    })
}

struct Search<'a> {
    bound: Duration,
    /// The shortest timeout between the scope and here: what is longer than that is judged there.
    covered: Option<Duration>,
    called: &'static str,
    diagnostics: &'a mut Diagnostics,
}

impl Search<'_> {
    fn is_ours(&self, length: Duration) -> bool {
        length > self.bound && self.covered.is_none_or(|covered| length <= covered)
    }

    /// `scope!` or `blocking_scope!`
    fn scope(&mut self, mac: &Macro, place: Place) {
        // What is wrong with it, it says itself.
        let mut unsaid = Diagnostics::default();
        let (mut options, mut bodies) = (Vec::new(), Vec::new());
        for element in
            block::block(mac.tokens.clone(), BlockKind::Scope, mac.delimiter.span().join(), &mut unsaid)
        {
            match element {
                Element::Option(option) => options.push(option),
                Element::Subject(body) => bodies.push(body),
            }
        }
        for value in options.iter().filter_map(value) {
            self.visit_expr(value);
        }
        let written =
            options.iter().find(|option| option.name == Key::Timeout.name()).and_then(value).cloned();
        let Values { settings, .. } = values::values(options, place, &mut unsaid);
        if settings.iter().any(|setting| matches!(setting, Setting::Shield(_))) {
            return;
        }
        if let (Some(length), Some(written)) = (timeout(&settings), written)
            && self.is_ours(length)
        {
            let (bound, called) = (self.bound, self.called);
            let message = format!(
                "this timeout can never fire: the `{called}` around it ends after {bound:?}; \
                 write a shorter one, or add `shield` to outlast that scope"
            );
            self.diagnostics.on(written, message);
        }
        for body in &bodies {
            let (statements, named) = match body {
                RawBody::Plain(braced) => (&braced.statements, false),
                RawBody::Named(closure) => match &*closure.body {
                    Expr::Block(block) => {
                        (&block.block.stmts, values::closure_binding(closure, &mut unsaid).is_some())
                    }
                    _ => continue,
                },
                RawBody::Bare(_) => continue,
            };
            let outer = self.covered;
            self.covered = [outer, bound(&settings, named, statements)].into_iter().flatten().min();
            statements.iter().for_each(|statement| self.visit_stmt(statement));
            self.covered = outer;
        }
    }

    /// What starts a child in the scope around, so that this scope's timeout is the child's, too.
    fn child(&mut self, mac: &Macro) {
        let (_, written) = spawn::around(mac.tokens.clone());
        let written = spawn::spawn(written, &mut Diagnostics::default());
        let leaves = |option: &RawOption| option.name == Key::In.name() || option.name == Key::Abandon.name();
        if written.iter().any(|element| matches!(element, Element::Option(option) if leaves(option))) {
            return;
        }
        for element in &written {
            if let Element::Subject(RawFuture(future)) = element {
                self.run_here(future);
            }
        }
    }

    /// A future or a closure that runs in the scope around.
    fn run_here(&mut self, code: &Expr) {
        match code {
            Expr::Async(code) => self.visit_block(&code.block),
            Expr::Closure(code) => self.visit_expr(&code.body),
            _ => self.visit_expr(code),
        }
    }
}

fn value(option: &RawOption) -> Option<&Expr> {
    match &option.value {
        Value::Given(value) => Some(value),
        Value::Missing | Value::Unreadable | Value::Stray(_) => None,
    }
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        // These may run elsewhere: in a cleanup, in another scope, or in none.
        if !matches!(expr, Expr::Closure(_) | Expr::Async(_)) {
            visit::visit_expr(self, expr);
        }
    }

    fn visit_macro(&mut self, mac: &'ast Macro) {
        let Some(name) = mac.path.segments.last().map(|name| name.ident.to_string()) else { return };
        match name.as_str() {
            _ if parse::is_marked(&mac.tokens) => {}
            "scope" => self.scope(mac, Place::Scope),
            "blocking_scope" => self.scope(mac, Place::BlockingScope),
            "spawn" | "fork" | "spawn_blocking" => self.child(mac),
            // What is around a shield, or a detached task, does not end it.
            "shield" | "detach" => {}
            _ => {
                let Some(mut arguments) = Arguments::of(mac) else { return };
                for argument in arguments.expressions_mut() {
                    match name.as_str() {
                        "race" | "try_join" => self.run_here(argument),
                        _ => Visit::visit_expr(self, &*argument),
                    }
                }
            }
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

#[cfg(test)]
mod tests {
    use crate::check::tests::{attribute, block};
    use crate::model::BlockKind;

    const MESSAGE: &str = "this timeout can never fire: the `scope!` around it ends after 3s; \
                           write a shorter one, or add `shield` to outlast that scope";

    #[track_caller]
    fn fires(code: &str) {
        assert_eq!(block(BlockKind::Scope, code), [""; 0], "scope!({code})");
    }

    #[track_caller]
    fn never_fires(code: &str) {
        assert_eq!(block(BlockKind::Scope, code), [MESSAGE], "scope!({code})");
    }

    #[test]
    fn a_timeout_longer_than_one_around_it_is_told() {
        for code in [
            "timeout = 3s, { scope!(timeout = 10s, { a }) }",
            "timeout = \"3s\", { let x = if a { scope!(timeout = \"1m\", |s| { b }) }; }",
            "timeout = 3s, { scope!({ scope!(name = \"x\", { scope!(timeout = 3001ms, { a }) }) }) }",
            "timeout = 3s, { loop { tokio::join!(a, scope_runtime::scope!(timeout = 4s, { b })); } }",
            "timeout = 3s, { scope!(fallback = scope!(timeout = 4s, { a }), { b }) }",
            "timeout = 3s, { scope!(|s| { scope!(timeout = 4s, { a }) }) }",
            "timeout = 3s, { spawn!(async move { scope!(timeout = 4s, { a }) }); }",
            "timeout = 3s, { spawn_blocking!(|| blocking_scope!(timeout = 4s, { a })); }",
            "timeout = 3s, { race!(b, async { scope!(timeout = 4s, { a }) }) }",
            "shield, timeout = 3s, { scope!(timeout = 4s, { a }) }",
        ] {
            never_fires(code);
        }
    }

    #[test]
    fn one_that_may_fire_is_not_told() {
        for code in [
            "timeout = 3s, { scope!(timeout = 3s, { a }) }",
            "timeout = 3s, { scope!(timeout = limit, { a }) }",
            "timeout = limit, { scope!(timeout = 3s, { a }) }",
            "timeout = 3s, grace = 1s, { scope!(timeout = 4s, { a }) }",
            "timeout = 3s, cooperative, { scope!(timeout = 4s, { a }) }",
            "timeout = 3s, |s| { scope!(timeout = 4s, { a }) }",
            "timeout = 3s, { keep(current()); scope!(timeout = 4s, { a }) }",
            "timeout = 3s, { scope!(timeout = 4s, { x!(scope_runtime::try_current()) }) }",
            "timeout = 3s, { shield!({ scope!(timeout = 4s, { a }) }) }",
            "timeout = 3s, { scope!(shield, { scope!(timeout = 4s, { a }) }) }",
            "timeout = 3s, { scope!(shield = flag, timeout = 4s, { a }) }",
            "timeout = 3s, { defer(async { scope!(timeout = 4s, { a }) }); }",
            "timeout = 3s, { detach!(async { scope!(timeout = 4s, { a }) }); }",
            "timeout = 3s, { spawn!(in s, async { scope!(timeout = 4s, { a }) }); }",
            "timeout = 3s, { async fn f() { scope!(timeout = 4s, { a }) } }",
            "timeout = 3s, { spawn_blocking!(abandon, || blocking_scope!(timeout = 4s, { a })); }",
            "timeout = 3s, fallback = scope!(timeout = 4s, { a }), { b }",
        ] {
            fires(code);
        }
    }

    #[test]
    fn each_is_told_once_by_the_scope_that_is_nearest() {
        let says = block(
            BlockKind::Scope,
            "timeout = 3s, { scope!(timeout = 2s, { scope!(timeout = 10s, { a }) }) }",
        );
        assert_eq!(says, [MESSAGE.replace("3s", "2s")]);
        let says = block(
            BlockKind::Scope,
            "timeout = 3s, { scope!(timeout = 10s, { scope!(timeout = 20s, { a }); scope!(timeout = 5s, { a }) }) }",
        );
        assert_eq!(says, [MESSAGE, MESSAGE, &MESSAGE.replace("3s", "10s")]);
        // This one is bounded from further out only: the handle of the scope between them moves that one.
        never_fires("timeout = 3s, { scope!(timeout = 2s, |s| { scope!(timeout = 10s, { a }) }) }");
    }

    #[test]
    fn functions_and_sync_code_are_judged_as_well() {
        let code = "async fn f() { scope!({ scope!(timeout = 10s, { a }) }) }";
        assert_eq!(attribute("timeout = 3s", code), [MESSAGE.replace("scope!", "#[cancel_scope]")]);
        assert_eq!(attribute("timeout = 3s, scope = s", code), [""; 0]);
        assert_eq!(attribute("timeout = 3s, grace = 1s", code), [""; 0]);
        // The block says it when it is expanded.
        let covered = "async fn f() { scope!(timeout = 2s, { scope!(timeout = 10s, { a }) }) }";
        assert_eq!(attribute("timeout = 3s", covered), [""; 0]);
        let sync = "fn f() { blocking_scope!(timeout = 10s, { a }); }";
        assert_eq!(attribute("timeout = 3s", sync), [MESSAGE.replace("scope!", "#[cancel_scope]")]);
        let says = block(BlockKind::BlockingScope, "timeout = 3s, { blocking_scope!(timeout = 1m, { a }) }");
        assert_eq!(says, [MESSAGE.replace("scope!", "blocking_scope!")]);
    }
}
