//! Tests that are run again and again, cancelled at another suspension each time.
//!
//! 1. Every run has a runtime of its own, with one thread and paused time, so that what one does is no matter of the next.
//! 2. The test is inside of a scope, which nobody but the run cancels. A cancel is requested while the body that is to be
//!    cut is being polled: its boundary looks for it next (rule D2), and so the cancel lands there and nowhere else.

use std::fmt::Write as _;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::process::{ExitCode, Termination};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Handle};
use tokio::time::{sleep, timeout};

use crate::ambient::{current, scoped};
use crate::cause::Cancelled;
use crate::failure::panic_text;
use crate::orphan::root;
use crate::site::{Kind, Site};
use crate::tree::census::describe;
use crate::watch::{self, Run};

/// How many suspensions a test may have. Each is a run, so time grows with the square of their number.
const MOST: usize = 1000;

/// What waits for so long waits for ever: time is paused, so it passes at once when there is nothing left to do.
const FOR_EVER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Runs a test once, and then once for each of its suspensions, cancelled there: what
/// [`#[test(every_await)]`](macro@crate::test) calls.
///
/// `test` makes the future that is tested, anew for each run; what it makes in there is that run's own. Each run is on
/// paused time, on a runtime with one thread, in a scope around the future. Behind each, these must hold:
///
/// * no panic came out of it, neither from the body nor from a child or a cleanup;
/// * it came to its end, and does not wait for ever (for 30 days of paused time);
/// * nothing is alive: neither a task that was started beside the scopes, with `tokio::spawn` or
///   [`detach!`](crate::detach), nor work that scopes left to the [`root`](crate::root);
/// * every cleanup from [`defer`](crate::defer()) and [`guard()`](crate::guard()) has run to its end;
/// * what was given to [`finally`] does not panic.
///
/// The run that is not cancelled must succeed as well: an `Err` fails the test. What the others return is not judged.
///
/// # What is a suspension
///
/// A poll that returns `Pending`, of the future itself or of a child ([`spawn!`](crate::spawn), [`fork!`](crate::fork)),
/// in the order in which they come. All that one task polls at once, the branches of a `join!` or of a `select!`, is one
/// suspension of that task. Where several timers fire at one instant, each task is told apart. Not numbered are tasks that no scope knows, and
/// threads. So an await that never is pending is none, and one that is woken for nothing is several.
///
/// The message of a failure names the await that the task began last, if it stands in code that records its awaits:
/// in an annotated function, this test among them, or in a `scope!` (rule W4).
///
/// # Panics
///
/// With what is wrong, at the first run that fails, and with the suspension at which that was cancelled. With more than
/// 1,000 suspensions: a test of so many is too large a thing to run so often; test its parts. Inside of a tokio runtime.
///
/// # Limits
///
/// Paused time jumps when all tasks wait, also when they wait for a socket or a file: use `tokio::io::duplex` and
/// channels instead. What differs from run to run, such as the order of the branches in a `select!` without `biased`,
/// is cancelled wherever the same number takes it.
///
/// # Examples
///
/// ```
/// use scope_runtime::testing;
/// use std::{cell::RefCell, rc::Rc, time::Duration};
/// use tokio::time::sleep;
///
/// testing::every_await(|| async {
///     let (jobs, done) = (Rc::new(RefCell::new(vec!["a job"])), Rc::new(RefCell::new(vec![])));
///     testing::finally({
///         let (jobs, done) = (Rc::clone(&jobs), Rc::clone(&done));
///         move || assert_eq!(jobs.borrow().len() + done.borrow().len(), 1)
///     });
///     sleep(Duration::from_secs(1)).await;
///     done.borrow_mut().extend(jobs.borrow_mut().pop()); // no await in between
///     sleep(Duration::from_secs(1)).await;
/// });
/// ```
///
/// A value that is only in a local variable while somebody waits is lost with it:
///
/// ```should_panic
/// use scope_runtime::testing;
/// use std::{cell::RefCell, rc::Rc, time::Duration};
///
/// testing::every_await(|| async {
///     let jobs = Rc::new(RefCell::new(vec!["a job"]));
///     testing::finally({
///         let jobs = Rc::clone(&jobs);
///         move || assert_eq!(jobs.borrow().len(), 1) // fails: cancelled at suspension 1 of 1
///     });
///     let job = jobs.borrow_mut().pop().unwrap();
///     tokio::time::sleep(Duration::from_secs(1)).await;
///     jobs.borrow_mut().push(job);
/// });
/// ```
#[track_caller]
pub fn every_await<F>(test: impl Fn() -> F)
where
    F: Future,
    F::Output: Termination,
{
    let site = Site::of_call(Kind::Scope, "test", Location::caller());
    let whole = Run::new(MOST + 1);
    let fault = run(site, &whole, async { test().await });
    let suspensions = whole.suspensions();
    if whole.landing().is_some() {
        panic!(
            "the test has more than {MOST} suspensions, and each would be a run of it; test its parts one by one"
        );
    }
    if let Some(fault) = fault {
        panic!("run without a cancel: {fault}");
    }
    for at in 1..=suspensions {
        let cut = Run::new(at);
        if let Some(fault) = run(site, &cut, async { test().await }) {
            let landing = cut.landing().map(ToString::to_string).unwrap_or_default();
            panic!("cancelled at suspension {at} of {suspensions}{landing}: {fault}");
        }
    }
}

/// Runs a test once, without a cancel: what [`#[test]`](macro@crate::test) calls.
///
/// All that [`every_await`] asks of a run is asked of this one.
///
/// # Panics
///
/// With what is wrong. Inside of a tokio runtime.
///
/// # Examples
///
/// ```
/// use scope_runtime::{scope, testing};
///
/// testing::once(|| async {
///     let late = scope!(timeout = 1h, { std::future::pending::<()>().await });
///     assert!(late.is_err()); // at once: time is paused
/// });
/// ```
///
/// A task that nobody waits for is found:
///
/// ```should_panic
/// scope_runtime::testing::once(|| async {
///     tokio::spawn(std::future::pending::<()>());
/// });
/// ```
#[track_caller]
pub fn once<F>(test: impl FnOnce() -> F)
where
    F: Future,
    F::Output: Termination,
{
    let site = Site::of_call(Kind::Scope, "test", Location::caller());
    if let Some(fault) = run(site, &Run::new(usize::MAX), async { test().await }) {
        panic!("{fault}");
    }
}

/// Has the test check something at the very end of each run, however that ended.
///
/// The scope has been left by then: body and children are gone, and cleanup has run. The checks are made in the order in
/// which they were given. The place to give one is in front of the first await: that code runs in every run (rule D1).
/// It can't await; what it looks at, it shares with the body.
///
/// # Panics
///
/// Outside of a test that is run by [`every_await`], [`once`] or [`#[test]`](macro@crate::test), and on other threads than
/// the test's.
///
/// # Examples
///
/// See [`every_await`].
#[track_caller]
pub fn finally(check: impl FnOnce() + 'static) {
    if watch::keep_check(Box::new(check)).is_err() {
        panic!(
            "there is no test here to check something at the end of; `finally` belongs to `#[scope_runtime::test]`"
        );
    }
}

/// One run; says what was wrong with it.
fn run<F>(site: &'static Site, run: &Rc<Run>, test: F) -> Option<String>
where
    F: Future,
    F::Output: Termination,
{
    let runtime = match Builder::new_current_thread().enable_all().start_paused(true).build() {
        Ok(runtime) => runtime,
        Err(error) => return Some(format!("there is no runtime: {error}")),
    };
    let _current = run.begin();
    let test = scoped(site, async {
        run.opened(current());
        test.await
    });
    let fault = runtime.block_on(judged(run, test));
    // Threads that were left behind may block for ever.
    runtime.shutdown_background();
    fault
}

async fn judged<R: Termination>(
    run: &Rc<Run>,
    test: impl Future<Output = Result<R, Cancelled>>,
) -> Option<String> {
    let cut = |run: &Run| run.landing().is_some();
    match timeout(FOR_EVER, AssertUnwindSafe(test).catch_unwind()).await {
        Ok(Ok(Ok(value))) => {
            // What a cancelled test says of itself is mostly that it was cancelled.
            if !cut(run) && value.report() != ExitCode::SUCCESS {
                return Some("the test returned an error".to_owned());
            }
        }
        Ok(Ok(Err(cancelled))) if !cut(run) => return Some(own_cancel(&cancelled)),
        Ok(Ok(Err(_))) => {}
        Ok(Err(payload)) => return Some(format!("it panicked: {}", panic_text(&*payload))),
        Err(_) => {
            let waits = run.scope().map(describe).unwrap_or_default();
            return Some(format!("it waits for ever; what for:\n{waits}"));
        }
    }
    // What was aborted in the last instant ends in this one.
    sleep(Duration::from_millis(1)).await;
    left_behind(run).or_else(|| run.take_checks().into_iter().find_map(fails))
}

fn own_cancel(cancelled: &Cancelled) -> String {
    format!(
        "the test cancelled its own scope, so it has no result: {cancelled}; open a scope in it with `scope!`"
    )
}

/// The result of a test that cancelled its own scope.
pub fn cancelled_itself(cancelled: Cancelled) -> ! {
    panic!("{}", own_cancel(&cancelled))
}

/// What is still there when the scope was left.
fn left_behind(run: &Run) -> Option<String> {
    let mut fault = String::new();
    let mut note = |text: std::fmt::Arguments<'_>| {
        let _ = write!(fault, "{}{text}", if fault.is_empty() { "" } else { "; " });
    };
    let orphans = root::count();
    // Orphans are tasks, too.
    let tasks = Handle::current().metrics().num_alive_tasks().saturating_sub(orphans);
    if orphans > 0 {
        note(format_args!("work that was left to the root is not done: {orphans}"));
    }
    if tasks > 0 {
        note(format_args!("tasks that no scope waits for are still alive: {tasks}"));
    }
    for scope in run.lost_cleanups() {
        note(format_args!("a cleanup of {scope} did not run to its end"));
    }
    (!fault.is_empty()).then_some(fault)
}

fn fails(check: Box<dyn FnOnce()>) -> Option<String> {
    let payload = catch_unwind(AssertUnwindSafe(check)).err()?;
    Some(format!("what holds finally does not: {}", panic_text(&*payload)))
}
