//! What an editor hands to a macro while its user types: the rest of the code has to stay what it is.

use super::Called::{self, *};
use super::{expand, parses};
use crate::options;
use proc_macro2::{TokenStream, TokenTree};

fn names(tokens: TokenStream) -> Vec<String> {
    let name = |tree| match tree {
        TokenTree::Ident(name) => vec![name.to_string()],
        TokenTree::Group(group) => names(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => Vec::new(),
    };
    tokens.into_iter().flat_map(name).collect()
}

/// Whether it is no name of the user's, but a word of ours.
fn is_ours(name: &str) -> bool {
    options::resembles(name) || name == "spawn"
}

#[track_caller]
fn expansion(called: Called, code: &str) -> String {
    let input: TokenStream = code.parse().unwrap();
    let expansion = expand(called, input.clone());
    if let Err(error) = parses(called, expansion.clone()) {
        panic!("{called:?} {code}: {error}\n{expansion}");
    }
    let found = names(expansion.clone());
    for name in names(input).iter().filter(|name| !is_ours(name)) {
        assert!(found.contains(name), "{called:?} {code} lost `{name}`:\n{expansion}");
    }
    expansion.to_string()
}

const UNREAD: &str = ":: scope_runtime :: scope ! { @ expanded";

#[test]
fn every_name_survives_and_the_expansion_is_rust() {
    for code in [
        "{ foo. }",
        "{ foo.; bar.baz(); }",
        "{ foo. let x = 1; x.y() }",
        "{ let x = ; x.y(); }",
        "{ let x = }",
        "{ let x: u8 = ; x }",
        "{ let (a, b) = c.; a }",
        "{ let = c; a }",
        "{ x = ; y }",
        "{ if a { b. } else { c } d.e(); }",
        "{ if a { b.; c(); } d }",
        "{ if }",
        "{ if a }",
        "{ match a { B => c., D => { e.; f() } } g }",
        "{ match a { B => { e.; f() } D => g } }",
        "{ for a in { b }",
        "{ for a in b { c. } d }",
        "{ f(|) }",
        "{ f(a, |b| c.) }",
        "{ f(async { a.; b }) ; c }",
        "{ return a. ; b }",
        "{ fn a() { b. } c }",
        "{ a + ; b }",
        "{ &; b }",
        "{ a::; b }",
        "{ spawn!(a.); b }",
        "{ spawn!(async { a.; b.c() }); d }",
        "{ spawn!(); b }",
        "{ scope!(timeout = a., { b.; c }); d }",
        "{ scope!(); b }",
        "{ scope!(|s| ); b }",
        "{ select! { a = b. => c, } d }",
        "{ a() b() }",
        "{ a.await. ; b? }",
        "{ struct; a }",
        "{ #[a] }",
        "{ @ a }",
        "{ , a }",
        "{ ; a. }",
        "{}",
        "",
        "a.",
        "let x = ; x",
        "a.b(); c.",
        "timeout",
        "timeout, { a }",
        "timeout = , { a }",
        "timeout = a., { b }",
        "timeout = { a }",
        "timeout: a.b(), { c }",
        "timeout(a), { b }",
        "timeout a, { b }",
        "timeout = a +, { b }",
        "timeout = a.b(",
        "timeo, { a }",
        "deadline = a + b,",
        "deadline = a + b",
        "fallback = |e| a., { b }",
        "fallback = |, { b }",
        "name = format!(a.), { b }",
        "|",
        "|s|",
        "|s| a",
        "|s| s.",
        "|s| { s. }",
        "|s| { s.; a(s) }",
        "timeout = 3s, |",
        "timeout = 3s, |s",
        "timeout = 3s, |s| { let x = s.; x }",
        "timeout = 3s, async { a. }",
        "timeout = Some(3s + a.), { b }",
        "a.b, { c. }",
        "A::b(c), { d. }",
        "|s { s. }",
        "|s, { s.; a(s) }",
        "|s|, { s. }",
        "timeout = 3s, s| { s. }",
        "timeout = 3s, s => { s.; a }",
        "timeout = 3s, { a. } ",
    ] {
        if code.parse::<TokenStream>().is_err() {
            continue;
        }
        expansion(Scope, code);
        expansion(BlockingScope, code);
        // A shield takes neither options nor a name: what they mention goes with them.
        if !["timeo", "deadline", "fallback", "name", "|", "a.b,", "A::"]
            .iter()
            .any(|option| code.starts_with(option))
        {
            expansion(Shield, code);
        }
        expansion(Attribute, &format!("() async fn f(p: P) -> R {{ {code} }}"));
        expansion(Attribute, &format!("() pub fn f(&self) {{ {code} }}"));
    }
}

#[test]
fn children_and_arms_survive_as_well() {
    for code in [
        "",
        "a.",
        "async { a. }",
        "async move { let x = a.; b(x).await }",
        "async",
        "name = a.b, c.",
        "name = a.b()",
        "name =, a",
        "background, a.",
        "background",
        "in s, a.",
        "in s",
        "in",
        "|| a.",
        "|",
        "move || { a.; b }",
        "a, b.",
        "a.b(), ",
        "a +",
        "a::",
        "&",
    ] {
        for called in [Spawn, Fork, SpawnBlocking, Race, TryJoin] {
            let race = matches!(called, Race | TryJoin);
            let names_scope = code.starts_with("in") || code.starts_with("name");
            if !(race && names_scope || matches!(called, Fork) && code.contains("in s") || code == "a, b.") {
                expansion(called, code);
            }
        }
    }
    for code in ["", "a.", "async { a. }", "async", "a +", "a(b)., "] {
        expansion(Detach, code);
    }
    expansion(Race, "a, b., c.d()");
    expansion(Race, "a(b), async { spawn!(c).await }, fork!(d)");
    expansion(Race, "name = a, b(c)");
    expansion(TryJoin, "spawn!(a.), async { b.; c }, d");
}

#[test]
fn only_the_broken_statement_goes_to_the_compiler_as_it_is() {
    let code = expansion(Scope, "{ a.b().await; foo. let x = c()?; spawn!(d(x)); }");
    assert!(code.contains(&format!("{UNREAD} foo . }}")), "{code}");
    assert!(code.contains("AwaitSite"), "{code}");
    assert!(code.contains("@ unheld (__scope0) d (x)"), "{code}");
    assert!(code.contains("classify"), "{code}");
    // In a block inside of it, the same.
    let code = expansion(Scope, "{ if a { foo. ; b().await; } c }");
    assert!(code.contains(&format!("if a {{ {UNREAD} foo . ; }} ;")), "{code}");
    assert!(code.contains("AwaitSite"), "{code}");
}

#[test]
fn a_name_stays_bound() {
    let code = expansion(Scope, "{ let mut x = ; x.y() }");
    assert!(code.contains(&format!("let mut x = {{ {UNREAD} let mut x = ; x }} }} ;")), "{code}");
}

#[test]
fn what_is_right_by_itself_is_told() {
    // With its rest cut off, the first would be right.
    let code = expansion(Scope, "{ a() let b = 1; c }");
    assert!(code.contains("compile_error"), "{code}");
    assert!(!code.contains(UNREAD), "{code}");
}

#[test]
fn a_half_typed_function_is_still_a_scope() {
    let code = expansion(
        Attribute,
        "(timeout = 3s, crate = ::rt) async fn f(a: A) -> R { a. let b = g().await?; b }",
    );
    assert!(code.contains(":: rt :: scope ! { @ expanded a . }"), "{code}");
    assert!(code.contains("timeout") && code.contains("AwaitSite"), "{code}");
    let code = expansion(Attribute, "(timeout = ) fn f() { g(); }");
    assert!(code.contains("blocking_fn"), "{code}");
}
