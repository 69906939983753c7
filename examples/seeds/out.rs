//! Where the programs print, and how they write times.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// The terminal, or, for a test, a list.
#[derive(Clone)]
pub(crate) struct Out(Arc<dyn Fn(String) + Send + Sync>);

impl Out {
    pub(crate) fn new(line: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(line))
    }

    pub(crate) fn say(&self, line: impl Display) {
        (self.0)(line.to_string());
    }
}

/// Seconds, as the documents write them.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64())
}

/// What is left until the deadline, as the documents write it.
pub(crate) fn timeout(left: Option<Duration>) -> String {
    match left {
        None => "inf".to_owned(),
        Some(Duration::ZERO) => "0".to_owned(),
        Some(left) => seconds(left),
    }
}

/// A yes or no, as the documents write it.
pub(crate) fn answer(yes: bool) -> &'static str {
    if yes { "True" } else { "False" }
}
