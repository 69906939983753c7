//! Each mistake, and what is said about it.

use crate::diagnostics::{Diagnostics, list};
use crate::model::{BlockKind, RaceKind, Runtime, Side, SpawnKind};
use crate::options::{Place, names};
use crate::rewrite::{Boundary, Surroundings};
use crate::{check, parse, pipeline};
use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote};

fn tokens(code: &str) -> TokenStream {
    code.parse().unwrap()
}

pub(super) fn block(kind: BlockKind, code: &str) -> Vec<String> {
    let mut diagnostics = Diagnostics::default();
    let place = Span::call_site();
    let written = parse::block::block(tokens(code), kind, place, &mut diagnostics);
    let runtime = Runtime(quote!(rt));
    let side = kind.side().unwrap_or(Side::Async);
    let around = Surroundings { runtime: &runtime, level: 0, boundary: Boundary::Crossed, side };
    check::block(written, kind, place, &around, &mut diagnostics);
    diagnostics.messages()
}

pub(super) fn attribute(arguments: &str, item: &str) -> Vec<String> {
    let mut diagnostics = Diagnostics::default();
    let arguments = parse::list::list(tokens(arguments), &mut diagnostics);
    let item = parse::item::item(tokens(item), &mut diagnostics);
    check::function(arguments, item, &mut diagnostics);
    diagnostics.messages()
}

fn spawn(kind: SpawnKind, code: &str) -> Vec<String> {
    let mut diagnostics = Diagnostics::default();
    let (around, written) = parse::spawn::around(tokens(code));
    let written = parse::spawn::spawn(written, &mut diagnostics);
    let runtime = Runtime(quote!(rt));
    let _model = check::spawn(kind, runtime, around, written, Span::call_site(), &mut diagnostics);
    diagnostics.messages()
}

fn fork(code: &str) -> Vec<String> {
    let mut diagnostics = Diagnostics::default();
    let (around, written) = parse::spawn::around(tokens(code));
    let written = parse::spawn::spawn(written, &mut diagnostics);
    let runtime = Runtime(quote!(rt));
    let _model = check::fork(runtime, around, written, Span::call_site(), &mut diagnostics);
    diagnostics.messages()
}

fn race(code: &str) -> Vec<String> {
    let mut diagnostics = Diagnostics::default();
    let arms = parse::race::arms(tokens(code), &mut diagnostics);
    let runtime = Runtime(quote!(rt));
    let model = check::race(RaceKind::Race, runtime, arms, Span::call_site(), &mut diagnostics);
    let expanded = model.map(|model| crate::expand::race(&model)).unwrap_or_default();
    [diagnostics.messages(), refusals(expanded)].concat()
}

/// What children will say that may not be where they are.
fn refusals(code: TokenStream) -> Vec<String> {
    let trees: Vec<TokenTree> = code.into_iter().collect();
    let refused = |at: usize| matches!(&trees[at], TokenTree::Ident(word) if word == "refused");
    let says = |(at, tree): (usize, &TokenTree)| match tree {
        TokenTree::Group(group) => refusals(group.stream()),
        TokenTree::Literal(why) if at > 0 && refused(at - 1) => {
            vec![syn::parse2::<syn::LitStr>(why.to_token_stream()).unwrap().value()]
        }
        _ => Vec::new(),
    };
    trees.iter().enumerate().flat_map(says).collect()
}

#[track_caller]
fn scope_says(code: &str, messages: &[&str]) {
    assert_eq!(block(BlockKind::Scope, code), messages, "scope!({code})");
}

#[track_caller]
fn attribute_says(arguments: &str, messages: &[&str]) {
    assert_eq!(attribute(arguments, "async fn f() {}"), messages, "#[cancel_scope({arguments})]");
}

#[track_caller]
fn item_says(item: &str, message: &str) {
    assert_eq!(attribute("", item), [message], "{item}");
}

#[track_caller]
fn spawn_says(code: &str, messages: &[&str]) {
    assert_eq!(spawn(SpawnKind::Task, &format!("@scope (s) {code}")), messages, "spawn!({code})");
}

#[test]
fn what_is_right_is_not_complained_about() {
    for code in [
        "timeout = 3s, { 1 }",
        "deadline = at, shield, name = \"x\", cleanup_timeout = 1.5s, fallback = |e| e, |s| { 1 }",
        "timeout = \"1 m 30 s\", shield = flag, name = format!(\"{x}\"), fallback = continue, { 1 },",
        "let x = 1; x",
        "",
    ] {
        if !code.is_empty() {
            scope_says(code, &[]);
        }
    }
    attribute_says("timeout = 3s, scope = s, crate = ::rt, fallback = (),", &[]);
    attribute_says("", &[]);
    attribute_says("limit = 3, supervise", &[]);
    scope_says("supervise, limit = 3usize, { 1 }", &[]);
    scope_says("limit = n, supervise, |s| { 1 }", &[]);
    spawn_says("name = \"x\", background, f()", &[]);
    spawn_says("skip_if_cancelled, background, in s, name = \"x\", f()", &[]);
    spawn_says("in s, f()", &[]);
    spawn_says("f(),", &[]);
}

#[test]
fn every_mistake_is_told_at_once() {
    attribute_says(
        "timout = \"3s\", sheild, frobnicate, name = 5, timeout = 3",
        &[
            "unknown option `timout`; did you mean `timeout`?",
            "unknown option `sheild`; did you mean `shield`?",
            &format!("unknown option `frobnicate`; there are {}", list(names(Place::Attribute))),
            "`5` is no name; write `name = \"5\"`",
            "`3` has no unit; write \"3s\" or \"3ms\"",
        ],
    );
}

#[test]
fn options_that_exclude_each_other() {
    attribute_says(
        "timeout = 3s, deadline = at",
        &["`deadline` and `timeout` both bound this scope; keep one, or nest two scopes"],
    );
    attribute_says("name = \"a\", name = \"b\"", &["`name` is given twice; keep one"]);
}

#[test]
fn values_that_are_none() {
    attribute_says("timeout", &["`timeout` needs a value; write `timeout = \"3s\"`"]);
    attribute_says("timeout = ", &["`timeout` needs a value; write `timeout = \"3s\"`"]);
    attribute_says("timeout = -3s", &["a duration can't be negative; remove the `-`"]);
    attribute_says("timeout = true", &["`true` is no duration; write \"3s\""]);
    attribute_says("deadline = 3s", &["`deadline` is an instant; for a length of time write `timeout = 3s`"]);
    attribute_says("limit = 0", &["a limit of 0 lets no child run; write at least 1"]);
    attribute_says("limit = 0x0_usize", &["a limit of 0 lets no child run; write at least 1"]);
    attribute_says("limit = \"3\"", &["`\"3\"` is no number of child tasks; write `limit = 3`"]);
    attribute_says("limit = 1.5", &["`1.5` is no number of child tasks; write `limit = 1`"]);
    attribute_says("limit = true", &["`true` is no number of child tasks; write `limit = 8`"]);
    attribute_says("limit = -1", &["a limit can't be negative; remove the `-`"]);
    attribute_says("supervise = true", &["`supervise` takes no value; write it alone"]);
    attribute_says("shield = 1", &["`1` is no `bool`; write `shield` or `shield = condition`"]);
    attribute_says("bubble = 1", &["`1` is no `bool`; write `bubble` or `bubble = condition`"]);
    attribute_says("grace = 3", &["`3` has no unit; write \"3s\" or \"3ms\""]);
    attribute_says("link = 5", &["`5` is no scope that can be linked; write `link = handle`"]);
    attribute_says("cancel_on = 3s", &["`3s` is no future; write `cancel_on = future`"]);
    attribute_says("token = \"x\"", &["`\"x\"` is no cancel token; write `token = token`"]);
    attribute_says("error = 5", &["`5` is no error; write `error = MyError::Stopped`"]);
    attribute_says("error = \"stopped\"", &[]);
    attribute_says("link", &["`link` needs a value; write `link = handle`"]);
    attribute_says(
        "grace = 1s, cooperative",
        &["`cooperative` and `grace` both say how long a cancel stays soft; keep one"],
    );
    attribute_says("scope = a.b", &["`scope` introduces a name; write `scope = s`"]);
    attribute_says("crate = \"rt\"", &["`crate` takes a path; write `crate = rt`"]);
    attribute_says(
        "fallback = |a, b| a",
        &["a fallback takes one value; write `fallback = |cancelled| …`, or `fallback = …` without it"],
    );
}

#[test]
fn punctuation_that_is_missing_or_too_much() {
    scope_says("timeout = 3s { 1 }", &["a `,` is missing; put one before the body"]);
    scope_says("timeout = limit { 1 }", &["a `,` is missing; put one before the body"]);
    scope_says("shield timeout = 3s, { 1 }", &["a `,` is missing; put one before `timeout`"]);
    scope_says("timeout 3s, { 1 }", &["`timeout` takes its value with `=`; write `timeout = …`"]);
    scope_says("timeout: 3s, { 1 }", &["`timeout` takes its value with `=`; write `timeout = …`"]);
    scope_says("timeout(3s), { 1 }", &["`timeout` takes its value with `=`; write `timeout = …`"]);
    scope_says(
        "timeout(3), { 1 }",
        &[
            "`timeout` takes its value with `=`; write `timeout = …`",
            "`3` has no unit; write \"3s\" or \"3ms\"",
        ],
    );
    scope_says("timeout = 3 s, { 1 }", &["a space stands before the unit; write `3s`"]);
    scope_says("timeout = (3s), { 1 }", &[]);
    scope_says("timeout == 3s, { 1 }", &["`timeout` takes its value with `=`; write `timeout = …`"]);
    scope_says("cooperative = true, { 1 }", &["`cooperative` takes no value; write it alone"]);
    scope_says("timeout = 3s; { 1 }", &["options end with `,`; write `,` instead of `;`"]);
    scope_says("timeout = 3s,, { 1 }", &["nothing stands before this `,`; remove it"]);
    attribute_says(
        "Duration::from_secs(3)",
        &["expected an option; give the value a name, as in `timeout = \"3s\"`"],
    );
    attribute_says("\"3s\"", &["expected an option; give the value a name, as in `timeout = \"3s\"`"]);
}

#[test]
fn bodies_that_are_none() {
    let none = "`scope!` has no body; write it last, in braces: `scope!({ … })`";
    scope_says("", &[none]);
    scope_says("timeout = 3s", &[none]);
    scope_says("{ 1 }, name = \"x\"", &["`name` stands behind the body; write the options first"]);
    scope_says("{ 1 }, { 2 }", &["`scope!` has one body; join the two"]);
    scope_says("async { 1 }", &["`scope!` awaits its body in place, like any block; drop `async`"]);
    scope_says("timeout = 3s, f()", &["a body stands in braces; write `{ … }`"]);
    scope_says("timeout = 3s, scope!({ 1 })", &["a body stands in braces; write `{ … }`"]);
    scope_says("|s| 1", &["a body stands in braces; write `|s| { … }`"]);
    scope_says("|s| |s| { 1 }", &["the scope has a name already; write `|s| { … }` once"]);
    scope_says("|s, t| { 1 }", &["a scope gets one name; write `|s| { … }`"]);
    scope_says("|s: &S| { 1 }", &["the name takes no type; write `|s| { … }`"]);
    scope_says("|self| { 1 }", &["a scope gets one name; write `|s| { … }`"]);
    scope_says("|| { 1 }", &["`scope!` runs its body in place, like any block; drop `||`"]);
    scope_says("move |s| { 1 }", &["`scope!` runs its body in place, like any block; drop `move`"]);
    scope_says("move || { 1 }", &["`scope!` runs its body in place, like any block; drop `move ||`"]);
    scope_says("move { 1 }", &["the body runs in place, like any block; drop `move`"]);
}

#[test]
fn names_that_are_written_in_another_way() {
    scope_says("|s { 1 }", &["a `|` is missing behind the name; write `|s| { … }`"]);
    scope_says("|s, { 1 }", &["a `|` ends the name; write `|s| { … }`"]);
    scope_says("|s|, { 1 }", &["the body stands right behind the name; remove this `,`"]);
    scope_says("shield, s| { 1 }", &["a `|` is missing before the name; write `|s| { … }`"]);
    scope_says("shield, s => { 1 }", &["a scope is named between bars; write `|s| { … }`"]);
    scope_says("shield, s, { 1 }", &["unknown option `s`; to name the scope, write `|s| { … }`"]);
    attribute_says("s", &["unknown option `s`; to name the scope, write `scope = s`"]);
}

#[test]
fn durations_inside_of_values() {
    for (value, instead) in
        [("3s", "secs(3)"), ("1m30s", "secs(90)"), ("1.5ms", "micros(1500)"), ("2ns", "nanos(2)")]
    {
        let message = format!(
            "`{value}` is a duration only where it is the whole value; write `Duration::from_{instead}`"
        );
        attribute_says(&format!("timeout = Some({value})"), &[&message]);
        scope_says(&format!("deadline = now() + {value}, {{ 1 }}"), &[&message]);
    }
    attribute_says("timeout = 1h 30m", &["a space stands inside of the duration; write `1h30m`"]);
    attribute_says(
        "deadline = 3",
        &["`deadline` is an instant; for a length of time write `timeout = \"3s\"`"],
    );
}

#[test]
fn what_is_no_option() {
    attribute_says("!shield", &["expected an option; write `shield = false`"]);
    attribute_says("(timeout = 3s)", &["expected an option; remove the parentheses"]);
    attribute_says("[timeout = 3s]", &["expected an option; remove the brackets"]);
    attribute_says("#[cfg(x)] shield", &["expected an option; it takes no attributes"]);
    attribute_says("=", &["expected an option; write one such as `timeout = \"3s\"`"]);
    attribute_says("\"job\"", &["expected an option; give the value a name, as in `name = \"job\"`"]);
    attribute_says("name = b\"x\"", &["`b\"x\"` is no name; write `name = \"x\"`"]);
    let value = "expected an option or the body in braces; give the value a name, as in `timeout = \"3s\"`";
    scope_says("Duration::from_secs(3), { 1 }", &[value]);
    scope_says("self.most, { 1 }", &[value]);
    scope_says("most(), { 1 }", &[value]);
}

#[test]
fn options_in_the_wrong_place() {
    scope_says(
        "scope = s, { 1 }",
        &["`scope!` has no option `scope`; name the scope with `|s|` in front of the body"],
    );
    scope_says(
        "skip_if_cancelled, { 1 }",
        &["`scope!` has no option `skip_if_cancelled`; it belongs to `spawn!`"],
    );
    scope_says("background, { 1 }", &["`scope!` has no option `background`; it belongs to `spawn!`"]);
    assert_eq!(
        block(BlockKind::Shield, "timeout = 3s, { 1 }"),
        ["`shield!` takes no options; write `scope!(shield, …, { … })` for a shield that can be cancelled"]
    );
    spawn_says(
        "timeout = 3s, f()",
        &["`spawn!` has no option `timeout`; open a scope in the future: `scope!(timeout = \"3s\", { … })`"],
    );
}

#[test]
fn spawns_that_are_none() {
    spawn_says("", &["`spawn!` has no future; write `spawn!(future)`"]);
    spawn_says("f(), g()", &["`spawn!` takes one future; write another `spawn!` for this one"]);
    spawn_says("f(), name = \"x\"", &["`name` stands behind the future; write the options first"]);
    spawn_says("bakground, f()", &["unknown option `bakground`; did you mean `background`?"]);
    spawn_says("background f()", &["a `,` is missing; put one before `f`"]);
    assert_eq!(
        spawn(SpawnKind::Task, "f()"),
        ["`spawn!` outside of a scope; put it in `scope!` or a `#[cancel_scope]` function, \
          or name the scope: `spawn!(in s, …)`"]
    );
    assert_eq!(
        spawn(SpawnKind::Task, "@nested (spawned) f()"),
        ["`spawn!` inside a spawned future has no scope of its own; open one there with `scope!({ … })`"]
    );
}

#[test]
fn items_that_cannot_be_served() {
    item_says(
        "const fn f() {}",
        "`#[cancel_scope]` cannot serve a `const fn`: a scope exists at run time only; drop `const`",
    );
    item_says(
        "struct S;",
        "`#[cancel_scope]` cannot serve a struct: a scope is code that runs; put it on a `fn`",
    );
    item_says(
        "async fn f(&self);",
        "`#[cancel_scope]` needs a body, and this `fn` is only declared; \
         put the attribute on the `fn` in each `impl`",
    );
    item_says(
        "fn f() -> u8 { runtime().block_on(async move { 1 }) }",
        "`#[cancel_scope]` cannot tell whether this `fn` is async: all that it does is to block on async code; \
         put this attribute above the one that took the `async` away, or `scope!` into the async code",
    );
    item_says(
        "fn f() -> impl Future<Output = u8> { async { 1 } }",
        "`#[cancel_scope]` cannot see the async code of this `fn`; make it `async fn`, \
         or let its last line be `Box::pin(async move { … })`",
    );
}

#[test]
fn no_input_makes_a_macro_panic() {
    // All triples of tokens that mean something to us.
    let words = [
        "timeout",
        "in",
        "crate",
        "=",
        ",",
        ";",
        "|",
        "3s",
        "{ }",
        "async",
        "fn",
        "break",
        "@",
        "?",
        "spawn ! ( )",
    ];
    let run = |code: &str| {
        let Ok(input) = code.parse::<TokenStream>() else { return };
        pipeline::block_macro(BlockKind::Scope, input.clone());
        pipeline::block_macro(BlockKind::Shield, input.clone());
        pipeline::spawn_macro(SpawnKind::Task, input.clone());
        pipeline::spawn_macro(SpawnKind::Thread, input.clone());
        pipeline::attribute(
            input.clone(),
            quote!(
                async fn f() {}
            ),
        );
        pipeline::attribute(TokenStream::new(), input);
    };
    for a in words {
        for b in words {
            for c in words {
                run(&format!("{a} {b} {c}"));
            }
            run(&format!("{{ {a} {b} }}"));
            run(&format!("{a} {b}, {{ {b} {a} }}"));
        }
    }
}

#[test]
fn blocking_children_and_their_options() {
    #[track_caller]
    fn says(code: &str, messages: &[&str]) {
        assert_eq!(spawn(SpawnKind::Thread, code), messages, "spawn_blocking!({code})");
    }
    says("@scope (s) abandon, name = \"x\", || 1", &[]);
    says("@lending (s) (t) background, move || 1", &[]);
    says("in s, || 1", &[]);
    says("@scope (s) abandon = true, || 1", &["`abandon` takes no value; write it alone"]);
    says("@scope (s)", &["`spawn_blocking!` has no closure; write `spawn_blocking!(closure)`"]);
    says(
        "@scope (s) || 1, || 2",
        &["`spawn_blocking!` takes one closure; write another `spawn_blocking!` for this one"],
    );
    says(
        "@nested (spawned) || 1",
        &["`spawn_blocking!` inside a spawned child has no scope of its own; \
           open one there with `blocking_scope!({ … })`"],
    );
    says(
        "|| 1",
        &[
            "`spawn_blocking!` outside of a scope; put it in `scope!`, `blocking_scope!` or a `#[cancel_scope]` function, \
           or name the scope: `spawn_blocking!(in s, …)`",
        ],
    );
    says(
        "@scope (s) timeout = 3s, || 1",
        &["`spawn_blocking!` has no option `timeout`; \
           open a scope in the closure: `blocking_scope!(timeout = \"3s\", { … })`"],
    );
    spawn_says("abandon, f()", &["`spawn!` has no option `abandon`; it belongs to `spawn_blocking!`"]);
}

#[test]
fn what_sync_scopes_can_not_be_told() {
    assert_eq!(
        block(BlockKind::BlockingScope, "cancel_on = f(), { 1 }"),
        ["`blocking_scope!` can't watch `cancel_on` in sync code, which never awaits; \
          let a task or another thread cancel the scope's handle"]
    );
    assert_eq!(
        attribute("token = t", "fn f() {}"),
        ["`#[cancel_scope]` can't watch `token` in sync code, which never awaits; \
          ask the token itself: `token.check()?`, `blocking::wait(token.wait())?`"]
    );
    assert_eq!(
        block(BlockKind::BlockingScope, "async { 1 }"),
        ["`blocking_scope!` runs its body in place, like any block; drop `async`"]
    );
}

#[test]
fn one_attribute_is_enough() {
    assert_eq!(
        attribute("timeout = 3s", "#[cancel_scope(name = \"x\")] async fn f() {}"),
        ["`#[cancel_scope]` is given twice; write all options into one"]
    );
    assert_eq!(attribute("timeout = 3s", "#[other::cancel_scope] async fn f() {}"), [""; 0]);
}

#[test]
fn options_of_a_child_have_their_forms() {
    spawn_says("name: \"x\", fetch()", &["`name` takes its value with `=`; write `name = …`"]);
    spawn_says("in = s, fetch()", &["the scope stands right behind `in`; write `in s`"]);
    spawn_says("fetch(), background", &["`background` stands behind the future; write the options first"]);
}

#[test]
fn a_fork_belongs_to_its_block() {
    assert_eq!(fork("@scope (slot) name = \"a\", background, fetch()"), [""; 0]);
    assert_eq!(
        fork("in s, fetch()"),
        ["a fork belongs to the block that it is written in; drop `in`, or write `spawn!(in s, …)`"]
    );
    assert_eq!(
        fork("fetch()"),
        [
            "`fork!` outside of a scope; put it in `scope!`, `shield!` or a `#[cancel_scope]` function, where no other \
          macro hides it"
        ]
    );
    assert_eq!(
        fork("@nested (forked) fetch()"),
        ["`fork!` inside a forked future has no scope of its own; open one there with `scope!({ … })`"]
    );
    assert_eq!(fork("@scope (slot)"), ["`fork!` has no future; write `fork!(future)`"]);
}

#[test]
fn arms_are_futures_or_spawns() {
    assert_eq!(race("a(), b.c, spawn!(name = \"d\", d()), path::spawn!(@scope (__scope0) e())"), [""; 0]);
    assert_eq!(race("race!(spawn!(a), b), async { scope!({ spawn!(c) }) }, spawn_it!(d)"), [""; 0]);
    assert_eq!(race("async { spawn!(in s, a) }, spawn!(name = n, in s, b).wrapped()"), [""; 0]);
    assert_eq!(race(""), ["`race!` has no arms; write `race!(future, …)`"]);
    assert_eq!(
        race("timeout = 3s, a()"),
        ["`race!` takes no options; open a scope around it: `scope!(timeout = 3s, { … })`"]
    );
    let stray = |word, otherwise| {
        format!(
            "`{word}!` inside an arm of `race!` belongs to no arm; {otherwise}put it in front of `race!`, or open \
             a scope in the arm: `scope!({{ … }})`"
        )
    };
    let (spawn, fork) =
        (stray("spawn", "let it be the whole arm, "), stray("fork", "write the future as an arm, "));
    assert_eq!(race("async { spawn!(a).await }, vec![fork!(b)].pop()"), [spawn, fork]);
    assert_eq!(race("spawn_blocking!(|| 1), b"), [stray("spawn_blocking", "")]);
}
