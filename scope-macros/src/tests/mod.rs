//! The macros as wholes: tokens in, tokens out.

mod around;
mod expansions;
mod fuzz;
mod half_typed;

use crate::model::{BlockKind, RaceKind, SpawnKind};
use crate::pipeline;
use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

/// Everything that the crate offers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Called {
    Attribute,
    Test,
    Scope,
    BlockingScope,
    Shield,
    Spawn,
    Fork,
    SpawnBlocking,
    Detach,
    Race,
    TryJoin,
}

/// What `scope_runtime`'s `macro_rules!` put in front of the user's code.
pub(crate) fn with_runtime(input: TokenStream) -> TokenStream {
    quote!([::scope_runtime] #input)
}

/// Expands a macro that stands by itself; an attribute's options come first, as in `(options) item`.
pub(crate) fn expand(called: Called, input: TokenStream) -> TokenStream {
    match called {
        Called::Attribute | Called::Test => {
            let mut trees = input.into_iter();
            let options = match trees.next() {
                Some(TokenTree::Group(options)) => options.stream(),
                _ => TokenStream::new(),
            };
            let attribute = if matches!(called, Called::Test) { pipeline::test } else { pipeline::attribute };
            attribute(options, trees.collect())
        }
        Called::Scope => pipeline::block_macro(BlockKind::Scope, with_runtime(input)),
        Called::BlockingScope => pipeline::block_macro(BlockKind::BlockingScope, with_runtime(input)),
        Called::Shield => pipeline::block_macro(BlockKind::Shield, with_runtime(input)),
        Called::Spawn => pipeline::spawn_macro(SpawnKind::Task, with_runtime(quote!(@scope (s) #input))),
        Called::SpawnBlocking => {
            pipeline::spawn_macro(SpawnKind::Thread, with_runtime(quote!(@scope (s) #input)))
        }
        Called::Fork => pipeline::fork_macro(with_runtime(quote!(@scope (s) #input))),
        Called::Detach => pipeline::detach_macro(with_runtime(input)),
        Called::Race => pipeline::race_macro(RaceKind::Race, with_runtime(input)),
        Called::TryJoin => pipeline::race_macro(RaceKind::TryJoin, with_runtime(input)),
    }
}

/// Whether an expansion is what may stand where the macro stood.
pub(crate) fn parses(called: Called, expansion: TokenStream) -> syn::Result<()> {
    match called {
        Called::Attribute | Called::Test => syn::parse2::<syn::File>(expansion).map(drop),
        _ => syn::parse2::<syn::Expr>(expansion).map(drop),
    }
}

/// Built without what tests need, the attribute says so, and the function is left as it was.
#[test]
fn a_test_without_the_feature_is_told_what_to_write() {
    let expanded = pipeline::test_without_feature(quote!(
        async fn f() {}
    ))
    .to_string();
    assert!(expanded.starts_with("# [allow (unused)] async fn f () { }"), "{expanded}");
    let told = r#"features = [\"test-util\"]"#;
    assert!(
        expanded.contains("`#[scope_runtime::test]` needs the feature `test-util`")
            && expanded.contains(told),
        "{expanded}"
    );
}
