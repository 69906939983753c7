//! The future around a body: polls it, delivers cancels, unwinds, and decides what leaves (rules D1-D7, U1-U5).
//!
//! A poll of a [`Block`] puts its frame on the poll stack and goes through the stages *body → ending → left*:
//!
//! * **Body.** The body is polled first. Only if it is pending and a hard cancel is visible, or a scope inside has
//!   unwound without absorbing, is it dropped (rule D2); and only when nothing inside owes work (rule U1).
//! * **Ending.** Children end, cleanup runs, the scope closes (rule U2). A scope without a node has neither.
//! * **Left.** Four facts are combined here and nowhere else: a failure, cancelled by itself, lost its body or a
//!   child, a cancel from outside is visible.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::base::Base;
use crate::cause::Cancelled;
use crate::cleanup::{Driver, poll_ending};
use crate::context::{self, Frame, Pause, Seat, Stack, waker_id};
use crate::deadline::{Bound, Moment};
use crate::failure::{ErrorText, Failure, FailureKind, Payload};
use crate::hosted::Hosted;
use crate::orphan;
use crate::signal::Signal;
use crate::tree::{Hold, Look, Node, Origin};

/// Says whether a body's output is an `Err`, and what it says of itself. A type without size, chosen by the expansion:
/// a function pointer would be carried in every future.
pub trait Classify<R>: Copy + Default {
    /// Whether it is an error.
    fn is_err(self, value: &R) -> bool;

    /// What the error says of itself.
    fn text(self, value: &R) -> ErrorText;

    /// The cancel that the error wraps (rule W3).
    fn signal(self, value: &R) -> Option<Signal>;
}

/// For bodies that end with a mere value.
#[derive(Clone, Copy, Default)]
pub struct NeverErr;

impl<R> Classify<R> for NeverErr {
    fn is_err(self, _: &R) -> bool {
        false
    }

    fn text(self, _: &R) -> ErrorText {
        ErrorText { text: "a block inside of it failed".to_owned(), source: None }
    }

    fn signal(self, _: &R) -> Option<Signal> {
        None
    }
}

/// What leaves a boundary.
// Its tag has a word of its own: the bytes behind a smaller one are copied in pieces that the processor can't forward.
#[repr(usize)]
pub enum Left<R> {
    /// The body ended with its enclosing function's value: by `return`, by `?`, or as that function's body.
    Returned(R),
    /// The same with an error (rule U4), or a child failed that the boundary polled itself.
    Errored(R),
    /// The body fell off its end, or jumped out of the block.
    Finished,
    /// A child failed; the error has the child's own type.
    Failed(Box<dyn std::any::Any + Send>),
    /// Something panicked.
    Panicked(Payload),
    /// The scope was cancelled, and its body ended with an error that says so (rule W3): an own cancel.
    Signalled {
        /// What the body ended with.
        value: R,
        /// What happened.
        error: Cancelled,
    },
    /// A child task was cut by a cancel of its scope, and nobody needs to be told yet.
    Cut,
    /// The scope was cancelled.
    Cancelled {
        /// What happened.
        error: Cancelled,
        /// An own cancel (rule D5), or one from outside.
        own: bool,
    },
}

/// How the body ended.
enum End<R> {
    Finished,
    Returned(R),
    Errored(R),
    /// By itself, with a cancel that it was told (rule W3).
    Signalled(R),
    Panicked(Payload),
    Cut,
}

pin_project! {
    #[project = StageProj]
    enum Stage<B, R> {
        Body { #[pin] body: B },
        Ending { end: Option<End<R>> },
        // It has told its parent, which drops it; kept to tell again, or to absorb if it was moved (rule D4).
        Through { under: Option<Arc<Node>>, told: Told },
        Left,
    }
}

pin_project! {
    /// A body with its boundary, and the children that it polls itself.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Block<B: Future, C, H: Hosted<<B as Future>::Output> = (), P: Base = ()> {
        #[pin]
        stage: Stage<B, B::Output>,
        #[pin]
        hosted: H,
        frame: Frame,
        base: P,
        classify: C,
    }

    impl<B: Future, C, H: Hosted<<B as Future>::Output>, P: Base> PinnedDrop for Block<B, C, H, P> {
        fn drop(this: Pin<&mut Self>) {
            this.drop_in_place();
        }
    }
}

/// The future was dropped by something that is no scope (rule U5), or by a scope after it told that it unwound.
#[inline(never)]
fn drop_from_outside<B, R, H: Hosted<R>>(
    mut stage: Pin<&mut Stage<B, R>>,
    mut hosted: Pin<&mut H>,
    frame: &Frame,
    seat: Option<&Seat>,
) {
    let mut dropped = context::enter_for_drop(frame, seat, || {
        let stopped = hosted.as_mut().stop_watching();
        match stage.as_mut().project() {
            StageProj::Body { .. } => stopped.and(drop_body(stage.as_mut())),
            _ => stopped,
        }
    });
    // They leave their work to the scope, which is then adopted with it.
    dropped = dropped.and(hosted.drop_in_place());
    if let Some(node) = frame.node() {
        orphan::adopt_from(node, None);
    }
    if let Err(payload) = dropped
        && !std::thread::panicking()
    {
        resume_unwind(payload);
    }
}

/// Drops the body, with its frame on the stack: what its destructors register goes there.
fn drop_body<B, R>(mut stage: Pin<&mut Stage<B, R>>) -> Result<(), Payload> {
    catch_unwind(AssertUnwindSafe(|| stage.set(Stage::Left)))
}

impl<B: Future, C: Classify<B::Output>> Block<B, C> {
    #[inline]
    pub(crate) fn new(frame: Frame, body: B, classify: C) -> Self {
        Self::hosting(frame, body, classify, ())
    }
}

impl<B: Future, C: Classify<B::Output>, H: Hosted<B::Output>> Block<B, C, H> {
    /// A block with children that it polls itself; the frame has a node then.
    pub(crate) fn hosting(frame: Frame, body: B, classify: C, hosted: H) -> Self {
        let stage = match frame.is_refused() {
            true => Stage::Ending { end: Some(End::Cut) },
            false => Stage::Body { body },
        };
        Self { stage, hosted, frame, base: (), classify }
    }

    /// A block whose body has ended with this value: its children are all that is left.
    pub(crate) fn ended(frame: Frame, value: B::Output, classify: C, hosted: H) -> Self {
        if let Some(node) = frame.node() {
            node.begin_ending();
        }
        let stage = Stage::Ending { end: Some(End::Returned(value)) };
        Self { stage, hosted, frame, base: (), classify }
    }

    /// Gives the scope a timeout that counts from now (rule L1).
    pub(crate) fn bound(self: Pin<&mut Self>, timeout: Duration) {
        self.project().frame.bind(Bound::after(timeout));
    }
}

impl<B: Future, C: Classify<B::Output>, P: Base> Block<B, C, (), P> {
    /// A block that stands on something of its own, wherever it is polled.
    pub(crate) fn standing_on(base: P, frame: Frame, body: B, classify: C) -> Self {
        Self { stage: Stage::Body { body }, hosted: (), frame, base, classify }
    }
}

impl<B: Future, C, H: Hosted<B::Output>, P: Base> Block<B, C, H, P> {
    pub(crate) fn base(&self) -> &P {
        &self.base
    }

    pub(crate) fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Drops what is in it, if it was not left; to be called once at most before the drop.
    pub(crate) fn drop_in_place(self: Pin<&mut Self>) {
        let this = self.project();
        // Nothing is left to do behind the boundary.
        if !this.frame.is_left() {
            this.frame.leave();
            drop_from_outside(this.stage, this.hosted, this.frame, this.base.seat());
        }
    }
}

impl<B: Future, C: Classify<B::Output>, H: Hosted<B::Output>, P: Base> Block<B, C, H, P> {
    /// Ends the body before its first poll: a child task that never starts (rule F6). The next poll goes on behind it.
    pub(crate) fn cut(self: Pin<&mut Self>, foreign: Option<Cancelled>, waker: &Waker) {
        let this = self.project();
        context::enter_seated(this.frame, this.base.seat(), waker_id(waker), |stack| {
            if let Some(node) = stack.frame().node() {
                let mut look = Look::new();
                let softly = !node.sees_hard_cancel(&mut look);
                node.delivered(foreign, softly, &mut look);
            }
            let left = end_body(stack, this.stage, this.hosted, End::Cut, *this.classify);
            debug_assert!(left.is_none(), "a body that was cut has an end to come");
        });
    }
}

impl<B: Future, C: Classify<B::Output>, H: Hosted<B::Output>, P: Base> Future for Block<B, C, H, P> {
    type Output = Left<B::Output>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let frame = &*this.frame;
        assert!(!frame.is_left(), "a scope was polled after it was left");
        // Written where it stays: it would be moved once for every function that it went through.
        let mut polled = Poll::Pending;
        context::enter_seated(frame, this.base.seat(), waker_id(cx.waker()), |stack| {
            poll_entered(stack, this.stage, this.hosted, *this.classify, cx, &mut polled);
        });
        if polled.is_ready() {
            frame.leave();
            if let Some(node) = frame.node() {
                node.unlink(&mut Look::new());
            }
        }
        polled
    }
}

/// What to do with a body that is pending.
enum Verdict {
    Keep,
    Deliver,
}

/// What a poll of the body gave.
enum Polled<R> {
    Pending,
    /// It has ended, in a scope that has nothing else to see to: what leaves it is in its place.
    Left,
    /// How it ended, and whether what was watched beside it could be dropped.
    Ended(End<R>, Result<(), Payload>),
}

/// Polls the body; at its end it is dropped in the same go.
#[inline(always)]
fn poll_body<B: Future, C: Classify<B::Output>, H: Hosted<B::Output>>(
    stack: &Stack<'_>,
    mut stage: Pin<&mut Stage<B, B::Output>>,
    hosted: Pin<&mut H>,
    classify: C,
    cx: &mut Context<'_>,
    left: &mut Poll<Left<B::Output>>,
) -> Polled<B::Output> {
    let StageProj::Body { body } = stage.as_mut().project() else { return Polled::Pending };
    let value = match body.poll(cx) {
        Poll::Ready(value) => Some(value),
        Poll::Pending if stack.has_finished() => None,
        Poll::Pending => return Polled::Pending,
    };
    stack.begin_drop();
    // While children are left, what is watched may still cancel them (rule B3).
    let stopped =
        hosted.stop_watching_unless(&|| stack.frame().node().is_some_and(|node| node.has_children()));
    stage.set(Stage::Left);
    match value {
        None if stopped.is_ok() && stack.ends_plainly() => {
            *left = Poll::Ready(Left::Finished);
            Polled::Left
        }
        Some(value) if stopped.is_ok() && stack.ends_plainly() && !classify.is_err(&value) => {
            *left = Poll::Ready(Left::Returned(value));
            Polled::Left
        }
        value => Polled::Ended(value.map_or(End::Finished, End::Returned), stopped),
    }
}

/// Polls what is in the stage, with the frame on the stack.
#[inline(always)]
fn poll_entered<B: Future, C: Classify<B::Output>, H: Hosted<B::Output>>(
    stack: &Stack<'_>,
    mut stage: Pin<&mut Stage<B, B::Output>>,
    mut hosted: Pin<&mut H>,
    classify: C,
    cx: &mut Context<'_>,
    polled: &mut Poll<Left<B::Output>>,
) {
    if matches!(stage.as_mut().project(), StageProj::Body { .. }) {
        stack.expire_if_passed();
        // The hosted children first, new ones too: if they wake the body and then cancel it, or a scope around, it goes on
        // before anybody looks for the cancel, as it would if they were tasks (rule D2).
        hosted.as_mut().poll(cx);
        let left = loop {
            let poll = || poll_body(stack, stage.as_mut(), hosted.as_mut(), classify, cx, polled);
            break match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(Polled::Left) => return,
                Ok(Polled::Ended(end, stopped)) => settle_body(stack, stage.as_mut(), end, stopped, classify),
                Err(payload) => {
                    end_body(stack, stage.as_mut(), hosted.as_mut(), End::Panicked(payload), classify)
                }
                Ok(Polled::Pending) => match suspended(stack, hosted.as_mut(), cx) {
                    Verdict::Keep if hosted.has_new() => {
                        hosted.as_mut().poll(cx);
                        continue;
                    }
                    Verdict::Keep => return,
                    Verdict::Deliver => end_body(stack, stage.as_mut(), hosted.as_mut(), End::Cut, classify),
                },
            };
        };
        if let Some(left) = left {
            *polled = Poll::Ready(left);
            return;
        }
    }
    *polled = poll_end(stack, stage, hosted, cx);
}

/// Polls what comes behind the body.
#[inline(never)]
fn poll_end<B, R, H: Hosted<R>>(
    stack: &Stack<'_>,
    mut stage: Pin<&mut Stage<B, R>>,
    mut hosted: Pin<&mut H>,
    cx: &mut Context<'_>,
) -> Poll<Left<R>> {
    loop {
        match stage.as_mut().project() {
            StageProj::Ending { end } => {
                if let Some(node) = stack.frame().node() {
                    // It was given up as abandoned, and is polled all the same: an orphan does its work, and it keeps
                    // what its body ended with.
                    let orphaned = node.is_orphaned();
                    if !orphaned {
                        hosted.as_mut().poll(cx);
                    } else if let Err(payload) = hosted.as_mut().drop_in_place() {
                        node.fail(Failure::panic(node.name(), payload));
                    }
                    if orphaned && matches!(end, Some(End::Cut)) {
                        let error = node.cancelled_error(&mut Look::new());
                        stage.set(Stage::Left);
                        return Poll::Ready(Left::Cancelled { error, own: false });
                    }
                    if !orphaned && poll_ending(node, Driver::Boundary, cx).is_pending() {
                        if hosted.as_mut().watch(cx) {
                            continue;
                        }
                        let mut look = Look::new();
                        let deadline = stack.needs_timer(&mut look);
                        drop(look);
                        if stack.frame().timers().node_passed(deadline, node) {
                            continue;
                        }
                        stack.frame().watched();
                        return Poll::Pending;
                    }
                }
                if let Err(payload) = hosted.as_mut().stop_watching()
                    && let Some(node) = stack.frame().node()
                {
                    node.fail(Failure::panic(node.name(), payload));
                }
                let end = end.take().expect("it is taken once");
                return leave(stack, stage, hosted, end, cx.waker());
            }
            StageProj::Through { under, told } => {
                let parent = stack.frame().node().and_then(|node| node.parent());
                if same(under.as_ref(), parent.as_ref())
                    && told.ask_again(parent.as_ref(), cx.waker())
                    && stack.signal_parent()
                {
                    return Poll::Pending;
                }
                stage.set(Stage::Left);
                return Poll::Ready(Left::Cancelled { error: foreign_error(stack), own: false });
            }
            StageProj::Body { .. } | StageProj::Left => panic!("a scope was polled after it was left"),
        }
    }
}

/// Whether the parent that was told can act: it does when its pass over the body ends.
///
/// The pass never ends if it blocks on a nested runtime that waits for this scope. Then there is nobody to tell, and the
/// scope absorbs after all (rule D4). To find out, it asks to be polled again until it sees another pass; an executor
/// that polls within a pass (a `LocalSet`, a `FuturesUnordered`) yields long before it is tired of asking.
enum Told {
    Asking { pass: u32, polls: u16 },
    Heard,
}

const POLLS_IN_ONE_PASS: u16 = 256;

impl Told {
    fn new(parent: Option<&Arc<Node>>, waker: &Waker) -> Self {
        waker.wake_by_ref();
        Self::Asking { pass: parent.map_or(0, |parent| parent.pass()), polls: 0 }
    }

    /// False if the parent will never act.
    fn ask_again(&mut self, parent: Option<&Arc<Node>>, waker: &Waker) -> bool {
        let Self::Asking { pass, polls } = self else { return true };
        if parent.is_some_and(|parent| parent.pass() != *pass) {
            *self = Self::Heard;
            return true;
        }
        *polls += 1;
        waker.wake_by_ref();
        *polls < POLLS_IN_ONE_PASS
    }
}

fn same(a: Option<&Arc<Node>>, b: Option<&Arc<Node>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// The body is pending: looks whether it stays.
#[inline(always)]
fn suspended<R, H: Hosted<R>>(stack: &Stack<'_>, hosted: Pin<&mut H>, cx: &mut Context<'_>) -> Verdict {
    hosted.watch(cx);
    if stack.goes_on_plainly() && !stack.has_run_out(cx) {
        return Verdict::Keep;
    }
    if stack.is_light_and_cut() {
        return Verdict::Deliver;
    }
    suspended_for_a_reason(stack, cx)
}

/// The same where there may be something to act on.
#[inline(never)]
fn suspended_for_a_reason(stack: &Stack<'_>, cx: &mut Context<'_>) -> Verdict {
    let mut look = Look::new();
    match stack.pause(cx.waker(), &mut look) {
        Pause::Shared(node) => return suspended_with_node(stack, node, cx),
        Pause::Deliver => {}
        Pause::Kept if !stack.has_run_out(cx) => return Verdict::Keep,
        Pause::Kept => stack.expire(),
    }
    deliver(stack, &mut look);
    Verdict::Deliver
}

/// The same with a node: registers for whatever may change, then looks (invariant 3 of the tree).
#[inline(never)]
fn suspended_with_node(stack: &Stack<'_>, node: &Arc<Node>, cx: &mut Context<'_>) -> Verdict {
    node.register(cx.waker());
    node.pass_again_if_changed(cx.waker());
    loop {
        let mut look = Look::new();
        let mut wait_until = Moment::NEVER;
        if stack.is_cut(&mut look) {
            match node.hold(&mut look, cx.waker()) {
                Hold::Free => {
                    deliver(stack, &mut look);
                    return Verdict::Deliver;
                }
                Hold::Wait(until) => wait_until = until,
            }
        }
        // One that waits may unwind for a cancel that is only soft: what is inside depends on the deadline all the same.
        let wait_until = wait_until.min(stack.needs_timer(&mut look));
        drop(look);
        if !stack.frame().timers().node_passed(wait_until, node) {
            stack.frame().watched();
            return Verdict::Keep;
        }
    }
}

/// Takes note of a delivery before the body is dropped.
fn deliver(stack: &Stack<'_>, look: &mut Look) {
    if stack.is_light() {
        // Its scope knows all that there is to know.
        return;
    }
    let foreign = stack.inner_unwound() || stack.sees_outer_hard_cancel(look);
    let softly = stack.inner_unwound_softly() && !stack.sees_hard_cancel(look);
    take_note(stack, foreign, softly, look);
}

pub(crate) fn take_note(stack: &Stack<'_>, foreign: bool, softly: bool, look: &mut Look) {
    let mut told = None;
    if foreign && stack.has_parent() {
        // Whoever unwinds for somebody else must still know it if its future is moved (rule D4).
        stack.make_top_node();
        told = stack.foreign_error(look);
    }
    if let Some(node) = stack.frame().node() {
        node.delivered(told, softly, look);
    }
}

/// Drops the body and begins the unwinding.
fn end_body<B: Future, C: Classify<B::Output>, H: Hosted<B::Output>>(
    stack: &Stack<'_>,
    mut stage: Pin<&mut Stage<B, B::Output>>,
    hosted: Pin<&mut H>,
    end: End<B::Output>,
    classify: C,
) -> Option<Left<B::Output>> {
    stack.begin_drop();
    let stopped = hosted.stop_watching();
    let dropped = drop_body(stage.as_mut());
    if stack.is_light() && dropped.is_ok() && matches!(end, End::Cut) {
        return Some(Left::Cut);
    }
    settle_body(stack, stage, end, stopped.and(dropped), classify)
}

/// The body is gone. A scope without a node has nothing to wait for: it is left at once, unless it was cut.
#[inline(never)]
fn settle_body<B: Future, C: Classify<B::Output>>(
    stack: &Stack<'_>,
    mut stage: Pin<&mut Stage<B, B::Output>>,
    end: End<B::Output>,
    dropped: Result<(), Payload>,
    classify: C,
) -> Option<Left<B::Output>> {
    let failing = stack.end_drop();
    let end = match end {
        End::Returned(value) if failing => End::Errored(value),
        End::Returned(value) if classify.is_err(&value) => match origin(stack, classify, &value) {
            Some(origin) => {
                let mut look = Look::new();
                let softly = !stack.sees_hard_cancel(&mut look);
                take_note(stack, origin == Origin::Outer, softly, &mut look);
                End::Signalled(value)
            }
            None => End::Errored(value),
        },
        end => end,
    };
    stack.register_end(dropped.is_err() || matches!(end, End::Panicked(_) | End::Errored(_)));
    let Some(node) = stack.frame().node() else {
        return match (end, dropped) {
            (End::Panicked(payload), _) | (_, Err(payload)) => Some(Left::Panicked(payload)),
            (End::Finished, Ok(())) => Some(Left::Finished),
            (End::Returned(value), Ok(())) => Some(Left::Returned(value)),
            (End::Errored(value), Ok(())) => Some(Left::Errored(value)),
            (End::Cut, Ok(())) if stack.is_light() => Some(Left::Cut),
            (end @ (End::Cut | End::Signalled(_)), Ok(())) => {
                stage.set(Stage::Ending { end: Some(end) });
                None
            }
        };
    };
    node.begin_ending();
    let end = match end {
        End::Panicked(payload) => {
            // The failure is what leaves; should the scope be abandoned meanwhile, it is reported, and there is no value.
            node.fail(Failure::panic(node.name(), payload));
            End::Cut
        }
        End::Errored(value) => {
            let text = classify.text(&value);
            node.fail(Failure { task: node.name(), text, kind: FailureKind::Body });
            End::Errored(value)
        }
        end => end,
    };
    if let Err(payload) = dropped {
        node.fail(Failure::panic(node.name(), payload));
    }
    node.body_gone();
    stage.set(Stage::Ending { end: Some(end) });
    None
}

/// Whose cancel the error of a body is, if it is one at all (rule W3).
pub(crate) fn origin<R, C: Classify<R>>(stack: &Stack<'_>, classify: C, value: &R) -> Option<Origin> {
    if !stack.has_nodes() {
        return None;
    }
    let signal = classify.signal(value)?;
    stack.make_top_node()?.origin_of(signal)
}

/// Combines the four facts (see the module's documentation).
fn leave<B, R, H: Hosted<R>>(
    stack: &Stack<'_>,
    mut stage: Pin<&mut Stage<B, R>>,
    hosted: Pin<&mut H>,
    end: End<R>,
    waker: &Waker,
) -> Poll<Left<R>> {
    let taken = stack.frame().node().map(|node| node.take_result());
    let mut lost = matches!(end, End::Cut | End::Signalled(_));
    let mut under = None;
    if let Some(taken) = taken {
        if let Some(failure) = taken.failure {
            stage.set(Stage::Left);
            if matches!(failure.kind, FailureKind::Body) {
                let End::Errored(value) = end else {
                    unreachable!("the body's own failure is kept as its value")
                };
                return Poll::Ready(Left::Errored(value));
            }
            // Before there is a result: what is in the place of one when a destructor panics is never dropped.
            drop(end);
            return Poll::Ready(match failure.kind {
                FailureKind::Error(error) => Left::Failed(error),
                FailureKind::InPlace => {
                    Left::Errored(hosted.take_failure().expect("it is kept by the child that failed first"))
                }
                FailureKind::Panic(payload) => Left::Panicked(payload),
                FailureKind::Body => unreachable!("it has left above"),
            });
        }
        lost |= taken.lost_child;
        under = taken.delivered_under;
    }
    if !lost {
        stage.set(Stage::Left);
        return Poll::Ready(match end {
            End::Finished => Left::Finished,
            End::Returned(value) => Left::Returned(value),
            End::Errored(value) => Left::Errored(value),
            End::Panicked(payload) => Left::Panicked(payload),
            End::Cut | End::Signalled(_) => unreachable!("a body that was cut is lost"),
        });
    }

    let mut look = Look::new();
    let own = stack.frame().cancel_called(&mut look) && !stack.sees_outer_hard_cancel(&mut look);
    if !own && stack.has_parent() {
        let parent = stack.make_top_node().and_then(|node| node.parent());
        if under.is_none() || same(under.as_ref(), parent.as_ref()) {
            stack.signal_parent();
            let told = Told::new(parent.as_ref(), waker);
            stage.set(Stage::Through { under: parent, told });
            return Poll::Pending;
        }
    }
    stage.set(Stage::Left);
    let error = if own {
        stack.cancelled_error(&mut look).expect("its own frame is on the stack")
    } else {
        foreign_error(stack)
    };
    Poll::Ready(match end {
        End::Signalled(value) if own => Left::Signalled { value, error },
        End::Cut => Left::Cancelled { error: error.landed(stack.frame().awaiting()), own },
        _ => Left::Cancelled { error, own },
    })
}

/// The error of a scope that absorbs a cancel that was not its own (rule D4), or of a task or guest.
pub(crate) fn foreign_error(stack: &Stack<'_>) -> Cancelled {
    stack.outer_error(&mut Look::new()).expect("its own frame is on the stack")
}
