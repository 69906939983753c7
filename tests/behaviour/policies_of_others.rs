//! F5, F6 and row 13 for children that are no tasks: forks, and threads of async and of sync scopes.

use std::any::Any;
use std::future::{Future, pending};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures_util::FutureExt as _;
use scope_runtime::testing::SyncClock;
use scope_runtime::{
    Cancelled, Cause, Scope, ScopeHandle, Suppressed, Task, blocking, blocking_scope, cancel_scope, check,
    defer, defer_blocking, fork, guard, guard_blocking, root, scope, shield, spawn, spawn_blocking,
};
use scope_tests::probe::{Log, outside, poll_once, sleep};
use tokio::sync::oneshot;

use crate::report::Events;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("oops: {0}")]
struct Oops(&'static str);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Oops(#[from] Oops),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

const SECOND: Duration = Duration::from_secs(1);

fn nap(seconds: u32) -> Result<(), Cancelled> {
    blocking::sleep(seconds * SECOND)
}

/// A child that says when it begins, and when it is done or dropped.
async fn child(log: &Log, name: &str, n: u64) {
    log.say(format_args!("{name} begins"));
    let _gone = log.guard(format!("{name} gone"));
    sleep(n).await;
    log.say(format_args!("{name} done"));
}

/// The payload of a panic.
async fn payload<T>(future: impl Future<Output = T>) -> Box<dyn Any + Send> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => payload,
    }
}

fn text(payload: Box<dyn Any + Send>) -> &'static str {
    *payload.downcast().expect("a panic with a literal text")
}

fn texts(failures: &[Suppressed]) -> Vec<String> {
    failures.iter().map(ToString::to_string).collect()
}

/// A panic that no hook prints.
fn panic_quietly(text: &'static str) {
    resume_unwind(Box::new(text));
}

/// A child that would fail if it ran.
fn never() {
    unreachable!("it never starts");
}

/// What threads say, in order.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn say(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Says its text when it is dropped.
    fn when_dropped(&self, text: &'static str) -> impl Drop + Send + use<> {
        struct Last(Said, &'static str);
        impl Drop for Last {
            fn drop(&mut self) {
                self.0.say(self.1);
            }
        }
        Last(self.clone(), text)
    }
}

/// How many are there at once, and how many at most.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl Crowd {
    fn enter(&self) {
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        self.all.fetch_add(1, SeqCst);
    }

    fn leave(&self) {
        self.now.fetch_sub(1, SeqCst);
    }
}

// --- F5: forks --------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f5_an_error_of_a_supervised_fork_goes_to_its_handle_and_fails_nobody() {
    let log = Log::new();
    let what = String::from("borrowed");
    // This function returns nothing; and the error need be neither `Send` nor `'static`.
    scope!(supervise, |s| {
        fork!(child(&log, "sibling", 20));
        let task: Task<Result<u8, &str>> = fork!(async {
            sleep(10).await;
            Err(what.as_str())
        });
        let good: Task<Result<u8, Oops>> = fork!(async { Ok(7) });
        assert_eq!(good.await.unwrap(), Ok(7));
        assert_eq!(task.await.unwrap(), Err("borrowed"));
        assert!(!s.is_cancelled());
        log.say("body ends");
    })
    .unwrap();
    log.expect(&["0 sibling begins", "10 body ends", "20 sibling done", "20 sibling gone"]);
}

#[tokio::test(start_paused = true)]
async fn f5_a_panic_of_a_fork_goes_to_its_handle_and_its_payload_is_taken_once() {
    let events = Events::record();
    let log = Log::new();
    let mut handle = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        fork!(child(&log, "sibling", 20));
        let task = fork!(name = "loud", async {
            sleep(10).await;
            panic_quietly("out of cheese");
        });
        let cancelled = task.await.unwrap_err();
        assert!(matches!(cancelled.cause(), Cause::TaskPanicked { task, .. } if task == "loud"));
        assert_eq!(text(cancelled.take_panic().unwrap()), "out of cheese");
        assert!(cancelled.take_panic().is_none() && !s.is_cancelled());
    })
    .unwrap();
    log.expect(&["0 sibling begins", "20 sibling done", "20 sibling gone"]);
    assert_eq!((handle.unwrap().suppressed(), events.warnings().len()), (vec![], 0), "somebody has it");
}

#[tokio::test(start_paused = true)]
async fn f5_what_nobody_takes_of_forks_is_reported_at_the_boundary() {
    let events = Events::record();
    let mut handle = None;
    let mut kept = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        let own = s.handle();
        defer(async move { assert_eq!(own.suppressed(), [], "not before") });
        fork!(name = "dropped", async { Err::<(), _>(Oops("a")) });
        kept = Some(fork!(name = "kept", async {
            sleep(10).await;
            panic_quietly("b");
        }));
        fork!(background, name = "beat", async {
            sleep(5).await;
            Err::<(), _>(Oops("no pulse"))
        });
        let taken = fork!(async { Err::<(), _>(Oops("taken")) });
        assert!(taken.await.unwrap().is_err());
    })
    .unwrap();
    let late = texts(&handle.unwrap().suppressed());
    assert_eq!(late, ["dropped failed: oops: a", "beat failed: oops: no pulse", "kept panicked: b"]);
    assert_eq!(events.warnings().len(), 3);
    assert_eq!(text(kept.unwrap().await.unwrap_err().take_panic().unwrap()), "b");
}

#[tokio::test(start_paused = true)]
async fn f5_a_cancel_that_a_supervised_fork_passes_on_is_no_failure() {
    let mut handle = None;
    let cut = scope!(supervise, |s| {
        handle = Some(s.handle());
        let task = fork!(async {
            shield!({ sleep(10).await });
            check()?;
            Ok::<_, Error>(7)
        });
        fork!(pending::<Result<(), Oops>>());
        s.cancel_with("enough");
        shield!({ assert!(matches!(task.await, Ok(Err(Error::Cancelled(_))))) });
    });
    assert!(cut.unwrap_err().to_string().contains("enough"));
    assert_eq!(handle.unwrap().suppressed(), []);
}

#[tokio::test(start_paused = true)]
async fn f5_a_function_supervises_its_forks() {
    #[cancel_scope(supervise, fallback = 0)]
    async fn good(words: &[&str]) -> usize {
        let tasks: Vec<_> = words.iter().map(|word| fork!(async { word.parse::<u8>() })).collect();
        let mut good = 0;
        for task in tasks {
            good += usize::from(task.await.unwrap().is_ok());
        }
        good
    }
    assert_eq!(good(&["1", "x", "3"]).await, 2);
}

// --- F5: threads of async scopes --------------------------------------------------------------------------------------

#[tokio::test]
async fn f5_an_error_of_a_supervised_thread_goes_to_its_handle_and_fails_nobody() {
    let mut handle = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        let task: Task<Result<u8, Oops>> = spawn_blocking!(|| Err(Oops("its own")));
        let good = spawn_blocking!(|| Ok::<_, Oops>(7));
        assert_eq!(task.await.unwrap(), Err(Oops("its own")));
        assert_eq!(good.await.unwrap(), Ok(7));
        assert!(!s.is_cancelled());
    })
    .unwrap();
    assert_eq!(handle.unwrap().suppressed(), []);
}

#[tokio::test]
async fn f5_a_panic_of_a_supervised_thread_goes_to_its_handle() {
    let mut handle = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        let task = spawn_blocking!(name = "loud", || panic_quietly("out of cheese"));
        let cancelled = task.await.unwrap_err();
        assert!(matches!(cancelled.cause(), Cause::TaskPanicked { task, .. } if task == "loud"));
        assert_eq!(text(cancelled.take_panic().unwrap()), "out of cheese");
        assert!(cancelled.take_panic().is_none() && !s.is_cancelled());
    })
    .unwrap();
    assert_eq!(handle.unwrap().suppressed(), []);
}

#[tokio::test]
async fn f5_what_nobody_takes_of_threads_is_reported_at_the_boundary() {
    let events = Events::record();
    let mut handle = None;
    let mut kept = None;
    scope!(supervise, limit = 1, |s| {
        handle = Some(s.handle());
        let own = s.handle();
        defer(async move { assert_eq!(own.suppressed(), [], "not before") });
        spawn_blocking!(name = "dropped", || Err::<(), _>(Oops("a")));
        kept = Some(spawn_blocking!(name = "kept", || panic_quietly("b")));
        let cleanup = || {
            defer_blocking(|| panic_quietly("d"));
            Err::<(), _>(Oops("c"))
        };
        let task = spawn_blocking!(name = "cleanup", cleanup);
        assert_eq!(text(task.await.unwrap_err().take_panic().unwrap()), "d");
    })
    .unwrap();
    let late = texts(&handle.unwrap().suppressed());
    assert_eq!(late, ["dropped failed: oops: a", "kept panicked: b", "cleanup failed: oops: c"]);
    assert_eq!(events.warnings().len(), 3);
    assert_eq!(text(kept.unwrap().await.unwrap_err().take_panic().unwrap()), "b");
}

#[tokio::test]
async fn f5_a_cancel_that_a_supervised_thread_passes_on_is_no_failure() {
    let mut handle = None;
    let (begun, has_begun) = oneshot::channel();
    let cut = scope!(supervise, |s| {
        handle = Some(s.handle());
        let task = spawn_blocking!(move || {
            begun.send(()).unwrap();
            blocking::sleep(Duration::MAX).map_err(io::Error::from)
        });
        has_begun.await.unwrap();
        s.cancel_with("enough");
        shield!({ assert!(task.await.unwrap().is_err()) });
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().to_string().contains("enough"));
    assert_eq!(handle.unwrap().suppressed(), []);
}

#[tokio::test]
async fn f5_an_abandoned_thread_of_a_supervised_scope_fails_nobody() {
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let mut handle = None;
    let mut task = None;
    let cut = scope!(supervise, |s| {
        handle = Some(s.handle());
        task = Some(spawn_blocking!(abandon, move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
            Err::<(), _>(Oops("too late"))
        }));
        has_begun.await.unwrap();
        s.cancel();
        pending::<()>().await;
    });
    assert!(cut.is_err());
    assert!(matches!(task.unwrap().await.unwrap_err().cause(), Cause::Parent(_)));
    go.send(()).unwrap();
    root::wait_idle().await;
    assert_eq!(handle.unwrap().suppressed(), []);
}

#[tokio::test]
async fn f5_f9_a_panic_abandons_nobody_and_goes_to_the_handle() {
    let value = scope!(supervise, {
        let task = spawn_blocking!(abandon, || panic_quietly("loud"));
        let cancelled = task.await.unwrap_err();
        assert!(matches!(cancelled.cause(), Cause::TaskPanicked { .. }), "{cancelled}");
        assert_eq!((text(cancelled.take_panic().unwrap()), root::count()), ("loud", 0));
        "value"
    });
    assert_eq!(value.unwrap(), "value");
}

#[tokio::test]
async fn f5_f9_nor_is_it_a_cancel_from_outside() {
    // A cleanup is shielded: if the scope in it unwound for an outer cancel, it would never end (rule D4).
    let (tx, rx) = oneshot::channel();
    scope!({
        defer(async move {
            let value = scope!(supervise, {
                spawn_blocking!(abandon, || panic_quietly("loud"));
                "value"
            });
            tx.send(value.unwrap()).unwrap();
        });
    })
    .unwrap();
    assert_eq!(rx.await, Ok("value"));
}

// --- F5: threads of sync scopes ---------------------------------------------------------------------------------------

#[test]
fn f5_threads_of_a_supervised_sync_scope_fail_nobody() {
    let clock = SyncClock::new();
    let rows = ["7".to_owned(), "x".to_owned()];
    let mut handle = None;
    clock.run(|| {
        blocking_scope!(supervise, |s| {
            handle = Some(s.handle());
            let sibling = spawn_blocking!(|| nap(5).map(|()| "done"));
            // Values and errors may borrow.
            let tasks: Vec<Task<Result<u8, &str>>> = rows
                .iter()
                .map(|row| spawn_blocking!(move || row.parse::<u8>().map_err(|_| row.as_str())))
                .collect();
            let ended: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
            assert_eq!(ended, [Ok(7), Err("x")]);
            let loud = spawn_blocking!(|| panic_quietly("loud")).join().unwrap_err();
            assert!(matches!(loud.cause(), Cause::TaskPanicked { .. }));
            assert_eq!(text(loud.take_panic().unwrap()), "loud");
            assert!(!s.is_cancelled());
            assert_eq!(sibling.join().unwrap().unwrap(), "done");
        })
        .unwrap();
    });
    assert_eq!((clock.elapsed(), handle.unwrap().suppressed()), (5 * SECOND, vec![]));
}

#[test]
fn f5_what_nobody_takes_of_a_sync_scope_is_reported_at_its_boundary() {
    let mut handle = None;
    SyncClock::new().run(|| {
        blocking_scope!(supervise, |s| {
            handle = Some(s.handle());
            let own = s.handle();
            defer_blocking(move || assert_eq!(own.suppressed(), [], "not before"));
            spawn_blocking!(name = "first", || {
                nap(1).unwrap();
                Err::<(), _>(Oops("a"))
            });
            spawn_blocking!(name = "second", || {
                nap(2).unwrap();
                panic_quietly("b");
            });
            spawn_blocking!(background, name = "beat", || -> Result<(), Oops> {
                while nap(1).is_ok() {}
                Err(Oops("stopped"))
            });
        })
        .unwrap();
    });
    assert_eq!(
        texts(&handle.unwrap().suppressed()),
        ["first failed: oops: a", "second panicked: b", "beat failed: oops: stopped"]
    );
}

#[test]
fn f5_an_error_of_the_body_still_ends_the_threads() {
    #[cancel_scope(supervise)]
    fn work(clock: &SyncClock) -> Result<(), Error> {
        spawn_blocking!(|| {
            assert!(nap(60).is_err());
            assert_eq!(clock.elapsed(), SECOND);
        });
        nap(1)?;
        Err(Oops("body"))?
    }
    let clock = SyncClock::new();
    assert!(matches!(clock.run(|| work(&clock)), Err(Error::Oops(Oops("body")))));
    assert_eq!(clock.elapsed(), SECOND);
}

// --- F6: forks --------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f6_forks_wait_for_their_turn_and_start_in_order() {
    let log = Log::new();
    scope!(limit = 2, {
        for (name, n) in [("a", 10), ("b", 25), ("c", 10), ("d", 10)] {
            let log = &log;
            fork!(async move { child(log, name, n).await });
        }
        log.say("body ends");
    })
    .unwrap();
    log.say("behind");
    let said: Vec<_> = log.entries().into_iter().filter(|entry| !entry.ends_with("gone")).collect();
    assert_eq!(
        said,
        [
            "0 body ends",
            "0 a begins",
            "0 b begins",
            "10 a done",
            "10 c begins",
            "20 c done",
            "20 d begins",
            "25 b done",
            "30 d done",
            "30 behind",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn f6_forks_and_spawned_children_share_the_limit_and_one_line() {
    let log = Log::new();
    scope!(limit = 1, {
        let own = log.clone();
        spawn!(async move { child(&own, "a", 10).await });
        fork!(async {
            defer(sleep(5));
            child(&log, "b", 10).await
        });
        let own = log.clone();
        spawn!(async move { child(&own, "c", 10).await });
        fork!(child(&log, "d", 10));
    })
    .unwrap();
    let said: Vec<_> = log.entries().into_iter().filter(|entry| entry.ends_with("begins")).collect();
    assert_eq!(said, ["0 a begins", "10 b begins", "25 c begins", "35 d begins"]);
    assert_eq!(log.ms(), 45);
}

#[tokio::test(start_paused = true)]
async fn f6_a_fork_that_waits_when_the_cancel_comes_never_starts() {
    let log = Log::new();
    let cut = scope!(limit = 1, |s| {
        fork!(async { shield!({ child(&log, "running", 100).await }) });
        let held = log.guard("what the waiting fork held");
        let waiting = fork!(name = "waiting", async {
            let _held = held;
            unreachable!("it never starts");
        });
        let (log, handle) = (log.clone(), s.handle());
        outside(async move {
            let _: () = waiting.await.unwrap_err().to_string().contains("enough").then_some(()).unwrap();
            log.say("its handle says so");
        });
        outside(async move {
            sleep(10).await;
            handle.cancel_with("enough");
        });
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().to_string().contains("enough"));
    log.expect(&[
        "0 running begins",
        "10 what the waiting fork held",
        "10 its handle says so",
        "100 running done",
        "100 running gone",
        "100 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn f6_a_waiting_fork_that_is_cancelled_by_its_handle_never_starts() {
    let log = Log::new();
    let value = scope!(limit = 1, {
        fork!(child(&log, "a", 50));
        let b = fork!(child(&log, "b", 50));
        fork!(child(&log, "c", 50));
        sleep(10).await;
        assert!(b.cancel());
        assert!(matches!(b.await.unwrap_err().cause(), Cause::Task { at: Some(_), .. }));
        log.say("b has ended");
        "kept"
    });
    assert_eq!(value.unwrap(), "kept");
    log.expect(&[
        "0 a begins",
        "10 b has ended",
        "50 a done",
        "50 a gone",
        "50 c begins",
        "100 c done",
        "100 c gone",
    ]);
}

#[tokio::test(start_paused = true)]
async fn f6_a_failure_or_an_outer_cancel_ends_the_waiting_of_forks() {
    async fn failing(log: &Log) -> Result<(), Error> {
        let _ = scope!(limit = 2, {
            fork!(async {
                sleep(10).await;
                Err::<(), _>(Oops("first"))
            });
            fork!(async { shield!({ sleep(30).await }) });
            let held = log.guard("waiting gone");
            fork!(async {
                let _held = held;
                unreachable!("it never starts");
            });
            pending::<()>().await;
        });
        unreachable!("the failure leaves the function");
    }
    let log = Log::new();
    assert!(matches!(failing(&log).await, Err(Error::Oops(Oops("first")))));
    assert_eq!((log.take(), log.ms()), (vec!["10 waiting gone".into()], 30));

    let log = Log::new();
    let _ = scope!(timeout = 20ms, {
        let _ = scope!(limit = 1, {
            fork!(async { shield!({ sleep(50).await }) });
            let held = log.guard("waiting gone");
            fork!(async {
                let _held = held;
                unreachable!("it never starts");
            });
        });
        unreachable!("a foreign cancel (rule D4)");
    });
    assert_eq!((log.take(), log.ms()), (vec!["20 waiting gone".into()], 50));
}

#[tokio::test(start_paused = true)]
async fn f6_a_background_fork_that_waits_at_the_end_never_starts() {
    let log = Log::new();
    let value = scope!(limit = 2, {
        fork!(background, child(&log, "beat", 1000));
        fork!(child(&log, "a", 10));
        fork!(child(&log, "b", 10));
        fork!(background, async {
            child(&log, "second beat", 1000).await;
        });
        fork!(background, async { unreachable!("it never starts") });
        "value"
    });
    assert_eq!(value.unwrap(), "value");
    log.expect(&[
        "0 beat begins",
        "0 a begins",
        "10 a done",
        "10 a gone",
        "10 b begins",
        "20 b done",
        "20 b gone",
        "20 second beat begins",
        "20 beat gone",
        "20 second beat gone",
    ]);
}

#[tokio::test(start_paused = true)]
async fn f6_waiting_forks_of_a_scope_that_is_dropped_are_dropped_in_place() {
    let log = Log::new();
    let mut tasks = Vec::new();
    {
        let log = &log;
        let mut dropped = pin!(async {
            scope!(limit = 1, {
                for name in ["a gone", "b gone", "c gone"] {
                    let held = log.guard(name);
                    tasks.push(fork!(async move {
                        let _held = held;
                        pending::<()>().await;
                    }));
                }
                spawn!(async { unreachable!("it never starts") });
                pending::<()>().await;
            })
        });
        assert!(poll_once(&mut dropped).await.is_pending());
    }
    log.expect_unordered(&["0 a gone", "0 b gone", "0 c gone"]);
    for task in tasks {
        assert!(task.now_or_never().unwrap().is_err());
    }
    root::wait_idle().await;
}

#[tokio::test(start_paused = true)]
async fn f6_a_child_that_ends_does_not_start_a_fork_that_was_dropped() {
    let log = Log::new();
    let mut dropped = Box::pin(async {
        scope!(limit = 1, |s| {
            let own = log.clone();
            // Its end frees a slot, while the scope is no more than its orphan.
            spawn!(async move { shield!({ child(&own, "running", 10).await }) });
            fork!(pending::<()>());
            spawn!(async { never() });
            fork!(pending::<()>());
            let handle = s.handle();
            defer(async move { drop(handle) });
            pending::<()>().await;
        })
    });
    assert!(poll_once(&mut dropped).await.is_pending());
    tokio::task::yield_now().await;
    drop(dropped);
    root::wait_idle().await;
    log.expect(&["0 running begins", "10 running done", "10 running gone"]);
}

#[tokio::test(start_paused = true)]
async fn f6_a_soft_cancel_ends_the_waiting_of_forks_and_costs_nothing() {
    let log = Log::new();
    let value = scope!(limit = 1, grace = 1s, |s| {
        fork!(child(&log, "running", 50));
        let waiting = fork!(async { unreachable!("it never starts") });
        sleep(10).await;
        s.cancel();
        let _: () = match waiting.await {
            Err(_) => log.say("refused"),
            Ok(never) => never,
        };
        "value"
    });
    assert_eq!(value.unwrap(), "value");
    log.expect(&["0 running begins", "10 refused", "50 running done", "50 running gone"]);
}

#[tokio::test(start_paused = true)]
async fn f6_a_destructor_that_panics_in_a_fork_that_never_started_is_its_failure() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_quietly("boom");
        }
    }
    let panicked = payload(async {
        scope!(limit = 1, |s| {
            fork!(pending::<()>());
            let bomb = Bomb;
            fork!(async move { drop(bomb) });
            s.cancel();
            pending::<()>().await;
        })
    });
    assert_eq!(text(panicked.await), "boom");
}

// --- row 13: forks that are skipped -----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn row_13_a_fork_that_is_started_in_a_cancelled_scope_is_skipped() {
    let log = Log::new();
    let cut = scope!(|s| {
        fork!(skip_if_cancelled, child(&log, "early", 0)).await.unwrap();
        s.cancel_with("already");
        fork!(child(&log, "plain", 10));
        let task = fork!(skip_if_cancelled, child(&log, "skipped", 10));
        shield!({ assert!(task.await.unwrap_err().to_string().contains("already")) });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["0 early begins", "0 early done", "0 early gone", "0 plain begins", "0 plain gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_13_for_a_fork_too_what_was_decided_at_the_start_stays() {
    let log = Log::new();
    let _ = scope!(|outer| {
        let _ = scope!(|s| {
            outer.cancel();
            let task = fork!(skip_if_cancelled, child(&log, "skipped", 10));
            s.set_shield(true);
            assert!(task.await.unwrap_err().to_string().contains("was cancelled"));
        });
    });
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn row_13_a_fork_whose_turn_has_come_looks_again_before_it_starts() {
    let log = Log::new();
    let cut = scope!(limit = 1, |s| {
        let first = spawn!(sleep(10));
        fork!(skip_if_cancelled, child(&log, "skipped", 10));
        // It is woken by the first one's end, as the fork is: between that and the first poll of the fork.
        let (handle, log) = (s.handle(), log.clone());
        outside(async move {
            first.await.unwrap();
            log.say("cancelled");
            handle.cancel();
        });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 cancelled"]);
}

// --- F6: threads of async scopes --------------------------------------------------------------------------------------

#[tokio::test]
async fn f6_children_of_all_kinds_share_the_limit_and_one_line() {
    let said = Said::default();
    let say = |name: &'static str| {
        let said = said.clone();
        move |what: &str| said.say(format!("{name} {what}"))
    };
    scope!(limit = 1, {
        let task = |name| {
            let say = say(name);
            async move {
                say("begins");
                tokio::task::yield_now().await;
                say("ends");
            }
        };
        let closure = |name| {
            let say = say(name);
            move || {
                say("begins");
                std::thread::yield_now();
                say("ends");
            }
        };
        spawn!(task("a"));
        spawn_blocking!(closure("b"));
        spawn_blocking!(closure("c"));
        fork!(task("d"));
        spawn!(task("e"));
        spawn_blocking!(background, closure("f"));
        fork!(task("g"));
    })
    .unwrap();
    let order: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"]
        .iter()
        .flat_map(|name| [format!("{name} begins"), format!("{name} ends")])
        .collect();
    assert_eq!(said.all(), order);
}

#[test]
fn f6_the_limit_holds_for_all_kinds_on_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let crowd = Arc::new(Crowd::default());
        scope!(limit = 3, {
            for n in 0..300 {
                let crowd = Arc::clone(&crowd);
                let pass = async move {
                    crowd.enter();
                    tokio::task::yield_now().await;
                    crowd.leave();
                };
                match n % 3 {
                    0 => drop(spawn!(pass)),
                    1 => drop(fork!(pass)),
                    _ => drop(spawn_blocking!(move || blocking::wait(pass).unwrap())),
                }
            }
        })
        .unwrap();
        assert_eq!(crowd.all.load(SeqCst), 300);
        let most = crowd.most.load(SeqCst);
        assert!((1..=3).contains(&most), "{most} ran at once");
    });
}

/// Spawns a child that no cancel stops, and one on a thread that waits behind it; gives the cancels some time.
async fn behind_a_stubborn_child<R>(
    said: &Said,
    s: &Scope<R>,
    cancel: impl FnOnce(&Task<()>) + Send,
) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Cancelled>) {
    let (go, wait) = oneshot::channel();
    let (begun, has_begun) = oneshot::channel();
    let own = said.clone();
    spawn!(in s, async move {
        shield!({
            begun.send(()).unwrap();
            wait.await.unwrap();
            own.say("the running one ends");
        });
    });
    has_begun.await.unwrap();
    let held = said.when_dropped("what the closure held is gone");
    let waiting = spawn_blocking!(in s, name = "waiting", move || -> () {
        let _held = held;
        unreachable!("it never starts");
    });
    cancel(&waiting);
    (go, outside(async move { waiting.await.unwrap_err() }))
}

#[tokio::test]
async fn f6_a_thread_that_waits_when_the_cancel_comes_never_starts() {
    let said = Said::default();
    let cut = scope!(limit = 1, |s| {
        shield!({
            let (go, watcher) = behind_a_stubborn_child(&said, s, |_| assert!(s.cancel_with("enough"))).await;
            // Not when the running one ends: now.
            let cancelled = watcher.await.unwrap();
            assert_eq!(cancelled.scope_name(), "waiting");
            assert!(cancelled.to_string().contains("enough"), "{cancelled}");
            said.say("its handle says so");
            go.send(()).unwrap();
        });
        pending::<()>().await;
    });
    said.say("behind");
    assert!(cut.unwrap_err().to_string().contains("enough"));
    assert_eq!(
        said.all(),
        ["what the closure held is gone", "its handle says so", "the running one ends", "behind"]
    );
}

#[tokio::test]
async fn f6_a_waiting_thread_that_is_cancelled_by_its_handle_never_starts() {
    let said = Said::default();
    let value = scope!(limit = 1, |s| {
        let (go, watcher) = behind_a_stubborn_child(&said, s, |task| assert!(task.cancel())).await;
        assert!(matches!(watcher.await.unwrap().cause(), Cause::Task { at: Some(_), .. }));
        said.say("its handle says so");
        go.send(()).unwrap();
        let next = said.clone();
        spawn_blocking!(move || next.say("the next one runs"));
        "kept"
    });
    assert_eq!(value.unwrap(), "kept");
    assert_eq!(
        said.all(),
        ["what the closure held is gone", "its handle says so", "the running one ends", "the next one runs"]
    );
}

#[tokio::test]
async fn f6_an_outer_deadline_ends_the_waiting_of_threads() {
    let said = Said::default();
    let cut = scope!(timeout = 20ms, {
        let _ = scope!(limit = 1, |s| {
            let (go, watcher) = behind_a_stubborn_child(&said, s, |_| ()).await;
            let said = said.clone();
            outside(async move {
                assert!(watcher.await.unwrap().is_timeout());
                said.say("its handle says so");
                go.send(()).unwrap();
            });
        });
        unreachable!("a foreign cancel (rule D4)");
    });
    assert!(cut.unwrap_err().is_timeout());
    assert_eq!(said.all(), ["what the closure held is gone", "its handle says so", "the running one ends"]);
}

#[tokio::test]
async fn f6_what_the_closure_of_a_waiting_thread_holds_is_cleaned_up_in_its_scope() {
    // Many times, since another thread drops the closure.
    for _ in 0..50 {
        let said = Said::default();
        let cut = scope!(limit = 1, |s| {
            spawn!(pending::<()>());
            let own = said.clone();
            let conn = guard((), |()| async move {
                tokio::task::yield_now().await;
                own.say("closed");
            });
            spawn_blocking!(move || -> () {
                let _conn = conn;
                unreachable!("it never starts");
            });
            let file = said.clone();
            let file = guard_blocking((), move |()| {
                std::thread::yield_now();
                file.say("synced");
            });
            spawn_blocking!(move || drop(file));
            s.cancel();
            pending::<()>().await;
        });
        said.say("behind");
        assert!(cut.is_err());
        let mut all = said.all();
        assert_eq!(all.pop().as_deref(), Some("behind"), "{all:?}");
        all.sort();
        assert_eq!(all, ["closed", "synced"]);
    }
}

#[tokio::test]
async fn f6_a_destructor_that_panics_in_a_closure_that_never_ran_is_its_failure() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic_quietly("boom");
        }
    }
    let panicked = payload(async {
        scope!(limit = 1, |s| {
            spawn!(pending::<()>());
            let bomb = Bomb;
            spawn_blocking!(move || drop(bomb));
            s.cancel();
            pending::<()>().await;
        })
    });
    assert_eq!(text(panicked.await), "boom");
    let mut handle = None;
    let cut = scope!(limit = 1, supervise, |s| {
        handle = Some(s.handle());
        spawn!(pending::<()>());
        let bomb = Bomb;
        spawn_blocking!(name = "bomb", move || drop(bomb));
        s.cancel();
        pending::<()>().await;
    });
    assert!(cut.is_err());
    assert_eq!(texts(&handle.unwrap().suppressed()), ["bomb panicked: boom"]);
}

#[tokio::test]
async fn f6_a_soft_cancel_ends_the_waiting_of_threads_and_costs_nothing() {
    let value = scope!(limit = 1, grace = 1h, |s| {
        let (go, wait) = oneshot::channel::<()>();
        let running = spawn_blocking!(move || blocking::wait(wait).is_err());
        let waiting = spawn_blocking!(never);
        s.cancel();
        assert!(waiting.await.is_err());
        // Waits end softly, too.
        assert!(running.await.unwrap());
        drop(go);
        "value"
    });
    assert_eq!(value.unwrap(), "value");
}

#[tokio::test]
async fn f6_f9_a_thread_that_may_be_abandoned_waits_for_its_turn_and_never_starts_either() {
    let said = Said::default();
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let cut = scope!(limit = 1, |s| {
        spawn_blocking!(abandon, move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
        });
        let held = said.when_dropped("gone");
        let waiting = spawn_blocking!(abandon, move || -> () {
            let _held = held;
            unreachable!("it never starts");
        });
        has_begun.await.unwrap();
        s.cancel();
        shield!({ assert!(waiting.await.is_err()) });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    go.send(()).unwrap();
    root::wait_idle().await;
    assert_eq!((said.all(), root::count()), (vec!["gone".to_owned()], 0));
}

#[test]
fn f6_a_runtime_that_shuts_down_drops_the_threads_that_wait() {
    let alive = Arc::new(());
    let mut last = None;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (tx, rx) = oneshot::channel();
        let alive = Arc::clone(&alive);
        outside(async move {
            scope!(limit = 1, {
                spawn!(pending::<()>());
                let mut tasks = Vec::new();
                for _ in 0..1_000 {
                    let alive = Arc::clone(&alive);
                    tasks.push(spawn_blocking!(move || drop(alive)));
                }
                tx.send(tasks.pop().unwrap()).expect("somebody waits for it");
                pending::<()>().await;
            })
        });
        last = rx.await.ok();
    });
    drop(runtime);
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(last.unwrap().now_or_never().unwrap().is_err());
}

// --- F6: threads of sync scopes ---------------------------------------------------------------------------------------

#[test]
fn f6_threads_of_a_sync_scope_wait_for_their_turn_and_start_in_order() {
    let clock = SyncClock::new();
    let begun = Mutex::new(Vec::new());
    clock.run(|| {
        blocking_scope!(limit = 2, {
            for (name, seconds) in [("a", 10), ("b", 25), ("c", 10), ("d", 10), ("e", 10)] {
                let (clock, begun) = (&clock, &begun);
                spawn_blocking!(move || {
                    begun.lock().unwrap().push((clock.elapsed().as_secs(), name));
                    nap(seconds).unwrap();
                });
            }
        })
        .unwrap();
    });
    let mut begun = begun.into_inner().unwrap();
    begun[..2].sort(); // these two begin together
    assert_eq!(begun, [(0, "a"), (0, "b"), (10, "c"), (20, "d"), (25, "e")]);
    assert_eq!(clock.elapsed(), 35 * SECOND);
}

#[test]
fn f6_a_slot_of_a_sync_scope_is_free_when_its_child_has_ended_cleanup_included() {
    let clock = SyncClock::new();
    let second = Mutex::new(Duration::ZERO);
    clock.run(|| {
        blocking_scope!(limit = 1, {
            spawn_blocking!(|| {
                defer_blocking(|| nap(3).unwrap());
                nap(2).unwrap();
            });
            spawn_blocking!(|| *second.lock().unwrap() = clock.elapsed());
        })
        .unwrap();
    });
    assert_eq!(second.into_inner().unwrap(), 5 * SECOND);
}

/// What ended the waiting of a thread in a sync scope, and when; asked from inside of the scope.
macro_rules! ended {
    ($clock:expr, $waiting:expr) => {{
        let cancelled: Cancelled = shield!({ $waiting.join().unwrap_err() });
        ($clock.elapsed().as_secs(), cancelled)
    }};
}

#[test]
fn f6_a_thread_of_a_sync_scope_that_waits_when_the_cancel_comes_never_starts() {
    let clock = SyncClock::new();
    let gone = AtomicBool::new(false);
    struct Held<'a>(&'a AtomicBool);
    impl Drop for Held<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let cut = clock.run(|| -> Result<(), Cancelled> {
        blocking_scope!(limit = 1, |s| {
            spawn_blocking!(|| shield!({ nap(10).unwrap() }));
            let held = Held(&gone);
            let waiting = spawn_blocking!(move || {
                let _held = held;
                unreachable!("it never starts")
            });
            nap(2)?;
            s.cancel_with("enough");
            let (at, cancelled) = ended!(clock, waiting);
            assert!(at == 2 && cancelled.to_string().contains("enough"), "{at}: {cancelled}");
            assert!(gone.load(SeqCst), "the closure is gone before its handle says so");
        })
    });
    assert!(cut.is_err());
    assert_eq!(clock.elapsed(), 10 * SECOND);
}

#[test]
fn f6_whatever_makes_a_cancel_visible_ends_the_waiting_of_threads() {
    // Its own deadline, while the body is in a wait, and while it is at its boundary.
    let clock = SyncClock::new();
    let late = clock.run(|| -> Result<(), Cancelled> {
        blocking_scope!(limit = 2, timeout = 2s, {
            for _ in 0..2 {
                spawn_blocking!(|| shield!({ nap(10).unwrap() }));
            }
            let waiting = spawn_blocking!(never);
            let (at, cancelled) = ended!(clock, waiting);
            assert!(at == 2 && cancelled.is_timeout(), "{at}: {cancelled}");
        })
    });
    assert!(late.unwrap_err().is_timeout());
    assert_eq!(clock.elapsed(), 10 * SECOND);

    let clock = SyncClock::new();
    let late = clock.run(|| -> Result<(), Cancelled> {
        blocking_scope!(limit = 1, timeout = 2s, {
            spawn_blocking!(|| shield!({ nap(10).unwrap() }));
            spawn_blocking!(never);
        })
    });
    assert!(late.unwrap_err().is_timeout());
    assert_eq!(clock.elapsed(), 10 * SECOND);

    // A deadline outside.
    let clock = SyncClock::new();
    let late = clock.run(|| -> Result<(), Cancelled> {
        blocking_scope!(timeout = 3s, {
            let _ = blocking_scope!(limit = 2, {
                for _ in 0..2 {
                    spawn_blocking!(|| shield!({ nap(10).unwrap() }));
                }
                let waiting = spawn_blocking!(never);
                let (at, cancelled) = ended!(clock, waiting);
                assert!(at == 3 && cancelled.is_timeout(), "{at}: {cancelled}");
            });
            check()?;
        })
    });
    assert!(late.unwrap_err().is_timeout());
    assert_eq!(clock.elapsed(), 10 * SECOND);

    // A failure inside; its own handle.
    let clock = SyncClock::new();
    let failed = clock.run(|| -> Result<(), Oops> {
        let _ = blocking_scope!(limit = 2, {
            spawn_blocking!(|| shield!({ nap(10).unwrap() }));
            spawn_blocking!(|| {
                nap(4).unwrap();
                Err::<(), _>(Oops("first"))
            });
            let own = spawn_blocking!(never);
            let waiting = spawn_blocking!(never);
            assert!(own.cancel());
            let (at, cancelled) = ended!(clock, own);
            assert!(at == 0 && matches!(cancelled.cause(), Cause::Task { .. }), "{at}: {cancelled}");
            let (at, cancelled) = ended!(clock, waiting);
            assert!(at == 4 && cancelled.to_string().contains("first"), "{at}: {cancelled}");
        });
        unreachable!("the failure left the function");
    });
    assert_eq!((failed, clock.elapsed()), (Err(Oops("first")), 10 * SECOND));
}

#[test]
fn f6_a_background_thread_that_waits_at_the_end_never_starts() {
    let clock = SyncClock::new();
    let value = clock.run(|| {
        blocking_scope!(limit = 1, {
            spawn_blocking!(|| nap(3).unwrap());
            spawn_blocking!(background, || assert!(nap(60).is_err()));
            spawn_blocking!(background, never);
            "value"
        })
    });
    assert_eq!((value.unwrap(), clock.elapsed()), ("value", 3 * SECOND));
}

#[test]
fn f6_the_destructor_of_a_closure_that_never_ran_is_in_its_scope() {
    struct Bomb<'a>(&'a mut Option<ScopeHandle>);
    impl Drop for Bomb<'_> {
        fn drop(&mut self) {
            *self.0 = scope_runtime::try_current();
            panic_quietly("boom");
        }
    }
    let mut seen = None;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        SyncClock::new().run(|| {
            let bomb = Bomb(&mut seen);
            let _ = blocking_scope!(limit = 1, name = "jobs", |s| {
                spawn_blocking!(|| drop(nap(60)));
                spawn_blocking!(name = "bomb", move || drop(bomb));
                s.cancel();
            });
        });
    }));
    assert_eq!(text(panicked.unwrap_err()), "boom");
    assert_eq!(seen.unwrap().name(), "jobs");
}

#[tokio::test]
async fn f6_sync_scopes_inside_of_blocking_children_have_limits_of_their_own() {
    let crowd = Arc::new(Crowd::default());
    let own = Arc::clone(&crowd);
    scope!(limit = 1, {
        for _ in 0..2 {
            let crowd = Arc::clone(&own);
            spawn_blocking!(move || {
                blocking_scope!(limit = 2, {
                    for _ in 0..6 {
                        spawn_blocking!(|| {
                            crowd.enter();
                            std::thread::yield_now();
                            crowd.leave();
                        });
                    }
                })
                .unwrap();
            });
        }
    })
    .unwrap();
    assert_eq!(crowd.all.load(SeqCst), 12);
    let most = crowd.most.load(SeqCst);
    assert!((1..=2).contains(&most), "{most} ran at once");
}
