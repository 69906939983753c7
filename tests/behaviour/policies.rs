//! F5, F6, F7 and row 13: children that do not fail their scope, that wait for their turn, that are skipped.

use std::any::Any;
use std::future::{Future as _, pending, ready};
use std::num::{NonZeroUsize, ParseIntError};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::thread;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use scope_runtime::{
    Cancelled, Cause, Scope, ScopeHandle, Spawner, Supervise, Suppressed, Task, cancel_scope, check, defer,
    fork, guard, root, scope, shield, spawn, try_current,
};
use scope_tests::probe::{Log, ms, outside, sleep};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

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

/// A child that says when it begins, and when it is done or dropped.
async fn child(log: Log, name: &'static str, n: u64) {
    log.say(format_args!("{name} begins"));
    let _gone = log.guard(format!("{name} gone"));
    sleep(n).await;
    log.say(format_args!("{name} done"));
}

async fn fail(n: u64, what: &'static str) -> Result<u8, Oops> {
    sleep(n).await;
    Err(Oops(what))
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

// --- F5: supervise ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f5_an_error_of_a_supervised_child_goes_to_its_handle_and_fails_nobody() {
    let log = Log::new();
    // This function returns nothing: no place for an error, and none is needed.
    scope!(supervise, |s| {
        spawn!(child(log.clone(), "sibling", 20));
        let task: Task<Result<u8, Oops>> = spawn!(fail(10, "first"));
        assert_eq!(task.await.unwrap(), Err(Oops("first")));
        assert!(!s.is_cancelled());
        log.say("body ends");
    })
    .unwrap();
    log.expect(&["0 sibling begins", "10 body ends", "20 sibling done", "20 sibling gone"]);
}

#[tokio::test(start_paused = true)]
async fn f5_a_value_is_a_value() {
    let sum = scope!(supervise, {
        let (plain, good) = (spawn!(async { 1 }), spawn!(async { Ok::<_, Oops>(2) }));
        plain.await.unwrap() + good.await.unwrap().unwrap()
    });
    assert_eq!(sum.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn f5_an_error_is_not_converted_where_the_function_could_carry_it() {
    async fn run() -> Result<u8, Error> {
        scope!(supervise, {
            let task = spawn!(fail(10, "its own type"));
            assert_eq!(task.await?, Err(Oops("its own type")));
        })?;
        Ok(7)
    }
    assert_eq!(run().await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn f5_a_function_can_supervise() {
    #[cancel_scope(supervise, name = "all", fallback = 0)]
    async fn count(jobs: u64) -> usize {
        let tasks: Vec<_> = (0..jobs)
            .map(|n| spawn!(async move { if n % 3 == 0 { fail(n, "third").await } else { Ok(1) } }))
            .collect();
        join_all(tasks).await.into_iter().filter(|ended| matches!(ended, Ok(Ok(_)))).count()
    }
    #[cancel_scope(supervise, scope = s)]
    async fn named() -> Result<(), Cancelled> {
        let task = spawn!(in s, fail(1, "named"));
        assert_eq!(task.await?, Err(Oops("named")));
        assert_eq!(s.suppressed(), []);
        Ok(())
    }
    assert_eq!(count(9).await, 6);
    named().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn f5_spawn_and_spawn_in_agree_in_helpers_too() {
    fn ordinary<R>(s: &Scope<R>) -> Task<u8> {
        spawn!(in s, async { 7 })
    }
    fn supervised<R>(s: &Scope<R, Supervise>) -> Task<Result<u8, ParseIntError>> {
        spawn!(in s, async { "7x".parse::<u8>() })
    }
    let value = scope!(|s| { ordinary(s).await.unwrap() });
    assert_eq!(value.unwrap(), 7);
    scope!(supervise, |s| {
        let tasks: [Task<Result<u8, ParseIntError>>; 3] =
            [supervised(s), spawn!(in s, async { "7x".parse::<u8>() }), spawn!(async { "7x".parse::<u8>() })];
        for task in tasks {
            assert!(task.await.unwrap().is_err());
        }
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn f5_a_panic_goes_to_the_handle_and_its_payload_is_taken_once() {
    let events = Events::record();
    let mut handle = None;
    let log = Log::new();
    scope!(supervise, |s| {
        handle = Some(s.handle());
        spawn!(child(log.clone(), "sibling", 20));
        let task = spawn!(name = "loud", async {
            sleep(10).await;
            panic!("out of cheese");
        });
        let cancelled: Cancelled = task.await.unwrap_err();
        assert!(matches!(cancelled.cause(), Cause::TaskPanicked { task, text, .. } if task == "loud" && text == "out of cheese"));
        let clone = cancelled.clone();
        assert_eq!(text(clone.take_panic().unwrap()), "out of cheese");
        assert!(cancelled.take_panic().is_none() && clone.take_panic().is_none());
        assert!(!s.is_cancelled());
    })
    .unwrap();
    assert_eq!(log.entries(), ["0 sibling begins", "20 sibling done", "20 sibling gone"]);
    assert_eq!(handle.unwrap().suppressed(), [], "somebody has it");
    assert_eq!(events.warnings(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn f5_a_panic_whose_payload_nobody_takes_is_reported_at_the_boundary() {
    let events = Events::record();
    let mut handle = None;
    let mut kept = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        let task = spawn!(name = "loud", async {
            if true {
                panic!("out of cheese");
            }
        });
        kept = Some(task.await.unwrap_err()); // awaited, but the payload stays where it is
        assert_eq!(s.suppressed(), [], "the boundary is not reached yet");
    })
    .unwrap();
    let late = handle.unwrap().suppressed();
    assert_eq!(texts(&late), ["loud panicked: out of cheese"]);
    assert!(late[0].is_panic());
    assert_eq!(events.warnings().len(), 1);
    // Late, but it can still be had.
    assert_eq!(text(kept.unwrap().take_panic().unwrap()), "out of cheese");
}

#[tokio::test(start_paused = true)]
async fn f5_an_error_that_nobody_takes_is_reported_at_the_boundary_and_not_before() {
    let events = Events::record();
    let log = Log::new();
    let mut handle = None;
    let mut kept = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        let (said, own) = (log.clone(), s.handle());
        defer(async move {
            sleep(10).await;
            said.say(format_args!("{} reported when the cleanup runs", own.suppressed().len()));
        });
        drop(spawn!(name = "dropped at once", fail(30, "a")));
        let task = spawn!(name = "dropped when it was done", fail(10, "b"));
        let taken = spawn!(name = "taken", fail(15, "c"));
        kept = Some(spawn!(name = "kept", fail(20, "d")));
        while !task.is_finished() {
            sleep(1).await;
        }
        drop(task);
        assert_eq!(taken.await.unwrap(), Err(Oops("c")));
    })
    .unwrap();
    log.expect(&["40 0 reported when the cleanup runs"]);
    assert_eq!(
        texts(&handle.unwrap().suppressed()),
        [
            "dropped when it was done failed: oops: b",
            "kept failed: oops: d",
            "dropped at once failed: oops: a"
        ],
        "in the order in which they came"
    );
    assert_eq!(events.warnings().len(), 3);
    // Reported, but not gone.
    assert_eq!(kept.unwrap().await.unwrap(), Err(Oops("d")));
}

#[tokio::test(start_paused = true)]
async fn f5_a_cleanup_may_take_an_error_before_the_boundary_is_left() {
    let mut handle = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        let task = spawn!(fail(10, "late"));
        defer(async move { assert_eq!(task.await.unwrap(), Err(Oops("late"))) });
    })
    .unwrap();
    assert_eq!(handle.unwrap().suppressed(), []);
}

#[tokio::test(start_paused = true)]
async fn f5_a_report_says_what_the_error_says_of_itself() {
    #[derive(Debug, thiserror::Error)]
    #[error("no answer")]
    struct Wrapped(#[source] Oops);
    #[derive(Debug)]
    struct OnlyDebug(#[expect(dead_code, reason = "it is shown")] u8);
    struct Mute;
    let mut handle = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        spawn!(async { Err::<(), _>(Wrapped(Oops("first"))) });
        spawn!(async { Err::<(), _>("a text") });
        spawn!(async { Err::<(), _>(OnlyDebug(7)) });
        spawn!(async { Err::<(), _>(Mute) });
    })
    .unwrap();
    let late = handle.unwrap().suppressed();
    let said: Vec<_> = late.iter().map(|failure| (failure.text(), failure.source())).collect();
    assert_eq!(said[..3], [("no answer", Some("oops: first")), ("a text", None), ("OnlyDebug(7)", None)]);
    assert!(said[3].0.ends_with("Mute"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn f5_a_cancelled_child_is_no_failure() {
    let mut handle = None;
    let cut = scope!(supervise, timeout = 10ms, |s| {
        handle = Some(s.handle());
        spawn!(pending::<Result<(), Oops>>());
        assert!(spawn!(pending::<Result<(), Oops>>()).cancel());
        pending::<()>().await;
    });
    assert!(cut.is_err());
    assert_eq!(handle.unwrap().suppressed(), []);
}

#[tokio::test(start_paused = true)]
async fn f5_a_cancel_that_a_supervised_child_passes_on_is_no_failure() {
    async fn looks_once(n: u64) -> Result<u8, Error> {
        shield!({ sleep(n).await });
        check()?;
        Ok(7)
    }
    let mut handle = None;
    let cut = scope!(supervise, |s| {
        handle = Some(s.handle());
        spawn!(looks_once(20));
        drop(s.spawner().spawn(async { check().map(|()| 7) }));
        let task = spawn!(looks_once(10));
        s.cancel_with("enough");
        // Its output is its handle's all the same (rule F5).
        shield!({ assert!(matches!(task.await, Ok(Err(Error::Cancelled(_))))) });
        "value"
    });
    assert!(cut.unwrap_err().to_string().contains("enough"), "a child was unwound by it (rules D6, W3)");
    assert_eq!(handle.unwrap().suppressed(), []);
}

#[tokio::test(start_paused = true)]
async fn f5_an_error_or_a_panic_of_the_body_still_cancels_the_children() {
    async fn error(log: &Log) -> Result<(), Error> {
        let _ = scope!(supervise, {
            spawn!(child(log.clone(), "child", 50));
            sleep(10).await;
            Err(Oops("body"))?;
        });
        unreachable!("the error leaves the function");
    }
    let log = Log::new();
    assert!(matches!(error(&log).await, Err(Error::Oops(Oops("body")))));
    let panicked = payload(async {
        scope!(supervise, {
            spawn!(child(log.clone(), "other", 50));
            sleep(10).await;
            if true {
                panic!("body");
            }
        })
    });
    assert_eq!(text(panicked.await), "body");
    log.expect(&["0 child begins", "10 child gone", "10 other begins", "20 other gone"]);
}

#[tokio::test(start_paused = true)]
async fn f5_a_childs_cleanup_that_panics_goes_to_the_childs_handle() {
    let mut handle = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        let task = spawn!(name = "child", async {
            defer(async { panic!("third") });
            defer(async { panic!("second") });
            fail(10, "first").await
        });
        let cancelled = task.await.unwrap_err();
        assert_eq!(text(cancelled.take_panic().unwrap()), "second");
    })
    .unwrap();
    let late = texts(&handle.unwrap().suppressed());
    // The panic hid the error, and the last panic had no place in the handle: neither is lost.
    assert_eq!(late, ["child panicked: third", "child failed: oops: first"]);
}

#[tokio::test(start_paused = true)]
async fn f2_the_later_panics_of_an_ordinary_childs_cleanup_are_kept_with_the_scope() {
    let mut handle = None;
    let panicked = payload(async {
        scope!(|s| {
            handle = Some(s.handle());
            spawn!(name = "child", async {
                defer(async { panic!("second") });
                defer(async { panic!("first") });
            });
        })
    });
    assert_eq!(text(panicked.await), "first");
    assert_eq!(texts(&handle.unwrap().suppressed()), ["child panicked: second"]);
}

#[tokio::test(start_paused = true)]
async fn f5_a_cleanup_of_the_scope_itself_that_panics_fails_it() {
    let panicked = payload(async { scope!(supervise, { defer(async { panic!("cleanup") }) }) });
    assert_eq!(text(panicked.await), "cleanup");
}

#[tokio::test(start_paused = true)]
async fn f5_it_holds_for_the_children_of_the_scope_alone() {
    async fn run() -> Result<(), Error> {
        let _ = scope!(supervise, {
            let _ = scope!({
                spawn!(fail(10, "inner"));
                pending::<()>().await;
            });
        });
        unreachable!("the inner scope is an ordinary one");
    }
    assert!(matches!(run().await, Err(Error::Oops(Oops("inner")))));
}

#[tokio::test(start_paused = true)]
async fn f5_an_outer_cancel_reaches_supervised_children() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let _ = scope!(supervise, {
            spawn!(child(log.clone(), "child", 50));
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["0 child begins", "10 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn f5_a_spawner_of_a_supervised_scope_does_not_convert() {
    let mut handle = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        let spawner = s.spawner();
        let task: Task<Result<u8, Oops>> = spawner.spawn(fail(10, "taken")).unwrap();
        drop(spawner.clone().spawn_named("lost", fail(10, "lost")).unwrap());
        let panics = spawner
            .spawn(async {
                if true {
                    panic!("loud")
                }
            })
            .unwrap();
        assert_eq!(spawner.spawn(async { 7 }).unwrap().await.unwrap(), 7);
        assert_eq!(task.await.unwrap(), Err(Oops("taken")));
        assert_eq!(text(panics.await.unwrap_err().take_panic().unwrap()), "loud");
    })
    .unwrap();
    let late = texts(&handle.unwrap().suppressed());
    assert_eq!(late.len(), 1);
    // A `Spawner` knows no more of an error than its type.
    assert!(late[0].starts_with("lost failed: ") && late[0].ends_with("Oops"), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn f5_background_and_endless_children_are_supervised_too() {
    let mut handle = None;
    scope!(supervise, |s| {
        handle = Some(s.handle());
        spawn!(background, name = "ticker", async {
            loop {
                sleep(1).await
            }
        });
        spawn!(background, name = "beat", async {
            sleep(10).await;
            Err::<(), _>(Oops("no pulse"))
        });
        spawn!(async {
            let mut rounds = 0;
            loop {
                sleep(5).await;
                rounds += 1;
                assert!(rounds < 2, "endless");
            }
        });
        sleep(20).await;
    })
    .unwrap();
    assert_eq!(
        texts(&handle.unwrap().suppressed()),
        ["beat failed: oops: no pulse", "task panicked: endless"]
    );
}

#[tokio::test(start_paused = true)]
async fn f5_what_nobody_took_of_a_scope_that_was_dropped_is_reported_by_who_finishes_it() {
    let events = Events::record();
    let mut handle = None;
    let dropped = timeout(ms(10), async {
        scope!(supervise, |s| {
            handle = Some(s.handle());
            spawn!(async { Err::<(), _>(Oops("before")) });
            spawn!(async {
                shield!({ sleep(50).await });
                Err::<(), _>(Oops("after"))
            });
            pending::<()>().await;
        })
    });
    assert!(dropped.await.is_err());
    root::wait_idle().await;
    assert_eq!(
        texts(&handle.unwrap().suppressed()),
        ["task failed: oops: before", "task failed: oops: after"]
    );
    let reports = events.warnings();
    assert_eq!(reports.iter().filter(|report| report.contains("oops")).count(), 2, "{reports:?}");
}

#[tokio::test(start_paused = true)]
async fn f5_elsewhere_a_panic_leaves_with_its_payload_so_that_there_is_none_to_take() {
    let mut taken = None;
    let panicked = payload(async {
        scope!({
            let task = spawn!(async {
                if true {
                    panic!("loud")
                }
            });
            taken = Some(shield!({ task.await.unwrap_err().take_panic().is_some() }));
        })
    });
    assert_eq!(text(panicked.await), "loud");
    assert_eq!(taken, Some(false));
}

#[test]
fn f5_an_error_that_is_not_taken_costs_nothing_after_its_scope() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let alive = Arc::new(());
    runtime.block_on(async {
        scope!(supervise, {
            for _ in 0..10 {
                let alive = Arc::clone(&alive);
                spawn!(async move { Err::<(), _>(Untold(alive)) });
            }
        })
        .unwrap();
        assert_eq!(Arc::strong_count(&alive), 1, "dropped when they were ready, and only their text is kept");
    });
}

/// Its scope has run out of time for the cleanup, and left it to the root.
#[tokio::test(start_paused = true)]
async fn f5_a_panic_of_a_child_behind_the_boundary_is_reported_at_once() {
    let mut handle = None;
    let kept = scope!(supervise, cleanup_timeout = 10ms, |s| {
        handle = Some(s.handle());
        let spawner = s.spawner();
        defer(async move {
            drop(spawner.spawn(async {
                shield!({ sleep(20).await });
                if check().is_err() {
                    panic!("too late");
                }
            }));
            pending::<()>().await;
        });
    });
    drop(kept);
    let handle = handle.unwrap();
    assert_eq!(handle.suppressed().len(), 0);
    root::wait_idle().await;
    let late: Vec<_> = handle.suppressed().iter().map(|late| late.text().to_owned()).collect();
    assert_eq!(late, ["too late"]);
}

struct Untold(#[expect(dead_code, reason = "its count is looked at")] Arc<()>);

// --- F6: limit --------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f6_at_most_so_many_run_at_once_and_the_others_start_in_order() {
    let log = Log::new();
    scope!(limit = 2, {
        for (name, n) in [("a", 10), ("b", 25), ("c", 10), ("d", 10), ("e", 10)] {
            spawn!(child(log.clone(), name, n));
        }
        log.say("body ends");
    })
    .unwrap();
    log.say("behind");
    let begun: Vec<_> = log.entries().into_iter().filter(|entry| !entry.ends_with("gone")).collect();
    assert_eq!(
        begun,
        [
            "0 body ends",
            "0 a begins",
            "0 b begins",
            "10 a done",
            "10 c begins",
            "20 c done",
            "20 d begins",
            "25 b done",
            "25 e begins",
            "30 d done",
            "35 e done",
            "35 behind",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn f6_a_limit_is_a_number_or_none() {
    async fn run(limit: impl scope_runtime::IntoLimit) -> u128 {
        let log = Log::new();
        scope!(limit = limit, { (0..6).for_each(|_| drop(spawn!(sleep(10)))) }).unwrap();
        log.ms()
    }
    assert_eq!(run(1).await, 60);
    assert_eq!(run(3).await, 20);
    assert_eq!(run(NonZeroUsize::MIN).await, 60);
    assert_eq!(run(Some(2)).await, 30);
    assert_eq!(run(NonZeroUsize::new(6)).await, 10);
    assert_eq!(run(None::<usize>).await, 10);
    assert_eq!(run(usize::MAX).await, 10);

    #[cancel_scope(limit = n * 2)]
    async fn function(n: usize) {
        (0..6).for_each(|_| drop(spawn!(sleep(10))));
    }
    let log = Log::new();
    function(1).await;
    assert_eq!(log.ms(), 30);
}

#[tokio::test(start_paused = true)]
async fn f6_a_limit_of_zero_panics_at_entry_and_names_the_scope() {
    let none = 0;
    let entered = AtomicUsize::new(0);
    let run = async {
        scope!(limit = none, name = format!("job {}", 7), {
            entered.fetch_add(1, Ordering::Relaxed);
        })
    };
    let payload = payload(run).await;
    let text = payload.downcast::<String>().unwrap();
    assert_eq!(*text, "scope \"job 7\" has a limit of 0: none of its children could ever run");
    assert_eq!(entered.into_inner(), 0);
}

#[tokio::test(start_paused = true)]
async fn f6_a_slot_is_free_when_a_child_has_ended_cleanup_included() {
    let log = Log::new();
    scope!(limit = 1, {
        let own = log.clone();
        spawn!(async move {
            defer(sleep(20));
            child(own, "first", 10).await;
        });
        spawn!(child(log.clone(), "second", 10));
    })
    .unwrap();
    log.expect(&[
        "0 first begins",
        "10 first done",
        "10 first gone",
        "30 second begins",
        "40 second done",
        "40 second gone",
    ]);
}

#[tokio::test(start_paused = true)]
async fn f6_a_child_that_waits_when_the_cancel_comes_never_starts() {
    let log = Log::new();
    let cut = scope!(limit = 1, |s| {
        let own = log.clone();
        spawn!(async move { shield!({ child(own, "running", 100).await }) });
        let held = log.guard("what the waiting child held");
        let (said, never) = (log.clone(), log.clone());
        let waiting = spawn!(name = "waiting", async move {
            let _held = held;
            never.say("never");
        });
        let watcher = outside(async move {
            let cancelled = waiting.await.unwrap_err();
            said.say("its handle says so");
            cancelled
        });
        sleep(10).await;
        s.cancel_with("enough");
        // Not when the running one ends: now.
        let cancelled = watcher.await.unwrap();
        assert_eq!(cancelled.scope_name(), "waiting");
        assert!(
            matches!(cancelled.cause(), Cause::Parent(scope) if scope.to_string().contains("enough")),
            "{cancelled}"
        );
        sleep(50).await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().to_string().contains("enough"));
    log.expect(&[
        "0 running begins",
        "10 what the waiting child held",
        "10 its handle says so",
        "100 running done",
        "100 running gone",
        "100 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn f6_whatever_makes_a_cancel_visible_ends_the_waiting() {
    /// Spawns two children that no cancel stops for 100 ms, and one that waits; says what its handle said, and when.
    async fn ended<T>(log: &Log, waiting: Task<T>) -> String {
        let cancelled = waiting.await.map(drop).unwrap_err();
        format!("{} {}", log.ms(), cancelled.root_cause())
    }
    fn fill<R>(s: &Scope<R>) -> Task<()> {
        for _ in 0..2 {
            spawn!(in s, async { shield!({ sleep(100).await }) });
        }
        spawn!(in s, async { unreachable!("it never starts") })
    }

    let log = Log::new();
    let (tx, mut rx) = mpsc::unbounded_channel();
    // Its own deadline.
    let _ = scope!(limit = 2, timeout = 10ms, |s| {
        let (waiting, log, tx) = (fill(s), log.clone(), tx.clone());
        outside(async move { tx.send(ended(&log, waiting).await).unwrap() });
    });
    assert_eq!((log.ms(), rx.recv().await.unwrap().as_str()), (100, "10 deadline of 10ms passed"));

    // A deadline outside.
    let log = Log::new();
    let _ = scope!(timeout = 20ms, {
        let _ = scope!(limit = 2, |s| {
            let (waiting, log, tx) = (fill(s), log.clone(), tx.clone());
            outside(async move { tx.send(ended(&log, waiting).await).unwrap() });
        });
    });
    assert_eq!((log.ms(), rx.recv().await.unwrap().as_str()), (100, "20 deadline of 20ms passed"));

    // A failure inside.
    async fn failing(log: &Log, tx: &mpsc::UnboundedSender<String>) -> Result<(), Error> {
        let _ = scope!(limit = 3, |s| {
            spawn!(fail(30, "first"));
            let (waiting, log, tx) = (fill(s), log.clone(), tx.clone());
            outside(async move { tx.send(ended(&log, waiting).await).unwrap() });
        });
        Ok(())
    }
    let log = Log::new();
    failing(&log, &tx).await.unwrap_err();
    assert_eq!((log.ms(), rx.recv().await.unwrap().as_str()), (100, "30 task failed: oops: first"));

    // A shield that is turned off while the scope outside is cancelled.
    let log = Log::new();
    let _ = scope!(|outer| {
        let _ = scope!(shield, limit = 2, |s| {
            let (waiting, log, tx) = (fill(s), log.clone(), tx.clone());
            outside(async move { tx.send(ended(&log, waiting).await).unwrap() });
            outer.cancel_with("outside");
            sleep(40).await;
            s.set_shield(false);
        });
    });
    let said = rx.recv().await.unwrap();
    assert!(log.ms() == 100 && said.starts_with("40 outside"), "{said}");

    // The loss of the scope's future.
    let log = Log::new();
    let dropped = timeout(ms(50), async {
        scope!(limit = 2, |s| {
            let (waiting, log, tx) = (fill(s), log.clone(), tx.clone());
            outside(async move { tx.send(ended(&log, waiting).await).unwrap() });
            pending::<()>().await;
        })
    });
    assert!(dropped.await.is_err());
    assert_eq!((log.ms(), rx.recv().await.unwrap().as_str()), (50, "50 its future was dropped"));
    root::wait_idle().await;
    assert_eq!(log.ms(), 100);
}

#[tokio::test(start_paused = true)]
async fn f6_a_waiting_child_that_is_cancelled_by_its_handle_never_starts() {
    let log = Log::new();
    let value = scope!(limit = 1, {
        spawn!(child(log.clone(), "a", 50));
        let b = spawn!(child(log.clone(), "b", 50));
        spawn!(child(log.clone(), "c", 50));
        sleep(10).await;
        assert!(b.cancel());
        let cancelled = b.await.unwrap_err();
        log.say("b has ended");
        assert!(matches!(cancelled.cause(), Cause::Task { at: Some(_), .. }), "{cancelled}");
        "kept"
    });
    // One child only, and no cancel of the scope (rule F3).
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
async fn f6_the_scope_counts_as_cancelled_if_a_child_never_started() {
    // The one that runs ends in time; the one that waited is work that was not done (rule D6).
    let cut = scope!(limit = 1, |s| {
        spawn!(ready(()));
        spawn!(async { unreachable!("it never starts") });
        s.cancel();
        "value"
    });
    assert!(cut.is_err());
    // Through an outer cancel it is a foreign one (rule D4).
    let mut went_on = false;
    let outer = scope!(|outer| {
        let _ = scope!(limit = 1, {
            spawn!(ready(()));
            spawn!(async { unreachable!("it never starts") });
            outer.cancel();
        });
        went_on = true;
    });
    assert!(outer.is_err() && !went_on);
}

#[tokio::test(start_paused = true)]
async fn f6_background_children_count_and_one_that_waits_at_the_end_never_starts() {
    let log = Log::new();
    let mut late = None;
    let value = scope!(limit = 2, {
        spawn!(background, child(log.clone(), "beat", 1000));
        spawn!(child(log.clone(), "a", 10));
        spawn!(child(log.clone(), "b", 10));
        spawn!(background, child(log.clone(), "second beat", 1000));
        late = Some(spawn!(background, child(log.clone(), "late", 10)));
        spawn!(background, child(log.clone(), "later", 10));
        "value"
    });
    assert_eq!(value.unwrap(), "value", "that is no cancel of the scope (rule F8)");
    assert_eq!(
        log.entries(),
        [
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
        ]
    );
    let cancelled = late.unwrap().await.unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Task { at: None, .. }), "{cancelled}");
}

#[tokio::test(start_paused = true)]
async fn f6_the_cleanup_of_guards_does_not_wait_for_a_turn() {
    let log = Log::new();
    scope!(limit = 1, {
        spawn!(child(log.clone(), "a", 50));
        spawn!(child(log.clone(), "b", 50));
        let said = log.clone();
        let conn = guard((), |()| async move {
            sleep(5).await;
            said.say("closed");
        });
        conn.close().await;
    })
    .unwrap();
    assert_eq!(log.entries()[..2], ["0 a begins", "5 closed"]);
    assert_eq!(log.ms(), 100);
}

#[tokio::test(start_paused = true)]
async fn f6_what_the_future_of_a_waiting_child_holds_is_cleaned_up_in_its_scope() {
    let log = Log::new();
    let cut = scope!(limit = 1, |s| {
        let own = log.clone();
        spawn!(async move { shield!({ child(own, "running", 10).await }) });
        let said = log.clone();
        let conn = guard((), |()| async move {
            sleep(50).await;
            said.say("closed");
        });
        spawn!(async move {
            let _conn = conn;
            unreachable!("it never starts");
        });
        // From a task that is in another scope, and has left it when the cleanup runs.
        let handle = s.handle();
        outside(async move { scope!({ handle.cancel() }).unwrap() });
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    assert_eq!(log.entries().last_chunk().unwrap(), &["50 closed", "50 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f6_a_destructor_that_panics_in_a_child_that_never_started_is_its_failure() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom");
        }
    }
    let panicked = payload(async {
        scope!(limit = 1, |s| {
            spawn!(pending::<()>());
            let bomb = Bomb;
            spawn!(async move { drop(bomb) });
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
        spawn!(name = "bomb", async move { drop(bomb) });
        s.cancel();
        pending::<()>().await;
    });
    assert!(cut.is_err());
    assert_eq!(texts(&handle.unwrap().suppressed()), ["bomb panicked: boom"]);
}

#[tokio::test(start_paused = true)]
async fn f6_a_destructor_of_a_child_that_never_started_may_use_the_scope() {
    struct Uses(ScopeHandle, mpsc::UnboundedSender<bool>);
    impl Drop for Uses {
        fn drop(&mut self) {
            let Self(handle, done) = self;
            handle.set_deadline(None);
            assert_eq!(handle.suppressed(), []);
            done.send(handle.cancel() && try_current().is_some()).unwrap();
        }
    }
    let (tx, mut rx) = mpsc::unbounded_channel();
    let cut = scope!(limit = 1, |s| {
        spawn!(pending::<()>());
        let uses = Uses(s.handle(), tx);
        spawn!(async move { drop(uses) });
        s.cancel();
        assert!(rx.try_recv().is_err(), "`cancel` runs no destructor of the user's");
        pending::<()>().await;
    });
    assert!(cut.is_err());
    assert_eq!(rx.recv().await, Some(true));
}

#[tokio::test(start_paused = true)]
async fn f6_a_child_that_awaits_a_sibling_under_a_limit_of_one_waits_for_ever() {
    let log = Log::new();
    let cut = scope!(limit = 1, timeout = 1h, {
        let (tx, rx) = oneshot::channel::<()>();
        spawn!(async move { drop(rx.await) });
        spawn!(async move {
            let _ = tx.send(());
        });
    });
    assert!(cut.unwrap_err().is_timeout());
    assert_eq!(log.ms(), 3_600_000);
}

#[tokio::test(start_paused = true)]
async fn f6_children_of_children_and_of_cleanups_wait_like_the_others() {
    let log = Log::new();
    scope!(limit = 1, |s| {
        let (own, spawner) = (log.clone(), s.spawner());
        spawn!(async move {
            drop(spawner.spawn(child(own.clone(), "grandchild", 10)).unwrap());
            child(own, "child", 10).await;
        });
        let (own, spawner) = (log.clone(), s.spawner());
        defer(async move {
            let tasks =
                [("x", 10), ("y", 10)].map(|(name, n)| spawner.spawn(child(own.clone(), name, n)).unwrap());
            join_all(tasks).await;
            own.say("cleanup ends");
        });
    })
    .unwrap();
    let begun: Vec<_> = log
        .entries()
        .into_iter()
        .filter(|entry| !entry.ends_with("gone") && !entry.ends_with("done"))
        .collect();
    assert_eq!(
        begun,
        ["0 child begins", "10 grandchild begins", "20 x begins", "30 y begins", "40 cleanup ends"]
    );
}

#[tokio::test(start_paused = true)]
async fn f6_a_failure_in_a_waiting_line_does_not_stop_it_under_supervise() {
    let log = Log::new();
    let failed = scope!(supervise, limit = 2, {
        let tasks: Vec<_> = (0..6)
            .map(|n| spawn!(async move { if n % 2 == 0 { fail(10, "even").await } else { panic!("odd") } }))
            .collect();
        join_all(tasks)
            .await
            .into_iter()
            .filter(|ended| match ended {
                Ok(Err(_)) => true,
                Err(cancelled) => cancelled.take_panic().is_some(),
                Ok(Ok(_)) => false,
            })
            .count()
    });
    assert_eq!(failed.unwrap(), 6);
    // 0 takes 10 ms, 1 none, 2 begins at once, and so on.
    assert_eq!(log.ms(), 20);
}

#[test]
fn f6_a_runtime_that_shuts_down_drops_a_long_line_of_children() {
    const CHILDREN: usize = 20_000;
    let alive = Arc::new(());
    let mut last = None;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (tx, rx) = oneshot::channel();
        let alive = Arc::clone(&alive);
        outside(async move {
            scope!(limit = 1, {
                let wait = || {
                    let alive = Arc::clone(&alive);
                    async move {
                        let _alive = alive;
                        pending::<()>().await;
                    }
                };
                (1..CHILDREN).for_each(|_| drop(spawn!(wait())));
                tx.send(spawn!(wait())).expect("somebody waits for it");
                pending::<()>().await;
            })
        });
        last = rx.await.ok();
    });
    drop(runtime);
    assert_eq!(Arc::strong_count(&alive), 1);
    let cancelled = last.unwrap().now_or_never().unwrap().unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Runtime), "{cancelled}");
}

#[test]
fn f6_the_limit_holds_on_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let (running, most, done) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        scope!(limit = 3, |s| {
            let spawners: Vec<Spawner<_>> = (0..4).map(|_| s.spawner()).collect();
            // A child that spawns may not wait for the others, so it takes its slot like them.
            thread::scope(|threads| {
                for spawner in &spawners {
                    let (running, most, done) = (&running, &most, &done);
                    threads.spawn(move || {
                        for n in 0..2_000 {
                            let (running, most, done) =
                                (Arc::clone(running), Arc::clone(most), Arc::clone(done));
                            let task = spawner.spawn(async move {
                                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                                if n % 3 == 0 {
                                    tokio::task::yield_now().await;
                                }
                                running.fetch_sub(1, Ordering::SeqCst);
                                done.fetch_add(1, Ordering::SeqCst);
                            });
                            drop(task.unwrap());
                        }
                    });
                }
            });
        })
        .unwrap();
        assert_eq!(done.load(Ordering::SeqCst), 8_000);
        let most = most.load(Ordering::SeqCst);
        assert!((1..=3).contains(&most), "{most} ran at once");
    });
}

#[tokio::test(start_paused = true)]
async fn f6_a_soft_cancel_ends_the_waiting_and_costs_nothing_that_runs() {
    let log = Log::new();
    // Its own cancel, soft for longer than the children run.
    let value = scope!(limit = 1, grace = 1s, |s| {
        spawn!(child(log.clone(), "running", 50));
        let waiting = spawn!(child(log.clone(), "waiting", 50));
        sleep(10).await;
        s.cancel();
        assert!(waiting.await.unwrap_err().to_string().contains("was cancelled"));
        log.say("refused");
        "value"
    });
    assert_eq!(value.unwrap(), "value", "nothing was dropped that had begun");
    log.expect(&["0 running begins", "10 refused", "50 running done", "50 running gone"]);

    // One from outside.
    let mut went_on = false;
    let outer = scope!(grace = 1s, |outer| {
        let inner = scope!(limit = 1, {
            spawn!(sleep(50));
            spawn!(async { unreachable!("it never starts") });
            spawn!(skip_if_cancelled, async { unreachable!("nor does this") });
            outer.cancel();
            "inner value"
        });
        assert_eq!(inner.unwrap(), "inner value");
        went_on = true;
    });
    assert!(outer.is_ok() && went_on);

    // Without the grace it is a loss.
    let cut = scope!(limit = 1, grace = 1s, |s| {
        spawn!(async { shield!({ sleep(50).await }) });
        spawn!(async { unreachable!("it never starts") });
        s.cancel_now();
        "value"
    });
    assert!(cut.is_err());
}

// --- F7 in a limited scope --------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f7_spawning_into_a_cancelled_scope_runs_the_child_if_there_is_a_slot() {
    let log = Log::new();
    let mut second = None;
    let cut = scope!(limit = 1, |s| {
        s.cancel_with("early");
        spawn!(child(log.clone(), "first", 10));
        second = Some(spawn!(child(log.clone(), "second", 10)));
        pending::<()>().await;
    });
    assert!(cut.is_err());
    // To its first suspension; the other one would have to wait.
    log.expect(&["0 first begins", "0 first gone"]);
    assert!(second.unwrap().await.unwrap_err().to_string().contains("early"));
}

#[tokio::test(start_paused = true)]
async fn f7_spawning_into_a_limited_scope_that_was_left_gives_the_future_back() {
    let spawner = scope!(limit = 1, |s| { s.spawner() }).unwrap();
    let closed = spawner.spawn(async { 7 }).unwrap_err();
    assert_eq!(closed.into_inner().await, 7);
}

// --- row 13: a child that does not start if the scope is cancelled already --------------------------------------------

#[tokio::test(start_paused = true)]
async fn row_13_a_task_spawned_into_a_cancelled_scope_must_not_run() {
    let log = Log::new();
    let mut task = None;
    let cut = scope!(|s| {
        s.cancel_with("already");
        spawn!(child(log.clone(), "plain", 10));
        task = Some(spawn!(skip_if_cancelled, child(log.clone(), "skipped", 10)));
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["0 plain begins", "0 plain gone"]);
    let cancelled = task.unwrap().await.unwrap_err();
    assert!(
        matches!(cancelled.cause(), Cause::Parent(scope) if scope.to_string().contains("already")),
        "{cancelled}"
    );
}

#[tokio::test(start_paused = true)]
async fn row_13_a_cancel_between_spawn_and_first_poll_skips_it_too() {
    let log = Log::new();
    let cut = scope!(|s| {
        let task = spawn!(skip_if_cancelled, child(log.clone(), "skipped", 10));
        s.cancel();
        drop(task);
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn row_13_what_was_decided_at_the_spawn_stays() {
    let log = Log::new();
    let _ = scope!(|outer| {
        let _ = scope!(|s| {
            outer.cancel();
            let task = spawn!(skip_if_cancelled, child(log.clone(), "skipped", 10));
            s.set_shield(true);
            assert!(task.await.unwrap_err().to_string().contains("was cancelled"));
        });
    });
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn row_13_without_a_cancel_it_is_a_child_like_any_other() {
    let log = Log::new();
    let cut = scope!(timeout = 50ms, {
        let done = spawn!(skip_if_cancelled, async { 7 });
        assert_eq!(done.await.unwrap(), 7);
        spawn!(skip_if_cancelled, child(log.clone(), "child", 100));
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["0 child begins", "50 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_13_it_goes_together_with_the_other_options() {
    async fn run(log: &Log) -> Result<(), Error> {
        let _ = scope!(|s| {
            spawn!(skip_if_cancelled, background, name = "beat", child(log.clone(), "beat", 1000));
            let task =
                spawn!(name = format!("named {}", 7), skip_if_cancelled, in s, async { Ok::<_, Oops>(7) });
            assert_eq!(task.name(), "named 7");
            assert_eq!(task.await?, 7);
            s.cancel();
            spawn!(in s, skip_if_cancelled, background, child(log.clone(), "skipped", 10));
            spawn!(skip_if_cancelled, async { Err::<(), _>(Oops("never")) });
        });
        Ok(())
    }
    let log = Log::new();
    run(&log).await.unwrap();
    log.expect(&["0 beat begins", "0 beat gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_13_a_skipped_child_cleans_up_what_its_future_holds() {
    let log = Log::new();
    let cut = scope!(|s| {
        let said = log.clone();
        let conn = guard((), |()| async move {
            sleep(10).await;
            said.say("closed");
        });
        s.cancel();
        spawn!(skip_if_cancelled, async move { drop(conn) });
    });
    log.say("behind");
    assert!(cut.is_err(), "its work was not done (rule D6)");
    log.expect(&["10 closed", "10 behind"]);
}

/// Panics when it is woken, once it was told to.
#[derive(Default)]
struct Grumpy(AtomicBool);

impl Wake for Grumpy {
    fn wake(self: Arc<Self>) {
        assert!(!self.0.swap(false, Ordering::Relaxed), "woken up");
    }
}

#[tokio::test]
async fn f6_a_start_that_panics_takes_no_other_childs_turn() {
    let log = Log::new();
    let (end, ended) = oneshot::channel::<()>();
    let said = &log;
    let mut future = Box::pin(async move {
        scope!(limit = 1, {
            spawn!(async { drop(ended.await) });
            fork!(async { said.say("first fork") });
            fork!(async { said.say("second fork") });
        })
    });
    let grumpy = Arc::new(Grumpy::default());
    let waker = Waker::from(Arc::clone(&grumpy));
    let mut cx = Context::from_waker(&waker);
    assert!(future.as_mut().poll(&mut cx).is_pending());
    grumpy.0.store(true, Ordering::Relaxed);
    drop(end);
    // The task ends, which is the turn of the first fork: it wakes the boundary's task.
    while grumpy.0.load(Ordering::Relaxed) {
        tokio::task::yield_now().await;
    }
    assert!(future.as_mut().poll(&mut cx).is_ready());
    assert_eq!(log.entries().len(), 2);
}
