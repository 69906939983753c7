//! Other people's macros, as far as their arguments are Rust: comma-separated expressions, `vec![x; n]`, `select!`.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::{Parse, ParseStream, discouraged::Speculative as _};
use syn::punctuated::Punctuated;
use syn::{Expr, Ident, Macro, Pat, Token};

/// Arguments that can be walked and printed again.
pub(crate) enum Arguments {
    List { biased: Option<Biased>, items: Punctuated<Expr, Token![,]> },
    Repeat { value: Box<Expr>, semicolon: Token![;], length: Box<Expr> },
    Select { biased: Option<Biased>, arms: Vec<SelectArm> },
}

pub(crate) struct SelectArm {
    head: SelectHead,
    arrow: Token![=>],
    handler: Expr,
    comma: Option<Token![,]>,
}

enum SelectHead {
    /// `else`, or futures' `complete` and `default`
    Word(Ident),
    Branch {
        pattern: Box<Pat>,
        equals: Token![=],
        future: Box<Expr>,
        condition: Option<(Token![,], Token![if], Box<Expr>)>,
    },
}

/// `biased;`
pub(crate) struct Biased(Ident, Token![;]);

impl Arguments {
    /// Reads a macro's arguments; `None` if they are in a language of its own.
    pub(crate) fn of(mac: &Macro) -> Option<Self> {
        let name = mac.path.segments.last()?.ident.to_string();
        let parse = match name.as_str() {
            "select" | "select_biased" => select,
            "vec" => vec_like,
            _ => list,
        };
        mac.parse_body_with(parse).ok()
    }

    /// The expressions in them, in order.
    pub(crate) fn expressions_mut(&mut self) -> Vec<&mut Expr> {
        match self {
            Arguments::List { items, biased: _ } => items.iter_mut().collect(),
            Arguments::Repeat { value, length: _, semicolon: _ } => vec![value],
            Arguments::Select { arms, biased: _ } => arms
                .iter_mut()
                .flat_map(|arm| {
                    let head = match &mut arm.head {
                        SelectHead::Word(_) => [None, None],
                        SelectHead::Branch { future, condition, .. } => [
                            Some(&mut **future),
                            condition.as_mut().map(|(_, _, condition)| &mut **condition),
                        ],
                    };
                    head.into_iter().flatten().chain([&mut arm.handler])
                })
                .collect(),
        }
    }
}

fn list(input: ParseStream<'_>) -> syn::Result<Arguments> {
    Ok(Arguments::List { biased: biased(input), items: Punctuated::parse_terminated(input)? })
}

fn vec_like(input: ParseStream<'_>) -> syn::Result<Arguments> {
    let fork = input.fork();
    if let Ok(value) = fork.parse::<Expr>()
        && fork.peek(Token![;])
    {
        input.advance_to(&fork);
        return Ok(Arguments::Repeat {
            value: Box::new(value),
            semicolon: input.parse()?,
            length: Box::new(input.parse()?),
        });
    }
    list(input)
}

fn select(input: ParseStream<'_>) -> syn::Result<Arguments> {
    let biased = biased(input);
    let mut arms = Vec::new();
    while !input.is_empty() {
        arms.push(input.parse()?);
    }
    Ok(Arguments::Select { biased, arms })
}

fn biased(input: ParseStream<'_>) -> Option<Biased> {
    let fork = input.fork();
    let word = fork.parse::<Ident>().ok().filter(|word| word == "biased")?;
    let semicolon = fork.parse().ok()?;
    input.advance_to(&fork);
    Some(Biased(word, semicolon))
}

impl Parse for SelectArm {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let head = input.parse()?;
        let arrow = input.parse()?;
        let handler = Expr::parse_with_earlier_boundary_rule(input)?;
        let comma: Option<Token![,]> = input.parse()?;
        if comma.is_none() && !input.is_empty() && !matches!(handler, Expr::Block(_)) {
            return Err(input.error("expected `,`"));
        }
        Ok(SelectArm { head, arrow, handler, comma })
    }
}

impl Parse for SelectHead {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let fork = input.fork();
        if let Ok(word) = syn::ext::IdentExt::parse_any(&fork)
            && fork.peek(Token![=>])
        {
            input.advance_to(&fork);
            return Ok(SelectHead::Word(word));
        }
        let pattern = Box::new(Pat::parse_multi_with_leading_vert(input)?);
        let equals = input.parse()?;
        let future = input.parse()?;
        let condition =
            if input.peek(Token![,]) { Some((input.parse()?, input.parse()?, input.parse()?)) } else { None };
        Ok(SelectHead::Branch { pattern, equals, future, condition })
    }
}

impl ToTokens for Biased {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.0.to_tokens(tokens);
        self.1.to_tokens(tokens);
    }
}

impl ToTokens for Arguments {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Arguments::List { biased, items } => {
                biased.to_tokens(tokens);
                items.to_tokens(tokens);
            }
            Arguments::Repeat { value, semicolon, length } => {
                value.to_tokens(tokens);
                semicolon.to_tokens(tokens);
                length.to_tokens(tokens);
            }
            Arguments::Select { biased, arms } => {
                biased.to_tokens(tokens);
                tokens.extend(arms.iter().map(ToTokens::to_token_stream));
            }
        }
    }
}

impl ToTokens for SelectArm {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match &self.head {
            SelectHead::Word(word) => word.to_tokens(tokens),
            SelectHead::Branch { pattern, equals, future, condition } => {
                pattern.to_tokens(tokens);
                equals.to_tokens(tokens);
                future.to_tokens(tokens);
                if let Some((comma, if_token, condition)) = condition {
                    comma.to_tokens(tokens);
                    if_token.to_tokens(tokens);
                    condition.to_tokens(tokens);
                }
            }
        }
        self.arrow.to_tokens(tokens);
        self.handler.to_tokens(tokens);
        self.comma.to_tokens(tokens);
    }
}
