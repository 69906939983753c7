//! The way from a node up to the cause of its cancel (rule W1).

use std::sync::Arc;

use super::{CANCELLED, CUT, Look, Node, SOFT_CUT, STOPPED};
use crate::cause::{Cancelled, Cause, ToldAs};
use crate::signal::Signal;
use crate::site::Kind;

/// One step on the way up.
enum Found {
    Cause(Cause),
    /// An own cause, as the error that it was told as before.
    Ticket(Cancelled),
    Parent(Arc<Node>),
}

/// Where a cancel began that came back as an error (rule W3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In the scope that looks.
    Own,
    /// In a scope around it.
    Outer,
}

impl Node {
    /// The cancel that is visible here, as an error. A loop up to the cause and one down again, since trees can be deep.
    pub(crate) fn cancelled_error(&self, look: &mut Look) -> Cancelled {
        let mut way = Vec::new();
        let mut parent = match self.cause_or_parent(look) {
            Found::Cause(cause) => return self.told(cause),
            Found::Ticket(ticket) => return ticket,
            Found::Parent(parent) => parent,
        };
        let mut error = loop {
            match parent.cause_or_parent(look) {
                Found::Cause(cause) => break parent.told(cause),
                Found::Ticket(ticket) => break ticket,
                Found::Parent(next) => way.push(std::mem::replace(&mut parent, next)),
            }
        };
        for node in way.into_iter().rev() {
            error = node.error(Cause::Parent(error));
        }
        self.error(Cause::Parent(error))
    }

    /// A cancel of this node, as code inside is told of it. What a guest whose scope was left is told it must recognise
    /// (rules T6, W3).
    fn told(&self, cause: Cause) -> Cancelled {
        let closed = matches!(cause, Cause::Closed);
        let error = self.error(cause);
        if closed { self.lock().ticket.get_or_insert(error).clone() } else { error }
    }

    /// A cancel of this scope, told as `error = …` of the nearest scope says (rule W2).
    fn error(&self, cause: Cause) -> Cancelled {
        Cancelled::new(self.who(), cause).told_as(self.told_as())
    }

    /// The nearest `error = …`, from here up (rule W2).
    pub(crate) fn told_as(&self) -> Option<ToldAs> {
        self.nearest(|node| node.extra.as_ref().and_then(|extra| extra.error.clone()))
    }

    /// Where a cancel that came back as an error began (rule W3).
    pub(crate) fn origin_of(&self, returned: Signal) -> Option<Origin> {
        if self.has_issued(returned) {
            return Some(Origin::Own);
        }
        let mut above = self.parent();
        while let Some(node) = above {
            // The scope that a cleanup runs for has unwound already, and nobody between the two could be told: a cancel
            // from beyond it is an error like any other.
            if node.site.kind() == Kind::Cleanup {
                return None;
            }
            if node.has_issued(returned) {
                return Some(Origin::Outer);
            }
            above = node.parent();
        }
        None
    }

    fn has_issued(&self, returned: Signal) -> bool {
        self.lock().ticket.as_ref().is_some_and(|ticket| returned.began_with(ticket))
    }

    /// The own cause if there is one, else what came from outside, or the parent that knows.
    fn cause_or_parent(&self, look: &mut Look) -> Found {
        self.cancel_called(look);
        if self.has(CANCELLED | STOPPED)
            && let Some(ticket) = self.ticket()
        {
            return Found::Ticket(ticket);
        }
        self.outer_cause_or_parent(look)
    }

    /// Whether nothing had cancelled this scope when it was left.
    fn ended_well(&self) -> bool {
        !self.has(CUT | SOFT_CUT | STOPPED) && matches!(self.lock().cause, None | Some(Cause::Dropped))
    }

    /// The error of an own cause: always the same one.
    fn ticket(&self) -> Option<Cancelled> {
        let cause = {
            let state = self.lock();
            if state.ticket.is_some() {
                return state.ticket.clone();
            }
            state.cause.clone()?
        };
        // The name of the error is looked for further up, so without the lock.
        let ticket = self.error(cause);
        Some(self.lock().ticket.get_or_insert(ticket).clone())
    }

    fn outer_cause_or_parent(&self, look: &mut Look) -> Found {
        // What was delivered stays the cause, wherever the future is polled by now (rules D4, L6).
        if let Some(foreign) = self.lock().foreign.clone() {
            return Found::Cause(Cause::Parent(foreign));
        }
        match self.parent() {
            // Cancelling a scope that was left changes nothing (rule F7).
            Some(parent) if self.was_left_by(&parent) && parent.ended_well() => Found::Cause(Cause::Closed),
            Some(parent) if parent.sees_cancel(look) => Found::Parent(parent),
            Some(parent) if self.was_left_by(&parent) => Found::Cause(Cause::Closed),
            _ => Found::Cause(Cause::Dropped),
        }
    }

    /// The cause that comes from outside of this node.
    pub(crate) fn outer_cause(&self, look: &mut Look) -> Cause {
        match self.outer_cause_or_parent(look) {
            Found::Cause(cause) => cause,
            Found::Ticket(ticket) => Cause::Parent(ticket),
            Found::Parent(parent) => Cause::Parent(parent.cancelled_error(look)),
        }
    }
}
