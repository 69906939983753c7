//! What the walk finds, and what it leaves alone.

use super::{Boundary, Misuse, Surroundings, body};
use crate::diagnostics::Diagnostics;
use crate::model::{Exits, Runtime, Side};
use quote::{ToTokens, quote};
use syn::{Block, Stmt};

struct Walked {
    jumps: Vec<String>,
    exits: Exits,
    spawns: bool,
    forks: usize,
    misuses: Vec<&'static str>,
    code: String,
}

fn walk_in(boundary: Boundary, side: Side, code: &str) -> Walked {
    let block: Block = syn::parse_str(&format!("{{ {code} }}")).unwrap();
    let mut statements: Vec<Stmt> = block.stmts;
    let runtime = Runtime(quote!(rt));
    let around = Surroundings { runtime: &runtime, level: 0, boundary, side };
    let mut diagnostics = Diagnostics::default();
    let (facts, misuses) = body(&mut statements, &around, &mut diagnostics);
    assert_eq!(diagnostics.messages(), [""; 0]);
    Walked {
        jumps: facts.jumps.iter().map(|jump| jump.landing.to_token_stream().to_string()).collect(),
        exits: facts.exits,
        spawns: facts.spawns,
        forks: facts.forks,
        misuses: misuses
            .iter()
            .map(|misuse| match misuse {
                Misuse::ValueJump { .. } => "value",
                Misuse::UnreadableJump { .. } => "unreadable",
                Misuse::Leak { .. } => "leak",
                Misuse::Yield { .. } => "yield",
                Misuse::WrongSide { .. } => "side",
                Misuse::Await { .. } => "await",
            })
            .collect(),
        code: quote!(#(#statements)*).to_string(),
    }
}

fn walk(code: &str) -> Walked {
    walk_in(Boundary::Crossed, Side::Async, code)
}

#[test]
fn a_jump_leaves_unless_something_inside_catches_it() {
    assert_eq!(walk("break;").jumps, ["break"]);
    assert_eq!(walk("if a { continue 'l } else { break 'l }").jumps, ["continue 'l", "break 'l"]);
    assert_eq!(walk("loop { break; continue; }").jumps, [""; 0]);
    assert_eq!(walk("'l: loop { loop { break 'l; } }").jumps, [""; 0]);
    assert_eq!(walk("loop { break 'outer; }").jumps, ["break 'outer"]);
    assert_eq!(walk("'l: { break 'l; }").jumps, [""; 0]);
    assert_eq!(walk("'l: { break; }").jumps, ["break"]);
    assert_eq!(walk("while a { continue }").jumps, [""; 0]);
    assert_eq!(walk("for x in { break } { continue }").jumps, ["break"]);
    assert_eq!(walk("match a { b if { break } => {}, _ => {} }").jumps, ["break"]);
    assert_eq!(walk("let Some(x) = y else { continue };").jumps, ["continue"]);
}

#[test]
fn what_async_stream_makes_of_a_yield_is_a_yield() {
    let code = "{ #[allow(unreachable_code)] if false { break '__async_stream_private_check_scope (loop {}); } \
                __yield_tx.send(1).await };";
    assert_eq!(walk(code).misuses, ["yield"]);
    assert_eq!(walk(&format!("stream(async {{ {code} }});")).misuses, [""; 0]);
}

#[test]
fn each_target_has_one_number() {
    let walked = walk("if a { break } if b { continue } break;");
    assert_eq!(walked.jumps, ["break", "continue"]);
    assert_eq!(walked.code.matches("__jump0 = 1").count(), 2);
    assert_eq!(walked.code.matches("__jump0 = 2").count(), 1);
}

#[test]
fn closures_async_blocks_and_items_are_walls() {
    let walked = walk("|| { break; return a?; }; async { continue; b? }; fn f() { return; } const { 1 };");
    assert_eq!(walked.jumps, [""; 0]);
    assert_eq!(walked.exits, Exits::Never);
}

#[test]
fn exits_are_seen_or_suspected() {
    assert_eq!(walk("f().await").exits, Exits::Never);
    assert_eq!(walk("f()?;").exits, Exits::Seen);
    assert_eq!(walk("loop { return; }").exits, Exits::Seen);
    assert_eq!(walk("println!(\"{}\", a?);").exits, Exits::Seen);
    assert_eq!(walk("println!(\"{a:?}\");").exits, Exits::Never);
    assert_eq!(walk("info!(?a, b = ?c, \"text\");").exits, Exits::Never);
    assert_eq!(walk("bail!(\"x\");").exits, Exits::Seen);
    assert_eq!(walk("other!(x);").exits, Exits::Hidden);
    assert_eq!(walk("other!(a => return);").exits, Exits::Seen);
    assert_eq!(walk("vec![|| a?];").exits, Exits::Never);
}

#[test]
fn nested_blocks_pass_on_what_leaves_them() {
    let walked = walk("scope!({ shield!({ if a { continue } break 'l; }) });");
    assert_eq!(walked.jumps, ["continue", "break 'l"]);
    assert_eq!(walked.exits, Exits::Never);
    assert_eq!(walk("loop { scope!({ break; }); }").jumps, [""; 0]);
    assert_eq!(walk("scope!({ a?; });").exits, Exits::Seen);
    assert_eq!(walk("scope!({ spawn!(a); });").exits, Exits::Hidden);
    assert!(!walk("scope!({ spawn!(a); });").spawns);
    assert_eq!(walk("scope!(timeout = { break }, fallback = continue, {});").jumps, ["break", "continue"]);
    assert_eq!(walk("async { scope!({ return; }) };").exits, Exits::Never);
}

#[test]
fn in_a_function_blocks_are_left_to_themselves() {
    let code = "scope ! ({ spawn ! (a) ; }) ; break ;";
    let walked = walk_in(Boundary::Final, Side::Async, code);
    assert_eq!(walked.code, walk_in(Boundary::Final, Side::Async, &walked.code).code);
    assert!(walked.code.contains("spawn ! (a)"));
    assert_eq!(walked.jumps, [""; 0]);
    assert!(!walked.spawns);
}

#[test]
fn spawns_are_told_their_scope() {
    assert_eq!(walk("spawn!(f())").code, "spawn ! (@ scope (__scope0) f ())");
    assert_eq!(
        walk("rt::spawn!(name = \"x\", f())").code,
        "rt :: spawn ! (@ scope (__scope0) name = \"x\" , f ())"
    );
    assert_eq!(walk("spawn!(f());").code, "spawn ! (@ unheld (__scope0) f ()) ;");
    assert_eq!(walk("assert!(spawn!(a));").code, "assert ! (spawn ! (@ scope (__scope0) a)) ;");
    assert_eq!(walk("let _ = spawn!(a);").code, "let _ = spawn ! (@ scope (__scope0) a) ;");
    assert_eq!(walk("vec![spawn!(a)]").code, "vec ! [spawn ! (@ scope (__scope0) a)]");
    assert_eq!(walk("|| async { spawn!(a) }").code, "| | async { spawn ! (@ scope (__scope0) a) }");
    assert_eq!(walk("spawn!(in s, f())").code, "spawn ! (in s , f ())");
    assert!(!walk("spawn!(in s, f())").spawns);
    assert_eq!(
        walk("spawn!(async { spawn!(a) })").code,
        "spawn ! (@ scope (__scope0) async { spawn ! (@ nested (spawned) a) })"
    );
    assert!(walk("fn f() { spawn!(a) }").code.contains("spawn ! (a)"));
}

#[test]
fn forks_are_told_their_slots() {
    let walked = walk("fork!(a); || fork!(name = \"b\", b); race!(c, fork!(d)); spawn!(e);");
    assert_eq!(
        walked.code,
        "fork ! (@ scope (forks_outlive_the_body0_0) a) ; | | fork ! (@ scope (forks_outlive_the_body0_1) name = \"b\" , b) ; \
         race ! (c , fork ! (@ scope (forks_outlive_the_body0_2) d)) ; spawn ! (@ unheld (__scope0) e) ;"
    );
    assert_eq!((walked.spawns, walked.forks), (true, 3));
    assert_eq!(
        walk("fork!(async { spawn!(a) }); spawn!(async { fork!(b) }); fork!(in s, c)").code,
        "fork ! (@ scope (forks_outlive_the_body0_0) async { spawn ! (@ nested (forked) a) }) ; \
         spawn ! (@ unheld (__scope0) async { fork ! (@ nested (spawned) b) }) ; fork ! (in s , c)"
    );
    // Each block counts its own.
    let nested = walk("fork!(a); scope!({ fork!(b) }); fork!(c)").code;
    assert!(
        nested.contains("forks_outlive_the_body0_0")
            && nested.contains("forks_outlive_the_body1_0")
            && nested.contains("forks_outlive_the_body0_1")
    );
}

#[test]
fn select_arms_are_read() {
    let walked = walk(
        "tokio::select! { biased; Some(x) = a.recv(), if b => { break } _ = c => continue 'l, else => return, }",
    );
    assert_eq!(walked.jumps, ["break", "continue 'l"]);
    assert_eq!(walked.exits, Exits::Seen);
    assert_eq!(walked.misuses, [""; 0]);
}

#[test]
fn macros_that_cannot_be_read_may_not_jump_out() {
    assert_eq!(walk("other!(x => break);").misuses, ["unreadable"]);
    assert_eq!(walk("other!(x => loop { break });").misuses, [""; 0]);
    assert_eq!(walk("loop { other!(x => break); }").misuses, [""; 0]);
    assert_eq!(walk("loop { other!(x => break 'l); }").misuses, ["unreadable"]);
    assert_eq!(walk("'l: loop { other!(x => break 'l); }").misuses, [""; 0]);
    assert_eq!(walk("other!(x => 'l: loop { loop { break 'l } });").misuses, [""; 0]);
    assert_eq!(walk("vec![if a { break } else { 1 }; 3];").misuses, [""; 0]);
}

#[test]
fn leaks_yields_and_carried_values_are_noted() {
    assert_eq!(walk("tokio::spawn(a);").misuses, ["leak"]);
    assert_eq!(walk("::tokio::task::spawn(a);").misuses, ["leak"]);
    assert_eq!(walk("vec![std::thread::spawn(a)];").misuses, ["leak"]);
    assert_eq!(walk("spawn(a); s.spawn(b); own::spawn(c);").misuses, [""; 0]);
    assert_eq!(walk("yield 1;").misuses, ["yield"]);
    assert_eq!(walk("stream! { for x in y { yield x; } };").misuses, [""; 0]);
    assert_eq!(walk("break 1;").misuses, ["value"]);
    assert_eq!(walk("let x = loop { break 1; };").misuses, [""; 0]);
}

fn walk_sync(code: &str) -> Walked {
    walk_in(Boundary::Crossed, Side::Sync, code)
}

#[test]
fn async_code_stands_on_its_own_side() {
    for code in [
        "spawn!(a);",
        "scope!({ a });",
        "fork!(a);",
        "race!(a, b);",
        "try_join!(a);",
        "defer(async { a });",
        "guard(a, |a| async { a });",
    ] {
        assert_eq!(walk_sync(code).misuses, ["side"], "{code}");
    }
    assert_eq!(walk_sync("a.await;").misuses, ["await"]);
    assert_eq!(walk_sync("spawn_blocking!(|| a.await);").misuses, [""; 0], "the compiler says it");
    assert_eq!(walk_sync("blocking::wait(async { a.await; scope!({ b }) });").misuses, [""; 0]);
    assert_eq!(walk_sync("spawn_blocking!(|| blocking_scope!({ a }));").misuses, [""; 0]);
    assert_eq!(walk_sync("spawn!(in s, a); defer(a); runtime.defer(async {}); other::guard(a, |a| async {}); select! { a => b }").misuses, [""; 0]);
    assert_eq!(walk("blocking_scope!({ a });").misuses, ["side"]);
    assert_eq!(
        walk("|| blocking_scope!({ a }); spawn_blocking!(|| blocking_scope!({ a }));").misuses,
        [""; 0]
    );
    assert_eq!(walk("|| scope!({ a });").misuses, ["side"]);
}

#[test]
fn w4_an_await_is_noted_unless_it_stands_in_the_arguments_of_a_macro() {
    let noted = |code: &str| walk(code).code.matches("AwaitSite").count();
    assert_eq!(noted("a.await; loop { b().await? }"), 2);
    assert_eq!(noted("assert!(a.await);"), 0);
    assert_eq!(
        noted("assert!(a.await?); dbg!(spawn!(b).await);"),
        0,
        "they are read for what else is in them"
    );
    assert_eq!(noted("assert_eq!(a.await, 1, \"{}\", b.await);"), 0);
}

#[test]
fn a_thread_of_a_sync_scope_may_borrow() {
    let walked = walk_sync("spawn_blocking!(|| a);");
    assert_eq!(walked.code, "spawn_blocking ! (@ lending (__scope0) (threads_outlive_the_body0) | | a) ;");
    let walked = walk_sync("spawn_blocking!(abandon, || a);");
    assert_eq!(walked.code, "spawn_blocking ! (@ scope (__scope0) abandon , | | a) ;");
    let walked = walk("spawn_blocking!(|| a);");
    assert_eq!(walked.code, "spawn_blocking ! (@ scope (__scope0) | | a) ;");
}

#[test]
fn a_shield_is_told_its_side() {
    let walk_function = |side, code| walk_in(Boundary::Final, side, code).code;
    assert_eq!(walk_function(Side::Sync, "shield!({ a });"), "shield ! (@ blocking { a }) ;");
    assert_eq!(walk_function(Side::Async, "|| shield!({ a });"), "| | shield ! (@ blocking { a }) ;");
    assert_eq!(walk_function(Side::Async, "shield!({ a });"), "shield ! ({ a }) ;");
}
