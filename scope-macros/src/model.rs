//! What was meant, after [`check`](crate::check) has judged it. None of these types can hold a contradiction.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use std::time::Duration;
use syn::{Expr, ExprMacro, Pat, Stmt};

/// The path to `scope_runtime`, as the user's crate can name it.
#[derive(Clone)]
pub(crate) struct Runtime(pub(crate) TokenStream);

impl Runtime {
    /// The path to what expansions call, blamed on `at` if something about it is wrong.
    pub(crate) fn private(&self, at: Span) -> TokenStream {
        let mut path: TokenStream = self
            .0
            .clone()
            .into_iter()
            .map(|mut token: TokenTree| {
                // The resolution has to stay: `$crate` means something in the macro that wrote it only.
                token.set_span(token.span().located_at(at));
                token
            })
            .collect();
        path.extend(quote::quote_spanned!(Span::mixed_site().located_at(at)=> ::__private));
        path
    }

    /// The same path, blamed on itself.
    pub(crate) fn as_written(&self) -> TokenStream {
        let path = &self.0;
        quote::quote_spanned!(Span::mixed_site()=> #path::__private)
    }
}

/// A place in the user's code that the runtime can name.
pub(crate) struct Site {
    pub(crate) kind: SiteKind,
    /// The literal name, or nothing.
    pub(crate) name: String,
    /// The token whose line and column are told.
    pub(crate) place: Span,
}

#[derive(Clone, Copy)]
pub(crate) enum SiteKind {
    Scope,
    Shield,
    Function,
    Task,
    Race,
}

/// Code that awaits, or code that blocks its thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Async,
    Sync,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    Scope,
    BlockingScope,
    /// On whatever side it is written.
    Shield,
}

impl BlockKind {
    pub(crate) fn called(self) -> &'static str {
        match self {
            BlockKind::Scope => "scope!",
            BlockKind::BlockingScope => "blocking_scope!",
            BlockKind::Shield => "shield!",
        }
    }

    /// The side that it belongs to, if it is one of its own.
    pub(crate) fn side(self) -> Option<Side> {
        match self {
            BlockKind::Scope => Some(Side::Async),
            BlockKind::BlockingScope => Some(Side::Sync),
            BlockKind::Shield => None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpawnKind {
    Task,
    Thread,
}

impl SpawnKind {
    pub(crate) fn called(self) -> &'static str {
        match self {
            SpawnKind::Task => "spawn!",
            SpawnKind::Thread => "spawn_blocking!",
        }
    }
}

/// One option that the runtime is told, in the order written: their expressions have effects.
pub(crate) enum Setting {
    Timeout(Delay),
    Deadline(Expr),
    Shield(Expr),
    Name(Expr),
    Grace(Delay),
    Cooperative,
    CleanupTimeout(Delay),
    Error(Expr),
    Bubble(Expr),
    Link(Expr),
    CancelOn(Expr),
    Token(Expr),
    Limit(Expr),
    /// Decides on the type of the scope, not on its options.
    Supervise,
    /// The value of an option that was a mistake: what it mentions is not unused.
    Mistaken(Expr),
}

impl Setting {
    pub(crate) fn value_mut(&mut self) -> Option<&mut Expr> {
        match self {
            Setting::Timeout(delay) | Setting::Grace(delay) | Setting::CleanupTimeout(delay) => match delay {
                Delay::Computed(value) => Some(value),
                Delay::Literal(_) => None,
            },
            Setting::Deadline(value)
            | Setting::Shield(value)
            | Setting::Name(value)
            | Setting::Limit(value)
            | Setting::Error(value)
            | Setting::Bubble(value)
            | Setting::Link(value)
            | Setting::CancelOn(value)
            | Setting::Mistaken(value)
            | Setting::Token(value) => Some(value),
            Setting::Cooperative | Setting::Supervise => None,
        }
    }
}

/// A length of time.
pub(crate) enum Delay {
    Literal(Duration),
    Computed(Box<Expr>),
}

/// What a cancelled scope evaluates instead: `fallback = |cancelled| value`, or without the pattern.
pub(crate) struct Fallback {
    pub(crate) pattern: Option<Pat>,
    pub(crate) value: Expr,
}

/// `scope!`, `blocking_scope!` or `shield!`.
pub(crate) struct Block {
    pub(crate) runtime: Runtime,
    pub(crate) side: Side,
    pub(crate) site: Site,
    pub(crate) form: Form,
    pub(crate) body: Body,
    /// How many blocks are around this one in the same expansion. They share one hygiene, so each numbers its names.
    pub(crate) level: usize,
    /// Whether what it returns is returned by the body of the block around it.
    pub(crate) inside: bool,
}

/// What the two blocks differ in.
pub(crate) enum Form {
    Scope {
        settings: Vec<Setting>,
        /// With it the block's value is the body's; without, a `Result`.
        fallback: Option<Box<Fallback>>,
        /// `|s|`
        binding: Option<Ident>,
    },
    Shield,
}

impl Block {
    /// Whether children can be spawned into it, so that it needs a typed scope.
    pub(crate) fn has_children(&self) -> bool {
        self.body.facts.spawns || matches!(self.form, Form::Scope { binding: Some(_), .. })
    }

    /// Whether the enclosing function's return type plays a part.
    pub(crate) fn may_return(&self) -> bool {
        self.has_children() || self.body.facts.exits != Exits::Never
    }

    /// Whether it has the value `Result<T, Cancelled>`.
    pub(crate) fn is_result(&self) -> bool {
        matches!(self.form, Form::Scope { fallback: None, .. })
    }

    /// The expressions that are evaluated in the code around the block, not in its body.
    pub(crate) fn outside_mut(&mut self) -> impl Iterator<Item = &mut Expr> {
        let (settings, fallback) = match &mut self.form {
            Form::Scope { settings, fallback, binding: _ } => (&mut settings[..], fallback.as_deref_mut()),
            Form::Shield => (&mut [][..], None),
        };
        let jumps = self.body.facts.jumps.iter_mut().map(|jump| &mut jump.landing);
        settings
            .iter_mut()
            .filter_map(Setting::value_mut)
            .chain(fallback.map(|fallback| &mut fallback.value))
            .chain(jumps)
    }
}

/// The user's statements, rewritten, and what the walk over them found.
pub(crate) struct Body {
    pub(crate) statements: Vec<Stmt>,
    pub(crate) braces: Span,
    pub(crate) facts: Facts,
}

#[derive(Default)]
pub(crate) struct Facts {
    /// `break`s and `continue`s that leave the block, each target once.
    pub(crate) jumps: Vec<Jump>,
    pub(crate) exits: Exits,
    /// Whether a `spawn!` or a `fork!` was written into this block.
    pub(crate) spawns: bool,
    /// How many `fork!`s were: each has a slot of its own.
    pub(crate) forks: usize,
    /// Whether one of them starts a thread that may borrow from outside of the block.
    pub(crate) lends: bool,
}

/// A way out of a block: the body notes its number, and the landing is done behind the boundary.
pub(crate) struct Jump {
    /// `break 'l` or `continue 'l`
    pub(crate) landing: Expr,
}

/// Whether the body may leave by the enclosing function's `return`. Ordered by what has to be done about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exits {
    #[default]
    Never,
    /// A macro that we can't see through may hide a `return`, or an inner block may pass a child's failure on.
    Hidden,
    /// There is a `return` or a `?`: what it returns has to be told apart, an error from a value.
    Seen,
}

/// `#[cancel_scope]` on a function.
pub(crate) struct Function {
    pub(crate) runtime: Runtime,
    pub(crate) side: Side,
    pub(crate) site: Site,
    pub(crate) settings: Vec<Setting>,
    pub(crate) fallback: Option<Box<Fallback>>,
    /// `scope = ident`
    pub(crate) binding: Option<Ident>,
    /// Whether the body owns its captures. It has to lend them if the fallback speaks of a parameter, or if a fork may.
    pub(crate) owned: bool,
    /// The return type, where the body alone would not say it.
    pub(crate) returns: Option<syn::Type>,
    /// Whom to blame if that type can't say "cancelled".
    pub(crate) returns_at: Span,
    pub(crate) body: Body,
}

impl Function {
    pub(crate) fn has_children(&self) -> bool {
        self.body.facts.spawns || self.binding.is_some()
    }
}

/// `spawn!` or `spawn_blocking!`
pub(crate) struct Spawn {
    pub(crate) kind: SpawnKind,
    pub(crate) runtime: Runtime,
    pub(crate) scope: Into,
    pub(crate) child: Child,
}

/// A future, or a closure, that becomes a child.
pub(crate) struct Child {
    pub(crate) site: Site,
    pub(crate) name: Option<Expr>,
    pub(crate) background: bool,
    pub(crate) skip_if_cancelled: bool,
    /// A blocking child that a hard cancel leaves to the root.
    pub(crate) abandon: bool,
    /// A statement: nobody can have its handle.
    pub(crate) unheld: bool,
    /// The future, or the closure.
    pub(crate) subject: Expr,
    /// `async { loop { … } }`: its output type stays undecided, so it can't be asked whether it is fallible.
    pub(crate) endless: bool,
}

/// The `&Scope` that a child is spawned into.
pub(crate) enum Into {
    /// That of the block around, by its hidden name.
    Block(TokenStream),
    /// The same with the threads of the block, which may borrow.
    Lending { scope: TokenStream, threads: TokenStream },
    /// `in s`
    Named(Box<Expr>),
    /// That of a race: the child is an arm, and this gives the type of its output.
    Race(TokenStream),
}

/// `fork!`
pub(crate) struct Fork {
    pub(crate) runtime: Runtime,
    /// The slot of this `fork!` in the block around, by its hidden name.
    pub(crate) slot: TokenStream,
    pub(crate) child: Child,
}

/// `race!` or `try_join!`
pub(crate) struct Race {
    pub(crate) runtime: Runtime,
    pub(crate) kind: RaceKind,
    pub(crate) site: Site,
    pub(crate) arms: Vec<Arm>,
    /// The values of what was taken for options: what they mention is not unused.
    pub(crate) mistaken: Vec<Expr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RaceKind {
    Race,
    TryJoin,
}

impl RaceKind {
    pub(crate) fn called(self) -> &'static str {
        match self {
            RaceKind::Race => "race!",
            RaceKind::TryJoin => "try_join!",
        }
    }
}

pub(crate) enum Arm {
    Here {
        site: Site,
        future: Box<Expr>,
    },
    /// It is a `spawn!`, which is expanded by itself; the macro's tokens are the user's again.
    Spawn {
        call: ExprMacro,
        name: String,
    },
}
