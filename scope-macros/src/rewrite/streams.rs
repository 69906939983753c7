//! `yield` as `async_stream` leaves it: it looks into the blocks of a stream before they are expanded.

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Block, Expr, ExprBreak, ExprMethodCall, Stmt};

/// What it breaks to, in code that is never run, to be told of a `yield` that is not its own.
const CHECK: &str = "__async_stream_private_check_scope";

/// What the block yields, if it stands for a `yield`.
pub(super) fn yielded(block: &Block) -> Option<Span> {
    match &block.stmts[..] {
        [check @ Stmt::Expr(Expr::If(_), _), send] => {
            let mut found = Found::default();
            found.visit_stmt(check);
            let checks = found.check;
            found.visit_stmt(send);
            found.sent.filter(|_| checks)
        }
        _ => None,
    }
}

#[derive(Default)]
struct Found {
    check: bool,
    sent: Option<Span>,
}

impl<'ast> Visit<'ast> for Found {
    fn visit_expr_break(&mut self, jump: &'ast ExprBreak) {
        self.check |= jump.label.as_ref().is_some_and(|label| label.ident == CHECK);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if call.method == "send" {
            self.sent = call.args.first().map(|value| value.span());
        } else {
            visit::visit_expr_method_call(self, call);
        }
    }
}
