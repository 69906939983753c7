//! Tells `timeout = 3s, { body }` from `first = 1; second()`: the macro can't see whether it was called with
//! parentheses or with braces, and both begin alike.

use crate::options;
use proc_macro2::{Delimiter, Spacing, TokenTree};

/// Whether these are options and a body.
pub(super) fn is_list(trees: &[TokenTree]) -> bool {
    let [first, rest @ ..] = trees else { return true };
    let comma_next = is_punct(rest.first(), ',');
    match first {
        // A fragment of another macro.
        TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
            rest.is_empty() && is_list(&group.stream().into_iter().collect::<Vec<_>>())
        }
        TokenTree::Group(_) => is_brace(first) && (rest.is_empty() || comma_next || is_option(rest)),
        TokenTree::Punct(punct) => {
            punct.as_char() == '|' || (punct.as_char() == ',' && (rest.is_empty() || ends_with_body(trees)))
        }
        TokenTree::Literal(_) => comma_next,
        // Somebody took the body for a closure or a future.
        TokenTree::Ident(name) if name == "move" => true,
        TokenTree::Ident(name) if name == "async" => match rest {
            [body] => is_brace(body),
            [next, body] => is_brace(body) && matches!(next, TokenTree::Ident(next) if next == "move"),
            [next, ..] => is_punct(Some(next), '|'),
            [] => false,
        },
        TokenTree::Ident(name) => {
            let meant = options::resembles(&name.to_string());
            match rest {
                [] => options::find(&name.to_string()).is_some(),
                [TokenTree::Punct(punct), behind @ ..] => match punct.as_char() {
                    ',' => true,
                    '=' if punct.spacing() == Spacing::Alone || !is_punct(behind.first(), '=') => {
                        ends_with_body(trees) || (meant && !has_semicolon(trees))
                    }
                    '=' => meant && ends_with_body(trees),
                    ':' if punct.spacing() == Spacing::Alone => meant && ends_with_body(trees),
                    _ => ends_behind_comma(trees),
                },
                [TokenTree::Group(_), ..] if is_brace(&rest[0]) => options::find(&name.to_string()).is_some(),
                [TokenTree::Group(_), ..] => meant && ends_with_body(trees) || ends_behind_comma(trees),
                [TokenTree::Literal(_), ..] => meant,
                [TokenTree::Ident(_), ..] => meant && ends_with_body(trees),
            }
        }
    }
}

/// Whether an option stands here, behind a body.
fn is_option(trees: &[TokenTree]) -> bool {
    match trees {
        [TokenTree::Ident(name), rest @ ..] => {
            options::find(&name.to_string()).is_some()
                && (rest.is_empty() || is_punct(rest.first(), '='))
                && !has_semicolon(rest)
        }
        _ => false,
    }
}

/// Whether it ends with `, { … }` or `| { … }`, which no statement does.
fn ends_with_body(trees: &[TokenTree]) -> bool {
    let trees = match trees {
        [front @ .., last] if is_punct(Some(last), ',') => front,
        trees => trees,
    };
    match trees {
        [.., before, last] => {
            is_brace(last)
                && (is_punct(Some(before), ',')
                    || is_punct(Some(before), '|')
                    || (is_punct(Some(before), ';')
                        && trees.iter().filter(|tree| is_semicolon(tree)).count() == 1))
        }
        _ => false,
    }
}

/// Whether it is one thing after the other, and braces behind the last comma: whatever it is, it is no statement.
fn ends_behind_comma(trees: &[TokenTree]) -> bool {
    matches!(trees, [.., comma, last] if is_brace(last) && is_punct(Some(comma), ','))
        && !has_semicolon(trees)
}

fn has_semicolon(trees: &[TokenTree]) -> bool {
    trees.iter().any(is_semicolon)
}

fn is_semicolon(tree: &TokenTree) -> bool {
    is_punct(Some(tree), ';')
}

fn is_punct(tree: Option<&TokenTree>, char: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == char)
}

fn is_brace(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

#[cfg(test)]
mod tests {
    use super::is_list;

    #[track_caller]
    fn list(code: &str) -> bool {
        let tokens: proc_macro2::TokenStream = code.parse().unwrap();
        is_list(&tokens.into_iter().collect::<Vec<_>>())
    }

    #[test]
    fn options_before_a_body_are_a_list() {
        for code in [
            "",
            "{ body }",
            "{ body },",
            "|s| { body }",
            "timeout = 3s, { body }",
            "timeout = a::<B, C>(), { body },",
            "shield, { body }",
            "timeout = 3s",
            "timout = 3s, { body }",
            "frobnicate = 1, { body }",
            "frobnicate, { body }",
            "timeout = 3s { body }",
            "timeout 3s, { body }",
            "timeout: 3s, { body }",
            "timeout(3s), { body }",
            "timeout = 3s; { body }",
            "\"3s\", { body }",
            "crate = x, { body }",
            "name = \"x\", |s| { body }",
            "move |s| { body }",
            "async { body }",
            "async move { body }",
            "timeout == 3s, { body }",
            "{ body } timeout = 3s",
            "{ body } shield",
            "Duration::from_secs(3), { body }",
            "limit(), { body }",
            "self.limit, { body }",
            ",",
        ] {
            assert!(list(code), "{code}");
        }
    }

    #[test]
    fn statements_are_no_list() {
        for code in [
            "let x = 1; x",
            "x = 5; foo(x)",
            "timeout = limit(); run(timeout).await",
            "x = 5",
            "x == 5",
            "name == other",
            "fetch().await",
            "if a { b } else { c }",
            "{ a; } b",
            "first::<A, B>()",
            "let m: Map<A, B> = m(); { m }",
            "timeout; {}",
            "crate::fetch().await",
            "async { 1 }.await",
            "3 + 4",
            "x",
        ] {
            assert!(!list(code), "{code}");
        }
    }
}
