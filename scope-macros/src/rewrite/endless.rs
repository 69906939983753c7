//! Futures and closures without an end, whose output type nothing decides.

use super::flow::{Flow, Frame};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Expr, Macro, Stmt};

/// Whether a child is an `async` block, or a closure, with a last statement that never comes to an end, a `loop` or a
/// `panic!`, and nothing else ends the block.
pub(crate) fn is_endless(future: &Expr) -> bool {
    let statements = match future {
        Expr::Async(block) => &block.block.stmts,
        Expr::Closure(closure) if matches!(closure.output, syn::ReturnType::Default) => {
            match &*closure.body {
                Expr::Block(block) if block.label.is_none() => &block.block.stmts,
                Expr::Loop(body) => return !Ends::find(&body.body),
                _ => return false,
            }
        }
        _ => return false,
    };
    let Some((last, before)) = statements.split_last() else { return false };
    let mut ends = Ends { flow: Flow::open(), found: false };
    for statement in before {
        ends.visit_stmt(statement);
    }
    match last {
        // Only from here on does a `break` mean the loop at the end.
        Stmt::Expr(Expr::Loop(last), _) => ends.visit_block(&last.body),
        Stmt::Expr(Expr::Macro(last), _) => return !ends.found && panics(&last.mac),
        Stmt::Macro(last) => return !ends.found && panics(&last.mac),
        _ => return false,
    }
    !ends.found
}

/// Whether it is one of std's macros that have the type `!`.
fn panics(mac: &Macro) -> bool {
    const NAMES: [&str; 4] = ["panic", "todo", "unimplemented", "unreachable"];
    mac.path.segments.last().is_some_and(|name| NAMES.iter().any(|known| name.ident == known))
}

struct Ends {
    flow: Flow,
    found: bool,
}

impl Ends {
    /// Whether anything in the body of a loop ends that.
    fn find(body: &syn::Block) -> bool {
        let mut ends = Self { flow: Flow::open(), found: false };
        ends.visit_block(body);
        ends.found
    }
}

impl<'ast> Visit<'ast> for Ends {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        let frame = match expr {
            Expr::Closure(_) | Expr::Async(_) | Expr::Const(_) => return,
            Expr::Return(_) | Expr::Try(_) => {
                self.found = true;
                return;
            }
            Expr::Break(jump) => {
                self.found |= self.flow.leaves(jump.label.as_ref());
                None
            }
            Expr::Loop(syn::ExprLoop { label, .. })
            | Expr::While(syn::ExprWhile { label, .. })
            | Expr::ForLoop(syn::ExprForLoop { label, .. }) => Some(Frame::of_loop(label.as_ref())),
            Expr::Block(syn::ExprBlock { label: Some(label), .. }) => Some(Frame::Block(label.name.clone())),
            _ => None,
        };
        let entered = frame.map(|frame| self.flow.enter(frame)).is_some();
        visit::visit_expr(self, expr);
        if entered {
            self.flow.leave();
        }
    }

    fn visit_macro(&mut self, mac: &'ast Macro) {
        // When in doubt it has an end, and the compiler is asked for its type.
        self.found |= mentions_end(mac.tokens.clone());
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

fn mentions_end(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|tree| match tree {
        TokenTree::Ident(word) => word == "break" || word == "return",
        TokenTree::Punct(punct) => punct.as_char() == '?',
        TokenTree::Group(group) => mentions_end(group.stream()),
        TokenTree::Literal(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::is_endless;

    #[test]
    fn only_a_block_that_nothing_ends_is_endless() {
        let endless = |code: &str| is_endless(&syn::parse_str(code).unwrap());
        assert!(endless("async { loop { tick().await; } }"));
        assert!(endless("async move { let x = 1; loop { for a in b { if a { break; } } } }"));
        assert!(endless("async { loop { 'a: loop { loop { break 'a; } } } }"));
        assert!(endless("async { loop { let f = || return; f(); } }"));
        assert!(endless("async { step().await; panic!(\"no {x}\"); }"));
        assert!(endless("async { ::core::unreachable!() }"));
        assert!(!endless("async { step().await?; panic!(); }"));
        assert!(!endless("async { println!(); }"));
        assert!(!endless("async { loop { break; } }"));
        assert!(!endless("async { 'a: loop { loop { break 'a; } } }"));
        assert!(!endless("async { loop { step().await?; } }"));
        assert!(!endless("async { loop { return 1; } }"));
        assert!(!endless("async { loop { select! { _ = a => break } } }"));
        assert!(endless("move || { loop { step(); } }"));
        assert!(endless("|| loop { step() }"));
        assert!(!endless("|| loop { break }"));
        assert!(!endless("|| { loop { step()?; } }"));
        assert!(!endless("|| -> u8 { loop { step(); } }"));
        assert!(!endless("async { 1 }"));
        assert!(!endless("run()"));
    }
}
