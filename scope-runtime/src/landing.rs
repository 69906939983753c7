//! Awaits: which one a body started last, so that a cancel can say where it landed (rule W4).

use std::fmt;

use crate::context::with_stack;
use crate::watch;

/// An `.await` that is written in an annotated function or a `scope!` (rule W4).
///
/// `Display` gives place and expression: `src/a.rs:12: fetch(url)`.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// use scope_runtime::scope;
/// use std::time::Duration;
/// use tokio::time::sleep;
///
/// let late = scope!(timeout = 1s, {
///     sleep(Duration::from_millis(10)).await;
///     sleep(Duration::from_secs(60)).await;
/// });
/// let cancelled = late.unwrap_err();
/// let at = cancelled.landed_at().unwrap();
/// assert_eq!(at.expression(), "sleep(Duration::from_secs(60))");
/// assert_eq!(at.file(), file!());
/// # }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct AwaitSite {
    file: &'static str,
    line: u32,
    column: u32,
    expression: &'static str,
}

impl AwaitSite {
    #[doc(hidden)]
    pub const fn new(file: &'static str, line: u32, column: u32, expression: &'static str) -> Self {
        Self { file, line, column, expression }
    }

    /// The source file, as `file!()` gives it.
    ///
    /// # Examples
    ///
    /// See [`AwaitSite`].
    pub const fn file(&self) -> &'static str {
        self.file
    }

    /// The line of the awaited expression, counted from 1.
    ///
    /// # Examples
    ///
    /// See [`AwaitSite`].
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// The column of the awaited expression, counted from 1.
    ///
    /// # Examples
    ///
    /// See [`AwaitSite`].
    pub const fn column(&self) -> u32 {
        self.column
    }

    /// The expression in front of `.await`, its white space tidied.
    ///
    /// # Examples
    ///
    /// See [`AwaitSite`].
    pub const fn expression(&self) -> &'static str {
        self.expression
    }
}

impl fmt::Display for AwaitSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.expression)
    }
}

/// The await that a body started last; kept in its frame while it is not polled.
pub(crate) type Awaiting = Option<&'static AwaitSite>;

/// Notes that the future in front of an `.await` is awaited from here on.
#[inline(always)]
pub fn at<F>(future: F, site: &'static AwaitSite) -> F {
    with_stack(|stack| stack.awaits(Some(site)));
    watch::awaits(site);
    future
}
