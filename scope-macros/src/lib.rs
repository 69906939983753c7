//! The procedural macros of `scope-runtime`, which is the crate to depend on: it re-exports them, and documents them.
//!
//! One way through the crate, one module per step, walked in `pipeline`: `parse` turns tokens into syntax and judges
//! nothing; `check` judges, and makes a `model` of what was meant, for which it lets `rewrite` walk over the user's
//! code; `expand` prints the model and cannot fail. After a mistake, `fallback` prints what is left of the user's
//! code, so that nothing else turns red. `options` is the one table of what can be written in front of a body.

mod check;
mod diagnostics;
mod expand;
mod fallback;
mod model;
mod options;
mod parse;
mod pipeline;
mod rewrite;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// `#[cancel_scope(options)]`: documented where `scope-runtime` re-exports it.
#[proc_macro_attribute]
pub fn cancel_scope(arguments: TokenStream, item: TokenStream) -> TokenStream {
    pipeline::attribute(arguments.into(), item.into()).into()
}

/// `#[scope_runtime::test(options)]`: documented where `scope-runtime` re-exports it.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    pipeline::test(arguments.into(), item.into()).into()
}

/// What stands for [`macro@test`] in a `scope-runtime` that was built without what tests need.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn __test_without_feature(_: TokenStream, item: TokenStream) -> TokenStream {
    pipeline::test_without_feature(item.into()).into()
}

/// Called by `scope_runtime::scope!`.
#[doc(hidden)]
#[proc_macro]
pub fn __scope(input: TokenStream) -> TokenStream {
    pipeline::block_macro(model::BlockKind::Scope, input.into()).into()
}

/// Called by `scope_runtime::blocking_scope!`.
#[doc(hidden)]
#[proc_macro]
pub fn __blocking_scope(input: TokenStream) -> TokenStream {
    pipeline::block_macro(model::BlockKind::BlockingScope, input.into()).into()
}

/// Called by `scope_runtime::shield!`.
#[doc(hidden)]
#[proc_macro]
pub fn __shield(input: TokenStream) -> TokenStream {
    pipeline::block_macro(model::BlockKind::Shield, input.into()).into()
}

/// Called by `scope_runtime::spawn!`.
#[doc(hidden)]
#[proc_macro]
pub fn __spawn(input: TokenStream) -> TokenStream {
    pipeline::spawn_macro(model::SpawnKind::Task, input.into()).into()
}

/// Called by `scope_runtime::spawn_blocking!`.
#[doc(hidden)]
#[proc_macro]
pub fn __spawn_blocking(input: TokenStream) -> TokenStream {
    pipeline::spawn_macro(model::SpawnKind::Thread, input.into()).into()
}

/// Called by `scope_runtime::fork!`.
#[doc(hidden)]
#[proc_macro]
pub fn __fork(input: TokenStream) -> TokenStream {
    pipeline::fork_macro(input.into()).into()
}

/// Called by `scope_runtime::detach!`.
#[doc(hidden)]
#[proc_macro]
pub fn __detach(input: TokenStream) -> TokenStream {
    pipeline::detach_macro(input.into()).into()
}

/// Called by `scope_runtime::race!`.
#[doc(hidden)]
#[proc_macro]
pub fn __race(input: TokenStream) -> TokenStream {
    pipeline::race_macro(model::RaceKind::Race, input.into()).into()
}

/// Called by `scope_runtime::try_join!`.
#[doc(hidden)]
#[proc_macro]
pub fn __try_join(input: TokenStream) -> TokenStream {
    pipeline::race_macro(model::RaceKind::TryJoin, input.into()).into()
}
