//! Why something was cancelled: [`Cancelled`], its [`Cause`], and the chain to the root cause (rules W1, W2).

use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::failure::Payload;
use crate::landing::{AwaitSite, Awaiting};
use crate::signal;
use crate::site::{Kind, Site};
use crate::tree::Untaken;

/// The error that says that a scope, or a task in it, was cancelled: which one, why, and where.
///
/// It is the `Err` of a [`scope!`](crate::scope), of a [`Task`](crate::Task) and of [`check()`](crate::check()). Its
/// text is a chain down to the root cause, and [`source()`](Error::source) is always the [`Cause`] (rule W1):
///
/// ```text
/// fetch (src/a.rs:12) cancelled: parent ingest (src/b.rs:7) passed its deadline of 3s
/// ```
///
/// Cloning is cheap: clones share one allocation.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{scope, Cause};
/// use std::time::Duration;
///
/// let late = scope!(timeout = 3s, name = "fetch", {
///     tokio::time::sleep(Duration::from_secs(60)).await;
/// });
/// let cancelled = late.unwrap_err();
/// assert!(cancelled.is_timeout());
/// assert!(matches!(cancelled.cause(), Cause::Deadline { .. }));
/// assert!(cancelled.to_string().starts_with("fetch ("));
/// assert!(cancelled.to_string().ends_with("cancelled: deadline of 3s passed"));
/// # }
/// ```
#[derive(Clone)]
pub struct Cancelled(Arc<Data>);

struct Data {
    who: Who,
    cause: Cause,
    told_as: Option<ToldAs>,
    landed_at: Awaiting,
    panic: Option<Box<Mutex<Option<Panic>>>>,
}

/// The panic of a supervised child, until somebody takes it (rule F5).
struct Panic {
    payload: Payload,
    untaken: Option<Untaken>,
}

/// What `error = …` says (rule W2).
pub(crate) type ToldAs = Arc<dyn Error + Send + Sync>;

/// Chains of causes are dropped in a loop: they are as long as the tree is deep.
impl Drop for Data {
    fn drop(&mut self) {
        let mut cause = std::mem::replace(&mut self.cause, Cause::Closed);
        while let Cause::Parent(Cancelled(other))
        | Cause::Link(Cancelled(other))
        | Cause::Bubble(Cancelled(other)) = cause
        {
            let Some(mut other) = Arc::into_inner(other) else { break };
            cause = std::mem::replace(&mut other.cause, Cause::Closed);
        }
    }
}

/// Name and place of a scope or task.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) name: Cow<'static, str>,
    pub(crate) site: &'static Site,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.site)
    }
}

/// Why a scope or a task was cancelled (rule W1).
///
/// The first cause of a scope is decided once and stays (rule L6). `Display` gives the half of a sentence that follows
/// "cancelled:"; [`source()`](Error::source) of [`Cause::Parent`] is the parent's cause.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::{scope, spawn, Cancelled, Cause};
///
/// let mut task = None;
/// let ingest = scope!(timeout = 3s, name = "ingest", {
///     task = Some(spawn!(name = "fetch", std::future::pending::<()>()));
///     std::future::pending::<()>().await;
/// });
/// let why = |cancelled: &Cancelled| match cancelled.cause() {
///     Cause::Deadline { after: Some(after), .. } => format!("too slow: {after:?}"),
///     Cause::Explicit { reason: Some(reason), .. } => format!("asked to: {reason}"),
///     Cause::Parent(parent) => format!("with its parent {}", parent.scope_name()),
///     other => other.to_string(),
/// };
/// assert_eq!(why(&ingest.unwrap_err()), "too slow: 3s");
/// assert_eq!(why(&task.unwrap().await.unwrap_err()), "with its parent ingest");
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Cause {
    /// Somebody called `cancel()`, `cancel_with(…)` or `cancel_now()`.
    #[non_exhaustive]
    Explicit {
        /// What `cancel_with` was given.
        reason: Option<Cow<'static, str>>,
        /// Where it was called.
        at: &'static Location<'static>,
    },
    /// The scope's own deadline passed.
    #[non_exhaustive]
    Deadline {
        /// The time that the scope had, from its entry to its deadline, if it was given as a timeout.
        after: Option<Duration>,
    },
    /// A child task, or the body itself, ended with an error.
    #[non_exhaustive]
    TaskFailed {
        /// The name of the task, or of the scope whose body failed.
        task: Cow<'static, str>,
        /// The error's text, where it has one.
        text: String,
    },
    /// A child task, the body or a cleanup panicked.
    #[non_exhaustive]
    TaskPanicked {
        /// The name of the task, or of the scope whose body panicked.
        task: Cow<'static, str>,
        /// The panic's message, where it is a string.
        text: String,
    },
    /// The task was cancelled by [`Task::cancel`](crate::Task::cancel), or as a background task at the end of its
    /// scope.
    #[non_exhaustive]
    Task {
        /// Where it was called, or where the task was spawned for a background task.
        at: Option<&'static Location<'static>>,
    },
    /// A [`CancelToken`](crate::CancelToken) was triggered.
    #[non_exhaustive]
    Token {
        /// The name of the token that really fired: of a chain, the source.
        name: Cow<'static, str>,
    },
    /// An enclosing scope was cancelled.
    Parent(
        /// What happened there.
        Cancelled,
    ),
    /// The future of `cancel_on = …` was ready (rule B3).
    CancelOn,
    /// A scope that was linked to this one with `link = …` was cancelled (rule B2).
    Link(
        /// What happened there.
        Cancelled,
    ),
    /// The scope never ran: one that it was to be linked to had been left (rule B2).
    LinkClosed,
    /// A scope inside was cancelled, and this one has `bubble`, or an enclosing one has (rule B1).
    Bubble(
        /// What happened there.
        Cancelled,
    ),
    /// The scope that it was put under has been left.
    Closed,
    /// The scope's future was dropped by something that is no scope: a raw `select!`, `tokio::time::timeout`,
    /// `JoinHandle::abort` (rule U5).
    Dropped,
    /// The runtime shut down.
    Runtime,
}

impl Cancelled {
    pub(crate) fn new(who: Who, cause: Cause) -> Self {
        Self(Arc::new(Data { who, cause, told_as: None, landed_at: None, panic: None }))
    }

    /// The same, with the panic of a supervised child. Not shared yet.
    pub(crate) fn carrying(mut self, payload: Payload, untaken: Option<Untaken>) -> Self {
        if let Some(data) = Arc::get_mut(&mut self.0) {
            data.panic = Some(Box::new(Mutex::new(Some(Panic { payload, untaken }))));
        }
        self
    }

    /// The same, displayed as another error (rule W2). Not shared yet.
    pub(crate) fn told_as(mut self, told_as: Option<ToldAs>) -> Self {
        if let Some(data) = Arc::get_mut(&mut self.0) {
            data.told_as = told_as;
        }
        self
    }

    /// The same, as it was delivered at an await (rule W4).
    pub(crate) fn landed(mut self, landed_at: Awaiting) -> Self {
        if landed_at.is_some() {
            match Arc::get_mut(&mut self.0) {
                Some(data) => data.landed_at = landed_at,
                None => {
                    // What a panic left behind is no delivery.
                    let Data { who, cause, told_as, landed_at: _, panic: _ } = &*self.0;
                    let (who, cause, told_as) = (who.clone(), cause.clone(), told_as.clone());
                    self = Self(Arc::new(Data { who, cause, told_as, landed_at, panic: None }));
                }
            }
        }
        self
    }

    /// Where the cause is kept that this cancel began with, behind all parents that passed it on: no two scopes share
    /// one, and the scope that was cancelled keeps it alive (rule W3).
    pub(crate) fn origin(&self) -> usize {
        let mut at = self;
        while let Cause::Parent(parent) = at.cause() {
            at = parent;
        }
        std::ptr::from_ref(&at.0.cause).addr()
    }

    /// The name of the scope or task that was cancelled (rule W1).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// let late = scope!(timeout = 3s, name = "fetch", { std::future::pending::<()>().await });
    /// assert_eq!(late.unwrap_err().scope_name(), "fetch");
    /// # }
    /// ```
    pub fn scope_name(&self) -> &str {
        &self.0.who.name
    }

    /// Where the scope or task that was cancelled is written (rule W1).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// let late = scope!(timeout = 3s, name = "fetch", { std::future::pending::<()>().await });
    /// let cancelled = late.unwrap_err();
    /// assert_eq!(cancelled.site().file(), file!());
    /// assert!(cancelled.site().line() < line!());
    /// # }
    /// ```
    pub fn site(&self) -> &'static Site {
        self.0.who.site
    }

    /// Why it was cancelled; [`Cause::Parent`] leads on to the enclosing scope (rule W1).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::{scope, Cause};
    ///
    /// let late = scope!(timeout = 3s, name = "fetch", { std::future::pending::<()>().await });
    /// assert!(matches!(late.unwrap_err().cause(), Cause::Deadline { .. }));
    /// # }
    /// ```
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }

    /// The cause at the end of the chain of parents (rule W1).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::{scope, spawn, Cause};
    ///
    /// let mut task = None;
    /// let _ = scope!(timeout = 3s, {
    ///     task = Some(spawn!(std::future::pending::<()>()));
    ///     std::future::pending::<()>().await;
    /// });
    /// let cancelled = task.unwrap().await.unwrap_err();
    /// assert!(matches!(cancelled.cause(), Cause::Parent(_)));
    /// assert!(matches!(cancelled.root_cause(), Cause::Deadline { .. }));
    /// # }
    /// ```
    pub fn root_cause(&self) -> &Cause {
        let mut at = self;
        while let Cause::Parent(other) | Cause::Link(other) | Cause::Bubble(other) = at.cause() {
            at = other;
        }
        at.cause()
    }

    /// True if the root cause is a deadline: what users of [`fail_after`](crate::fail_after) ask (rule W2).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::scope;
    ///
    /// let late = scope!(timeout = 3s, { std::future::pending::<()>().await });
    /// assert!(late.unwrap_err().is_timeout());
    ///
    /// let stopped = scope!(timeout = 3s, |s| {
    ///     s.cancel();
    ///     std::future::pending::<()>().await
    /// });
    /// assert!(!stopped.unwrap_err().is_timeout());
    /// # }
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(self.root_cause(), Cause::Deadline { .. })
    }
}

impl Cancelled {
    /// The await at which the cancel landed: the one that the body started last, if it is written in the annotated
    /// function or the `scope!` itself, outside of other macros' arguments (rule W4). `None` if the body was not dropped
    /// at an await.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::cancel_scope;
    /// # async fn read() {} async fn write() { std::future::pending().await }
    ///
    /// #[cancel_scope(timeout = "1s")]
    /// async fn copy() -> Result<(), scope_runtime::Cancelled> {
    ///     read().await;
    ///     write().await;
    ///     Ok(())
    /// }
    /// let cancelled = copy().await.unwrap_err();
    /// assert_eq!(cancelled.landed_at().unwrap().expression(), "write()");
    /// # }
    /// ```
    pub fn landed_at(&self) -> Option<&'static AwaitSite> {
        self.0.landed_at
    }

    /// The error that the scope was given with `error = …`, if it or a scope around it has one: this error is displayed
    /// as that one (rule W2).
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::scope;
    /// use std::{fmt, io};
    ///
    /// let late = scope!(timeout = 3s, error = io::Error::other("the index is busy"), {
    ///     std::future::pending::<()>().await
    /// });
    /// let cancelled = late.unwrap_err();
    /// assert_eq!(cancelled.to_string(), "the index is busy");
    /// assert!(cancelled.error().unwrap().downcast_ref::<io::Error>().is_some());
    /// assert!(cancelled.is_timeout()); // the cause is still there
    /// # }
    /// ```
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.told_as.as_deref()
    }

    /// Takes the payload of the panic that this is about, if it is that of a child of a `supervise` scope (rule F5).
    ///
    /// It is there once, for all clones of this value together; a panic that nobody takes by the end of the boundary is
    /// reported there like a later failure. In any other scope a panic leaves the boundary with its payload (rule F2),
    /// and this is `None`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use scope_runtime::{scope, spawn, Cause};
    ///
    /// let text = scope!(supervise, {
    ///     let task = spawn!(async { panic!("out of cheese") });
    ///     let cancelled = task.await.unwrap_err();
    ///     assert!(matches!(cancelled.cause(), Cause::TaskPanicked { .. }));
    ///     let payload = cancelled.take_panic().unwrap();
    ///     assert!(cancelled.take_panic().is_none());
    ///     *payload.downcast::<&str>().unwrap()
    /// });
    /// assert_eq!(text.unwrap(), "out of cheese");
    /// # }
    /// ```
    pub fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        let taken = self.0.panic.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Panic { payload, untaken } = taken?;
        if let Some(untaken) = untaken {
            untaken.take();
        }
        Some(payload)
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        signal::heard(self);
        match (&self.0.told_as, &self.0.cause) {
            (Some(error), _) => write!(f, "{error}"),
            // What a token's own calls report is about the token, not about the place of the call.
            (None, cause @ Cause::Token { .. }) if self.site().kind() == Kind::Token => {
                write!(f, "cancellation {cause}")
            }
            (None, cause) => write!(f, "{} cancelled: {cause}", self.0.who),
        }
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cancelled({self})")
    }
}

impl Error for Cancelled {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0.cause)
    }
}

impl Cause {
    /// The cause as something that a parent did: "passed its deadline".
    fn write_as_deed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explicit { reason, at } => {
                write!(f, "was cancelled at {}:{}", at.file(), at.line())?;
                reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
            }
            Self::Deadline { after: Some(after) } => write!(f, "passed its deadline of {after:?}"),
            Self::Deadline { after: None } => f.write_str("passed its deadline"),
            Self::TaskFailed { task, text } => write!(f, "failed: {task}: {text}"),
            Self::TaskPanicked { task, text } => write!(f, "panicked: {task}: {text}"),
            Self::Task { at: Some(at) } => {
                write!(f, "was cancelled through its handle at {}:{}", at.file(), at.line())
            }
            Self::Task { at: None } => f.write_str("was no longer needed"),
            Self::Token { name } => write!(f, "was cancelled by {name} token"),
            Self::Parent(parent) => write!(f, "lost its parent {parent}"),
            Self::CancelOn => f.write_str("saw what it was to be cancelled on"),
            Self::Link(linked) => write!(f, "was cancelled with the linked {}", linked.0.who),
            Self::LinkClosed => f.write_str("was linked to a scope that had been left"),
            Self::Bubble(inner) => write!(f, "was cancelled with the inner {}", inner.0.who),
            Self::Closed => f.write_str("was left"),
            Self::Dropped => f.write_str("was dropped"),
            Self::Runtime => f.write_str("lost its runtime"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explicit { reason, at } => {
                match reason {
                    Some(reason) => write!(f, "{reason}")?,
                    None => f.write_str("requested")?,
                }
                write!(f, " (at {}:{})", at.file(), at.line())
            }
            Self::Deadline { after: Some(after) } => write!(f, "deadline of {after:?} passed"),
            Self::Deadline { after: None } => f.write_str("deadline passed"),
            Self::TaskFailed { task, text } => write!(f, "{task} failed: {text}"),
            Self::TaskPanicked { task, text } => write!(f, "{task} panicked: {text}"),
            Self::Task { at: Some(at) } => write!(f, "through its handle (at {}:{})", at.file(), at.line()),
            Self::Task { at: None } => f.write_str("background task at the end of its scope"),
            Self::Token { name } => write!(f, "requested by {name} token"),
            Self::Parent(parent) => match parent.cause() {
                Self::Parent(grand) => write!(f, "parent {}, {}", parent.0.who, Self::Parent(grand.clone())),
                cause => {
                    write!(f, "parent {} ", parent.0.who)?;
                    cause.write_as_deed(f)
                }
            },
            Self::CancelOn => f.write_str("what it was to be cancelled on was ready"),
            Self::Link(linked) => {
                write!(f, "linked {} ", linked.0.who)?;
                linked.cause().write_as_deed(f)
            }
            Self::LinkClosed => f.write_str("a scope that it was linked to had been left"),
            Self::Bubble(inner) => {
                write!(f, "inner {} ", inner.0.who)?;
                inner.cause().write_as_deed(f)
            }
            Self::Closed => f.write_str("its scope was left"),
            Self::Dropped => f.write_str("its future was dropped"),
            Self::Runtime => f.write_str("the runtime shut down"),
        }
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Parent(other) | Self::Link(other) | Self::Bubble(other) => Some(other.cause()),
            _ => None,
        }
    }
}

/// Kind [`TimedOut`](io::ErrorKind::TimedOut) for a deadline, [`Interrupted`](io::ErrorKind::Interrupted) otherwise
/// (rule W2).
///
/// An error that leaves a child, or a body, is a failure even if it wraps a `Cancelled` (rule F2).
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::scope;
/// use std::io;
///
/// async fn answer() -> io::Result<u8> {
///     Ok(scope!(timeout = 1s, { std::future::pending().await })?)
/// }
/// assert_eq!(answer().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
/// # }
/// ```
impl From<Cancelled> for io::Error {
    fn from(cancelled: Cancelled) -> Self {
        let kind = if cancelled.is_timeout() { io::ErrorKind::TimedOut } else { io::ErrorKind::Interrupted };
        Self::new(kind, cancelled)
    }
}
