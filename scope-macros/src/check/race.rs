//! `race!` and `try_join!`

use super::values::bare;
use crate::diagnostics::Diagnostics;
use crate::model::{Arm, Race, RaceKind, Runtime, Site, SiteKind};
use crate::options::{self, Key};
use crate::parse::list::Element;
use crate::parse::macros::Arguments;
use crate::parse::race::RawArm;
use crate::parse::spawn::{around, spawn as read};
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens as _, quote};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{Expr, LitStr, Macro};

/// What was meant; nothing if there are no arms.
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
    let mut mistaken = Vec::new();
    let arms: Vec<Arm> = written
        .into_iter()
        .zip(1..)
        .filter_map(|(arm, number)| {
            self::arm(arm, format!("arm {number}"), called, &mut mistaken, diagnostics)
        })
        .collect();
    if arms.is_empty() {
        return None;
    }
    let name = match kind {
        RaceKind::Race => String::new(),
        RaceKind::TryJoin => "try_join".to_owned(),
    };
    let site = Site { kind: SiteKind::Race, name, place };
    Some(Race { runtime, kind, site, arms, mistaken })
}

fn arm(
    arm: RawArm,
    name: String,
    called: &str,
    mistaken: &mut Vec<Expr>,
    diagnostics: &mut Diagnostics,
) -> Option<Arm> {
    match arm {
        RawArm::Spawn(mut call) => {
            // Whatever a walk over the block around has noted: its scope is that of the race.
            call.mac.tokens = around(call.mac.tokens).1;
            Some(Arm::Spawn { call, name })
        }
        RawArm::Future(Expr::Assign(named)) if !is_option(&named.left) => {
            diagnostics.on(&named.left, "an arm is a future alone; remove the name and its `=`");
            self::arm(RawArm::Future(*named.right), name, called, mistaken, diagnostics)
        }
        RawArm::Future(Expr::Assign(option)) => {
            if !matches!(bare(&option.right), Expr::Lit(_)) {
                mistaken.push((*option.right).clone());
            }
            let option = option.to_token_stream();
            let message =
                format!("`{called}` takes no options; open a scope around it: `scope!({option}, {{ … }})`");
            diagnostics.on(option, message);
            None
        }
        RawArm::Future(mut future) => {
            Strays { called }.visit_expr_mut(&mut future);
            let site = Site { kind: SiteKind::Task, name, place: future.span() };
            Some(Arm::Here { site, future: Box::new(future) })
        }
    }
}

/// Whether it was meant as the name of an option.
fn is_option(name: &Expr) -> bool {
    let Expr::Path(path) = name else { return false };
    path.path.get_ident().is_some_and(|name| options::resembles(&name.to_string()))
}

/// Finds children that are no arms: they would belong to the block around, and outlive the race. Each of them says so
/// itself, so that the arm around it stays what it is.
struct Strays<'a> {
    called: &'a str,
}

impl Strays<'_> {
    fn refuse(&self, mac: &mut Macro, word: &str, otherwise: &str) {
        let called = self.called;
        let why = format!(
            "`{word}!` inside an arm of `{called}` belongs to no arm; {otherwise}put it in front of `{called}`, \
             or open a scope in the arm: `scope!({{ … }})`"
        );
        let why = LitStr::new(&why, mac.path.segments.last().map_or_else(Span::call_site, Spanned::span));
        let tokens = &mac.tokens;
        mac.tokens = quote!(@refused #why #tokens);
    }
}

impl VisitMut for Strays<'_> {
    fn visit_macro_mut(&mut self, mac: &mut Macro) {
        let Some(name) = mac.path.segments.last() else { return };
        let word = name.ident.to_string();
        match word.as_str() {
            "spawn" | "spawn_blocking" if names_scope(mac.tokens.clone()) => {}
            "spawn" | "fork" | "spawn_blocking" => {
                // Whatever a walk over the block around has noted.
                mac.tokens = around(mac.tokens.clone()).1;
                let otherwise = match word.as_str() {
                    "spawn" => "let it be the whole arm, ",
                    "fork" => "write the future as an arm, ",
                    _ => "",
                };
                self.refuse(mac, &word, otherwise);
            }
            // Theirs to judge.
            "scope" | "shield" | "race" | "try_join" => {}
            _ => {
                let Some(mut arguments) = Arguments::of(mac) else { return };
                for argument in arguments.expressions_mut() {
                    self.visit_expr_mut(argument);
                }
                mac.tokens = arguments.to_token_stream();
            }
        }
    }

    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
}

fn names_scope(tokens: TokenStream) -> bool {
    let (_, written) = around(tokens);
    read(written, &mut Diagnostics::default())
        .iter()
        .any(|element| matches!(element, Element::Option(option) if option.name == Key::In.name()))
}
