//! The walk over the user's code: finds what leaves the block and what is spawned into it, and puts calls of the
//! runtime in their place.
//!
//! Invariants:
//! 1. Code is changed in four places only: a jump that leaves the block, a `spawn!` or `fork!`, a nested `scope!` or
//!    `shield!`, and what stands in front of an `.await`.
//! 2. A closure, an async block or an item is a wall for control flow; for `spawn!` and `fork!`, an item only.
//! 3. Nothing is judged here: what looks wrong is noted as a [`Misuse`].

mod awaits;
mod endless;
mod flow;
mod leaks;
mod nested;
mod other_macros;
mod sides;
mod spawns;
mod streams;
#[cfg(test)]
mod tests;

use crate::diagnostics::Diagnostics;
use crate::expand::names;
use crate::model::{Exits, Facts, Jump, Runtime, Side};
pub(crate) use endless::is_endless;
use flow::{Flow, Frame};
use proc_macro2::Span;
use quote::quote_spanned;
use spawns::Start;
use std::mem;
use syn::spanned::Spanned as _;
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, Lifetime, Macro, Path, Stmt, parse_quote};

/// Whose body is walked.
pub(crate) struct Surroundings<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) level: usize,
    pub(crate) boundary: Boundary,
    pub(crate) side: Side,
}

/// What the body's edge means for control flow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// A block: `break`, `continue` and `return` cross it. Blocks in it have to be expanded together with it, for
    /// what leaves two blocks at once.
    Crossed,
    /// A function: nothing crosses, so blocks in it are left to their own expansion.
    Final,
}

/// Code that the rules may forbid.
pub(crate) enum Misuse {
    /// `break value` out of the block
    ValueJump {
        value: Box<Expr>,
    },
    /// A jump that may leave the block, in a macro that can't be read.
    UnreadableJump {
        at: Span,
        word: String,
        in_macro: String,
    },
    /// `tokio::spawn` and its like
    Leak {
        path: Path,
        side: Side,
    },
    /// What belongs to the other side: async code, or sync code.
    WrongSide {
        at: Span,
        form: String,
        remedy: &'static str,
    },
    /// `.await` in sync code
    Await {
        at: Span,
    },
    Yield {
        at: Span,
    },
}

/// Walks over a body, and changes it.
pub(crate) fn body(
    statements: &mut [Stmt],
    around: &Surroundings<'_>,
    diagnostics: &mut Diagnostics,
) -> (Facts, Vec<Misuse>) {
    let flow = match around.boundary {
        Boundary::Crossed => Flow::open(),
        Boundary::Final => Flow::sealed(),
    };
    let mut walk = Walk {
        around,
        diagnostics,
        flow,
        side: around.side,
        in_child: None,
        in_macro: false,
        unheld: false,
        walls: 0,
        facts: Facts::default(),
        misuses: Vec::new(),
    };
    for statement in statements {
        walk.visit_stmt_mut(statement);
    }
    (walk.facts, walk.misuses)
}

struct Walk<'a> {
    around: &'a Surroundings<'a>,
    diagnostics: &'a mut Diagnostics,
    flow: Flow,
    /// Whether this code awaits or blocks: a closure is sync code, also in async code.
    side: Side,
    /// Whether this code runs in a child, which `spawn!` has no scope for.
    in_child: Option<Start>,
    /// Whether this code is the argument of a macro that may mean something else by it.
    in_macro: bool,
    /// Whether the next macro is a `spawn!` that is a statement: nobody can have its value.
    unheld: bool,
    /// How many closures and async blocks are around.
    walls: usize,
    facts: Facts,
    misuses: Vec<Misuse>,
}

impl Walk<'_> {
    fn exits(&mut self, exits: Exits) {
        if !self.flow.is_sealed() {
            self.facts.exits = self.facts.exits.max(exits);
        }
    }

    /// Whether what stands here is done by the body itself.
    fn is_own_code(&self) -> bool {
        !self.in_macro && self.walls == 0
    }

    fn behind_wall(&mut self, side: Side, visit: impl FnOnce(&mut Self)) {
        let flow = mem::replace(&mut self.flow, Flow::sealed());
        let side = mem::replace(&mut self.side, side);
        self.walls += 1;
        visit(self);
        self.walls -= 1;
        (self.flow, self.side) = (flow, side);
    }

    fn within(&mut self, frame: Frame, visit: impl FnOnce(&mut Self)) {
        self.flow.enter(frame);
        visit(self);
        self.flow.leave();
    }

    /// The number under which the code behind the boundary finds `landing`.
    fn jump_number(&mut self, landing: Expr) -> usize {
        let target = target(&landing);
        let known = self.facts.jumps.iter().position(|jump| self::target(&jump.landing) == target);
        1 + known.unwrap_or_else(|| {
            self.facts.jumps.push(Jump { landing });
            self.facts.jumps.len() - 1
        })
    }

    fn jump(&mut self, expr: &mut Expr) {
        let (label, value) = match expr {
            Expr::Break(jump) => (jump.label.clone(), jump.expr.take()),
            Expr::Continue(jump) => (jump.label.clone(), None),
            _ => return,
        };
        if !self.flow.leaves(label.as_ref()) {
            if let Expr::Break(jump) = expr {
                jump.expr = value;
            }
            return;
        }
        let at = Span::mixed_site().located_at(expr.span());
        if let Some(value) = value {
            let rt = self.around.runtime.private(at);
            if let Some(label) = label {
                // It is used all the same.
                self.jump_number(parse_quote!(break #label #rt::Return::new().never()));
            }
            *expr = Expr::Verbatim(quote_spanned!(at=> ({ let _ = #value; match #rt::finish().await {} })));
            self.misuses.push(Misuse::ValueJump { value });
            return;
        }
        let number = proc_macro2::Literal::usize_unsuffixed(self.jump_number(expr.clone()));
        let jump = names::jump(self.around.level);
        let rt = self.around.runtime.private(at);
        // In parentheses it stays one expression wherever it stands.
        *expr = Expr::Verbatim(quote_spanned!(at=> ({ #jump = #number; match #rt::finish().await {} })));
    }
}

/// What tells one way out from another.
fn target(landing: &Expr) -> Option<(bool, Option<&Lifetime>)> {
    match landing {
        Expr::Break(jump) => Some((true, jump.label.as_ref())),
        Expr::Continue(jump) => Some((false, jump.label.as_ref())),
        _ => None,
    }
}

impl VisitMut for Walk<'_> {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Closure(closure) if closure.asyncness.is_none() => {
                self.behind_wall(Side::Sync, |walk| visit_mut::visit_expr_mut(walk, expr));
            }
            Expr::Closure(_) | Expr::Async(_) => {
                self.behind_wall(Side::Async, |walk| visit_mut::visit_expr_mut(walk, expr));
            }
            Expr::Const(_) => {}
            Expr::Loop(syn::ExprLoop { label, .. }) | Expr::While(syn::ExprWhile { label, .. }) => {
                let frame = Frame::of_loop(label.as_ref());
                self.within(frame, |walk| visit_mut::visit_expr_mut(walk, expr));
            }
            Expr::ForLoop(each) => {
                // What is iterated over is evaluated outside the loop.
                self.visit_expr_mut(&mut each.expr);
                self.within(Frame::of_loop(each.label.as_ref()), |walk| walk.visit_block_mut(&mut each.body));
            }
            Expr::Block(syn::ExprBlock { block, .. }) if streams::yielded(block).is_some() => {
                if let (true, Some(at)) = (self.is_own_code(), streams::yielded(block)) {
                    self.misuses.push(Misuse::Yield { at });
                }
                // The stream's own check would say the same of the place of the whole stream.
                block.stmts.remove(0);
                visit_mut::visit_expr_mut(self, expr);
            }
            Expr::Block(syn::ExprBlock { label: Some(label), block, .. }) => {
                self.within(Frame::Block(label.name.clone()), |walk| walk.visit_block_mut(block));
            }
            Expr::Break(_) | Expr::Continue(_) => {
                visit_mut::visit_expr_mut(self, expr);
                self.jump(expr);
            }
            Expr::Return(_) | Expr::Try(_) => {
                self.exits(Exits::Seen);
                visit_mut::visit_expr_mut(self, expr);
            }
            Expr::Yield(yielded) => {
                if self.is_own_code() {
                    self.misuses.push(Misuse::Yield { at: yielded.yield_token.span });
                    // What is reported is not told by the compiler again.
                    let value = yielded.expr.take().into_iter();
                    *expr = parse_quote!(({ #(let _ = #value;)* }));
                }
                visit_mut::visit_expr_mut(self, expr);
            }
            Expr::Await(_) if self.cant_await() => {
                visit_mut::visit_expr_mut(self, expr);
                self.await_in_sync_code(expr);
            }
            Expr::Await(awaited) => self.awaited(awaited),
            Expr::Call(call) => {
                self.misuses.extend(leaks::leak(call, self.side));
                self.cleanup_of_the_other_side(call);
                visit_mut::visit_expr_mut(self, expr);
            }
            _ => visit_mut::visit_expr_mut(self, expr),
        }
    }

    fn visit_stmt_macro_mut(&mut self, statement: &mut syn::StmtMacro) {
        let is_spawn = statement.mac.path.segments.last().is_some_and(|segment| segment.ident == "spawn");
        self.unheld = is_spawn && statement.semi_token.is_some();
        self.visit_macro_mut(&mut statement.mac);
    }

    fn visit_macro_mut(&mut self, mac: &mut Macro) {
        let Some(name) = mac.path.segments.last().map(|segment| segment.ident.to_string()) else { return };
        match (name.as_str(), self.around.boundary) {
            ("spawn", _) => self.child(mac, Start::Spawn),
            ("fork", _) => self.child(mac, Start::Fork),
            ("spawn_blocking", _) => self.child(mac, Start::Thread),
            ("scope" | "blocking_scope" | "shield", Boundary::Final) => self.left_to_itself(mac, &name),
            ("scope" | "blocking_scope" | "shield", Boundary::Crossed) => self.nested(mac, &name),
            _ => {
                self.form_of_the_other_side(mac, &name);
                self.other_macro(mac, &name);
            }
        }
    }

    // Items, types and attributes belong to no block.
    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
    fn visit_type_mut(&mut self, _: &mut syn::Type) {}
    fn visit_attribute_mut(&mut self, _: &mut syn::Attribute) {}
}
