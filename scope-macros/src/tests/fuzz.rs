//! Mutated input: whatever people write, a macro gives Rust or says what is wrong, and never panics.

use super::Called::{self, *};
use super::{expand, parses};
use proc_macro2::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};
use std::{panic, thread};

const SEED: u64 = 0x5eed_0f5c_0de5_ca1e;

/// How many inputs are made of what is valid: fewer of what takes longer. The valid ones are short, so that a change
/// hits something; together they hold each form.
#[rustfmt::skip]
const VALID: &[(Called, usize, &[&str])] = &[
    (Attribute, 8_000, &[
        "(timeout = \"3s\", name = \"f\") async fn f(a: A) -> R { g(&a).await?; spawn!(h); }",
        "(scope = s, fallback = |e| e.into(), crate = ::rt) pub async fn f<T: U>(&self) { s.cancel() }",
        "(shield, limit = 3) fn f() -> R<()> { blocking_scope!(timeout = 1s, { h()? })?; Ok(()) }",
        "() fn f() -> Pin<Box<dyn Future<Output = u8>>> { Box::pin(async move { a.await }) }",
    ]),
    (Test, 1_000, &["(every_await, crate = ::rt) pub async fn f() -> R { g(&a).await?; spawn!(h); }"]),
    (Scope, 4_000, &[
        "timeout = 250ms, name = \"job\", { if a { continue; } let b = c.d(e).await?; }",
        "deadline = a + b, supervise, fallback = break 'l, |s| { fork!(b); }",
        "cancel_on = a.b(), { select! { c = d => return e, _ = f => {} } }",
        "let a = 1; scope!({ break b.await }); a",
    ]),
    (BlockingScope, 4_000, &["timeout = 3s, |s| { spawn_blocking!(|| a); check()? }", "bubble = false, { match c { D => e, F { g } => h } }"]),
    (Shield, 5_000, &["{ conn.commit(&rows).await?; spawn!(a); }", "a.b().await", "|s| { 1 }"]),
    (Spawn, 22_000, &["name = format!(\"{a}\"), in s, async move { loop { b.await } }", "background, f(a, |b| c)"]),
    (Fork, 22_000, &["skip_if_cancelled, async { a?.b(&c).await }", "name = \"x\", f()"]),
    (Detach, 2_000, &["a.b(c)", "async move { a.await?; b }"]),
    (SpawnBlocking, 20_000, &["abandon, name = \"x\", move || { a.b(); c }", "in s, f"]),
    (Race, 6_000, &["a, spawn!(name = \"b\", c), async { d.await? },", "f(a, b), g"]),
    (TryJoin, 6_000, &["a.b(), spawn!(c), async { scope!({ d }) }", "a"]),
];

/// Tokens that mean something somewhere.
const WORDS: &[&str] = &[
    "timeout",
    "timeuot",
    "deadline",
    "shield",
    "name",
    "grace",
    "fallback",
    "limit",
    "scope",
    "crate",
    "in",
    "background",
    "async",
    "await",
    "move",
    "let",
    "if",
    "else",
    "match",
    "loop",
    "break",
    "continue",
    "return",
    "yield",
    "fn",
    "const",
    "unsafe",
    "struct",
    "spawn",
    "select",
    "self",
    "r#type",
    "current",
    "_",
    "x",
];

/// xorshift64*: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(mixed).unwrap_or(0) % end
    }

    fn of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn token(&mut self) -> TokenTree {
        match self.below(4) {
            0 => Punct::new(
                self.of(&[',', ';', '=', '|', '.', '?', ':', '&', '!', '<', '>', '@', '#', '-']),
                self.of(&[Spacing::Alone, Spacing::Joint]),
            )
            .into(),
            1 => self.literal(),
            2 => {
                let delimiter =
                    self.of(&[Delimiter::Parenthesis, Delimiter::Brace, Delimiter::Bracket, Delimiter::None]);
                let inside = (0..self.below(3)).map(|_| self.token()).collect();
                Group::new(delimiter, inside).into()
            }
            _ => match self.of(WORDS) {
                raw if raw.starts_with("r#") => Ident::new_raw(&raw[2..], Span::call_site()).into(),
                word => Ident::new(word, Span::call_site()).into(),
            },
        }
    }

    fn literal(&mut self) -> TokenTree {
        let text = self.of(&[
            "3s",
            "1m30s",
            "0x3",
            "1e9s",
            "0.5ns",
            "99999999999999999999d",
            "3",
            "3.5",
            "b'a'",
            "'a'",
            "\"3s\"",
            "\"\"",
            "\"3 sec onds\"",
            "b\"x\"",
            "c\"x\"",
            "r#\"3ms\"#",
            "1u8",
            "0usize",
            "3µs",
        ]);
        text.parse::<Literal>().unwrap_or_else(|_| Literal::u8_unsuffixed(3)).into()
    }

    /// One change somewhere in the code.
    fn mutate(&mut self, trees: &mut Vec<TokenTree>) {
        // Deep down as often as here.
        let groups: Vec<usize> =
            (0..trees.len()).filter(|index| matches!(trees[*index], TokenTree::Group(_))).collect();
        if !groups.is_empty() && self.below(3) > 0 {
            let index = self.of(&groups);
            if let TokenTree::Group(group) = &trees[index] {
                let mut inside = group.stream().into_iter().collect();
                self.mutate(&mut inside);
                let mut mutated = Group::new(group.delimiter(), inside.into_iter().collect());
                mutated.set_span(group.span());
                trees[index] = mutated.into();
            }
            return;
        }
        let end = trees.len();
        match self.below(5) {
            0 if end > 0 => drop(trees.remove(self.below(end))),
            1 if end > 0 => {
                let twin = self.of(trees);
                trees.insert(self.below(end), twin);
            }
            2 if end > 1 => trees.swap(self.below(end), self.below(end)),
            3 if end > 0 => trees[self.below(end)] = self.token(),
            _ => trees.insert(self.below(end + 1), self.token()),
        }
    }
}

/// What the `compile_error!`s in an expansion say.
fn messages(tokens: TokenStream, found: &mut Vec<String>) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, tree) in trees.iter().enumerate() {
        if let (TokenTree::Ident(name), Some(TokenTree::Group(input))) = (tree, trees.get(index + 2))
            && name == "compile_error"
        {
            found.push(input.stream().to_string());
        } else if let TokenTree::Group(group) = tree {
            messages(group.stream(), found);
        }
    }
}

/// Where the `compile_error!`s in an expansion point.
fn places(tokens: TokenStream, found: &mut Vec<Span>) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, tree) in trees.iter().enumerate() {
        if let (TokenTree::Ident(name), Some(TokenTree::Group(input))) = (tree, trees.get(index + 2))
            && name == "compile_error"
        {
            // The compiler underlines from the first token to the last.
            found.extend([name.span(), input.span()]);
        } else if let TokenTree::Group(group) = tree {
            places(group.stream(), found);
        }
    }
}

/// The same read as text, which gives each token its place. Invisible groups and lone quotes are no text.
fn placed(input: &TokenStream) -> Option<(TokenStream, String)> {
    let has_invisible = |tree: TokenTree| match tree {
        TokenTree::Group(group) => is_invisible(&group),
        _ => false,
    };
    if input.clone().into_iter().any(has_invisible) {
        return None;
    }
    let text = input.to_string();
    Some((text.parse().ok()?, text))
}

fn is_invisible(group: &Group) -> bool {
    let inside = |tree| matches!(tree, TokenTree::Group(group) if is_invisible(&group));
    group.delimiter() == Delimiter::None || group.stream().into_iter().any(inside)
}

/// Whether errors point into this code, or at the whole macro.
fn point_inside(expansion: TokenStream, input: &TokenStream, text: &str) -> Result<(), String> {
    let Some(file) = input.clone().into_iter().next().map(|tree| tree.span().file()) else { return Ok(()) };
    let mut found = Vec::new();
    places(expansion, &mut found);
    let whole = Span::call_site();
    let is_inside = |span: &Span| {
        let (file_there, range) = (span.file(), span.byte_range());
        file_there == file && range.end <= text.len()
            || file_there == whole.file() && range == whole.byte_range()
    };
    match found.iter().find(|span| !is_inside(span)) {
        Some(stray) => Err(format!("an error points out of the input, to {:?}", stray.byte_range())),
        None => Ok(()),
    }
}

/// Says what is wrong with an expansion, if anything is.
fn judge(called: Called, input: &TokenStream) -> Result<(), String> {
    let placed = placed(input);
    let input = placed.as_ref().map_or(input, |(input, _)| input);
    let expansion =
        panic::catch_unwind(|| expand(called, input.clone())).map_err(|_| "it panics".to_owned())?;
    let mut told = Vec::new();
    messages(expansion.clone(), &mut told);
    if told.iter().any(|message| message.trim_matches('"').trim().is_empty()) {
        return Err("an error without a message".to_owned());
    }
    match &placed {
        Some((input, text)) if !told.is_empty() => point_inside(expansion, input, text),
        _ if !told.is_empty() => Ok(()),
        _ => parses(called, expansion.clone())
            .map_err(|error| format!("no Rust, and no error: {error}\n{expansion}")),
    }
}

/// Judges that many inputs of one macro.
fn fuzz(called: Called, inputs: usize, valid: &[&str], seed: u64) {
    let mut random = Random(seed);
    let valid: Vec<TokenStream> = valid.iter().map(|code| code.parse().unwrap()).collect();
    for code in &valid {
        assert_eq!(judge(called, code), Ok(()), "{called:?} {code}");
    }
    for _ in 0..inputs {
        let mut trees: Vec<TokenTree> = random.of(&valid).into_iter().collect();
        for _ in 0..=random.below(3) {
            random.mutate(&mut trees);
        }
        let input = trees.into_iter().collect();
        if let Err(problem) = judge(called, &input) {
            panic!("{called:?} {input}\n{problem}");
        }
    }
}

#[test]
fn a_hundred_thousand_mutated_inputs_give_rust_or_an_error() {
    assert_eq!(VALID.iter().map(|(_, inputs, _)| inputs).sum::<usize>(), 100_000);
    thread::scope(|threads| {
        for ((called, inputs, valid), seed) in VALID.iter().zip(SEED..) {
            threads.spawn(move || fuzz(*called, *inputs, valid, seed));
        }
    });
}
