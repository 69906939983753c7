//! Plans in sync code, on threads.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use scope_runtime::{
    Cancelled, ScopeHandle, blocking, blocking_scope, defer_blocking, guard_blocking, shield, spawn_blocking,
};

use tokio::runtime::Handle;

use super::books::{Boundary, Kind, Place, Value};
use super::failures::Oops;
use super::plan::{Form, How, Options, Plan, Step};
use super::tasks::{self, Child, do_step};

/// A child, which counts from now on, and what tells whether it has a result.
pub(super) fn child(
    plan: Plan,
    place: &mut Place,
) -> (impl FnOnce() -> Result<Value, Oops> + Send + use<>, Arc<AtomicBool>) {
    let (work, own) = (place.begin(Kind::Thread), place.other());
    let ready = work.ready();
    let child = move || {
        alone(plan, own)?;
        Ok(work.done_with_value())
    };
    (child, ready)
}

/// A cleanup, which counts as registered from now on.
fn cleanup(plan: Plan, place: &mut Place) -> impl FnOnce() + Send + use<> {
    let (work, mut own) = (place.begin(Kind::Cleanup), place.other());
    let passes_on = own.chance.one_in(4);
    move || {
        let books = Arc::clone(&own.books);
        let ended = catch_unwind(AssertUnwindSafe(|| alone(plan, own)));
        work.done();
        match ended {
            // A cleanup that panics is a failure of its scope.
            Err(payload) if passes_on => resume_unwind(payload),
            ended => books.settle(ended),
        }
    }
}

fn alone(plan: Plan, mut place: Place) -> Result<(), Oops> {
    open(Options::default(), plan, &mut place)
}

/// A thread that borrows, and is gone when this is dropped.
struct Gone<'a>(&'a AtomicUsize);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Opens a scope with these options.
macro_rules! open {
    ([$($options:tt)*] $plan:expr, $place:expr) => {{
        let mut place = $place;
        let (mut borrowing, gone) = (0, AtomicUsize::new(0));
        let ended = blocking_scope!($($options)*, |s| {
            place.books.scopes().push(s.handle());
            let mut children: Vec<Child> = Vec::new();
            for step in $plan.0 {
                match step {
                    Step::Child(_, How::Abandon, plan) => {
                        let (child, ready) = child(plan, &mut place.adrift());
                        children.push(Child::new(spawn_blocking!(abandon, child), How::Abandon, ready));
                    }
                    Step::Child(_, how, plan) => {
                        let ((child, ready), gone) = (child(plan, &mut place), Gone(&gone));
                        let closure = move || {
                            let _gone = gone;
                            child()
                        };
                        borrowing += 1;
                        let task = match how {
                            How::Background => spawn_blocking!(background, closure),
                            _ => spawn_blocking!(closure),
                        };
                        children.push(Child::new(task, How::Plain, ready));
                    }
                    Step::Shield(plan) => {
                        let own = place.other();
                        shield!({
                            let work = place.begin(Kind::Shield);
                            let ended = catch_unwind(AssertUnwindSafe(|| alone(plan, own)));
                            work.done();
                            ended.unwrap_or_else(|payload| resume_unwind(payload))?;
                        });
                    }
                    step => sync_step(step, &mut place, &mut children)?,
                }
            }
        });
        if gone.into_inner() != borrowing {
            place.books.break_promise("a thread still borrows behind its boundary".to_owned());
        }
        ended
    }};
}

fn open(options: Options, plan: Plan, place: &mut Place) -> Result<(), Oops> {
    let Options { form, timeout, shield, limit, grace, bubble, cancel_on: _, link, cleanup_timeout: _ } =
        options;
    let link: Option<ScopeHandle> = if link { place.any_scope() } else { None };
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
            open!([timeout = timeout, grace = grace, limit = limit, bubble = bubble] plan, inside)
        }
        Form::Cooperative => {
            open!([supervise, cooperative, bubble, timeout = timeout, limit = limit] plan, inside)
        }
    };
    Ok(())
}

/// What needs no scope to spawn into.
fn sync_step(step: Step, place: &mut Place, children: &mut Vec<Child>) -> Result<(), Oops> {
    match step {
        Step::Yield => std::thread::yield_now(),
        Step::Sleep(time) => blocking::sleep(time)?,
        Step::Scope(options, plan) => open(options, plan, place)?,
        Step::Defer(plan) => defer_blocking(cleanup(plan, place)),
        Step::Guard(plan) => {
            let held = guard_blocking(cleanup(plan, place), |cleanup| cleanup());
            if place.chance.one_in(3) {
                held.close();
            }
        }
        Step::Elsewhere(plan) => {
            let own = place.other();
            if let Some(scope) = place.any_scope() {
                let ended = catch_unwind(AssertUnwindSafe(|| scope.run(|| alone(plan, own))));
                // The other scope's cancel is no failure of this one.
                place.books.settle(ended);
            }
        }
        Step::BlockOn(plan) => Handle::current().block_on(tasks::alone(plan, place.other()))?,
        // Async code, of which a thread can wait for anything.
        step => blocking::wait(do_step(step, place, children))??,
    }
    Ok(())
}
