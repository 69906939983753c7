//! What outlives its scope's future: children and cleanup of a scope that was dropped from outside (rule U5).

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::cleanup::{Driver, drop_cleanup, poll_ending};
use crate::context::{self, Frame, waker_id};
use crate::event;
use crate::failure::panic_text;
use crate::site::Kind;
use crate::sync::runtime::{Handle, Id};
use crate::task::Home;
use crate::tree::{ChildEnd, Look, Node, Role};

/// Calls `f` with the tracker of a runtime's orphans. A token must be taken in `f`: an empty tracker is forgotten.
fn with_tracker<T>(runtime: &Handle, f: impl FnOnce(&TaskTracker) -> T) -> T {
    static ROOTS: Mutex<Option<HashMap<Id, TaskTracker>>> = Mutex::new(None);
    let mut roots = ROOTS.lock().unwrap_or_else(PoisonError::into_inner);
    let roots = roots.get_or_insert_default();
    // Trackers of runtimes that are gone would pile up; an empty one holds nothing that could be lost.
    roots.retain(|id, tracker| *id == runtime.id() || !tracker.is_empty());
    let tracker = roots.entry(runtime.id()).or_default();
    tracker.close();
    f(tracker)
}

pub(crate) fn token(runtime: &Handle) -> TaskTrackerToken {
    with_tracker(runtime, TaskTracker::token)
}

/// The root of all scopes of a runtime: where the work of scopes ends up that were dropped from outside.
///
/// A scope's future can be dropped by something that is no scope: a raw `select!`, `tokio::time::timeout`,
/// `JoinHandle::abort`. Its children are then cancelled, and children and pending cleanup are adopted by the nearest
/// enclosing live scope. Without one they are adopted by the root of their runtime, which counts them (rule U5).
pub mod root {
    use super::{Handle, TaskTracker, with_tracker};

    /// Waits until the root of the current runtime has no orphans left (rule U5).
    ///
    /// Call it at the end of `main`, and of tests that drop scopes from outside.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancellation safety
    ///
    /// Nothing is lost if this future is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::{defer, root, scope};
    /// use std::time::Duration;
    ///
    /// let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    /// let job = tokio::spawn(async move {
    ///     scope!({
    ///         defer(async move {
    ///             tokio::time::sleep(Duration::from_secs(1)).await;
    ///             tx.send("cleaned up").unwrap();
    ///         });
    ///         std::future::pending::<()>().await;
    ///     })
    /// });
    /// tokio::task::yield_now().await;
    /// job.abort(); // drops the scope's future: its cleanup goes to the root
    /// assert!(job.await.unwrap_err().is_cancelled());
    ///
    /// assert_eq!(root::count(), 1);
    /// root::wait_idle().await;
    /// assert_eq!(rx.recv().await, Some("cleaned up"));
    /// # }
    /// ```
    pub async fn wait_idle() {
        let tracker = with_tracker(&Handle::current(), TaskTracker::clone);
        tracker.wait().await;
    }

    /// How many orphans the root of the current runtime has; 0 outside a tokio runtime (rule U5).
    ///
    /// Of use in tests and at the end of `main`, to show that nothing is left; to wait for it there is [`wait_idle`].
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// use scope_runtime::{defer, root, scope};
    /// use std::{future::pending, time::Duration};
    /// use tokio::time::{sleep, timeout};
    ///
    /// let dropped = timeout(Duration::from_secs(1), async {
    ///     scope!({
    ///         defer(sleep(Duration::from_secs(5)));
    ///         pending::<()>().await;
    ///     })
    /// });
    /// assert!(dropped.await.is_err()); // tokio's timeout is no scope: the cleanup goes to the root
    /// assert_eq!(root::count(), 1);
    /// root::wait_idle().await;
    /// assert_eq!(root::count(), 0);
    /// # }
    /// ```
    pub fn count() -> usize {
        Handle::try_current().map_or(0, |runtime| with_tracker(&runtime, TaskTracker::len))
    }
}

/// Finishes the work of `node`, whose future is gone or polled by nobody: `by` or the nearest live scope above waits
/// for it, else the root.
pub(crate) fn adopt_from(node: &Arc<Node>, by: Option<&Arc<Node>>) {
    let owes = node.orphan();
    node.report_failure();
    if owes {
        let mut adopter = by.cloned().or_else(|| node.parent());
        let mut key = None;
        while let Some(scope) = adopter.take() {
            if scope.is_given_up() {
                break;
            }
            // A cleanup is no scope: nobody waits at its end, but at that of the scope that it runs for.
            if scope.site().kind() != Kind::Cleanup {
                key = scope
                    .add_child(node.site(), Some(Arc::clone(node)), Role::Adopted, Home::Runtime)
                    .map(|admitted| admitted.key.at());
            }
            if key.is_some() {
                adopter = Some(scope);
                break;
            }
            adopter = scope.parent();
        }
        event::adopted(node, if key.is_some() { "scope" } else { "root" });
        start(node, adopter.zip(key));
    }
    node.unlink(&mut Look::new());
}

/// The children of a scope whose cleanup ran out of time.
pub(crate) fn leave_children_to_root(node: &Arc<Node>) {
    if node.has_children() {
        event::adopted(node, "root");
        start(node, None);
    }
}

/// Runs a cleanup, or an adopted future, that has no scope left.
pub(crate) fn run_at_root(origin: Option<&Node>, work: Pin<Box<dyn Future<Output = ()> + Send>>) {
    let runtime = origin.map_or_else(|| Handle::try_current().ok(), Node::runtime);
    let at_root = AtRoot { _token: runtime.as_ref().map(token), work: Some(work) };
    match runtime {
        Some(runtime) => drop(runtime.spawn(at_root)),
        // There is nothing to run it on: dropping it reports the loss.
        None => drop(at_root),
    }
}

/// Work at the root: it is counted, and nothing about it is silent.
struct AtRoot {
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _token: Option<TaskTrackerToken>,
}

impl Future for AtRoot {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(work) = self.work.as_mut() else { return Poll::Ready(()) };
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        if let Err(payload) = &polled {
            event::root_work_panicked(&panic_text(&**payload));
        }
        ready!(polled.unwrap_or(Poll::Ready(())));
        self.work = None;
        Poll::Ready(())
    }
}

impl Drop for AtRoot {
    fn drop(&mut self) {
        if self.work.is_some() {
            event::root_work_lost();
        }
    }
}

fn start(node: &Arc<Node>, adopter: Option<(Arc<Node>, usize)>) {
    let runtime = node.runtime();
    let orphan = Orphan {
        node: Arc::clone(node),
        frame: Frame::rooted(Arc::clone(node)),
        root: runtime.as_ref().filter(|_| adopter.is_none()).map(token),
        adopter,
        done: false,
    };
    match runtime {
        Some(runtime) => drop(runtime.spawn(orphan)),
        // There is nothing to run it on: dropping it reports what is lost.
        None => drop(orphan),
    }
}

/// A task that drives the end of a scope in place of its boundary.
struct Orphan {
    node: Arc<Node>,
    frame: Frame,
    adopter: Option<(Arc<Node>, usize)>,
    root: Option<TaskTrackerToken>,
    done: bool,
}

impl Future for Orphan {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.node.is_given_up() {
            self.node.register(cx.waker());
            if self.node.has_children() {
                return Poll::Pending;
            }
        } else {
            let waker = waker_id(cx.waker());
            ready!(context::enter(&self.frame, waker, |_| poll_ending(&self.node, Driver::Orphan, cx)));
        }
        self.done = true;
        Poll::Ready(())
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if !self.done {
            let lost = drop_cleanup(&self.node);
            if lost > 0 {
                event::cleanup_lost(&self.node, lost);
            }
        }
        if let Some((adopter, key)) = self.adopter.take() {
            adopter.child_ended(key, ChildEnd::Settled);
        }
        drop(self.root.take());
    }
}
