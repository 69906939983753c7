//! `race!` and `try_join!`

use super::spawn;
use crate::diagnostics::Diagnostics;
use crate::model::{Arm, Child, Race, RaceKind, Runtime, Site, SiteKind};
use crate::options::Key;
use crate::parse::list::Element;
use crate::parse::macros::Arguments;
use crate::parse::race::RawArm;
use crate::parse::spawn::{around, spawn as read};
use proc_macro2::{Span, TokenStream};
use quote::ToTokens as _;
use syn::spanned::Spanned as _;
use syn::visit::Visit;
use syn::{Expr, Macro};

/// What was meant; nothing after a mistake that leaves an arm without a scope.
pub(crate) fn race(
    kind: RaceKind,
    runtime: Runtime,
    written: Vec<RawArm>,
    place: Span,
    diagnostics: &mut Diagnostics,
) -> Option<Race> {
    let called = kind.called();
    if written.is_empty() {
        diagnostics.at(place, format!("`{called}` has no arms; write `{called}(future, …)`"));
        return None;
    }
    let count = written.len();
    let arms: Vec<Arm> = written
        .into_iter()
        .zip(1..)
        .filter_map(|(arm, number)| self::arm(arm, number, called, diagnostics))
        .collect();
    let name = match kind {
        RaceKind::Race => String::new(),
        RaceKind::TryJoin => "try_join".to_owned(),
    };
    let site = Site { kind: SiteKind::Race, name, place };
    (arms.len() == count).then_some(Race { runtime, kind, site, arms })
}

fn arm(arm: RawArm, number: usize, called: &str, diagnostics: &mut Diagnostics) -> Option<Arm> {
    let (mut child, parallel) = match arm {
        RawArm::Spawn { place, written } => (spawn::arm(written, place, diagnostics)?, true),
        RawArm::Future(future) => {
            if let Expr::Assign(option) = &future {
                let option = option.to_token_stream();
                diagnostics.on(
                    &option,
                    format!(
                        "`{called}` takes no options; open a scope around it: `scope!({option}, {{ … }})`"
                    ),
                );
                return None;
            }
            let mut strays = Strays { called, diagnostics, found: false };
            strays.visit_expr(&future);
            if strays.found {
                return None;
            }
            let site = Site { kind: SiteKind::Task, name: String::new(), place: future.span() };
            (
                Child {
                    site,
                    name: None,
                    background: false,
                    skip_if_cancelled: false,
                    abandon: false,
                    endless: false,
                    subject: future,
                },
                false,
            )
        }
    };
    if child.site.name.is_empty() && child.name.is_none() {
        child.site.name = format!("arm {number}");
    }
    Some(Arm { child, parallel })
}

/// Finds children that are no arms: they would belong to the block around, and outlive the race.
struct Strays<'a> {
    called: &'a str,
    diagnostics: &'a mut Diagnostics,
    found: bool,
}

impl Strays<'_> {
    fn found(&mut self, at: Span, word: &str, otherwise: &str) {
        self.found = true;
        let called = self.called;
        self.diagnostics.at(
            at,
            format!(
                "`{word}!` inside an arm of `{called}` belongs to no arm; {otherwise}, put it in front of `{called}`, \
                 or open a scope in the arm: `scope!({{ … }})`"
            ),
        );
    }
}

impl<'ast> Visit<'ast> for Strays<'_> {
    fn visit_macro(&mut self, mac: &'ast Macro) {
        let Some(name) = mac.path.segments.last() else { return };
        let word = name.ident.to_string();
        match word.as_str() {
            "spawn" if !names_scope(mac.tokens.clone()) => {
                self.found(name.ident.span(), &word, "let it be the whole arm");
            }
            "fork" => self.found(name.ident.span(), &word, "write the future as an arm"),
            // Theirs to judge.
            "spawn" | "scope" | "shield" | "race" | "try_join" => {}
            _ => {
                let Some(mut arguments) = Arguments::of(mac) else { return };
                for argument in arguments.expressions_mut() {
                    Visit::visit_expr(self, &*argument);
                }
            }
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

fn names_scope(tokens: TokenStream) -> bool {
    let (_, written) = around(tokens);
    read(written, &mut Diagnostics::default())
        .iter()
        .any(|element| matches!(element, Element::Option(option) if option.name == Key::In.name()))
}
