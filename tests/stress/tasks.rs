//! Plans in async code.

use std::future::pending;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use scope_runtime::{
    Cancelled, FromFailure, InScope as _, Scope, ScopeHandle, Supervise, Task, check, defer, fork, guard,
    race, scope, shield, spawn, spawn_blocking, try_join,
};
use tokio::runtime::RuntimeFlavor;
use tokio::task::{JoinHandle, block_in_place, yield_now};
use tokio::time::{sleep, timeout};

use super::books::{Books, Boundary, Kind, Place, Value};
use super::failures::{self, Oops};
use super::plan::{Form, Home, How, Options, Plan, Step};
use super::threads;
use crate::probe::{outside, poll_once};

pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The handle of a child, of a scope of either policy.
pub(super) enum Handle {
    Fallible(Task<Value>),
    Supervised(Task<Result<Value, Oops>>),
}

impl From<Task<Value>> for Handle {
    fn from(task: Task<Value>) -> Self {
        Self::Fallible(task)
    }
}

impl From<Task<Result<Value, Oops>>> for Handle {
    fn from(task: Task<Result<Value, Oops>>) -> Self {
        Self::Supervised(task)
    }
}

/// A child as its body knows it.
pub(super) struct Child {
    handle: Handle,
    /// Whether it has a result; unknown of one that may be abandoned.
    ready: Option<Arc<AtomicBool>>,
}

impl Child {
    pub(super) fn new(handle: impl Into<Handle>, how: How, ready: Arc<AtomicBool>) -> Self {
        let ready = (!matches!(how, How::Abandon)).then_some(ready);
        Self { handle: handle.into(), ready }
    }

    pub(super) fn cancel(&self) {
        match &self.handle {
            Handle::Fallible(task) => task.cancel(),
            Handle::Supervised(task) => task.cancel(),
        };
    }

    pub(super) async fn join(self, books: &Books) {
        let ended = match self.handle {
            Handle::Fallible(task) => task.await.map(Ok),
            Handle::Supervised(task) => task.await,
        };
        match ended {
            Ok(Ok(value)) => value.received(),
            Ok(Err(error)) => failures::take(&error),
            Err(cancelled) => {
                if let Some(payload) = cancelled.take_panic() {
                    books.settle_panic(&*payload);
                }
                // Unless whoever polls it was dropped, or the runtime was.
                let kept = !books.foreign.load(SeqCst) && !books.hasty.load(SeqCst);
                if kept && self.ready.is_some_and(|ready| ready.load(SeqCst)) {
                    books.break_promise(format!("a result that was ready was lost: {cancelled}"));
                }
            }
        }
    }
}

/// A scope of either policy, as a body spawns into it.
trait Host: Sync {
    fn spawn(&self, how: How, plan: Plan, place: &mut Place) -> Child;
    fn spawn_blocking(&self, how: How, plan: Plan, place: &mut Place) -> Child;
}

macro_rules! hosts {
    () => {
        fn spawn(&self, how: How, plan: Plan, place: &mut Place) -> Child {
            let (child, ready) = child(Kind::Task, plan, place);
            let task = match how {
                How::Plain | How::Abandon => spawn!(in self, child),
                How::Background => spawn!(in self, background, child),
                How::SkipIfCancelled => spawn!(in self, skip_if_cancelled, child),
            };
            Child::new(task, How::Plain, ready)
        }

        fn spawn_blocking(&self, how: How, plan: Plan, place: &mut Place) -> Child {
            let mut adrift = place.adrift();
            let (child, ready) = threads::child(plan, if how == How::Abandon { &mut adrift } else { place });
            let task = match how {
                How::Plain | How::SkipIfCancelled => spawn_blocking!(in self, child),
                How::Background => spawn_blocking!(in self, background, child),
                How::Abandon => spawn_blocking!(in self, abandon, child),
            };
            Child::new(task, how, ready)
        }
    };
}

impl<R: FromFailure<Oops>> Host for Scope<R> {
    hosts!();
}

impl<R> Host for Scope<R, Supervise> {
    hosts!();
}

/// A child, which counts from now on, and what tells whether it has a result.
fn child(kind: Kind, plan: Plan, place: &mut Place) -> (Boxed<Result<Value, Oops>>, Arc<AtomicBool>) {
    let (work, own) = (place.begin(kind), place.other());
    let ready = work.ready();
    let child = Box::pin(async move {
        alone(plan, own).await?;
        Ok(work.done_with_value())
    });
    (child, ready)
}

/// An arm of a race: its error is lost if another arm wins.
fn arm(plan: Plan, place: &mut Place) -> Boxed<Result<Value, Oops>> {
    let (arm, _) = child(Kind::Arm, plan, place);
    Box::pin(arm.inspect(|ended| {
        if let Err(error) = ended {
            error.excuse();
        }
    }))
}

/// A cleanup, which counts as registered from now on.
fn cleanup(plan: Plan, place: &mut Place) -> Boxed<()> {
    let (work, mut own) = (place.begin(Kind::Cleanup), place.other());
    let passes_on = own.chance.one_in(4);
    Box::pin(async move {
        let books = Arc::clone(&own.books);
        let ended = AssertUnwindSafe(alone(plan, own)).catch_unwind().await;
        work.done();
        match ended {
            // A cleanup that panics is a failure of its scope.
            Err(payload) if passes_on => resume_unwind(payload),
            ended => books.settle(ended),
        }
    })
}

/// A body, or a child, that has no scope to spawn into: it opens one.
pub(super) fn alone(plan: Plan, mut place: Place) -> Boxed<Result<(), Oops>> {
    Box::pin(async move { open(Options::default(), plan, &mut place).await })
}

/// Opens a scope with these options. Only what stands in it can fork.
macro_rules! open {
    ([$($options:tt)*] $plan:expr, $place:expr) => {{
        let mut place = $place;
        scope!($($options)*, |s| {
            place.books.scopes().push(s.handle());
            let mut children = Vec::new();
            for step in $plan.0 {
                match step {
                    Step::Child(Home::Fork, how, plan) => {
                        let (fork, ready) = child(Kind::Fork, plan, &mut place);
                        let task = match how {
                            How::Plain | How::Abandon => fork!(fork),
                            How::Background => fork!(background, fork),
                            How::SkipIfCancelled => fork!(skip_if_cancelled, fork),
                        };
                        children.push(Child::new(task, How::Plain, ready));
                    }
                    Step::Child(Home::Task, how, plan) => children.push(Host::spawn(s, how, plan, &mut place)),
                    Step::Child(Home::Thread, how, plan) => {
                        children.push(Host::spawn_blocking(s, how, plan, &mut place));
                    }
                    step => do_step(step, &mut place, &mut children).await?,
                }
            }
        })
    }};
}

pub(super) async fn open(options: Options, plan: Plan, place: &mut Place) -> Result<(), Oops> {
    let Options { form, timeout, shield, limit, grace, bubble, cancel_on, link, cleanup_timeout } = options;
    if cleanup_timeout.is_some() {
        place.books.hasty.store(true, SeqCst);
    }
    let link: Option<ScopeHandle> = if link { place.any_scope() } else { None };
    let token = place.any_token();
    let inside = place.inside();
    let _boundary = Boundary(inside.clone());
    // A cancelled scope is left like a finished one.
    let _: Result<(), Cancelled> = match form {
        Form::Plain => {
            open!(
                [
                    timeout = timeout,
                    shield = shield,
                    limit = limit,
                    grace = grace,
                    link = link,
                    cleanup_timeout = cleanup_timeout
                ]
                plan, inside
            )
        }
        Form::Supervise => {
            open!([supervise, timeout = timeout, shield = shield, limit = limit, grace = grace, link = link] plan, inside)
        }
        Form::Watched => {
            open!(
                [
                    timeout = timeout,
                    grace = grace,
                    limit = limit,
                    bubble = bubble,
                    token = token,
                    cancel_on = after(cancel_on)
                ]
                plan, inside
            )
        }
        Form::Cooperative => {
            open!([supervise, cooperative, bubble, timeout = timeout, limit = limit, token = token] plan, inside)
        }
    };
    Ok(())
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

/// What needs no scope to spawn into.
pub(super) async fn do_step(step: Step, place: &mut Place, children: &mut Vec<Child>) -> Result<(), Oops> {
    match step {
        Step::Yield => yield_now().await,
        Step::Sleep(time) => sleep(time).await,
        Step::Check => check()?,
        Step::Fail => return Err(Oops::new(&place.books.foreign)),
        Step::Panic => failures::panic(&place.books.foreign),
        Step::Child(..) => unreachable!("it is spawned where its scope is known"),
        Step::Scope(options, plan) => Box::pin(open(options, plan, place)).await?,
        Step::Shield(plan) => {
            let own = place.other();
            shield!({
                let work = place.begin(Kind::Shield);
                let ended = AssertUnwindSafe(alone(plan, own)).catch_unwind().await;
                work.done();
                ended.unwrap_or_else(|payload| resume_unwind(payload))?;
            });
        }
        Step::Defer(plan) => defer(cleanup(plan, place)),
        Step::Guard(plan) => {
            let cleanup = cleanup(plan, place);
            let held = guard(cleanup, |cleanup| cleanup);
            if place.chance.one_in(3) {
                held.close().await;
            }
        }
        Step::Cancel => drop(place.any_scope().map(|scope| scope.cancel())),
        Step::CancelTask => children.last().map_or((), Child::cancel),
        Step::Join => {
            if let Some(child) = children.pop() {
                child.join(&place.books).await;
            }
        }
        Step::Race { all, parallel, arms } => {
            let mut inside = place.inside();
            let _boundary = Boundary(inside.clone());
            let (a, b) = (arms.0, arms.1);
            if all {
                let [(a, _), (b, _)] = [a, b].map(|plan| child(Kind::Arm, plan, &mut inside));
                let (a, b) = if parallel { try_join!(a, spawn!(b))? } else { try_join!(a, b)? };
                a.received();
                b.received();
            } else {
                let [a, b] = [a, b].map(|plan| arm(plan, &mut inside));
                let won = if parallel { race!(a, spawn!(b))? } else { race!(a, b)? };
                won.received();
            }
        }
        Step::Trigger => place.any_token().trigger(),
        Step::UnderToken(plan) => {
            let (token, own) = (place.any_token(), place.other());
            // A cancel of the token is told apart from one of this body, and of no interest.
            if let Ok(ended) = token.run(alone(plan, own)).await {
                place.books.settle(Ok(ended));
            }
        }
        Step::FirstOf(time, plans) => {
            let (token, mut inside) = (place.any_token(), place.inside());
            let _boundary = Boundary(inside.clone());
            let futures = [plans.0, plans.1].map(|plan| arm(plan, &mut inside));
            match token.first_of(futures).timeout(time).await {
                Ok(Ok(value)) => value.received(),
                Ok(Err(error)) => failures::take(&error),
                Err(_) => {}
            }
        }
        Step::DropAfter(time, plan) => {
            place.books.foreign.store(true, SeqCst);
            let own = place.other();
            if let Ok(ended) = timeout(time, alone(plan, own)).await {
                place.books.settle(Ok(ended));
            }
        }
        Step::HandOver(plan) => {
            place.books.foreign.store(true, SeqCst);
            let (own, books) = (place.other(), Arc::clone(&place.books));
            let mut future: Boxed<()> = Box::pin(alone(plan, own).map(move |ended| books.settle(Ok(ended))));
            let outermost = place.books.scopes()[0].clone();
            match AssertUnwindSafe(poll_once(&mut future)).catch_unwind().await {
                Ok(Poll::Pending) => outermost.adopt(future),
                Ok(Poll::Ready(())) => {}
                // It is not to be polled again.
                Err(payload) => place.books.settle_panic(&*payload),
            }
        }
        Step::Elsewhere(plan) => {
            // The scope that it is cut with is not the one that waits for it.
            place.books.foreign.store(true, SeqCst);
            let own = place.other();
            if let Some(scope) = place.any_scope()
                && let Ok(ended) = alone(plan, own).in_scope(scope).await
            {
                place.books.settle(Ok(ended));
            }
        }
        Step::AbortAfter(time, plan) => {
            place.books.foreign.store(true, SeqCst);
            let (own, books, work) =
                (place.adrift(), Arc::clone(&place.books), place.adrift().begin(Kind::Task));
            let task = outside(async move {
                let ended = AssertUnwindSafe(alone(plan, own)).catch_unwind().await;
                work.done();
                books.settle(ended);
            });
            let task = AbortOnDrop(task);
            sleep(time).await;
            drop(task);
        }
        Step::BlockOn(plan) => {
            let (runtime, own) = (tokio::runtime::Handle::current(), place.other());
            // While tokio shuts down, who leaves a worker takes the timers with it: a sleep never ends.
            if runtime.runtime_flavor() == RuntimeFlavor::MultiThread && !place.books.shuts_down {
                block_in_place(|| runtime.block_on(alone(plan, own)))?;
            }
        }
    }
    Ok(())
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
