//! `race!` and `try_join!`

use crate::diagnostics::Diagnostics;
use crate::model::{Arm, Race, RaceKind, Runtime, Site, SiteKind};
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
        .filter_map(|(arm, number)| self::arm(arm, format!("arm {number}"), called, diagnostics))
        .collect();
    let name = match kind {
        RaceKind::Race => String::new(),
        RaceKind::TryJoin => "try_join".to_owned(),
    };
    let site = Site { kind: SiteKind::Race, name, place };
    (arms.len() == count).then_some(Race { runtime, kind, site, arms })
}

fn arm(arm: RawArm, name: String, called: &str, diagnostics: &mut Diagnostics) -> Option<Arm> {
    match arm {
        RawArm::Spawn(mut call) => {
            // Whatever a walk over the block around has noted: its scope is that of the race.
            call.mac.tokens = around(call.mac.tokens).1;
            Some(Arm::Spawn { call, name })
        }
        RawArm::Future(Expr::Assign(option)) => {
            let option = option.to_token_stream();
            let message =
                format!("`{called}` takes no options; open a scope around it: `scope!({option}, {{ … }})`");
            diagnostics.on(option, message);
            None
        }
        RawArm::Future(future) => {
            let mut strays = Strays { called, diagnostics, found: false };
            strays.visit_expr(&future);
            let site = Site { kind: SiteKind::Task, name, place: future.span() };
            (!strays.found).then(|| Arm::Here { site, future: Box::new(future) })
        }
    }
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
                "`{word}!` inside an arm of `{called}` belongs to no arm; {otherwise}put it in front of `{called}`, \
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
                self.found(name.ident.span(), &word, "let it be the whole arm, ");
            }
            "fork" => self.found(name.ident.span(), &word, "write the future as an arm, "),
            "spawn_blocking" if !names_scope(mac.tokens.clone()) => {
                self.found(name.ident.span(), &word, "");
            }
            // Theirs to judge.
            "spawn" | "spawn_blocking" | "scope" | "shield" | "race" | "try_join" => {}
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
