//! Holds `docs/expansions.md` true, and expansions short.
//!
//! After a change: `EXPANSIONS=overwrite cargo test -p scope-macros expansions`, and read what changed.

use super::Called::{self, *};
use super::expand;
use proc_macro2::{Group, TokenStream, TokenTree};
use quote::quote;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::{env, fs};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/expansions.md");
const BECOMES: &str = "\n\nbecomes\n\n```rust,ignore\n";

/// How many lines may stand around the body of a plain `scope!`.
const AROUND: usize = 14;

/// What stands in the page: an item with its attribute, or a call.
fn expansion(code: &str) -> String {
    let mut trees = code.parse::<TokenStream>().unwrap().into_iter();
    let attribute = code.starts_with('#').then(|| trees.nth(1).unwrap());
    let (called, input) = match attribute {
        Some(TokenTree::Group(attribute)) => {
            let (mut called, mut options) = (Attribute, TokenStream::new());
            for tree in attribute.stream() {
                match tree {
                    TokenTree::Group(written) => options = written.stream(),
                    TokenTree::Ident(name) if name == "test" => called = Test,
                    _ => {}
                }
            }
            let item: TokenStream = trees.collect();
            (called, quote!((#options) #item))
        }
        _ => {
            let (name, _, input) = (trees.next().unwrap(), trees.next(), trees.next());
            let Some(TokenTree::Group(input)) = input else { panic!("no call: {code}") };
            (called(&name.to_string()), input.stream())
        }
    };
    let expanded = tidied(expand(called, input));
    match called {
        Attribute | Test => formatted(&expanded.to_string()),
        _ => {
            let function = formatted(&format!("async fn f() {{ {expanded} }}"));
            let lines = function.lines().filter(|line| line.starts_with(' '));
            lines.map(|line| format!("{}\n", &line[4..])).collect()
        }
    }
}

fn called(name: &str) -> Called {
    match name {
        "scope" => Scope,
        "blocking_scope" => BlockingScope,
        "shield" => Shield,
        "spawn" => Spawn,
        "fork" => Fork,
        "race" => Race,
        other => panic!("{other} is not known here"),
    }
}

/// With short names for the path to the runtime and for the place of something.
fn tidied(code: TokenStream) -> TokenStream {
    let long: Vec<String> =
        quote!(::scope_runtime::__private).into_iter().map(|tree| tree.to_string()).collect();
    let place: Vec<String> = quote!(::core::file!(), ::core::line!(), ::core::column!())
        .into_iter()
        .map(|tree| tree.to_string())
        .collect();
    let module: Vec<String> =
        quote!(, ::core::module_path!()).into_iter().map(|tree| tree.to_string()).collect();
    let mut rest: Vec<TokenTree> = code.into_iter().collect();
    let begins = |trees: &[TokenTree], with: &[String]| {
        trees.len() >= with.len() && trees.iter().zip(with).all(|(tree, text)| tree.to_string() == *text)
    };
    let mut tidy = TokenStream::new();
    while !rest.is_empty() {
        if begins(&rest, &long) {
            rest.drain(..long.len());
            tidy.extend(quote!(rt));
        } else if begins(&rest, &place) {
            rest.drain(..place.len());
            if begins(&rest, &module) {
                rest.drain(..module.len());
            }
            tidy.extend(quote!(here!()));
        } else {
            let tree = rest.remove(0);
            tidy.extend([match tree {
                TokenTree::Group(group) => Group::new(group.delimiter(), tidied(group.stream())).into(),
                other => other,
            }]);
        }
    }
    tidy
}

fn formatted(code: &str) -> String {
    let mut rustfmt = Command::new("rustfmt")
        .args(["--edition", "2024", "--quiet"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    rustfmt.stdin.take().unwrap().write_all(code.as_bytes()).unwrap();
    let formatted = String::from_utf8(rustfmt.wait_with_output().unwrap().stdout).unwrap();
    assert!(!formatted.is_empty(), "it can't be formatted: {code}");
    formatted
}

fn has_rustfmt() -> bool {
    let there = Command::new("rustfmt").arg("--version").output().is_ok_and(|ran| ran.status.success());
    if !there {
        println!("SKIPPED: rustfmt is not installed, so expansions can't be compared with the page");
    }
    there
}

#[test]
fn expansions_are_what_the_page_shows() {
    if !has_rustfmt() {
        return;
    }
    let page = fs::read_to_string(PAGE).unwrap();
    let mut parts = page.split("```rust\n");
    let mut written = parts.next().unwrap().to_owned();
    for part in parts {
        let (code, behind) = part.split_once("```").unwrap();
        let shown = behind.strip_prefix(BECOMES).expect("what it becomes stands behind each example");
        let (_, behind) = shown.split_once("```").unwrap();
        written += &format!("```rust\n{code}```{BECOMES}{}```{behind}", expansion(code));
    }
    if env::var_os("EXPANSIONS").is_some_and(|wish| wish == "overwrite") {
        fs::write(PAGE, &written).unwrap();
    }
    for (written, shown) in written.lines().zip(page.lines()) {
        assert_eq!(written, shown, "docs/expansions.md is out of date");
    }
    assert_eq!(written.len(), page.len(), "docs/expansions.md is out of date");
}

#[test]
fn a_scope_adds_few_lines() {
    if !has_rustfmt() {
        return;
    }
    let body = "a();\nb(c)\n";
    // Without the braces, which are there for the body.
    let added = expansion(&format!("scope!(timeout = 3s, {{ {body} }})")).lines().count() - 2;
    let plain = added - body.lines().count();
    assert!(plain <= AROUND, "{plain} lines");
}
