//! Names of generated locals. Blocks that are expanded together share their hygiene, so each level has its own.

use proc_macro2::{Ident, Span};
use quote::format_ident;

pub(crate) fn scope(level: usize) -> Ident {
    local("scope", level)
}

/// The forks of one `fork!` of the block.
pub(crate) fn forks(level: usize, number: usize) -> Ident {
    format_ident!("forks_outlive_the_body{level}_{number}", span = Span::mixed_site())
}

/// What lends to the threads of a sync block.
pub(crate) fn threads(level: usize) -> Ident {
    format_ident!("threads_outlive_the_body{level}", span = Span::mixed_site())
}

pub(crate) fn jump(level: usize) -> Ident {
    local("jump", level)
}

pub(crate) fn value(level: usize) -> Ident {
    local("value", level)
}

pub(crate) fn returns(level: usize) -> Ident {
    local("ret", level)
}

/// The scope itself. If the user has named it, the compiler should speak of it by that name.
pub(crate) fn owner(binding: Option<&Ident>, level: usize) -> Ident {
    let mut owner = binding.cloned().unwrap_or_else(|| local("own", level));
    owner.set_span(Span::mixed_site().located_at(owner.span()));
    owner
}

fn local(word: &str, level: usize) -> Ident {
    format_ident!("__{word}{level}", span = Span::mixed_site())
}
