//! Failures of supervised children: each waits to be taken, and is reported at the boundary if nobody does (rule F5).

use std::sync::{Arc, Weak};

use super::{CLOSED, Node};
use crate::event;
use crate::failure::Suppressed;

/// A failure in a scope's list, for whoever may take it.
pub(crate) struct Untaken {
    scope: Weak<Node>,
    order: u64,
}

impl Untaken {
    /// Somebody has it: it need not be reported any more.
    pub(crate) fn take(self) {
        if let Some(scope) = self.scope.upgrade() {
            let taken = scope.lock().untaken.remove(&self.order);
            drop(taken);
        }
    }
}

impl Node {
    /// Keeps a child's failure until somebody takes it. After the boundary it is too late: then it is reported at once.
    pub(crate) fn hold_failure(self: &Arc<Self>, failure: Suppressed) -> Option<Untaken> {
        let mut state = self.lock();
        if self.has(CLOSED) {
            drop(state);
            self.report(failure);
            return None;
        }
        let order = state.next_order();
        state.untaken.insert(order, failure);
        Some(Untaken { scope: Arc::downgrade(self), order })
    }

    /// The boundary is left: what nobody took is a later failure.
    pub(super) fn report_untaken(&self) {
        let untaken = std::mem::take(&mut self.lock().untaken);
        for failure in untaken.into_values() {
            self.report(failure);
        }
    }

    /// What a child that has ended reported of itself, such as its second cleanup that panicked, is kept with the scope.
    pub(crate) fn take_over_reports(&self, child: &Self) {
        let reports = std::mem::take(&mut child.lock().suppressed);
        if !reports.is_empty() {
            self.lock().suppressed.extend(reports);
        }
    }

    /// Keeps a later failure with the scope, and tells of it (rule F2).
    pub(super) fn report(&self, failure: Suppressed) {
        self.lock().suppressed.push(failure.clone());
        event::failure_suppressed(self, &failure);
    }
}
