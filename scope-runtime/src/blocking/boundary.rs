//! The boundary of sync code: a scope, a shield, or a child thread (rules Y1, Y2, U2, U4, F2).
//!
//! It does what [`Block`](crate::boundary::Block) does for a future, with two differences. A body is never dropped: a
//! cancel is delivered as the error of `check()` or of a wait, which the body carries here, and which is recognised by
//! its signal (rule W3). And whoever unwinds for an outer cancel tells nobody: its caller gets the error, and carries
//! it on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Waker};

use super::park::Parker;
use crate::boundary::{Classify, Left, foreign_error, origin, take_note};
use crate::cleanup::{Driver, poll_ending};
use crate::context::{self, Frame, Stack, waker_id};
use crate::deadline::Moment;
use crate::failure::{Failure, FailureKind};
use crate::sync::runtime::Handle;
use crate::tree::{Look, Node, Origin};

/// How a body came to its end, panics left out.
pub(crate) enum Body<R> {
    /// It fell off its end, or jumped out of the block.
    Finished,
    /// It ended with this value of its enclosing function.
    Value(R),
}

enum End<R> {
    Finished,
    Returned(R),
    Errored(R),
    /// It carries a cancel of this scope, or of one around it.
    Signalled(Origin, R),
    Panicked,
    /// It did not run.
    Refused,
}

/// Runs a body on this thread, under its frame, and goes through its end.
pub(crate) fn run<R, C: Classify<R>>(frame: Frame, body: impl FnOnce() -> Body<R>, classify: C) -> Left<R> {
    let refused = frame.is_refused();
    let frame = frame.on_thread();
    let left = context::enter(&frame, waker_id(Waker::noop()), |stack| {
        run_entered(stack, (!refused).then_some(body), classify)
    });
    if let Some(node) = frame.node() {
        node.unlink(&mut Look::new());
    }
    left
}

fn run_entered<R, C: Classify<R>>(
    stack: &Stack<'_>,
    body: Option<impl FnOnce() -> Body<R>>,
    classify: C,
) -> Left<R> {
    let end = match body.map(|body| catch_unwind(AssertUnwindSafe(body))) {
        Some(Ok(Body::Finished)) => End::Finished,
        Some(Ok(Body::Value(value))) => judge(stack, value, classify),
        Some(Err(payload)) => match stack.frame().node() {
            None => return Left::Panicked(payload),
            Some(node) => {
                node.fail(Failure::panic(node.name(), payload));
                End::Panicked
            }
        },
        None => End::Refused,
    };
    let Some(node) = stack.frame().node() else {
        return match end {
            End::Finished => Left::Finished,
            End::Returned(value) => Left::Returned(value),
            End::Errored(value) => Left::Errored(value),
            End::Signalled(..) | End::Panicked | End::Refused => unreachable!("it has a node"),
        };
    };
    node.begin_ending();
    if let End::Errored(value) = &end {
        node.fail(Failure { task: node.name(), text: classify.text(value), kind: FailureKind::Body });
    }
    node.body_gone();
    wait_for_end(stack, node);
    leave(stack, node, end)
}

/// Tells an error from a value, and a delivery from an error.
fn judge<R, C: Classify<R>>(stack: &Stack<'_>, value: R, classify: C) -> End<R> {
    if stack.end_drop() {
        // A block inside failed.
        return End::Errored(value);
    }
    if !classify.is_err(&value) {
        return End::Returned(value);
    }
    let Some(origin) = origin(stack, classify, &value) else { return End::Errored(value) };
    let mut look = Look::new();
    let softly = !stack.sees_hard_cancel(&mut look);
    take_note(stack, origin == Origin::Outer, softly, &mut look);
    End::Signalled(origin, value)
}

/// Children end, cleanup runs, the scope closes (rule U2).
fn wait_for_end(stack: &Stack<'_>, node: &Arc<Node>) {
    let parker = Parker::new();
    let waker = Waker::from(Arc::clone(&parker));
    // Whatever is awaited here may need a runtime.
    let runtime = node.runtime();
    let _entered = runtime.as_ref().map(Handle::enter);
    while poll_ending(node, Driver::Thread, &mut Context::from_waker(&waker)).is_pending() {
        // The children are cut by whoever notices the deadline (rule Y3).
        let mut look = Look::new();
        // So are scopes in async cleanup, by its timeout.
        let timeout = node.lock().cleanup_until.filter(|until| *until > look.now());
        let until = stack.next_event(&mut look).min(timeout.unwrap_or(Moment::NEVER));
        drop(look);
        parker.park_until(until);
    }
}

/// Combines what decides, as [`crate::boundary`] does.
fn leave<R>(stack: &Stack<'_>, node: &Arc<Node>, end: End<R>) -> Left<R> {
    let taken = node.take_result();
    if let Some(failure) = taken.failure {
        return match (failure.kind, end) {
            (FailureKind::Error(error), _) => Left::Failed(error),
            (FailureKind::Panic(payload), _) => Left::Panicked(payload),
            (FailureKind::Body, End::Errored(value)) => Left::Errored(value),
            (FailureKind::Body, _) => unreachable!("the body's own failure is kept as its value"),
            (FailureKind::InPlace, _) => unreachable!("sync code has no forks"),
        };
    }
    let carried = match end {
        End::Finished if !taken.lost_child => return Left::Finished,
        End::Returned(value) if !taken.lost_child => return Left::Returned(value),
        // Nobody could be told to unwind: the caller gets the error, and carries it on.
        End::Signalled(Origin::Outer, value) => return Left::Returned(value),
        End::Signalled(Origin::Own, value) => Some(value),
        End::Finished | End::Returned(_) | End::Refused => None,
        End::Errored(_) | End::Panicked => unreachable!("it was noted as a failure"),
    };
    let mut look = Look::new();
    if !node.cancel_called(&mut look) || node.sees_outer_hard_cancel(&mut look) {
        // What an outer cancel has taken over is reported as that one's.
        return Left::Cancelled { error: foreign_error(stack), own: false };
    }
    let error = node.cancelled_error(&mut look);
    match carried {
        Some(value) => Left::Signalled { value, error },
        None => Left::Cancelled { error, own: true },
    }
}
