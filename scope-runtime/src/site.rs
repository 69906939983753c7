//! Where a scope, a task or a cleanup was written: static data, one value per place in the source.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::{PoisonError, RwLock};

/// What kind of place a [`Site`] describes (rule W1).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::{current, scope, spawn, Kind};
///
/// let mut task = None;
/// let block = scope!({
///     task = Some(spawn!(std::future::pending::<()>()));
///     current().cancel();
///     std::future::pending::<()>().await;
/// });
/// assert_eq!(block.unwrap_err().site().kind(), Kind::Scope);
/// assert_eq!(task.unwrap().await.unwrap_err().site().kind(), Kind::Task);
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// An inline `scope!` or `blocking_scope!` block.
    Scope,
    /// A `shield!` block.
    Shield,
    /// A function under `#[cancel_scope]`.
    Function,
    /// A child: a task, spawned or forked, an arm, or a thread of `spawn_blocking!`.
    Task,
    /// A future or a stretch of code that was put under a scope with `in_scope`.
    Guest,
    /// An async cleanup.
    Cleanup,
    /// A call that watches or asks a [`CancelToken`](crate::CancelToken): `run`, `first_of`, `check`.
    Token,
    /// A `race!` or a `try_join!`.
    Race,
}

/// One place in the source: kind, name and location.
///
/// Kept in the frame of whatever runs there, so that errors, events and tools can say *where* without any cost at
/// run time (rule W1). `Display` gives `file:line`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use scope_runtime::scope;
///
/// let site = scope!(name = "job", |s| { s.site() }).unwrap();
/// assert_eq!(site.name(), "job");
/// assert_eq!(site.to_string(), format!("{}:{}", site.file(), site.line()));
/// # }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Site {
    kind: Kind,
    name: &'static str,
    file: &'static str,
    line: u32,
    column: u32,
    module: &'static str,
}

impl Site {
    /// Describes a place; an empty name stands for "unnamed", an empty file for an unknown place.
    ///
    /// Sites come from the macros; this is for code that does without them, and for tests.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{Kind, Site};
    ///
    /// static FETCH: Site = Site::new(Kind::Task, "fetch", "src/a.rs", 12, 5, "app::a");
    /// assert_eq!(FETCH.to_string(), "src/a.rs:12");
    /// ```
    pub const fn new(
        kind: Kind,
        name: &'static str,
        file: &'static str,
        line: u32,
        column: u32,
        module: &'static str,
    ) -> Self {
        Self { kind, name, file, line, column, module }
    }

    /// The site of a call that no macro wrote, made once per place.
    pub(crate) fn of_call(kind: Kind, name: &'static str, at: &'static Location<'static>) -> &'static Self {
        static CALLS: RwLock<BTreeMap<(Kind, &Location<'_>, &str), &Site>> = RwLock::new(BTreeMap::new());
        let key = (kind, at, name);
        let known = CALLS.read().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        known.unwrap_or_else(|| {
            let mut calls = CALLS.write().unwrap_or_else(PoisonError::into_inner);
            calls.entry(key).or_insert_with(|| {
                // Kept for ever, as the sites of macros are; there are no more of them than places in the source.
                Box::leak(Box::new(Self::new(kind, name, at.file(), at.line(), at.column(), "")))
            })
        })
    }

    /// The kind of place.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{Kind, Site};
    ///
    /// static FETCH: Site = Site::new(Kind::Task, "fetch", "src/a.rs", 12, 5, "app::a");
    /// assert_eq!(FETCH.kind(), Kind::Task);
    /// ```
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The name that was written there, or a generic one for the kind.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{Kind, Site};
    ///
    /// static FETCH: Site = Site::new(Kind::Task, "fetch", "src/a.rs", 12, 5, "app::a");
    /// static UNNAMED: Site = Site::new(Kind::Task, "", "src/a.rs", 14, 5, "app::a");
    /// assert_eq!((FETCH.name(), UNNAMED.name()), ("fetch", "task"));
    /// ```
    pub const fn name(&self) -> &'static str {
        if !self.name.is_empty() {
            return self.name;
        }
        match self.kind {
            Kind::Scope | Kind::Function => "scope",
            Kind::Shield => "shield",
            Kind::Task => "task",
            Kind::Guest => "guest",
            Kind::Cleanup => "cleanup",
            Kind::Token => "token",
            Kind::Race => "race",
        }
    }

    /// The source file, as the compiler names it.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{Kind, Site};
    ///
    /// static FETCH: Site = Site::new(Kind::Task, "fetch", "src/a.rs", 12, 5, "app::a");
    /// assert_eq!(FETCH.file(), "src/a.rs");
    /// ```
    pub const fn file(&self) -> &'static str {
        self.file
    }

    /// The line, counted from 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{Kind, Site};
    ///
    /// static FETCH: Site = Site::new(Kind::Task, "fetch", "src/a.rs", 12, 5, "app::a");
    /// assert_eq!(FETCH.line(), 12);
    /// ```
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// The column, counted from 1.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{Kind, Site};
    ///
    /// static FETCH: Site = Site::new(Kind::Task, "fetch", "src/a.rs", 12, 5, "app::a");
    /// assert_eq!(FETCH.column(), 5);
    /// ```
    pub const fn column(&self) -> u32 {
        self.column
    }

    /// The module path; empty for a call that no macro wrote.
    ///
    /// # Examples
    ///
    /// ```
    /// use scope_runtime::{Kind, Site};
    ///
    /// static FETCH: Site = Site::new(Kind::Task, "fetch", "src/a.rs", 12, 5, "app::a");
    /// assert_eq!(FETCH.module(), "app::a");
    /// ```
    pub const fn module(&self) -> &'static str {
        self.module
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.file.is_empty() {
            f.write_str("unknown place")
        } else {
            write!(f, "{}:{}", self.file, self.line)
        }
    }
}
