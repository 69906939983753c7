//! What a block stands on, and the timer that goes with it.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};

use pin_project_lite::pin_project;
use tokio::task::unconstrained;

use crate::context::{Seat, WakerId, waker_id};
use crate::deadline::Moment;
use crate::sync::time::{Sleep, sleep_until};
use crate::tree::Node;

/// What a block stands on: whatever is polled around it, or a seat of its own.
pub trait Base {
    /// The timer of its boundary.
    type Timer: Watch;

    /// The seat, if it has one.
    fn seat(&self) -> Option<&Seat>;
}

/// Wherever it is polled (rule T1). Blocks often have deadlines, so the timer is in the future.
impl Base for () {
    type Timer = Timer;

    #[inline]
    fn seat(&self) -> Option<&Seat> {
        None
    }
}

/// The scope that a task was spawned into (rule T2). It has no deadline of its own, and seldom a use for a timer.
impl Base for Seat {
    type Timer = SpareTimer;

    #[inline]
    fn seat(&self) -> Option<&Seat> {
        Some(self)
    }
}

/// The timer of a boundary.
pub trait Watch: Default {
    /// Whether the moment that it was set to has passed.
    fn is_elapsed(self: Pin<&Self>) -> bool;

    /// True once `at` has passed; else the timer is set, and wakes the node if there is one, or the task.
    fn has_passed(self: Pin<&mut Self>, at: Moment, node: Option<&Arc<Node>>, cx: &mut Context<'_>) -> bool;
}

pin_project! {
    /// One timer, registered only while it is needed.
    #[project = TimerProj]
    #[derive(Default)]
    pub struct Timer {
        #[pin]
        sleep: Option<Sleep>,
        waker: WakerId,
    }
}

impl Watch for Timer {
    fn is_elapsed(self: Pin<&Self>) -> bool {
        self.project_ref().sleep.as_pin_ref().is_some_and(|sleep| sleep.is_elapsed())
    }

    #[inline]
    fn has_passed(self: Pin<&mut Self>, at: Moment, node: Option<&Arc<Node>>, cx: &mut Context<'_>) -> bool {
        if at.is_never() && self.sleep.is_none() {
            return false;
        }
        self.watch(at, node, cx)
    }
}

impl Timer {
    /// A timer that is set is not polled again with the same waker: nothing about it changed, and a poll would register
    /// it anew.
    fn watch(self: Pin<&mut Self>, at: Moment, node: Option<&Arc<Node>>, cx: &mut Context<'_>) -> bool {
        let mut this = self.project();
        let Some(at) = at.instant() else {
            this.sleep.set(None);
            return false;
        };
        let id = node.map_or_else(|| waker_id(cx.waker()), |node| (Arc::as_ptr(node) as usize, 0));
        match this.sleep.as_mut().as_pin_mut() {
            Some(sleep) if sleep.deadline() == at => {
                if *this.waker == id && (node.is_none() || !sleep.is_elapsed()) {
                    return false;
                }
            }
            Some(sleep) => sleep.reset(at),
            None => this.sleep.set(Some(sleep_until(at))),
        }
        *this.waker = id;
        let sleep = this.sleep.as_mut().as_pin_mut().expect("it was set above");
        // A timer of a boundary is no work of the task's: with the task's budget used up it would not be registered.
        let sleep = pin!(unconstrained(sleep));
        let passed = match node {
            Some(node) => sleep.poll(&mut Context::from_waker(&Waker::from(Arc::clone(node)))),
            None => sleep.poll(cx),
        };
        if passed.is_ready() {
            this.sleep.set(None);
        }
        passed.is_ready()
    }
}

/// A timer that is made when it is needed.
#[derive(Default)]
pub struct SpareTimer(Option<Pin<Box<Timer>>>);

impl Watch for SpareTimer {
    fn is_elapsed(self: Pin<&Self>) -> bool {
        self.get_ref().0.as_ref().is_some_and(|timer| timer.as_ref().is_elapsed())
    }

    #[inline]
    fn has_passed(self: Pin<&mut Self>, at: Moment, node: Option<&Arc<Node>>, cx: &mut Context<'_>) -> bool {
        let timer = &mut self.get_mut().0;
        if at.is_never() && timer.is_none() {
            return false;
        }
        timer.get_or_insert_default().as_mut().has_passed(at, node, cx)
    }
}
