//! Plans in async code.

use std::future::pending;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::FutureExt as _;
use scope_runtime::{
    Cancelled, FromFailure, InScope as _, Scope, ScopeHandle, Supervise, Task, check, defer, fork, guard,
    race, scope, shield, spawn, spawn_blocking, try_join,
};
use scope_tests::probe::poll_once;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::books::{Boundary, Kind, Place};
use super::plan::{Form, Home, How, Options, Plan, Step};
use super::threads;

#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Oops {
    #[error("a step failed")]
    Failed,
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

pub(super) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The handle of a child, of a scope of either policy.
pub(super) enum Child {
    Fallible(Task<()>),
    Supervised(Task<Result<(), Oops>>),
}

impl From<Task<()>> for Child {
    fn from(task: Task<()>) -> Self {
        Self::Fallible(task)
    }
}

impl From<Task<Result<(), Oops>>> for Child {
    fn from(task: Task<Result<(), Oops>>) -> Self {
        Self::Supervised(task)
    }
}

impl Child {
    pub(super) fn cancel(&self) {
        match self {
            Self::Fallible(task) => task.cancel(),
            Self::Supervised(task) => task.cancel(),
        };
    }

    pub(super) async fn join(self) {
        match self {
            Self::Fallible(task) => drop(task.await),
            Self::Supervised(task) => {
                if let Err(cancelled) = task.await {
                    drop(cancelled.take_panic());
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
            let child = child(Kind::Task, plan, place);
            let task = match how {
                How::Plain | How::Abandon => spawn!(in self, child),
                How::Background => spawn!(in self, background, child),
                How::SkipIfCancelled => spawn!(in self, skip_if_cancelled, child),
            };
            task.into()
        }

        fn spawn_blocking(&self, how: How, plan: Plan, place: &mut Place) -> Child {
            let task = match how {
                How::Plain | How::SkipIfCancelled => spawn_blocking!(in self, threads::child(plan, place)),
                How::Background => spawn_blocking!(in self, background, threads::child(plan, place)),
                How::Abandon => spawn_blocking!(in self, abandon, threads::child(plan, &mut place.adrift())),
            };
            task.into()
        }
    };
}

impl<R: FromFailure<Oops>> Host for Scope<R> {
    hosts!();
}

impl<R> Host for Scope<R, Supervise> {
    hosts!();
}

/// A child, which counts from now on.
fn child(kind: Kind, plan: Plan, place: &mut Place) -> Boxed<Result<(), Oops>> {
    let (work, own) = (place.begin(kind), place.other());
    Box::pin(async move {
        let ended = alone(plan, own).await;
        work.done();
        ended
    })
}

/// A cleanup, which counts as registered from now on.
fn cleanup(plan: Plan, place: &mut Place) -> Boxed<()> {
    let (work, own) = (place.begin(Kind::Cleanup), place.other());
    Box::pin(async move {
        // Whatever it does inside, even a panic, is no way out for the cleanup.
        let _ = AssertUnwindSafe(alone(plan, own)).catch_unwind().await;
        work.done();
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
            place.books.scopes.lock().unwrap().push(s.handle());
            let mut children = Vec::new();
            for step in $plan.0 {
                match step {
                    Step::Child(Home::Fork, how, plan) => {
                        let fork = child(Kind::Fork, plan, &mut place);
                        children.push(Child::from(match how {
                            How::Plain | How::Abandon => fork!(fork),
                            How::Background => fork!(background, fork),
                            How::SkipIfCancelled => fork!(skip_if_cancelled, fork),
                        }));
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
    let Options { form, timeout, shield, limit, grace, bubble, cancel_on, link } = options;
    let link: Option<ScopeHandle> = if link { place.any_scope() } else { None };
    let token = place.any_token();
    let inside = place.inside();
    let _boundary = Boundary(inside.clone());
    // A cancelled scope is left like a finished one.
    let _: Result<(), Cancelled> = match form {
        Form::Plain => {
            open!([timeout = timeout, shield = shield, limit = limit, grace = grace, link = link] plan, inside)
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
        Step::Fail => return Err(Oops::Failed),
        // Without the hook, which would print ten thousand times.
        Step::Panic => resume_unwind(Box::new("a step panicked")),
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
                child.join().await;
            }
        }
        Step::Race { all, parallel, arms } => {
            let mut inside = place.inside();
            let _boundary = Boundary(inside.clone());
            let [a, b] = [arms.0, arms.1].map(|plan| child(Kind::Arm, plan, &mut inside));
            match (all, parallel) {
                (false, false) => race!(a, b)?,
                (false, true) => race!(a, spawn!(b))?,
                (true, false) => drop(try_join!(a, b)?),
                (true, true) => drop(try_join!(a, spawn!(b))?),
            }
        }
        Step::Trigger => place.any_token().trigger(),
        Step::UnderToken(plan) => {
            let (token, own) = (place.any_token(), place.other());
            // What became of it is told apart from a cancel of this body, and of no interest.
            drop(token.run(alone(plan, own)).await);
        }
        Step::FirstOf(time, plans) => {
            let (token, mut inside) = (place.any_token(), place.inside());
            let _boundary = Boundary(inside.clone());
            let futures = [plans.0, plans.1].map(|plan| child(Kind::Arm, plan, &mut inside));
            drop(token.first_of(futures).timeout(time).await);
        }
        Step::DropAfter(time, plan) => {
            place.books.foreign.store(true, SeqCst);
            let own = place.other();
            let _ = timeout(time, alone(plan, own)).await;
        }
        Step::HandOver(plan) => {
            place.books.foreign.store(true, SeqCst);
            let own = place.other();
            let mut future: Boxed<()> = Box::pin(alone(plan, own).map(drop));
            let outermost = place.books.scopes.lock().unwrap()[0].clone();
            // One that panics is not to be polled again.
            let polled = AssertUnwindSafe(poll_once(&mut future)).catch_unwind().await;
            if polled.is_ok_and(|polled| polled.is_pending()) {
                outermost.adopt(future);
            }
        }
        Step::Elsewhere(plan) => {
            // The scope that it is cut with is not the one that waits for it.
            place.books.foreign.store(true, SeqCst);
            let own = place.other();
            if let Some(scope) = place.any_scope() {
                drop(alone(plan, own).in_scope(scope).await);
            }
        }
    }
    Ok(())
}
