//! Options that few scopes have.

use std::sync::Arc;
use std::time::Duration;

use super::Node;
use crate::cause::ToldAs;
use crate::deadline::Moment;
use crate::sync::atomic::AtomicU64;

/// Options that few scopes have.
pub(crate) struct Extra {
    pub(crate) name: Option<Box<str>>,
    pub(crate) cleanup_timeout: Option<Duration>,
    /// How long a cancel stays soft; `Duration::MAX` is for ever (rule G1).
    pub(crate) grace: Duration,
    /// When a soft cancel becomes hard, once there is one.
    pub(crate) hard_at: AtomicU64,
    /// What a cancel is told as (rule W2).
    pub(crate) error: Option<ToldAs>,
    pub(crate) bubble: Option<bool>,
    pub(crate) links: Vec<Arc<Node>>,
    /// How many children may run at once (rule F6); 0 is refused before there is a node.
    pub(crate) limit: Option<usize>,
}

impl Default for Extra {
    fn default() -> Self {
        Self {
            name: None,
            cleanup_timeout: None,
            grace: Duration::ZERO,
            hard_at: AtomicU64::new(Moment::NEVER.0),
            error: None,
            bubble: None,
            links: Vec::new(),
            limit: None,
        }
    }
}

impl Extra {
    /// Whether tokio's clock has to tell of something.
    pub(crate) fn needs_timer(&self) -> bool {
        self.cleanup_timeout.is_some() || !(self.grace.is_zero() || self.grace == Duration::MAX)
    }
}
