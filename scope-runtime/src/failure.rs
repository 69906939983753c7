//! Failures: what a child or a body failed with, and the record of those that came too late (rule F2).

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use crate::cause::Cause;
use crate::signal::Signal;

/// The payload of a panic.
pub(crate) type Payload = Box<dyn Any + Send + 'static>;

/// The first failure of a scope, or a later one on its way to the report.
pub(crate) struct Failure {
    pub(crate) task: Cow<'static, str>,
    pub(crate) text: ErrorText,
    pub(crate) kind: FailureKind,
}

pub(crate) enum FailureKind {
    /// A fallible child's error, as its own type.
    Error(Box<dyn Any + Send>),
    /// A fallible child's error, which the boundary keeps with the children that it polls itself.
    InPlace,
    /// The body ended with an `Err`, which the boundary keeps.
    Body,
    /// A panic, to be resumed.
    Panic(Payload),
}

impl Failure {
    pub(crate) fn panic(task: Cow<'static, str>, payload: Payload) -> Self {
        let text = ErrorText { text: panic_text(&*payload), source: None };
        Self { task, text, kind: FailureKind::Panic(payload) }
    }

    pub(crate) fn cause(&self) -> Cause {
        let (task, text) = (self.task.clone(), self.text.text.clone());
        match self.kind {
            FailureKind::Panic(_) => Cause::TaskPanicked { task, text },
            FailureKind::Error(_) | FailureKind::InPlace | FailureKind::Body => {
                Cause::TaskFailed { task, text }
            }
        }
    }

    pub(crate) fn suppressed(&self) -> Suppressed {
        Suppressed {
            task: self.task.clone(),
            text: self.text.text.clone(),
            source: self.text.source.clone(),
            panicked: matches!(self.kind, FailureKind::Panic(_)),
        }
    }
}

/// The message of a panic payload, where it is a string.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a payload that is no text".to_owned()
    }
}

/// What an error says of itself, as far as its type lets us ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorText {
    pub(crate) text: String,
    pub(crate) source: Option<String>,
}

/// The error of a child, as its scope takes it.
pub struct ChildError<E = Box<dyn Any + Send>> {
    pub(crate) text: ErrorText,
    /// The cancel that it wraps (rule W3).
    pub(crate) signal: Option<Signal>,
    pub(crate) error: E,
}

/// A failure that came after the first one of its scope: it did not leave the boundary, but it is not lost (rule F2).
///
/// Read from [`ScopeHandle::suppressed`](crate::ScopeHandle::suppressed); each is also a `tracing` event of level
/// `WARN` and target `scope_runtime`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), std::io::Error> {
/// use scope_runtime::{scope, spawn, ScopeHandle};
/// use std::io::{Error, Result};
///
/// async fn two_failures(handle: &mut Option<ScopeHandle>) -> Result<()> {
///     scope!(|s| {
///         *handle = Some(s.handle());
///         spawn!(async { Err::<(), _>(Error::other("first")) });
///         spawn!(name = "late", async { Err::<(), _>(Error::other("second")) });
///     })?;
///     Ok(())
/// }
///
/// let mut handle = None;
/// assert_eq!(two_failures(&mut handle).await.unwrap_err().to_string(), "first");
/// let late = handle.unwrap().suppressed();
/// assert_eq!((late[0].task(), late[0].text()), ("late", "second"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    task: Cow<'static, str>,
    text: String,
    source: Option<String>,
    panicked: bool,
}

impl Suppressed {
    /// A supervised child's error (rule F5).
    pub(crate) fn error(task: Cow<'static, str>, text: ErrorText) -> Self {
        let ErrorText { text, source } = text;
        Self { task, text, source, panicked: false }
    }

    /// A supervised child's panic (rule F5).
    pub(crate) fn panic(task: Cow<'static, str>, text: String) -> Self {
        Self { task, text, source: None, panicked: true }
    }

    /// The name of the task, or of the scope whose body or cleanup failed (rule F2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use scope_runtime::{scope, spawn, ScopeHandle, Suppressed};
    /// # use std::io::Error;
    /// # async fn two_failures(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
    /// #     let _ = scope!(|s| {
    /// #         *handle = Some(s.handle());
    /// #         spawn!(name = "late", async { Err::<(), _>(Error::other("disk full")) });
    /// #         return Err(Error::other("the first one"));
    /// #     });
    /// #     Ok(())
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let mut handle = None;
    /// # two_failures(&mut handle).await.unwrap_err();
    /// # let scope = handle.unwrap();
    /// // The child "late" fails with "disk full", after another failure of its scope:
    /// let failure: &Suppressed = &scope.suppressed()[0];
    /// assert_eq!(failure.task(), "late");
    /// # }
    /// ```
    pub fn task(&self) -> &str {
        &self.task
    }

    /// The error's text, the panic's message, or the name of the error's type if it has no text (rule F2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use scope_runtime::{scope, spawn, ScopeHandle, Suppressed};
    /// # use std::io::Error;
    /// # async fn two_failures(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
    /// #     let _ = scope!(|s| {
    /// #         *handle = Some(s.handle());
    /// #         spawn!(name = "late", async { Err::<(), _>(Error::other("disk full")) });
    /// #         return Err(Error::other("the first one"));
    /// #     });
    /// #     Ok(())
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let mut handle = None;
    /// # two_failures(&mut handle).await.unwrap_err();
    /// # let scope = handle.unwrap();
    /// // The child "late" fails with "disk full", after another failure of its scope:
    /// let failure: &Suppressed = &scope.suppressed()[0];
    /// assert_eq!(failure.text(), "disk full");
    /// # }
    /// ```
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of the error's source, if it has one (rule F2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use scope_runtime::{scope, spawn, ScopeHandle, Suppressed};
    /// # use std::io::Error;
    /// # async fn two_failures(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
    /// #     let _ = scope!(|s| {
    /// #         *handle = Some(s.handle());
    /// #         spawn!(name = "late", async { Err::<(), _>(Error::other("disk full")) });
    /// #         return Err(Error::other("the first one"));
    /// #     });
    /// #     Ok(())
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let mut handle = None;
    /// # two_failures(&mut handle).await.unwrap_err();
    /// # let scope = handle.unwrap();
    /// // The child "late" fails with "disk full", after another failure of its scope:
    /// let failure: &Suppressed = &scope.suppressed()[0];
    /// assert_eq!(failure.source(), None);
    /// # }
    /// ```
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Whether it was a panic (rule F2).
    ///
    /// # Examples
    ///
    /// ```
    /// # use scope_runtime::{scope, spawn, ScopeHandle, Suppressed};
    /// # use std::io::Error;
    /// # async fn two_failures(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
    /// #     let _ = scope!(|s| {
    /// #         *handle = Some(s.handle());
    /// #         spawn!(name = "late", async { Err::<(), _>(Error::other("disk full")) });
    /// #         return Err(Error::other("the first one"));
    /// #     });
    /// #     Ok(())
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let mut handle = None;
    /// # two_failures(&mut handle).await.unwrap_err();
    /// # let scope = handle.unwrap();
    /// // The child "late" fails with "disk full", after another failure of its scope:
    /// let failure: &Suppressed = &scope.suppressed()[0];
    /// assert!(!failure.is_panic());
    /// assert_eq!(failure.to_string(), "late failed: disk full");
    /// # }
    /// ```
    pub fn is_panic(&self) -> bool {
        self.panicked
    }
}

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.panicked { "panicked" } else { "failed" };
        write!(f, "{} {verb}: {}", self.task, self.text)?;
        self.source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}
