//! The timers of a scope's future.
//!
//! A registered timer is the dearest part of a deadline: it takes the lock of tokio's timer wheel twice, and on several
//! workers the first one is a system call. So a task has one for all of its scopes that have no node. The frame at the
//! bottom of the task's stack keeps it. It is set to the earliest moment that somebody asked for, and stays set when
//! that one is gone: at worst the task is woken once for nothing, and sets it anew.

use std::cell::{Cell, RefCell};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};

use pin_project_lite::pin_project;
use tokio::task::unconstrained;
use tokio::time::Instant;

use crate::context::{WakerId, waker_id};
use crate::deadline::{Moment, now};
use crate::sync::thread_local;
use crate::sync::time::{Sleep, sleep_until};
use crate::tree::Node;

/// What a frame has of timers: nothing, until one is needed.
pub(crate) struct Timers(Cell<Option<Pin<Box<Pair>>>>);

pin_project! {
    #[derive(Default)]
    struct Pair {
        // Wakes the task, for every scope in it.
        #[pin]
        task: Alarm,
        // How many frames besides the keeper rely on it, and what wakes them.
        lent: u32,
        borrowers: Option<Waker>,
        // Wakes the frame's node: its children are cut while nobody polls the future (rule D7).
        #[pin]
        node: Alarm,
    }
}

impl Timers {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// What the clock says if the task's timer has fired: all deadlines up to then have passed.
    #[inline]
    pub(crate) fn fired(&self) -> Option<Instant> {
        let mut pair = self.0.take()?;
        let fired = match pair.task.has_fired() {
            true => Some(pair.as_mut().project().task.take_fired()),
            false => None,
        };
        self.0.set(Some(pair));
        fired
    }

    /// True once `at` has passed; else the task will be woken then, or earlier.
    pub(crate) fn task_passed(&self, at: Instant, cx: &mut Context<'_>) -> bool {
        let mut pair = self.0.take().unwrap_or_else(spare);
        let mut task = pair.as_mut().project().task;
        let (first, id) = (task.at.map_or(at, |set| set.min(at)), waker_id(cx.waker()));
        let passed = !task.is_set(first, id)
            && task.as_mut().set(first, id, cx)
            // That was for somebody else, who is gone.
            && (first == at || task.set(at, id, cx));
        self.0.set(Some(pair));
        passed
    }

    /// Another frame relies on the task's timer from now on.
    pub(crate) fn lend(&self, waker: &Waker) {
        let mut pair = self.0.take().unwrap_or_else(spare);
        let this = pair.as_mut().project();
        *this.lent += 1;
        if !this.borrowers.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *this.borrowers = Some(waker.clone());
        }
        self.0.set(Some(pair));
    }

    /// It is left.
    pub(crate) fn take_back(&self) {
        if let Some(mut pair) = self.0.take() {
            let lent = pair.as_mut().project().lent;
            *lent = lent.saturating_sub(1);
            self.0.set(Some(pair));
        }
    }

    /// True once `at` has passed; else the node will be woken then.
    pub(crate) fn node_passed(&self, at: Moment, node: &Arc<Node>) -> bool {
        let pair = self.0.take();
        if pair.is_none() && at.is_never() {
            return false;
        }
        let mut pair = pair.unwrap_or_else(spare);
        let alarm = pair.as_mut().project().node;
        let id = (Arc::as_ptr(node) as usize, 0);
        let passed = match at.instant() {
            None => {
                alarm.stop();
                false
            }
            // Nobody but this one looks whether it has fired.
            Some(at) if alarm.is_set(at, id) && !alarm.has_fired() => false,
            Some(at) => alarm.set(at, id, &mut Context::from_waker(&Waker::from(Arc::clone(node)))),
        };
        self.0.set(Some(pair));
        passed
    }
}

impl Drop for Timers {
    #[inline]
    fn drop(&mut self) {
        if let Some(pair) = self.0.take() {
            keep(pair);
        }
    }
}

pin_project! {
    /// One timer, registered only while it is needed.
    #[derive(Default)]
    struct Alarm {
        #[pin]
        sleep: Option<Sleep>,
        // What it is set to, while there is one.
        at: Option<Instant>,
        waker: WakerId,
    }
}

impl Alarm {
    /// A timer that is set is not polled again with the same waker: nothing about it changed, and a poll would register
    /// it anew.
    fn is_set(&self, at: Instant, waker: WakerId) -> bool {
        self.at == Some(at) && self.waker == waker
    }

    #[inline]
    fn has_fired(&self) -> bool {
        self.sleep.as_ref().is_some_and(Sleep::is_elapsed)
    }

    #[inline]
    fn stop(self: Pin<&mut Self>) {
        if self.at.is_some() {
            let mut this = self.project();
            *this.at = None;
            this.sleep.set(None);
        }
    }

    #[cold]
    fn take_fired(self: Pin<&mut Self>) -> Instant {
        // By its own clock it has passed, whatever the clock says that counts here.
        let now = now();
        let passed = self.at.map_or(now, |at| at.max(now));
        self.stop();
        passed
    }

    /// Sets it; true if the moment has passed.
    fn set(self: Pin<&mut Self>, at: Instant, waker: WakerId, cx: &mut Context<'_>) -> bool {
        let mut this = self.project();
        match this.sleep.as_mut().as_pin_mut() {
            Some(_) if *this.at == Some(at) => {}
            Some(sleep) => sleep.reset(at),
            None => this.sleep.set(Some(sleep_until(at))),
        }
        (*this.at, *this.waker) = (Some(at), waker);
        let sleep = this.sleep.as_mut().as_pin_mut().expect("it was set above");
        // A timer of a boundary is no work of the task's: with the task's budget used up it would not be registered.
        let passed = pin!(unconstrained(sleep)).poll(cx).is_ready();
        if passed {
            *this.at = None;
            this.sleep.set(None);
        }
        passed
    }
}

/// How many a thread keeps.
const SPARE: usize = 32;

thread_local! {
    /// Those that scopes on this thread have had: a scope that waits under a deadline need not ask the allocator.
    static POOL: RefCell<Vec<Pin<Box<Pair>>>> = const { RefCell::new(Vec::new()) };
}

fn spare() -> Pin<Box<Pair>> {
    POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

/// The scope is left.
#[inline(never)]
fn keep(mut pair: Pin<Box<Pair>>) {
    let this = pair.as_mut().project();
    // What was moved out of this scope must find another one to keep its timer.
    let orphans = this.borrowers.take().filter(|_| *this.lent > 0);
    *this.lent = 0;
    this.task.stop();
    this.node.stop();
    if let Some(waker) = orphans {
        waker.wake();
    }
    // Else this thread is about to end.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < SPARE {
            pool.push(pair);
        }
    });
}
