//! Bad input at run time: what it does, what it says, and where it says that it happened.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use scope_runtime::{
    Cancelled, Cause, InScope as _, ScopeHandle, cancel_scope, cancelled, check, checkpoint, current, defer,
    effective_deadline, fail_after, guard, is_cancelled, move_on_after, remaining, root, scope, shield,
    spawn, try_current, try_defer,
};
use scope_tests::probe::{Log, ms, sleep};
use tokio::time::Instant;

// --- helpers ----------------------------------------------------------------------------------------------------------

/// What a panic said, and where it was blamed on.
#[derive(Debug, PartialEq)]
struct Blame {
    message: String,
    file: String,
    line: u32,
}

thread_local! {
    static BLAME: RefCell<Option<Option<Blame>>> = const { RefCell::new(None) };
}

/// Runs what must panic; the panic's location is only told to the hook.
fn blame<T>(misuse: impl FnOnce() -> T) -> Blame {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            let recording = BLAME.with_borrow_mut(|blame| match blame {
                Some(blame) => {
                    let at = info.location().expect("rustc says so");
                    let message = info.payload_as_str().unwrap_or("no text").to_owned();
                    *blame = Some(Blame { message, file: at.file().to_owned(), line: at.line() });
                    true
                }
                None => false,
            });
            if !recording {
                before(info);
            }
        }));
    });
    BLAME.set(Some(None));
    let caught = catch_unwind(AssertUnwindSafe(misuse));
    let blame = BLAME.take().flatten();
    assert!(caught.is_err(), "it was to panic");
    blame.expect("a panic with a location")
}

/// The least executor: parks its thread until it is woken. No tokio here.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// Suspends once.
async fn suspend() {
    let mut suspended = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut suspended, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

// --- timeouts and deadlines -------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn d1_a_zero_timeout_lets_the_code_before_the_first_suspension_run() {
    let log = Log::new();
    let cut = scope!(timeout = Duration::ZERO, {
        log.say("begins");
        assert!(is_cancelled());
        assert_eq!(remaining(), Some(Duration::ZERO));
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["0 begins"]);
}

#[tokio::test(start_paused = true)]
async fn d1_a_zero_timeout_does_not_cut_a_body_without_suspension() {
    assert_eq!(scope!(timeout = 0s, { 7 }).unwrap(), 7);
    assert_eq!(fail_after(Duration::ZERO, ready(7)).await.unwrap(), 7);
    assert_eq!(move_on_after(Duration::ZERO, ready(7)).await, Some(7));
    assert_eq!(move_on_after(Duration::ZERO, suspend()).await, None);
}

#[tokio::test(start_paused = true)]
async fn l1_a_huge_timeout_is_no_deadline() {
    let log = Log::new();
    for timeout in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(1 << 40)] {
        let value = scope!(timeout = timeout, |s| {
            sleep(10).await;
            assert!(!is_cancelled());
            // Whatever they say about a time that never comes, they say it without a panic.
            let _ = (remaining(), effective_deadline(), s.deadline(), s.effective_deadline(), s.remaining());
            7
        });
        assert_eq!(value.unwrap(), 7);
    }
    assert_eq!(fail_after(Duration::MAX, ready(7)).await.unwrap(), 7);
    assert_eq!(log.ms(), 30);
}

#[tokio::test(start_paused = true)]
async fn l1_a_huge_timeout_in_a_small_one_does_not_hide_it() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let inner = scope!(timeout = Duration::MAX, { pending::<()>().await });
        log.say(format_args!("not reached: {}", inner.is_ok()));
    });
    assert!(cut.unwrap_err().is_timeout());
    assert_eq!(log.ms(), 10);
}

#[tokio::test(start_paused = true)]
async fn d1_a_deadline_in_the_past_cancels_from_the_start() {
    let log = Log::new();
    sleep(100).await;
    let cut = scope!(deadline = log.at(50), {
        log.say("begins");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.unwrap_err().is_timeout());
    let cut = scope!(deadline = std::time::Instant::now() - ms(1), { suspend().await });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["100 begins"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_that_is_moved_into_the_past_fires_at_once() {
    let log = Log::new();
    let cut = scope!(|s| {
        sleep(100).await;
        s.set_deadline(log.at(50));
        assert!(s.is_cancelled());
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.unwrap_err().is_timeout());
    assert_eq!(log.ms(), 100);
}

#[tokio::test(start_paused = true)]
async fn l1_a_deadline_far_ahead_does_not_overflow() {
    let far = Instant::now() + Duration::from_secs(100 * 365 * 24 * 3600);
    let left = scope!(deadline = far, { remaining() });
    assert_eq!(left.unwrap(), Some(Duration::from_secs(100 * 365 * 24 * 3600)));
}

#[tokio::test(start_paused = true)]
async fn u3_a_zero_cleanup_timeout_still_polls_the_cleanup_once() {
    let log = Log::new();
    scope!(cleanup_timeout = Duration::ZERO, {
        let log = log.clone();
        defer(async move {
            log.say("begins");
            let _dropped = log.guard("dropped");
            sleep(1).await;
            log.say("not reached");
        });
    })
    .unwrap();
    log.expect(&["0 begins", "0 dropped"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_huge_cleanup_timeout_is_none() {
    let log = Log::new();
    scope!(cleanup_timeout = Duration::MAX, {
        let log = log.clone();
        defer(async move {
            sleep(1_000_000).await;
            log.say("cleaned up");
        });
    })
    .unwrap();
    log.expect(&["1000000 cleaned up"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_cleanup_that_never_ends_is_cut_by_cleanup_timeout() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, cleanup_timeout = 50ms, {
        let _body = log.guard("body");
        let log = log.clone();
        defer(async move {
            let _dropped = log.guard("cleanup dropped");
            pending::<()>().await;
        });
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["10 body", "60 cleanup dropped", "60 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_cleanup_that_never_yields_control_at_its_polls_end_is_cut_as_well() {
    // It wakes itself all the time; the clock moves only when everybody sleeps, so it sleeps in between.
    let log = Log::new();
    scope!(cleanup_timeout = 50ms, {
        let log = log.clone();
        defer(async move {
            let _dropped = log.guard("cleanup dropped");
            loop {
                sleep(7).await;
            }
        });
    })
    .unwrap();
    log.expect(&["50 cleanup dropped"]);
}

// --- handles that outlive their scope ---------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f7_a_handle_that_is_used_after_its_scope_does_nothing() {
    let log = Log::new();
    scope!(timeout = 100ms, {
        let handle = scope!(name = "left", timeout = 10ms, { current() }).unwrap();
        assert!(handle.is_closed());
        assert!(!handle.cancel() && !handle.cancel_with("too late") && !handle.cancel_now());
        handle.set_deadline(log.at(0));
        handle.set_deadline(None);
        handle.set_shield(true);
        handle.set_shield(false);
        assert_eq!(handle.name(), "left");
        assert_eq!(handle.suppressed(), []);
        let _ = (handle.deadline(), handle.effective_deadline(), handle.remaining(), handle.is_cancelled());
        assert!(format!("{handle:?}").contains("left"));
        sleep(50).await;
        log.say("the outer scope goes on");
    })
    .unwrap();
    log.expect(&["50 the outer scope goes on"]);
}

#[tokio::test(start_paused = true)]
async fn f7_waiting_on_a_handle_of_a_scope_that_was_left_ends_at_once() {
    let log = Log::new();
    let handle = scope!({ current() }).unwrap();
    handle.cancelled().await;
    handle.delivered().await;
    assert_eq!(log.ms(), 0);
}

#[tokio::test(start_paused = true)]
async fn t6_a_future_under_a_scope_that_was_left_is_cancelled_with_the_cause_closed() {
    let log = Log::new();
    let handle = scope!({ current() }).unwrap();
    let own = log.clone();
    let guest = async move {
        own.say("begins");
        sleep(10).await;
        own.say("not reached");
    };
    let cancelled = guest.in_scope(handle).await.unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Closed), "{cancelled}");
    log.expect(&["0 begins"]);
}

#[tokio::test(start_paused = true)]
async fn f7_a_spawn_into_a_scope_that_was_left_gives_the_future_back() {
    let log = Log::new();
    let spawner = scope!(name = "left", |s| { s.spawner() }).unwrap();
    let dropped = log.guard("dropped");
    let closed = spawner.spawn(async move { drop(dropped) }).unwrap_err();
    log.expect(&[]);
    drop(closed);
    log.expect(&["0 dropped"]);
    assert!(spawner.handle().is_closed());
}

// --- panics -----------------------------------------------------------------------------------------------------------

#[derive(Debug, PartialEq)]
struct NoText(u8);

async fn panic_with_no_text(code: u8) {
    resume_unwind(Box::new(NoText(code)))
}

#[tokio::test(start_paused = true)]
async fn f2_a_childs_panic_whose_payload_is_no_string_is_resumed_and_described() {
    let mut sibling = None;
    let caught = AssertUnwindSafe(async {
        scope!({
            sibling = Some(spawn!(pending::<()>()));
            spawn!(name = "culprit", panic_with_no_text(3));
        })
    })
    .catch_unwind()
    .await;
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&NoText(3)));
    let cancelled = sibling.unwrap().await.unwrap_err();
    let Cause::TaskPanicked { task, text, .. } = cancelled.root_cause() else { panic!("{cancelled}") };
    assert_eq!(&**task, "culprit");
    assert!(!text.is_empty());
}

#[tokio::test(start_paused = true)]
async fn u3_a_cleanups_panic_whose_payload_is_no_string_is_resumed() {
    let log = Log::new();
    let caught = AssertUnwindSafe(async {
        scope!({
            let said = log.clone();
            defer(async move { said.say("the other cleanup") });
            defer(panic_with_no_text(4));
        })
    })
    .catch_unwind()
    .await;
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&NoText(4)));
    log.expect(&["0 the other cleanup"]);
}

#[tokio::test(start_paused = true)]
async fn f2_a_panic_in_a_destructor_of_the_body_is_a_failure_and_cleanup_still_runs() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new(NoText(5)));
        }
    }
    let log = Log::new();
    for with_cleanup in [true, false] {
        let caught = AssertUnwindSafe(async {
            scope!(timeout = 10ms, {
                let said = log.clone();
                if with_cleanup {
                    defer(async move { said.say("cleanup") });
                }
                let _bomb = Bomb;
                pending::<()>().await;
            })
        })
        .catch_unwind()
        .await;
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&NoText(5)));
    }
    log.expect(&["10 cleanup"]);
}

#[tokio::test(start_paused = true)]
async fn f2_a_panic_in_a_destructor_of_a_child_fails_the_scope() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new(NoText(6)));
        }
    }
    let caught = AssertUnwindSafe(async {
        scope!(timeout = 10ms, {
            spawn!(async {
                let _bomb = Bomb;
                pending::<()>().await;
            });
            pending::<()>().await;
        })
    })
    .catch_unwind()
    .await;
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&NoText(6)));
}

#[tokio::test(start_paused = true)]
async fn f2_a_panic_in_the_destructor_of_an_unwanted_output_does_not_hang_the_boundary() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new(NoText(7)));
        }
    }
    let bounded = tokio::time::timeout(
        Duration::from_secs(60),
        AssertUnwindSafe(async { scope!({ drop(spawn!(async { Bomb })) }) }).catch_unwind(),
    );
    bounded.await.expect("the boundary is left").ok();
}

#[tokio::test(start_paused = true)]
async fn f3_a_task_that_is_polled_after_it_gave_its_result_says_so() {
    let message = scope!({
        let mut task = spawn!(async { 7 });
        assert_eq!((&mut task).await.unwrap(), 7);
        blame(|| (&mut task).now_or_never()).message
    })
    .unwrap();
    assert!(message.contains("`Task`"), "{message}");
}

// --- outside of every scope -------------------------------------------------------------------------------------------

#[test]
fn defer_outside_of_every_scope_panics_at_the_callers_place() {
    let (line, blame) = (line!(), blame(|| defer(async {})));
    assert_eq!((blame.file.as_str(), blame.line), (file!(), line));
    assert!(blame.message.contains("`defer`") && blame.message.contains("scope"), "{}", blame.message);
}

#[test]
fn current_outside_of_every_scope_panics_at_the_callers_place() {
    let (line, blame) = (line!(), blame(|| drop(current())));
    assert_eq!((blame.file.as_str(), blame.line), (file!(), line));
    assert!(blame.message.contains("scope"), "{}", blame.message);
}

#[tokio::test(start_paused = true)]
async fn t5_a_tokio_task_is_outside_of_every_scope() {
    async fn outside() -> (bool, String) {
        (try_current().is_none(), blame(|| drop(current())).message)
    }
    let (none, message) = tokio::spawn(outside()).await.unwrap();
    assert!(none);
    assert!(message.contains("scope"));
}

#[test]
fn try_current_outside_is_none_and_try_defer_gives_the_future_back() {
    assert!(try_current().is_none());
    let ran = Arc::new(AtomicBool::new(false));
    let future = try_defer({
        let ran = Arc::clone(&ran);
        async move { ran.store(true, Ordering::Relaxed) }
    });
    let future = future.unwrap_err();
    assert!(!ran.load(Ordering::Relaxed));
    assert_eq!(future.now_or_never(), Some(()));
    assert!(ran.load(Ordering::Relaxed), "it is the future itself");
}

#[test]
fn t6_check_outside_of_every_scope_is_ok_and_nothing_is_cancelled() {
    assert!(check().is_ok());
    assert!(!is_cancelled());
    assert_eq!((remaining(), effective_deadline()), (None, None));
    assert_eq!(cancelled().now_or_never(), None, "it waits for ever");
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn t6_checkpoint_outside_of_every_scope_yields_and_is_ok() {
    let mut yielded = false;
    tokio::join!(async { checkpoint().await.unwrap() }, async { yielded = true });
    assert!(yielded);
}

#[test]
fn waiting_for_the_root_outside_of_a_runtime_panics() {
    let blame = blame(|| root::wait_idle().now_or_never());
    assert!(blame.message.contains("runtime") || blame.message.contains("reactor"), "{}", blame.message);
}

// --- outside of a tokio runtime ---------------------------------------------------------------------------------------

#[test]
fn a_scope_with_a_timeout_outside_of_a_runtime_panics_by_name_at_the_callers_place() {
    let line = line!() + 2;
    let scope = async {
        scope!(timeout = 1s, name = "fetch", { 7 }) // the place
    };
    let blame = blame(|| scope.now_or_never());
    assert_eq!((blame.file.as_str(), blame.line), (file!(), line));
    assert!(blame.message.contains("\"fetch\""), "{}", blame.message);
    assert!(blame.message.contains("tokio runtime"), "{}", blame.message);
}

#[test]
fn a_scope_with_a_deadline_outside_of_a_runtime_panics_by_its_computed_name() {
    let line = line!() + 2;
    let scope = async {
        scope!(deadline = Instant::now(), name = format!("job {}", 7), { 7 }) // the place
    };
    let blame = blame(|| scope.now_or_never());
    assert_eq!((blame.file.as_str(), blame.line), (file!(), line));
    assert!(blame.message.contains("\"job 7\""), "{}", blame.message);
}

#[test]
fn a_function_with_a_timeout_outside_of_a_runtime_panics_by_name_at_the_function() {
    #[cancel_scope(timeout = "1s")]
    async fn fetch() -> Result<u8, Cancelled> {
        Ok(7)
    }
    let line = line!() - 3;
    let blame = blame(|| fetch().now_or_never());
    assert_eq!(blame.file, file!());
    assert!((line - 1..=line + 1).contains(&blame.line), "at the function in line {line}: {blame:?}");
    assert!(blame.message.contains("\"fetch\""), "{}", blame.message);
}

#[test]
fn fail_after_and_move_on_after_outside_of_a_runtime_panic_at_the_callers_place() {
    let (line, fail) = (line!(), blame(|| fail_after(ms(1), ready(7))));
    assert_eq!((fail.file.as_str(), fail.line), (file!(), line));
    assert!(fail.message.contains("fail_after"), "{}", fail.message);
    let (line, move_on) = (line!(), blame(|| move_on_after(ms(1), ready(7))));
    assert_eq!((move_on.file.as_str(), move_on.line), (file!(), line));
    assert!(move_on.message.contains("move_on_after"), "{}", move_on.message);
}

#[test]
fn the_body_does_not_run_where_the_deadline_could_not_count() {
    let mut ran = false;
    blame(|| async { scope!(timeout = 1s, { ran = true }) }.now_or_never());
    assert!(!ran);
}

#[test]
fn a_timeout_of_none_needs_no_runtime() {
    assert_eq!(block_on(async { scope!(timeout = None::<Duration>, { 7 }) }).unwrap(), 7);
}

#[test]
fn spawn_outside_of_a_runtime_panics_by_name() {
    let blame = blame(|| {
        async {
            scope!(name = "crawl", {
                spawn!(async {});
            })
        }
        .now_or_never()
    });
    assert!(blame.message.contains("\"crawl\""), "{}", blame.message);
    assert!(blame.message.contains("tokio runtime"), "{}", blame.message);
}

#[test]
fn spawn_outside_of_a_runtime_panics_at_the_callers_place() {
    let line = line!() + 3;
    let scope = async {
        scope!({
            spawn!(async {}); // the place
        })
    };
    let blame = blame(|| scope.now_or_never());
    assert_eq!((blame.file.as_str(), blame.line), (file!(), line));
}

#[test]
fn a_scope_without_a_deadline_works_on_any_executor() {
    let log = std::cell::RefCell::new(Vec::new());
    let value = block_on(async {
        scope!(name = "outer", {
            suspend().await;
            let inner = scope!(|s| {
                s.cancel_with("no longer needed");
                log.borrow_mut().push("before the suspension");
                suspend().await;
                log.borrow_mut().push("not reached");
            });
            log.borrow_mut().push("behind");
            shield!({ suspend().await });
            inner.unwrap_err().to_string()
        })
    });
    assert!(value.unwrap().contains("no longer needed"));
    assert_eq!(*log.borrow(), ["before the suspension", "behind"]);
}

#[test]
fn an_annotated_function_without_a_deadline_works_on_any_executor() {
    #[cancel_scope]
    async fn parse(text: &str) -> Result<u8, Box<dyn std::error::Error>> {
        suspend().await;
        Ok(text.parse()?)
    }
    assert_eq!(block_on(parse("7")).unwrap(), 7);
    assert!(block_on(parse("x")).is_err());
}

#[test]
fn d7_a_cancel_from_another_thread_wakes_any_executor() {
    fn cancel_on_a_thread(handle: ScopeHandle) {
        thread::spawn(move || assert!(handle.cancel()));
    }
    for _ in 0..100 {
        let cut = block_on(async {
            scope!({
                cancel_on_a_thread(current());
                pending::<()>().await;
            })
        });
        assert!(matches!(cut.unwrap_err().cause(), Cause::Explicit { .. }));
    }
}

#[test]
fn u2_cleanup_runs_on_any_executor() {
    let (say, said) = std::sync::mpsc::channel();
    let cut = block_on(async {
        scope!(|s| {
            let first = say.clone();
            defer(async move {
                suspend().await;
                first.send("first").unwrap();
            });
            let second = say.clone();
            defer(async move { second.send("second").unwrap() });
            s.cancel();
            pending::<()>().await;
        })
    });
    assert!(cut.is_err());
    drop(say);
    assert_eq!(said.iter().collect::<Vec<_>>(), ["second", "first"]);
}

#[test]
fn u2_a_guard_in_a_scope_on_any_executor_is_cleaned_up_in_unwinding() {
    let (say, said) = std::sync::mpsc::channel();
    let cut = block_on(async {
        scope!(|s| {
            let _guard = guard(say, |say| async move { say.send("cleaned up").unwrap() });
            s.cancel();
            pending::<()>().await;
        })
    });
    assert!(cut.is_err());
    assert_eq!(said.iter().collect::<Vec<_>>(), ["cleaned up"]);
}

#[test]
fn u3_a_cleanup_timeout_outside_of_a_runtime_panics_by_name_at_the_callers_place() {
    let line = line!() + 2;
    let scope = async {
        scope!(cleanup_timeout = 1s, name = "tidy", { defer(pending()) }) // the place
    };
    let blame = blame(|| scope.now_or_never());
    assert_eq!((blame.file.as_str(), blame.line), (file!(), line));
    assert!(blame.message.contains("\"tidy\""), "{}", blame.message);
}

#[test]
fn u5_a_scope_that_is_dropped_outside_of_every_runtime_does_not_panic() {
    let (say, said) = std::sync::mpsc::channel();
    let mut scope = Box::pin(async {
        scope!({
            let cleanup = say.clone();
            defer(async move { cleanup.send("run").unwrap() });
            pending::<()>().await;
        })
    });
    assert!(scope.as_mut().now_or_never().is_none());
    drop(scope);
    drop(say);
    // There is nothing to run it on: it is dropped, which is reported.
    assert_eq!(said.iter().collect::<Vec<_>>(), [] as [&str; 0]);
}
