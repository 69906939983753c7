//! Collects every mistake of one invocation with its place, so that all of them are reported at once.

use crate::model::Runtime;
use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use std::fmt::Display;
use syn::{Expr, Macro, MacroDelimiter, token};

/// The mistakes found so far.
pub(crate) struct Diagnostics {
    /// Where the macro is that hands code on to the compiler.
    runtime: Runtime,
    errors: Vec<syn::Error>,
    /// Those that are told by the code that stands in the place of what is missing.
    in_place: Vec<syn::Error>,
}

impl Default for Diagnostics {
    fn default() -> Self {
        Self::new(Runtime(quote!(::scope_runtime)))
    }
}

impl Diagnostics {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Diagnostics { runtime, errors: Vec::new(), in_place: Vec::new() }
    }

    /// The runtime goes by another name here.
    pub(crate) fn speak_of(&mut self, runtime: Runtime) {
        self.runtime = runtime;
    }

    /// For an attempt that may come to nothing.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.runtime.clone())
    }

    pub(crate) fn take_over(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.in_place.extend(other.in_place);
    }

    /// Reports a mistake at one token.
    pub(crate) fn at(&mut self, span: Span, message: impl Display) {
        self.errors.push(syn::Error::new(span, message));
    }

    /// Reports a mistake that covers several tokens.
    pub(crate) fn on(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.errors.push(syn::Error::new_spanned(tokens, message));
    }

    /// Reports that something is missing, by an expression to be put in its place: it fits everywhere.
    pub(crate) fn missing(&mut self, span: Span, message: impl Display) -> Expr {
        let error = syn::Error::new(span, message);
        let told = error.to_compile_error();
        self.in_place.push(error);
        Expr::Verbatim(quote_spanned!(Span::mixed_site()=> { #told }))
    }

    /// The function that gives back what it gets: whatever is wrong with an argument, the call can be read.
    pub(crate) fn same(&self) -> TokenStream {
        let runtime = self.runtime.as_written();
        quote_spanned!(Span::mixed_site()=> #runtime::same)
    }

    /// Code that can't be read, in a macro that hands it on. The compiler says what is wrong with it.
    pub(crate) fn unread(&mut self, code: TokenStream) -> Macro {
        let (runtime, at) = (&self.runtime.0, Span::mixed_site());
        let segment = |name| syn::PathSegment::from(syn::Ident::new(name, at));
        let mut path = syn::Path { leading_colon: None, segments: [segment("scope")].into_iter().collect() };
        if let Ok(library) = syn::parse2::<syn::Path>(runtime.clone()) {
            path = library;
            path.segments.push(segment("scope"));
        }
        Macro {
            path,
            bang_token: token::Not(at),
            delimiter: MacroDelimiter::Brace(token::Brace(at)),
            tokens: quote_spanned!(at=> @expanded #code),
        }
    }

    /// Reports code that is no Rust, in the parser's words.
    pub(crate) fn syntax(&mut self, error: syn::Error) {
        self.errors.push(error);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors as items or statements that raise them.
    pub(crate) fn into_tokens(self) -> TokenStream {
        self.errors.iter().map(syn::Error::to_compile_error).collect()
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        let errors = self.errors.iter().chain(&self.in_place);
        errors.flat_map(|error| error.into_iter().map(|error| error.to_string())).collect()
    }
}

/// The name that was probably meant by `word`.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |name: &&str| {
        // A third of the word may be wrong; below three letters nothing is near.
        let most = name.len().max(word.len()) / 3;
        if name.len().abs_diff(word.len()) > most {
            return None;
        }
        Some(distance(word, name)).filter(|distance| *distance <= most)
    };
    names
        .into_iter()
        .filter_map(|name| near(&name).map(|distance| (distance, name)))
        .min()
        .map(|(_, name)| name)
}

/// How many letters were left out, added, replaced, or swapped with their neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

/// `` `a`, `b` and `c` ``
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::{list, nearest};

    const NAMES: [&str; 4] = ["timeout", "shield", "name", "cleanup_timeout"];

    #[test]
    fn a_swap_or_a_missing_letter_is_near() {
        assert_eq!(nearest("timout", NAMES), Some("timeout"));
        assert_eq!(nearest("sheild", NAMES), Some("shield"));
        assert_eq!(nearest("time_out", NAMES), Some("timeout"));
        assert_eq!(nearest("cleanup", NAMES), None);
        assert_eq!(nearest("x", NAMES), None);
    }

    #[test]
    fn a_list_reads_as_a_sentence() {
        assert_eq!(list(["a"]), "`a`");
        assert_eq!(list(["a", "b", "c"]), "`a`, `b` and `c`");
    }
}
