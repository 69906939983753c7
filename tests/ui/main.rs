//! What the compiler says when people err: one folder per macro, one file per mistake, with the messages beside it.
//!
//! After a change, look at what `TRYBUILD=overwrite cargo test -p scope-tests --test ui` changes, as somebody would who
//! made that mistake.

#[test]
fn mistakes_are_told_and_the_rest_compiles() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    let macros = [
        "blocking_scope",
        "cancel_scope",
        "detach",
        "fork",
        "race",
        "rustc",
        "scope",
        "shield",
        "spawn",
        "spawn_blocking",
        "test",
        "try_join",
    ];
    for called in macros {
        cases.compile_fail(format!("ui/{called}/*.rs"));
    }
}
