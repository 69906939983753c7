//! The way from a node up to the cause of its cancel (rule W1).

use std::sync::Arc;

use super::{CANCELLED, Look, Node, STOPPED};
use crate::cause::{Cancelled, Cause};

impl Node {
    /// The cancel that is visible here, as an error. A loop up to the cause and one down again, since trees can be deep.
    pub(crate) fn cancelled_error(&self, look: &mut Look) -> Cancelled {
        let mut way = Vec::new();
        let mut parent = match self.cause_or_parent(look) {
            Ok(cause) => return Cancelled::new(self.who(), cause),
            Err(parent) => parent,
        };
        let cause = loop {
            match parent.cause_or_parent(look) {
                Ok(cause) => break cause,
                Err(next) => way.push(std::mem::replace(&mut parent, next)),
            }
        };
        let mut error = Cancelled::new(parent.who(), cause);
        for node in way.into_iter().rev() {
            error = Cancelled::new(node.who(), Cause::Parent(error));
        }
        Cancelled::new(self.who(), Cause::Parent(error))
    }

    /// The own cause if there is one, else what came from outside, or the parent that knows.
    fn cause_or_parent(&self, look: &mut Look) -> Result<Cause, Arc<Self>> {
        self.cancel_called(look);
        if self.has(CANCELLED | STOPPED)
            && let Some(cause) = self.lock().cause.clone()
        {
            return Ok(cause);
        }
        self.outer_cause_or_parent(look)
    }

    fn outer_cause_or_parent(&self, look: &mut Look) -> Result<Cause, Arc<Self>> {
        // What was delivered stays the cause, wherever the future is polled by now (rules D4, L6).
        if let Some(foreign) = self.lock().foreign.clone() {
            return Ok(Cause::Parent(foreign));
        }
        match self.parent() {
            Some(parent) if parent.sees_cancel(look) => Err(parent),
            Some(parent) if self.was_left_by(&parent) => Ok(Cause::Closed),
            _ => Ok(Cause::Dropped),
        }
    }

    /// The cause that comes from outside of this node.
    pub(crate) fn outer_cause(&self, look: &mut Look) -> Cause {
        self.outer_cause_or_parent(look).unwrap_or_else(|parent| Cause::Parent(parent.cancelled_error(look)))
    }
}
