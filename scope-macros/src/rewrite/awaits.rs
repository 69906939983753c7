//! Notes each `.await` before it begins, so that a cancel can say where it landed.

use super::Walk;
use crate::expand::parts;
use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote_spanned};
use syn::spanned::Spanned as _;
use syn::visit_mut;
use syn::{Expr, ExprAwait};

/// Longer expressions than this are cut.
const LENGTH: usize = 80;

impl Walk<'_> {
    pub(super) fn awaited(&mut self, awaited: &mut ExprAwait) {
        let text = tidied(&awaited.base);
        visit_mut::visit_expr_await_mut(self, awaited);
        // What stands in a macro's arguments is shown to people as it is written, by `assert!` for one.
        if self.in_macro {
            return;
        }
        let base = &awaited.base;
        let place = base.span();
        let at = Span::mixed_site().located_at(place);
        // As it was written: a crate that is not there is told of once, and not at each await.
        let rt = self.around.runtime.as_written();
        let [file, line, column] = [
            quote_spanned!(place=> ::core::file!()),
            quote_spanned!(place=> ::core::line!()),
            quote_spanned!(place=> ::core::column!()),
        ];
        let site = quote_spanned!(at=> const { &#rt::AwaitSite::new(#file, #line, #column, #text) });
        let noted = parts::call(quote_spanned!(at=> #rt::at), quote_spanned!(at=> #base, #site), base);
        *awaited.base = Expr::Verbatim(noted);
    }
}

/// The expression on one line, printed close to how people write it: the source itself can't be read here.
fn tidied(expr: &Expr) -> String {
    let mut text = String::new();
    print(expr.to_token_stream(), &mut text);
    if let Some((end, _)) = text.char_indices().nth(LENGTH) {
        text.truncate(end);
        text.push('…');
    }
    text
}

fn print(tokens: TokenStream, text: &mut String) {
    for tree in tokens {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => (" { ", " }"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                print(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Punct(punct) => match punct.as_char() {
                ',' | ';' => {
                    text.push(punct.as_char());
                    text.push(' ');
                }
                '=' | '+' | '/'
                    if punct.spacing() == Spacing::Alone && !text.ends_with(['=', '<', '>', '!']) =>
                {
                    text.push(' ');
                    text.push(punct.as_char());
                    text.push(' ');
                }
                other => text.push(other),
            },
            word @ (TokenTree::Ident(_) | TokenTree::Literal(_)) => {
                if text.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"') {
                    text.push(' ');
                }
                text.push_str(&word.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tidied;

    #[test]
    fn an_expression_is_told_as_it_is_written() {
        for code in [
            "sleep(Duration::from_secs(60))",
            "self.conn.query(&sql, 3)",
            "fetch::<Page>(&mut url[0])",
            "async move { 1 }",
            "a + b(\"x\", 'y', |c|c)",
            "client.get(\"a b\").header(NAME, value?)",
        ] {
            assert_eq!(tidied(&syn::parse_str(code).unwrap()), code);
        }
    }

    #[test]
    fn a_long_expression_is_cut() {
        let long = tidied(&syn::parse_str(&format!("f({})", "a".repeat(100))).unwrap());
        assert_eq!(long, format!("f({}…", "a".repeat(78)));
    }
}
