//! Children whose result is in a place of their own: forks, arms of races and joins, threads.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;

use super::child::{Body, Child, Convert, Keep, result_of};
use super::start::{Start, Turn};
use super::{Closed, Task};
use crate::boundary::{Block, NeverErr};
use crate::cause::{Cancelled, Cause};
use crate::context::Frame;
use crate::site::{Kind, Site};
use crate::sync::{Mutex, MutexGuard};
use crate::tree::{Admitted, ChildEnd, ChildKey, Go, Look, Node, NodeInit, Place, Role, Untaken};

pub(super) struct Shared<T> {
    pub(super) node: Arc<Node>,
    slot: Mutex<Slot<T>>,
}

enum Slot<T> {
    Running(Option<Waker>),
    /// With the failure that is taken with it (rule F5).
    Done(Result<T, Cancelled>, Option<Untaken>),
    Taken,
    /// The handle was dropped: nobody will ask.
    Unwanted,
}

impl<T> Shared<T> {
    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_finished(&self) -> bool {
        !matches!(*self.slot(), Slot::Running(_))
    }

    /// The result, if it is there.
    pub(super) fn take_if_done(&self) -> Option<Result<T, Cancelled>> {
        let mut slot = self.slot();
        match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Done(result, _) => Some(result),
            other => {
                *slot = other;
                None
            }
        }
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<T, Cancelled>> {
        let mut slot = self.slot();
        match &mut *slot {
            Slot::Running(Some(waker)) if waker.will_wake(cx.waker()) => Poll::Pending,
            Slot::Running(waker) => {
                let old = waker.replace(cx.waker().clone());
                drop(slot);
                drop(old);
                Poll::Pending
            }
            _ => {
                let Slot::Done(result, untaken) = std::mem::replace(&mut *slot, Slot::Taken) else {
                    panic!("a `Task` was polled after it gave its result")
                };
                drop(slot);
                if let Some(untaken) = untaken {
                    untaken.take();
                }
                Poll::Ready(result)
            }
        }
    }

    /// Nobody will ask.
    pub(super) fn disown(&self) {
        let old = std::mem::replace(&mut *self.slot(), Slot::Unwanted);
        drop(old);
    }

    /// Hands over the result, or drops it here and now if nobody wants it.
    fn finish(&self, result: Result<T, Cancelled>, untaken: Option<Untaken>) {
        let mut slot = self.slot();
        let unwanted = match std::mem::replace(&mut *slot, Slot::Taken) {
            Slot::Running(waker) => {
                *slot = Slot::Done(result, untaken);
                drop(slot);
                if let Some(waker) = waker {
                    waker.wake();
                }
                return;
            }
            old => {
                *slot = old;
                result
            }
        };
        drop(slot);
        crate::cleanup::drop_quietly(&self.node, unwanted);
    }
}

pin_project! {
    /// A child with its own boundary: spawned on the runtime, or polled by its scope.
    pub struct ChildTask<F: Future, T, K: Keep> {
        #[pin]
        block: Block<Body<F, T, K>, NeverErr>,
        start: Start,
        supervised: bool,
        end: Ending<T>,
    }
}

/// Who polls a child.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// A task of its own on the runtime.
    Runtime,
    /// The host task, which is in the scope.
    Host,
}

/// Tells the handle and the scope how the child ended, exactly once: also when its future is dropped.
pub(crate) struct Ending<T> {
    shared: Arc<Shared<T>>,
    scope: Arc<Node>,
    key: Option<ChildKey>,
    home: Home,
}

impl<T> Ending<T> {
    pub(crate) fn end(&mut self, result: Result<T, Cancelled>, untaken: Option<Untaken>, end: ChildEnd) {
        let Some(key) = self.key.take() else { return };
        self.shared.finish(result, untaken);
        self.scope.child_ended(key.at(), end);
    }
}

impl<T> Drop for Ending<T> {
    fn drop(&mut self) {
        if self.key.is_some() {
            // A race has nothing to hand on without this arm, and nobody else is told.
            let (cause, end) = match self.home {
                Home::Runtime if self.scope.site().kind() == Kind::Race => (Cause::Runtime, ChildEnd::Lost),
                Home::Runtime => (Cause::Runtime, ChildEnd::Settled),
                Home::Host => (Cause::Dropped, ChildEnd::Settled),
            };
            let cancelled = Cancelled::new(self.shared.node.who(), cause);
            self.end(Err(cancelled), None, end);
        }
    }
}

impl<F: Future, T, K: Keep> Future for ChildTask<F, T, K> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let (node, scope) = (&this.end.shared.node, &this.end.scope);
        ready!(this.start.poll(node, this.block.as_mut(), cx));
        let left = ready!(this.block.poll(cx));
        let (result, untaken, end) = result_of(left, node, scope, *this.supervised, this.start.has_begun());
        this.end.end(result, untaken, end);
        Poll::Ready(())
    }
}

/// A child that its scope knows of, and that has not begun.
pub(crate) struct Enlisted<T> {
    pub(crate) node: Arc<Node>,
    pub(crate) task: Task<T>,
    pub(crate) end: Ending<T>,
    /// Whether it has to wait for its turn (rule F6).
    pub(crate) waits: bool,
}

/// Adds a child to the scope; `None` if the scope was left (rule F7).
pub(crate) fn enlist<T>(
    scope: &Arc<Node>,
    site: &'static Site,
    name: Option<Box<str>>,
    role: Role,
    home: Home,
) -> Option<Enlisted<T>> {
    let shield = role == Role::Cleanup;
    let node = Arc::new(Node::new(NodeInit { shield, ..NodeInit::plain(site, name) }));
    node.link(Some(Arc::clone(scope)), Place::Child, &mut Look::new());
    let Admitted { key, waits } = scope.add_child(site, Some(Arc::clone(&node)), role, home)?;
    let shared = Arc::new(Shared { node: Arc::clone(&node), slot: Mutex::new(Slot::Running(None)) });
    let task = Task { place: super::Place::Shared(Arc::clone(&shared)) };
    Some(Enlisted {
        node,
        task,
        end: Ending { shared, scope: Arc::clone(scope), key: Some(key), home },
        waits,
    })
}

impl<T> Ending<T> {
    /// Its place among the children of its scope.
    pub(crate) fn key(&self) -> usize {
        self.key.expect("a child has a place in its scope until it ends").at()
    }
}

/// Makes a child of the scope of `scope`: its handle, what has to be polled, and whether it has to wait for its turn.
#[track_caller]
#[expect(clippy::type_complexity, reason = "a handle and a task")]
pub(crate) fn child_of<F: Future, T, K: Keep>(
    scope: &Arc<Node>,
    child: Child<F>,
    convert: Convert<F::Output, T, K::Error>,
    keep: K,
    home: Home,
) -> Result<(Task<T>, ChildTask<F, T, K>, bool), Closed<F>> {
    let Child { site, future, name, role, skip_if_cancelled, held: _, supervised } = child;
    let Some(Enlisted { node, task, end, waits }) = enlist(scope, site, name, role, home) else {
        return Err(Closed(future));
    };
    let body = Body::new(future, convert, keep, supervised);
    let child = ChildTask {
        block: Block::new(Frame::rooted(node), body, NeverErr),
        start: if skip_if_cancelled { Start::Look } else { Start::Run },
        supervised,
        end,
    };
    Ok((task, child, waits))
}

/// Makes a child that the boundary of its scope polls.
#[track_caller]
#[expect(clippy::type_complexity, reason = "a handle and a task")]
pub(crate) fn host<F: Future, T, K: Keep>(
    scope: &Arc<Node>,
    child: Child<F>,
    convert: Convert<F::Output, T, K::Error>,
    keep: K,
) -> Result<(Task<T>, ChildTask<F, T, K>), Closed<F>> {
    let (task, mut child, waits) = child_of(scope, child, convert, keep, Home::Host)?;
    let node = &child.end.shared.node;
    let look = matches!(child.start, Start::Look);
    if waits {
        let turn = Arc::new(Turn::default());
        child.start = Start::Wait { turn: Arc::clone(&turn), look };
        scope.wait_for_turn(child.end.key(), node, Box::new(turn));
    } else if look && let go @ Go::Never(_) = node.look_before_start(&mut Look::new()) {
        child.start = go.into();
    }
    Ok((task, child))
}

/// A task that could not be spawned since its scope was left.
pub(crate) fn closed_task<T>(scope: &Node, site: &'static Site) -> Task<T> {
    let node = Arc::new(Node::new(NodeInit::plain(site, None)));
    let cancelled = Cancelled::new(scope.who(), Cause::Closed);
    let shared = Shared { node, slot: Mutex::new(Slot::Done(Err(cancelled), None)) };
    Task { place: super::Place::Shared(Arc::new(shared)) }
}
