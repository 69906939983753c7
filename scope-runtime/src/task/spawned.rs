//! Child tasks: one allocation each, with their result in the task itself (rules F1-F8).

use std::borrow::Cow;
use std::future::Future;
use std::mem::needs_drop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::task::unconstrained;

use super::child::{Body, Child, Convert, InFailure, Output, result_of};
use super::start::{Start, Turn};
use super::{Closed, Home, Place, Task};
use crate::boundary::{Block, Left, NeverErr};
use crate::cause::{Cancelled, Cause, Who};
use crate::context::{Frame, Seat};
use crate::failure::{Failure, panic_text};
use crate::site::{Kind, Site};
use crate::sync::runtime::{Handle, JoinError, JoinHandle};
use crate::sync::thread;
use crate::task::child::Outcome;
use crate::tree::{self, Admitted, ChildEnd, ChildKey, Go, Look, Node, NodeInit, Role, Untaken};

/// The handle of a child task.
pub(super) struct Spawned<T> {
    /// Until it has given the result.
    join: Option<JoinHandle<Finished<T>>>,
    scope: Arc<Node>,
    key: ChildKey,
    site: &'static Site,
    /// If it had one from the start.
    node: Option<Arc<Node>>,
}

/// What a child task leaves to its handle; without a result if there was no handle any more.
struct Finished<T> {
    result: Option<Result<T, Cancelled>>,
    untaken: Option<Untaken>,
}

impl<T> Spawned<T> {
    pub(super) fn cancel(&self, cause: Cause) -> bool {
        self.scope.cancel_child(self.key, cause)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.join.as_ref().is_none_or(JoinHandle::is_finished) || !self.scope.has_child(self.key)
    }

    pub(super) fn name(&self) -> Cow<'static, str> {
        self.node.as_ref().map_or(Cow::Borrowed(self.site.name()), |node| node.name())
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Cancelled>> {
        let join = self.join.as_mut().expect("a `Task` was polled after it gave its result");
        // A result that is there is not held back: with the task's budget used up, it could be lost to a cancel.
        let finished = ready!(pin!(unconstrained(join)).poll(cx));
        self.join = None;
        Poll::Ready(match finished {
            Ok(Finished { result, untaken }) => {
                if let Some(untaken) = untaken {
                    untaken.take();
                }
                result.expect("a child keeps its result for its handle")
            }
            Err(error) => Err(self.lost(error)),
        })
    }

    /// The runtime dropped the task.
    fn lost(&self, error: JoinError) -> Cancelled {
        let cause = match error.try_into_panic() {
            Ok(payload) => Cause::TaskPanicked { task: self.name(), text: panic_text(&*payload) },
            Err(_) => Cause::Runtime,
        };
        Cancelled::new(Who { name: self.name(), site: self.site }, cause)
    }

    /// Nobody will ask: the value is dropped when it is ready, and before the scope is left.
    pub(super) fn disown(&mut self) {
        let Some(join) = self.join.take() else { return };
        if needs_drop::<T>() && !join.is_finished() && !self.scope.disown_child(self.key) {
            // It has ended on another thread, with its value still on the way here.
            for _ in 0..TURNS_UNTIL_FINISHED {
                if join.is_finished() {
                    break;
                }
                thread::yield_now();
            }
        }
        drop(join);
    }
}

/// The child ends right before its task does; more turns than it can take unless this is that very task.
const TURNS_UNTIL_FINISHED: usize = 10_000;

pin_project! {
    /// A child with its own boundary, as a task of the runtime.
    struct ChildTask<F: Future, T> {
        #[pin]
        block: Block<Body<F, T, InFailure>, NeverErr, (), Seat>,
        // Only of one that may have to wait, or may never start.
        start: Option<Box<Start>>,
        supervised: bool,
        held: bool,
        ended: bool,
    }

    impl<F: Future, T> PinnedDrop for ChildTask<F, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !*this.ended {
                let scope = Arc::clone(this.block.base().scope());
                let _end = EndOnDrop { at: this.block.base().at(), scope };
                this.block.drop_in_place();
            }
        }
    }
}

/// The runtime drops the child: it has ended when what is in it is gone.
struct EndOnDrop {
    scope: Arc<Node>,
    at: usize,
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.scope.child_ended(self.at, ChildEnd::Settled);
    }
}

impl<F: Future, T> Future for ChildTask<F, T> {
    type Output = Finished<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Finished<T>> {
        let mut this = self.project();
        if let Some(start) = this.start {
            let node = Arc::clone(this.block.frame().node().expect("it has one from the start"));
            ready!(start.poll(&node, this.block.as_mut(), cx));
        }
        let left = ready!(this.block.as_mut().poll(cx));
        *this.ended = true;
        let (block, held) = (&*this.block, *this.held);
        let seat = block.base();
        Poll::Ready(match left {
            Left::Returned(Outcome::Value(value)) => seat.end(held, Ok(value), None, ChildEnd::Settled),
            Left::Cut => {
                let awaiting = block.frame().awaiting();
                let wanted = seat.end_cut(held);
                let error = || seat.cut_error(block.frame().site()).landed(awaiting);
                Finished { result: wanted.then(|| Err(error())), untaken: None }
            }
            left => {
                let (scope, frame) = (seat.scope(), block.frame());
                let node = frame.node().map_or_else(|| scope.node_of(seat.at()), Arc::clone);
                let begun = this.start.as_ref().is_none_or(|start| start.has_begun());
                let (result, untaken, end) = result_of(left, &node, scope, *this.supervised, begun);
                seat.end(held, result, untaken, end)
            }
        })
    }
}

impl Seat {
    /// The child has ended. What nobody asks for is dropped before the scope learns of it.
    fn end<T>(
        &self,
        held: bool,
        result: Result<T, Cancelled>,
        untaken: Option<Untaken>,
        end: ChildEnd,
    ) -> Finished<T> {
        if held && !needs_drop::<T>() {
            self.scope().child_ended(self.at(), end);
            return Finished { result: Some(result), untaken };
        }
        if held && self.scope().child_ended_if_wanted(self.at(), end) {
            return Finished { result: Some(result), untaken };
        }
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(result))) {
            let name = self.scope().node_of(self.at()).name();
            self.scope().suppress(&Failure::panic(name, payload));
        }
        self.scope().child_ended(self.at(), end);
        Finished { result: None, untaken: None }
    }

    /// The same for one that a cancel of its scope has cut; true if somebody may ask.
    fn end_cut(&self, held: bool) -> bool {
        let wanted = held && !self.scope().child_is_unwanted(self.at());
        self.scope().child_ended(self.at(), ChildEnd::Lost);
        wanted
    }

    fn cut_error(&self, site: &'static Site) -> Cancelled {
        let scope = self.scope();
        let cause = Cause::Parent(scope.cancelled_error(&mut Look::new()));
        Cancelled::new(Who { name: site.name().into(), site }, cause).told_as(scope.told_as())
    }
}

/// The runtime that children of `scope` run on.
#[track_caller]
pub(crate) fn runtime_of(scope: &Node) -> Handle {
    match scope.runtime() {
        Some(runtime) => runtime,
        None => panic!(
            "a task was spawned into scope \"{}\" outside of a tokio runtime; child tasks run on one",
            scope.name()
        ),
    }
}

/// Spawns a child into the scope of `scope`.
#[track_caller]
pub(crate) fn spawn_into<F, T>(
    scope: &Arc<Node>,
    child: Child<F>,
    convert: Convert<F::Output, T>,
) -> Result<Task<T>, Closed<F>>
where
    F: Future + Send + 'static,
    T: Send + 'static,
{
    let Child { site, future, name, role, skip_if_cancelled, held, supervised } = child;
    let found;
    let runtime = match scope.own_runtime() {
        Some(runtime) => runtime,
        None => {
            found = runtime_of(scope);
            &found
        }
    };
    let needs_node = name.is_some() || role == Role::Cleanup || skip_if_cancelled || scope.has_limit();
    let node = needs_node.then(|| {
        let shield = role == Role::Cleanup;
        let node = Arc::new(Node::new(NodeInit { shield, ..NodeInit::plain(site, name) }));
        node.link(Some(Arc::clone(scope)), tree::Place::Child, &mut Look::new());
        node
    });
    let heard = scope.calls();
    let Some(Admitted { key, waits }) = scope.add_child(site, node.clone(), role, Home::Runtime) else {
        return Err(Closed(future));
    };
    let mut start = skip_if_cancelled.then(|| Box::new(Start::Look));
    if let Some(node) = &node {
        if waits {
            let turn = Arc::new(Turn::default());
            start = Some(Box::new(Start::Wait { turn: Arc::clone(&turn), look: skip_if_cancelled }));
            scope.wait_for_turn(key.at(), node, Box::new(turn));
        } else if skip_if_cancelled && let go @ Go::Never(_) = node.look_before_start(&mut Look::new()) {
            start = Some(Box::new(go.into()));
        }
    }
    let frame = node.clone().map_or_else(|| Frame::seated(site), Frame::rooted);
    let seat = Seat::new(Arc::clone(scope), key, heard);
    let body = Body::new(future, convert, InFailure, supervised);
    let block = Block::standing_on(seat, frame, body, NeverErr);
    let join = runtime.spawn(ChildTask { block, start, supervised, held, ended: false });
    if !held {
        return Ok(Task { place: Place::Unheld });
    }
    let scope = Arc::clone(scope);
    Ok(Task { place: Place::Spawned(Spawned { join: Some(join), scope, key, site, node }) })
}

static GUARD: Site = Site::new(Kind::Task, "cleanup", "", 0, 0, "");

/// Spawns a cleanup as a shielded child; gives it back if the scope was left, or if there is no runtime.
pub(crate) fn spawn_shielded<F>(scope: &Arc<Node>, future: F) -> Result<(), F>
where
    F: Future<Output = ()> + Send + 'static,
{
    spawn_unasked(scope, Child { role: Role::Cleanup, held: false, ..Child::new(&GUARD, future) })
}

/// Spawns a future that had a life before; gives it back if the scope was left, or if there is no runtime.
pub(crate) fn spawn_adopted<F>(scope: &Arc<Node>, site: &'static Site, future: F) -> Result<(), F>
where
    F: Future<Output = ()> + Send + 'static,
{
    spawn_unasked(
        scope,
        Child { role: Role::Adopted, held: false, supervised: true, ..Child::new(site, future) },
    )
}

fn spawn_unasked<F>(scope: &Arc<Node>, child: Child<F>) -> Result<(), F>
where
    F: Future<Output = ()> + Send + 'static,
{
    if scope.runtime().is_none() {
        return Err(child.future);
    }
    match spawn_into(scope, child, Output::Value) {
        Ok(_) => Ok(()),
        Err(Closed(future)) => Err(future),
    }
}
