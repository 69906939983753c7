//! Which options may stand where, and which together.

use crate::diagnostics::{Diagnostics, list, nearest};
use crate::options::{self, CONFLICTS, Key, Place};
use crate::parse::list::{RawOption, Value};
use syn::ext::IdentExt as _;

/// The options that were given so far in one place.
pub(super) struct Given {
    place: Place,
    keys: Vec<Key>,
}

impl Given {
    pub(super) fn at(place: Place) -> Self {
        Given { place, keys: Vec::new() }
    }

    /// What the next option means, unless it may not stand here. One that is misspelt is reported, and then taken for
    /// the one that was meant, so that the rest of the code has the type that it will have.
    pub(super) fn admit(&mut self, option: &RawOption, diagnostics: &mut Diagnostics) -> Option<Key> {
        let word = option.name.unraw().to_string();
        let at = option.name.span();
        let key = match options::find(&word) {
            Some(entry) if entry.places.contains(&self.place) => entry.key,
            Some(entry) => {
                diagnostics.at(at, misplaced(entry.key, self.place));
                return None;
            }
            None => {
                let Some(meant) = nearest(&word, options::names(self.place)) else {
                    diagnostics.at(at, format!("unknown option `{word}`; {}", self.instead(&word, option)));
                    return None;
                };
                diagnostics.at(at, format!("unknown option `{word}`; did you mean `{meant}`?"));
                let key = options::find(meant)?.key;
                return (!self.keys.contains(&key) && self.conflict(key).is_none()).then_some(key);
            }
        };
        if self.keys.contains(&key) {
            diagnostics.at(at, format!("`{word}` is given twice; keep one"));
            return None;
        }
        if let Some((other, why)) = self.conflict(key) {
            diagnostics.at(at, format!("`{word}` and `{}` {why}", other.name()));
            return None;
        }
        self.keys.push(key);
        Some(key)
    }

    /// What to write for a word that is near no option.
    fn instead(&self, word: &str, option: &RawOption) -> String {
        let alone = matches!(option.value, Value::Missing);
        match self.place {
            // So short, it is rather a name.
            Place::Scope | Place::BlockingScope if alone && word.len() <= 2 => {
                format!("to name the scope, write `|{word}| {{ … }}`")
            }
            Place::Attribute if alone && word.len() <= 2 => {
                format!("to name the scope, write `scope = {word}`")
            }
            Place::Spawn | Place::SpawnBlocking if alone || word == "into" => {
                let scope = if alone { word } else { "s" };
                let names = list(options::names(self.place).filter(|name| *name != Key::In.name()));
                format!("for a scope write `in {scope}`, else there are {names}")
            }
            place => format!("there are {}", list(options::names(place))),
        }
    }

    fn conflict(&self, key: Key) -> Option<(Key, &'static str)> {
        CONFLICTS.iter().find_map(|&(a, b, why)| {
            let other = if key == a { b } else { a };
            ((key == a || key == b) && self.keys.contains(&other)).then_some((other, why))
        })
    }
}

/// A future that is to be watched where nothing is awaited.
pub(super) fn unwatched(key: Key, place: Place) -> String {
    let remedy = match key {
        Key::Token => "ask the token itself: `token.check()?`, `blocking::wait(token.wait())?`",
        _ => "let a task or another thread cancel the scope's handle",
    };
    format!("`{}` can't watch `{}` in sync code, which never awaits; {remedy}", place.called(), key.name())
}

fn misplaced(key: Key, place: Place) -> String {
    let (name, called) = (key.name(), place.called());
    match (key, place) {
        (Key::Scope, Place::Scope | Place::BlockingScope) => {
            format!("`{called}` has no option `{name}`; name the scope with `|s|` in front of the body")
        }
        (Key::Scope, Place::Spawn | Place::SpawnBlocking) => {
            format!("`{called}` has no option `{name}`; for a scope write `in s`")
        }
        (Key::Crate, _) => {
            format!("`{called}` has no option `{name}`; it finds the crate by the path that it is called by")
        }
        (Key::In, Place::Fork) => {
            "a fork belongs to the block that it is written in; drop `in`, or write `spawn!(in s, …)`"
                .to_owned()
        }
        (Key::In, Place::Arm) => "an arm belongs to its race; drop `in`, or spawn in front of it".to_owned(),
        (Key::Background, Place::Arm) => {
            "an arm is awaited, or cancelled and awaited; drop `background`, or spawn in front".to_owned()
        }
        (Key::Abandon, _) => format!("`{called}` has no option `{name}`; it belongs to `spawn_blocking!`"),
        (Key::SkipIfCancelled, Place::SpawnBlocking) => {
            format!("`{called}` has no option `{name}`; let the closure begin with `check()?`")
        }
        (Key::Background | Key::SkipIfCancelled | Key::In, _) => {
            format!("`{called}` has no option `{name}`; it belongs to `spawn!`")
        }
        (Key::CancelOn | Key::Token, Place::BlockingScope) => unwatched(key, place),
        (Key::EveryAwait, _) => {
            format!("`{called}` has no option `{name}`; it belongs to `#[scope_runtime::test({name})]`")
        }
        (Key::Scope, Place::Test) => {
            format!("`{called}` has no option `{name}`; open a scope in the body: `scope!(|s| {{ … }})`")
        }
        (_, Place::Test) => {
            format!(
                "`{called}` has no option `{name}`; open a scope in the body: `scope!({}, {{ … }})`",
                key.entry().example
            )
        }
        (_, Place::SpawnBlocking) => {
            format!(
                "`{called}` has no option `{name}`; open a scope in the closure: `blocking_scope!({}, {{ … }})`",
                key.entry().example
            )
        }
        (_, Place::Spawn | Place::Fork | Place::Arm) => {
            format!(
                "`{called}` has no option `{name}`; open a scope in the future: `scope!({}, {{ … }})`",
                key.entry().example
            )
        }
        _ => format!("`{called}` has no option `{name}`; there are {}", list(options::names(place))),
    }
}
