//! What breaks only under strain: budgets that are used up, panics in odd places, hundreds of scopes in one task and
//! thousands of tasks in one another, executors and runtimes inside of others.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use scope_runtime::{
    Cancelled, Cause, ScopeHandle, cancel_scope, check, current, defer, guard, root, scope, shield, spawn,
    try_current,
};
use scope_tests::probe::{Log, Polls, on_a_thread, outside, sleep};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::{unconstrained, yield_now};

use crate::report::Events;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Fails instead of hanging: on paused time an hour passes at once if everybody waits.
async fn within_an_hour<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), future).await.expect("a wake-up was lost")
}

/// Fails instead of hanging where a mistake would be a loop that never gives the thread back.
fn on_a_watched_thread(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        let _done = done;
        test();
    });
    let waited = is_done.recv_timeout(Duration::from_secs(30));
    assert_eq!(waited, Err(mpsc::RecvTimeoutError::Disconnected), "it goes round and round");
    thread.join().unwrap_or_else(|payload| resume_unwind(payload));
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn without_timers() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// The message of a panic.
fn text(payload: &(dyn std::any::Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).expect("a panic with a text")
}

/// A panic must not leave the thread in a scope that is gone.
#[track_caller]
fn assert_outside_of_every_scope() {
    assert_eq!(try_current().map(|scope| scope.name().into_owned()), None);
}

/// Polls a future once with a waker that leads nowhere, drops both, and says how often that waker is still kept.
fn wakers_left_by(future: impl Future) -> usize {
    struct Nowhere;
    impl Wake for Nowhere {
        fn wake(self: Arc<Self>) {}
    }
    let waker = Arc::new(Nowhere);
    let kept = Arc::downgrade(&waker);
    let waker = Waker::from(waker);
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(future);
    drop(waker);
    kept.strong_count()
}

// --- timers ------------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn l1_a_timeout_fires_though_the_tasks_budget_was_used_up_when_it_was_set() {
    let log = Log::new();
    let (send, mut messages) = tokio::sync::mpsc::unbounded_channel();
    for message in 0..200 {
        send.send(message).unwrap();
    }
    let received = AtomicUsize::new(0);
    let cut = within_an_hour(async {
        scope!(timeout = 1s, {
            let _body = log.guard("body");
            while messages.recv().await.is_some() {
                received.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    assert!(cut.await.unwrap_err().is_timeout());
    assert_eq!(received.into_inner(), 200);
    log.expect(&["1000 body"]);
}

#[tokio::test(start_paused = true)]
async fn l5_an_inner_timeout_fires_though_the_outer_deadline_went_away_in_the_poll_that_set_it() {
    let log = Log::new();
    let outer = within_an_hour(async {
        scope!(timeout = 5s, |outer| {
            let inner = async {
                let cut = scope!(timeout = 10s, {
                    let _body = log.guard("inner body");
                    pending::<()>().await;
                });
                assert!(cut.unwrap_err().is_timeout());
                log.say("behind");
            };
            tokio::join!(inner, async { outer.set_deadline(None) });
        })
    });
    assert!(outer.await.is_ok());
    log.expect(&["10000 inner body", "10000 behind"]);
}

#[tokio::test(start_paused = true)]
async fn l5_an_inner_timeout_fires_though_a_shield_went_up_around_it_in_the_poll_that_set_it() {
    let log = Log::new();
    let outer = within_an_hour(async {
        scope!(timeout = 5s, |outer| {
            let _middle = scope!(|middle| {
                let inner = async {
                    let cut = scope!(timeout = 7s, {
                        let _body = log.guard("inner body");
                        pending::<()>().await;
                    });
                    assert!(cut.unwrap_err().is_timeout());
                };
                tokio::join!(inner, async {
                    middle.set_shield(true);
                    // Or its timer would make up for it.
                    outer.set_deadline(None);
                });
                log.say("middle ends");
            });
            log.say("behind the shield");
        })
    });
    assert!(outer.await.is_ok());
    log.expect(&["7000 inner body", "7000 middle ends", "7000 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn l5_a_childs_timeout_fires_though_the_scopes_deadline_went_away_in_the_poll_that_set_it() {
    let log = Log::new();
    let outer = within_an_hour(async {
        scope!(timeout = 5s, |outer| {
            let (outer, log) = (outer.handle(), log.clone());
            spawn!(async move {
                let inner = async {
                    let cut = scope!(timeout = 10s, {
                        let _body = log.guard("inner body");
                        pending::<()>().await;
                    });
                    assert!(cut.unwrap_err().is_timeout());
                    log.say("behind");
                };
                tokio::join!(inner, async { outer.set_deadline(None) });
            });
        })
    });
    assert!(outer.await.is_ok());
    log.expect(&["10000 inner body", "10000 behind"]);
}

#[tokio::test(start_paused = true)]
async fn l5_a_childs_timeout_fires_though_a_shield_went_up_around_it_in_the_poll_that_set_it() {
    let log = Log::new();
    let outer = within_an_hour(async {
        scope!(timeout = 5s, {
            let _middle = scope!(|middle| {
                let (middle, log) = (middle.handle(), log.clone());
                spawn!(async move {
                    let inner = async {
                        let cut = scope!(timeout = 7s, {
                            let _body = log.guard("inner body");
                            pending::<()>().await;
                        });
                        assert!(cut.unwrap_err().is_timeout());
                    };
                    tokio::join!(inner, async { middle.set_shield(true) });
                });
            });
            log.say("behind the shield");
            pending::<()>().await;
        })
    });
    assert!(outer.await.unwrap_err().is_timeout());
    log.expect(&["7000 inner body", "7000 behind the shield"]);
}

#[test]
fn f2_a_deadline_that_passes_during_the_cleanup_of_a_failed_scope_is_no_busy_loop() {
    async fn fails(log: Log) -> io::Result<()> {
        let _unreached: Result<(), Cancelled> = scope!(timeout = 1s, {
            let _body = log.guard("body");
            let log = log.clone();
            defer(async move {
                sleep(5_000).await;
                log.say("cleaned up");
            });
            Err::<(), _>(io::Error::other("disk full"))?;
        });
        Ok(())
    }
    async fn assert_calm(run: impl Future<Output = io::Result<()>>, log: Log, polls: Polls) {
        assert_eq!(polls.of(run).await.unwrap_err().to_string(), "disk full");
        log.expect(&["0 body", "5000 cleaned up"]);
        assert!(polls.count() < 10, "{} polls", polls.count());
    }
    on_a_watched_thread(|| {
        paused().block_on(async {
            let log = Log::new();
            assert_calm(fails(log.clone()), log, Polls::new()).await;
            // With a budget, a loop within one poll would be one over many polls.
            let log = Log::new();
            assert_calm(unconstrained(fails(log.clone())), log, Polls::new()).await;
        });
    });
}

// --- panics in odd places ----------------------------------------------------------------------------------------------

#[test]
fn t1_a_scope_whose_timer_panics_is_left_on_its_thread_too() {
    without_timers().block_on(async {
        let bare = outside(async {
            let _never = scope!(timeout = 1s, { pending::<()>().await });
        });
        assert!(bare.await.unwrap_err().is_panic());
        assert_outside_of_every_scope();

        let named = outside(async {
            let _never = scope!(timeout = 1s, |_named| { pending::<()>().await });
        });
        assert!(named.await.unwrap_err().is_panic());
        assert_outside_of_every_scope();
    });
}

#[test]
fn t1_a_timer_that_panics_leaves_the_scopes_around_its_own_where_they_are() {
    let around = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&around);
    without_timers().block_on(async {
        let panicked = outside(async move {
            let _never = scope!(name = "a", {
                let _never = scope!(name = "b", {
                    let ask = AsksWhenDropped(seen);
                    let _never = scope!(name = "c", timeout = 1s, { pending::<()>().await });
                    drop(ask);
                });
            });
        });
        let payload = panicked.await.unwrap_err().into_panic();
        assert!(text(&*payload).contains("timers are disabled"), "{}", text(&*payload));
        assert_outside_of_every_scope();
    });
    assert_eq!(*around.lock().unwrap(), ["b"]);
}

/// Notes the name of the current scope when it is dropped.
struct AsksWhenDropped(Arc<Mutex<Vec<String>>>);

impl Drop for AsksWhenDropped {
    fn drop(&mut self) {
        let name = try_current().map_or_else(String::new, |scope| scope.name().into_owned());
        self.0.lock().unwrap().push(name);
    }
}

#[test]
fn u5_children_and_cleanup_of_a_scope_whose_timer_panics_are_adopted() {
    let (say, said) = mpsc::channel();
    without_timers().block_on(async {
        let panicked = outside(async move {
            let _never = scope!(timeout = 1s, {
                let (child, cleanup) = (say.clone(), say.clone());
                spawn!(async move {
                    defer(async move { child.send("child was cut").unwrap() });
                    pending::<()>().await;
                });
                defer(async move { cleanup.send("cleaned up").unwrap() });
                yield_now().await;
                pending::<()>().await;
            });
        });
        assert!(panicked.await.unwrap_err().is_panic());
        root::wait_idle().await;
    });
    assert_eq!(said.try_iter().collect::<Vec<_>>(), ["child was cut", "cleaned up"]);
}

/// An error that can't say what it is.
#[derive(Debug)]
struct Speechless;

impl fmt::Display for Speechless {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl std::error::Error for Speechless {}

impl From<Cancelled> for Speechless {
    fn from(_: Cancelled) -> Self {
        Self
    }
}

#[tokio::test(start_paused = true)]
async fn u4_an_error_whose_display_panics_ends_children_and_cleanup_like_any_other() {
    #[cancel_scope]
    async fn fails(log: Log) -> Result<(), Speechless> {
        let (child, cleanup) = (log.guard("child was cut"), log.clone());
        spawn!(async move {
            let _child = child;
            pending::<()>().await;
        });
        defer(async move { cleanup.say("cleaned up") });
        sleep(10).await;
        Err(Speechless)
    }
    let log = Log::new();
    let failed = outside(within_an_hour(fails(log.clone()))).await;
    assert!(failed.unwrap().is_err());
    log.expect(&["10 child was cut", "10 cleaned up"]);
    assert_outside_of_every_scope();
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn f2_a_childs_error_whose_display_panics_fails_the_scope_like_any_other() {
    #[cancel_scope]
    async fn fails(log: Log) -> Result<(), Speechless> {
        let _body = log.guard("body");
        spawn!(async {
            sleep(10).await;
            Err::<(), _>(Speechless)
        });
        pending::<()>().await;
        Ok(())
    }
    let log = Log::new();
    let failed = outside(within_an_hour(fails(log.clone()))).await;
    assert!(failed.unwrap().is_err());
    log.expect(&["10 body"]);
    assert_outside_of_every_scope();
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn t1_a_value_that_loses_to_a_failure_and_panics_in_its_drop_leaves_no_scope_behind() {
    #[derive(Debug)]
    struct Fragile;
    impl Drop for Fragile {
        fn drop(&mut self) {
            panic!("it broke")
        }
    }
    #[cancel_scope]
    async fn fails(log: Log) -> io::Result<Fragile> {
        spawn!(async move {
            let _child = log.guard("child gone");
            sleep(10).await;
            Err::<(), _>(io::Error::other("disk full"))
        });
        Ok(Fragile)
    }
    let log = Log::new();
    let panicked = outside(within_an_hour(fails(log.clone()))).await;
    assert_eq!(text(&*panicked.unwrap_err().into_panic()), "it broke");
    log.expect(&["10 child gone"]);
    assert_outside_of_every_scope();
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_of_tracing_may_ask_for_the_current_scope_at_every_event() {
    /// Counts the events at which it asked.
    struct Asks(Arc<AtomicUsize>);
    impl tracing::Subscriber for Asks {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            metadata.is_event() && metadata.target() == "scope_runtime"
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            drop(try_current());
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
    // With that one set for good, `tracing` does not keep another thread's answer for this one.
    drop(Events::record());
    let asked = Arc::new(AtomicUsize::new(0));
    let _subscriber = tracing::subscriber::set_default(Asks(Arc::clone(&asked)));
    let log = Log::new();
    let cut = scope!(timeout = 1s, |outer| {
        let _body = log.guard("body");
        let inner = async {
            let _never = scope!(name = "inner", { pending::<()>().await });
        };
        tokio::join!(inner, async {
            sleep(10).await;
            outer.cancel();
        });
    });
    assert!(cut.is_err());
    log.expect(&["10 body"]);
    let deadline = scope!(timeout = 1s, |_named| { pending::<()>().await });
    assert!(deadline.unwrap_err().is_timeout());
    assert!(asked.load(Ordering::Relaxed) >= 2);
}

// --- dropped and given up ----------------------------------------------------------------------------------------------

#[tokio::test]
async fn d7_a_wait_for_a_cancel_that_is_dropped_leaves_no_waker_behind() {
    let left = scope!(|s| {
        let handle = s.handle();
        [wakers_left_by(handle.cancelled()), wakers_left_by(handle.delivered())]
    });
    assert_eq!(left.unwrap(), [0, 0]);
}

#[tokio::test]
async fn u5_a_scope_that_was_dropped_keeps_no_waker_for_its_handles() {
    let mut handle = None;
    let left = wakers_left_by(async {
        scope!(|s| {
            handle = Some(s.handle());
            pending::<()>().await;
        })
    });
    assert_eq!(left, 0);
    assert!(handle.unwrap().is_closed());
}

#[tokio::test]
async fn u5_a_childs_failure_is_reported_though_its_scope_is_dropped_before_it_ran_again() {
    async fn fails(handle: &mut Option<ScopeHandle>) -> io::Result<()> {
        let _never = scope!(|s| {
            *handle = Some(s.handle());
            spawn!(name = "save", async { Err::<(), _>(io::Error::other("disk full")) });
            pending::<()>().await;
        });
        Ok(())
    }
    let events = Events::record();
    let mut handle = None;
    let mut scope = Box::pin(fails(&mut handle));
    assert!(scope.as_mut().now_or_never().is_none());
    // The child runs, and nobody polls its scope.
    for _ in 0..5 {
        yield_now().await;
    }
    drop(scope);
    let lost = handle.unwrap().suppressed();
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].task(), lost[0].text()), ("save", "disk full"));
    let reports = events.warnings();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("save failed: disk full"), "{reports:?}");
}

#[tokio::test(start_paused = true)]
async fn u1a_a_shield_that_is_given_up_in_its_cleanup_still_has_its_value() {
    let log = Log::new();
    let cut = scope!(timeout = 1s, {
        let _body = log.guard("outer body");
        let cleanup = log.clone();
        let mut abandoned = Box::pin(async {
            shield!({
                defer(async move {
                    sleep(3_000).await;
                    cleanup.say("cleaned up");
                });
                7
            })
        });
        assert!((&mut abandoned).now_or_never().is_none());
        let holds_the_body = async { shield!({ sleep(4_000).await }) };
        let asks_again = async {
            sleep(2_000).await;
            log.say(format_args!("value {}", abandoned.await));
        };
        tokio::join!(holds_the_body, asks_again);
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["2000 value 7", "3000 cleaned up", "4000 outer body", "4000 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u1_delivered_waits_until_the_body_has_been_dropped() {
    /// Asks while it is dropped with the body.
    struct Asks(ScopeHandle, Log);
    impl Drop for Asks {
        fn drop(&mut self) {
            let early = self.0.delivered().now_or_never().is_some();
            self.1.say(format_args!("delivered before the body was gone: {early}"));
        }
    }
    let log = Log::new();
    let mut handle = None;
    let cut = scope!(timeout = 1s, |s| {
        handle = Some(s.handle());
        let (watch, watched) = (s.handle(), log.clone());
        spawn!(async move {
            shield!({ watch.delivered().await });
            watched.say("delivered");
        });
        let _body = Asks(s.handle(), log.clone());
        pending::<()>().await;
    });
    assert!(cut.is_err());
    assert!(handle.unwrap().delivered().now_or_never().is_some());
    log.expect(&["1000 delivered before the body was gone: false", "1000 delivered"]);
}

#[tokio::test(start_paused = true)]
async fn u2_a_scope_waits_for_the_guard_in_an_output_that_nobody_takes() {
    let log = Log::new();
    let value = scope!({
        let log = log.clone();
        spawn!(async move {
            yield_now().await;
            guard(log, |log| async move {
                sleep(1_000).await;
                log.say("cleaned up");
            })
        });
    });
    log.say("behind");
    assert!(value.is_ok());
    log.expect(&["1000 cleaned up", "1000 behind"]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn u2_the_scope_around_a_function_waits_for_the_guard_in_a_value_that_is_lost() {
    #[cancel_scope(timeout = "1s")]
    async fn open(log: Log) -> Result<Box<dyn std::any::Any>, Cancelled> {
        spawn!(pending::<()>());
        Ok(Box::new(guard(log, |log| async move {
            sleep(1_000).await;
            log.say("cleaned up");
        })))
    }
    let log = Log::new();
    let outer = scope!({
        assert!(open(log.clone()).await.is_err());
        log.say("lost");
    });
    log.say("behind");
    assert!(outer.is_ok());
    log.expect(&["1000 lost", "2000 cleaned up", "2000 behind"]);
    assert_eq!(root::count(), 0);
}

#[test]
fn u5_a_cleanup_at_the_root_that_the_runtimes_end_cuts_off_is_reported() {
    let events = Events::record();
    let (dropped, mut is_dropped) = oneshot::channel::<()>();
    let runtime = paused();
    runtime.block_on(async {
        drop(guard(dropped, |dropped| async move {
            let _dropped = dropped;
            pending::<()>().await;
        }));
        yield_now().await;
        assert_eq!(root::count(), 1);
    });
    assert_eq!(events.warnings(), [] as [&str; 0]);
    drop(runtime);
    assert_eq!(is_dropped.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    let reports = events.warnings();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("cleanup") && reports[0].contains("dropped"), "{reports:?}");
}

#[test]
fn u5_a_cleanup_at_the_root_that_panics_is_reported() {
    let events = Events::record();
    let runtime = paused();
    runtime.block_on(async {
        drop(guard((), |()| async { panic!("disk full") }));
        within_an_hour(root::wait_idle()).await;
        assert_eq!(root::count(), 0);
    });
    drop(runtime);
    let reports = events.warnings();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("panicked") && reports[0].contains("disk full"), "{reports:?}");
}

// --- many and deep -----------------------------------------------------------------------------------------------------

/// A scope that never ends by itself, and cleans up for a second once it was cut.
async fn cleans_up_for_a_second(log: Log) {
    let _never = scope!({
        defer(async move {
            yield_now().await;
            sleep(1_000).await;
            log.say("cleaned up");
        });
        pending::<()>().await;
    });
}

#[track_caller]
fn assert_all_cleaned_up(log: &Log, n: usize) {
    let mut expected = vec!["2000 cleaned up"; n];
    expected.extend(["2000 outer body", "2000 behind"]);
    log.expect(&expected);
}

#[tokio::test(start_paused = true)]
async fn u1_hundreds_of_scopes_in_a_futures_unordered_all_clean_up_before_the_body_goes() {
    let log = Log::new();
    let cut = scope!(timeout = 1s, {
        let _body = log.guard("outer body");
        let mut jobs: FuturesUnordered<_> = (0..500).map(|_| cleans_up_for_a_second(log.clone())).collect();
        while jobs.next().await.is_some() {}
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    assert_all_cleaned_up(&log, 500);
}

#[tokio::test(start_paused = true)]
async fn u1_hundreds_of_scopes_in_a_local_set_all_clean_up_before_the_body_goes() {
    let log = Log::new();
    let cut = scope!(timeout = 1s, {
        let _body = log.guard("outer body");
        let set = tokio::task::LocalSet::new();
        for _ in 0..200 {
            set.spawn_local(cleans_up_for_a_second(log.clone()));
        }
        set.run_until(pending::<()>()).await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    assert_all_cleaned_up(&log, 200);
}

/// How many tasks run in one another. A cancel of them all costs more.
const DEEP: usize = 3_000;
const DEEP_TO_CANCEL: usize = 1_500;

/// Runs a test on a thread with a stack so small that whatever is recursive overflows it.
fn on_a_small_stack<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = thread::Builder::new().stack_size(512 << 10);
    let thread = thread.spawn(move || paused().block_on(within_an_hour(test()))).unwrap();
    thread.join().unwrap_or_else(|payload| resume_unwind(payload));
}

/// A task in a scope in a task in a scope, `n` times; the innermost scope runs `leaf`. The value is how many tasks
/// below were not cancelled.
fn nest(n: usize, leaf: Boxed<()>) -> Boxed<usize> {
    Box::pin(async move {
        let below = scope!({
            if n == 0 {
                leaf.await;
                return 0;
            }
            spawn!(nest(n - 1, leaf)).await
        });
        below.map_or(0, |below| below.map_or(0, |below| below + 1))
    })
}

#[test]
fn f1_thousands_of_tasks_in_one_another_run_and_are_dropped() {
    on_a_small_stack(|| async {
        let (up, is_up) = oneshot::channel();
        let tree = outside(nest(DEEP, Box::pin(async { up.send(current()).unwrap() })));
        assert_eq!(tree.await.unwrap(), DEEP);
        let innermost = is_up.await.unwrap();
        assert!(innermost.is_closed());
        // It keeps the scopes above it, one after the other.
        drop(innermost);
    });
}

#[test]
fn w1_thousands_of_tasks_in_one_another_are_cancelled_and_the_innermost_one_knows_why() {
    on_a_small_stack(|| async {
        let ((up, is_up), (felt, is_felt)) = (oneshot::channel(), oneshot::channel());
        let leaf = async {
            up.send(()).unwrap();
            let cancelled = poll_fn(|_| check().map_or_else(Poll::Ready, |()| Poll::Pending)).await;
            felt.send(cancelled).unwrap();
            pending::<()>().await;
        };
        let log = Log::new();
        let cut = scope!(name = "top", |top| {
            let _body = log.guard("body");
            spawn!(nest(DEEP_TO_CANCEL, Box::pin(leaf)));
            is_up.await.unwrap();
            top.cancel();
            pending::<()>().await;
        });
        log.say("behind");
        assert!(matches!(cut.unwrap_err().cause(), Cause::Explicit { .. }));
        log.expect(&["0 body", "0 behind"]);

        let why = is_felt.await.unwrap();
        let (mut root, mut above) = (&why, 0);
        while let Cause::Parent(parent) = root.cause() {
            (root, above) = (parent, above + 1);
        }
        assert_eq!((root.scope_name(), above), ("top", 2 * (DEEP_TO_CANCEL + 1)));
        drop(why);
        assert_eq!(root::count(), 0);
    });
}

#[test]
fn u5_thousands_of_tasks_in_one_another_are_dropped_from_outside() {
    on_a_small_stack(|| async {
        let ((up, is_up), (gone, is_gone)) = (oneshot::channel(), oneshot::channel::<()>());
        let leaf = async {
            let _gone = gone;
            up.send(current()).unwrap();
            pending::<()>().await;
        };
        let tree = outside(nest(DEEP_TO_CANCEL, Box::pin(leaf)));
        let innermost = is_up.await.unwrap();
        tree.abort();
        assert!(tree.await.unwrap_err().is_cancelled());
        root::wait_idle().await;
        assert!(is_gone.await.is_err() && innermost.is_closed());
    });
}

// --- other executors and runtimes --------------------------------------------------------------------------------------

#[test]
fn d4_a_scope_in_a_runtime_that_the_body_blocks_on_absorbs_the_cancel_that_nobody_else_can_act_on() {
    on_a_watched_thread(|| {
        let outer = async {
            scope!(name = "outer", |outer| {
                let said = paused().block_on(within_an_hour(async {
                    let log = Log::new();
                    let cut = scope!(name = "nested", {
                        let _body = log.guard("nested body");
                        sleep(10).await;
                        outer.cancel();
                        sleep(10).await;
                        log.say("not reached");
                    });
                    log.say("behind");
                    let cancelled = cut.unwrap_err();
                    assert!(matches!(cancelled.cause(), Cause::Parent(by) if by.scope_name() == "outer"));
                    log.entries()
                }));
                assert_eq!(said, ["10 nested body", "10 behind"]);
                "the body went on"
            })
        };
        let value = outer.now_or_never().expect("the body does not suspend");
        assert_eq!(value.unwrap(), "the body went on");
    });
}

#[tokio::test(start_paused = true)]
async fn d4_a_scope_that_has_unwound_beside_a_shield_waits_without_being_polled() {
    let log = Log::new();
    let polls = Polls::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let unwound = async {
            let _never = scope!({
                let _body = log.guard("inner body");
                pending::<()>().await;
            });
            log.say("not reached");
        };
        let shielded = async {
            shield!({ sleep(1_000).await });
            log.say("shield ends");
        };
        // Busy polling would stop the paused clock.
        let bounded = poll_fn(|_| {
            assert!(polls.count() < 50, "it is polled again and again");
            Poll::<()>::Pending
        });
        tokio::join!(unwound, shielded, polls.of(bounded));
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["100 inner body", "1000 shield ends", "1000 outer body", "1000 behind"]);
}

#[tokio::test(start_paused = true)]
async fn t2_a_spawner_that_is_used_in_another_runtime_spawns_on_the_runtime_of_its_scope() {
    let log = Log::new();
    let home = Handle::current().id();
    let value = within_an_hour(async {
        scope!(|s| {
            let (spawner, log) = (s.spawner(), log.clone());
            let task = on_a_thread(move || {
                let elsewhere = paused();
                let task = elsewhere.block_on(async move {
                    assert_ne!(Handle::current().id(), home);
                    spawner.spawn(async move {
                        sleep(50).await;
                        log.say("child ends");
                        Handle::current().id() == home
                    })
                });
                drop(elsewhere);
                task.unwrap_or_else(|_| unreachable!("its scope is open"))
            });
            task.await
        })
    });
    assert!(value.await.unwrap().unwrap(), "it runs in the runtime of its scope");
    log.expect(&["50 child ends"]);
}
