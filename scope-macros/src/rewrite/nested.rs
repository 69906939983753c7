//! A block inside of the block: expanded in the same go, since control flow may leave both at once.

use super::{Boundary, Surroundings, Walk};
use crate::model::Exits;
use crate::{check, expand, parse};
use proc_macro2::Span;
use quote::quote;
use syn::Macro;
use syn::spanned::Spanned as _;
use syn::visit_mut::VisitMut as _;

impl Walk<'_> {
    pub(super) fn nested(&mut self, mac: &mut Macro, name: &str) {
        if parse::is_marked(&mac.tokens) {
            return;
        }
        let (kind, side) = self.block_here(name, mac.path.span());
        let place = mac.path.segments.last().map_or_else(Span::call_site, |segment| segment.ident.span());
        let inside = mac.delimiter.span().join();
        let written = parse::block::block(mac.tokens.clone(), kind, inside, self.diagnostics);
        let around = Surroundings {
            runtime: self.around.runtime,
            level: self.around.level + 1,
            boundary: Boundary::Crossed,
            side,
        };
        let mut block = check::block(written, kind, place, &around, self.diagnostics);
        block.inside = !self.flow.is_sealed();
        if block.may_return() {
            // A child's failure is passed on by the runtime, which knows it for one.
            self.exits(block.body.facts.exits.max(Exits::Hidden));
        }
        // What the block leaves behind stands in our body: a jump may go on, out of this one too.
        for expr in block.outside_mut() {
            self.visit_expr_mut(expr);
        }
        let expanded = expand::block(&block, mac.path.span());
        mac.tokens = quote!(@expanded #expanded);
    }
}
