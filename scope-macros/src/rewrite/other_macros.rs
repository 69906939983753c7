//! Other people's macros: walked if their arguments can be read, scanned if not.

use super::{Misuse, Walk};
use crate::model::Exits;
use crate::parse::macros::Arguments;
use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::ToTokens;
use std::mem;
use syn::visit_mut::VisitMut as _;
use syn::{Lifetime, Macro};

/// Macros that are known not to hide a `return`.
const TRANSPARENT: &[&str] = &[
    "anyhow",
    "assert",
    "assert_eq",
    "assert_ne",
    "blocking_scope",
    "cfg",
    "column",
    "compile_error",
    "concat",
    "concat_bytes",
    "dbg",
    "debug",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "debug_span",
    "env",
    "eprint",
    "eprintln",
    "error",
    "error_span",
    "event",
    "file",
    "fork",
    "format",
    "format_args",
    "include",
    "include_bytes",
    "include_str",
    "info",
    "info_span",
    "join",
    "json",
    "line",
    "matches",
    "module_path",
    "option_env",
    "panic",
    "pin",
    "print",
    "println",
    "race",
    "scope",
    "select",
    "select_biased",
    "shield",
    "span",
    "spawn",
    "spawn_blocking",
    "stringify",
    "thread_local",
    "todo",
    "trace",
    "trace_span",
    "try_join",
    "unimplemented",
    "unreachable",
    "vec",
    "warn",
    "warn_span",
    "write",
    "writeln",
];

/// Macros that are known to hide one.
const RETURNING: &[&str] = &["bail", "ensure", "ensure_whatever", "ready", "whatever"];

impl Walk<'_> {
    pub(super) fn other_macro(&mut self, mac: &mut Macro, name: &str) {
        if RETURNING.contains(&name) {
            self.exits(Exits::Seen);
        } else if !TRANSPARENT.contains(&name) {
            self.exits(Exits::Hidden);
        }
        let mut scan = Scan::default();
        scan.tokens(&mac.tokens, false);
        if !scan.worth_reading() {
            return;
        }
        if let Some(mut arguments) = Arguments::of(mac) {
            let outer = mem::replace(&mut self.in_macro, true);
            for expr in arguments.expressions_mut() {
                self.visit_expr_mut(expr);
            }
            self.in_macro = outer;
            mac.tokens = arguments.to_token_stream();
            return;
        }
        if scan.exits {
            self.exits(Exits::Seen);
        }
        for jump in scan.jumps {
            if self.flow.leaves(jump.label.as_ref()) {
                let (at, word) = (jump.at, jump.word);
                self.misuses.push(Misuse::UnreadableJump { at, word, in_macro: name.to_owned() });
            }
        }
    }
}

/// What a macro's tokens may do to the block around.
#[derive(Default)]
struct Scan {
    jumps: Vec<ScannedJump>,
    exits: bool,
    /// Words that only a walk understands.
    words: bool,
    labels: Vec<String>,
}

struct ScannedJump {
    word: String,
    at: Span,
    label: Option<Lifetime>,
}

impl Scan {
    fn worth_reading(&self) -> bool {
        self.exits || self.words || !self.jumps.is_empty()
    }

    fn tokens(&mut self, tokens: &TokenStream, in_loop: bool) {
        let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let mut loop_next = false;
        for (index, tree) in trees.iter().enumerate() {
            let before = index.checked_sub(1).map(|index| &trees[index]);
            match tree {
                TokenTree::Ident(word) => {
                    let word = word.to_string();
                    match word.as_str() {
                        "loop" | "while" | "for" => loop_next = true,
                        "return" => self.exits = true,
                        "fork" | "spawn" | "spawn_blocking" | "scope" | "blocking_scope" | "shield" => {
                            self.words = true
                        }
                        "break" | "continue" => self.jump(word, tree.span(), &trees[index + 1..], in_loop),
                        _ => {}
                    }
                }
                TokenTree::Punct(punct) if punct.as_char() == '?' => self.exits |= is_operand(before),
                TokenTree::Group(group) => {
                    let looped = loop_next && group.delimiter() == Delimiter::Brace;
                    loop_next &= !looped;
                    self.tokens(&group.stream(), in_loop || looped);
                }
                TokenTree::Punct(punct) if punct.as_char() == '\'' => {
                    if let [TokenTree::Ident(name), TokenTree::Punct(colon), ..] = &trees[index + 1..]
                        && colon.as_char() == ':'
                    {
                        self.labels.push(name.to_string());
                    }
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    fn jump(&mut self, word: String, at: Span, behind: &[TokenTree], in_loop: bool) {
        let label = match behind {
            [TokenTree::Punct(tick), TokenTree::Ident(name), ..] if tick.as_char() == '\'' => {
                Some(Lifetime { apostrophe: tick.span(), ident: name.clone() })
            }
            _ => None,
        };
        let stays = match &label {
            None => in_loop,
            Some(label) => self.labels.contains(&label.ident.to_string()),
        };
        if !stays {
            self.jumps.push(ScannedJump { word, at, label });
        }
    }
}

/// Whether a `?` behind this token is an operator. `info!(?value)` has another kind.
fn is_operand(before: Option<&TokenTree>) -> bool {
    match before {
        Some(TokenTree::Punct(punct)) => punct.as_char() == '?',
        Some(_) => true,
        None => false,
    }
}
