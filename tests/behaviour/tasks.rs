//! F1 to F4, F7, F8: child tasks, their handles, and what their failures do.

use std::future::{pending, ready};
use std::io;
use std::num::ParseIntError;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use scope_runtime::{
    Cancelled, Cause, Scope, ScopeHandle, Spawner, Task, cancel_scope, checkpoint, current, defer, root,
    scope, shield, spawn,
};
use scope_tests::probe::{Log, sleep};
use tokio::sync::{Barrier, mpsc, oneshot};

use crate::report::Events;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("oops: {0}")]
struct Oops(&'static str);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Oops(#[from] Oops),
    #[error("not a number")]
    Parse(#[from] ParseIntError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// A child that says when it is done or dropped.
async fn child(log: Log, name: &'static str, n: u64) {
    let _gone = log.guard(format!("{name} gone"));
    sleep(n).await;
    log.say(format_args!("{name} done"));
}

/// Fails after `n` milliseconds, whatever is cancelled meanwhile.
async fn fail_after_all(n: u64, what: &'static str) -> Result<(), Oops> {
    shield!({ sleep(n).await });
    Err(Oops(what))
}

/// The payload of a panic.
async fn payload<T>(future: impl Future<Output = T>) -> Box<dyn std::any::Any + Send> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => payload,
    }
}

/// Runs a closure on a thread that knows no runtime.
fn on_a_thread<T: Send + 'static>(closure: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(closure).join().unwrap()
}

// --- F1: a boundary waits for all its children ------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f1_a_boundary_waits_for_all_its_children() {
    let log = Log::new();
    scope!({
        spawn!(child(log.clone(), "a", 10));
        spawn!(child(log.clone(), "b", 30));
        spawn!(child(log.clone(), "c", 20));
        log.say("body ends");
    })
    .unwrap();
    log.say("behind");
    log.expect(&[
        "0 body ends",
        "10 a done",
        "10 a gone",
        "20 c done",
        "20 c gone",
        "30 b done",
        "30 b gone",
        "30 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn f1_a_boundary_waits_for_children_of_which_the_body_kept_no_task() {
    let log = Log::new();
    scope!({
        drop(spawn!(child(log.clone(), "a", 10)));
        let _b = spawn!(child(log.clone(), "b", 20));
        spawn!(child(log.clone(), "c", 30));
    })
    .unwrap();
    assert_eq!(log.ms(), 30);
    assert_eq!(log.entries().iter().filter(|entry| entry.ends_with("done")).count(), 3);
}

#[tokio::test(start_paused = true)]
async fn f1_a_boundary_waits_for_a_child_that_a_cancel_does_not_stop_at_once() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let log = log.clone();
        spawn!(async move { shield!({ child(log, "child", 100).await }) });
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&["100 child done", "100 child gone", "100 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f1_a_boundary_waits_for_the_cleanup_of_its_children() {
    let log = Log::new();
    scope!({
        let own = log.clone();
        spawn!(async move {
            let said = own.clone();
            defer(async move {
                sleep(40).await;
                said.say("cleanup ends");
            });
            sleep(10).await;
            own.say("child ends");
        });
    })
    .unwrap();
    log.say("behind");
    log.expect(&["10 child ends", "50 cleanup ends", "50 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f1_a_boundary_waits_for_children_that_children_spawn_into_it() {
    let log = Log::new();
    scope!(|s| {
        let (spawner, log) = (s.spawner(), log.clone());
        spawn!(async move {
            sleep(10).await;
            let nested = spawner.clone();
            spawner
                .spawn(async move {
                    sleep(10).await;
                    nested.spawn(child(log, "grandchild", 10)).expect("the scope is open");
                })
                .expect("the scope is open");
        });
    })
    .unwrap();
    log.say("behind");
    log.expect(&["30 grandchild done", "30 grandchild gone", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f1_a_child_ends_before_what_its_scope_borrowed_is_gone() {
    let alive = Arc::new(());
    let seen = Arc::clone(&alive);
    scope!({
        spawn!(async move {
            sleep(10).await;
            drop(seen);
        });
    })
    .unwrap();
    assert_eq!(Arc::strong_count(&alive), 1, "nothing of the child is left behind the boundary");
}

// --- F2: the first failure decides ------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f2_the_first_childs_error_cancels_the_scope_and_leaves_it() {
    async fn run(log: &Log) -> Result<(), Error> {
        let _ = scope!({
            let _body = log.guard("body");
            spawn!(child(log.clone(), "sibling", 100));
            spawn!(async {
                sleep(10).await;
                Err::<(), _>(Oops("first"))
            });
            pending::<()>().await;
        });
        log.say("not reached");
        Ok(())
    }
    let log = Log::new();
    assert!(matches!(run(&log).await, Err(Error::Oops(Oops("first")))));
    log.say("behind");
    log.expect_unordered(&["10 body", "10 sibling gone", "10 behind"]);
    assert_eq!(log.entries().last().unwrap(), "10 behind");
}

#[tokio::test(start_paused = true)]
async fn f2_a_failure_leaves_once_everything_has_ended() {
    async fn run(log: &Log) -> Result<(), Error> {
        let _ = scope!({
            let log = log.clone();
            defer(sleep(10));
            spawn!(async move { shield!({ child(log, "sibling", 100).await }) });
            spawn!(fail_after_all(10, "first"));
            pending::<()>().await;
        });
        Ok(())
    }
    let log = Log::new();
    assert!(run(&log).await.is_err());
    log.say("behind");
    log.expect(&["100 sibling done", "100 sibling gone", "110 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f2_a_child_that_fails_after_the_bodys_end_still_leaves_the_scope() {
    async fn run() -> Result<u8, Error> {
        let value = scope!({
            spawn!(fail_after_all(10, "late"));
            7
        })?;
        Ok(value)
    }
    assert!(matches!(run().await, Err(Error::Oops(Oops("late")))));
}

#[tokio::test(start_paused = true)]
async fn f2_the_first_failure_in_time_wins_not_the_first_spawned() {
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
        let _ = scope!(|s| {
            *handle = Some(s.handle());
            spawn!(name = "slow", fail_after_all(30, "slow"));
            spawn!(name = "quick", fail_after_all(10, "quick"));
            spawn!(name = "middle", fail_after_all(20, "middle"));
        });
        Ok(())
    }
    let mut handle = None;
    assert!(matches!(run(&mut handle).await, Err(Error::Oops(Oops("quick")))));
    let late: Vec<_> = handle.unwrap().suppressed().iter().map(ToString::to_string).collect();
    assert_eq!(late, ["middle failed: oops: middle", "slow failed: oops: slow"]);
}

#[tokio::test(start_paused = true)]
async fn f2_a_body_error_that_comes_first_wins() {
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
        let _ = scope!(|s| {
            *handle = Some(s.handle());
            spawn!(name = "child", fail_after_all(30, "child"));
            sleep(10).await;
            Err(Oops("body"))?;
        });
        Ok(())
    }
    let mut handle = None;
    assert!(matches!(run(&mut handle).await, Err(Error::Oops(Oops("body")))));
    let late = handle.unwrap().suppressed();
    assert_eq!(late.len(), 1);
    assert_eq!((late[0].task(), late[0].text(), late[0].is_panic()), ("child", "oops: child", false));
}

#[tokio::test(start_paused = true)]
async fn f2_a_body_error_that_comes_later_is_suppressed() {
    #[cancel_scope(name = "work")]
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
        *handle = Some(current());
        spawn!(fail_after_all(10, "child"));
        shield!({ sleep(30).await });
        Err(Oops("body"))?;
        Ok(())
    }
    let mut handle = None;
    assert!(matches!(run(&mut handle).await, Err(Error::Oops(Oops("child")))));
    let late = handle.unwrap().suppressed();
    assert_eq!(late.len(), 1);
    assert_eq!((late[0].task(), late[0].text()), ("work", "oops: body"));
}

#[tokio::test(start_paused = true)]
async fn f2_an_error_that_leaves_a_block_later_is_suppressed() {
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
        let _ = scope!(name = "work", |s| {
            *handle = Some(s.handle());
            spawn!(fail_after_all(10, "child"));
            shield!({ sleep(30).await });
            Err(Oops("body"))?;
        });
        Ok(())
    }
    let mut handle = None;
    assert!(matches!(run(&mut handle).await, Err(Error::Oops(Oops("child")))));
    let late = handle.unwrap().suppressed();
    assert_eq!(late.len(), 1);
    // In a block, where its type may not be known yet, an error is only asked what all can be asked.
    assert_eq!((late[0].task(), late[0].text()), ("work", "Oops(Oops(\"body\"))"));
}

#[tokio::test(start_paused = true)]
async fn f2_a_body_error_that_follows_from_the_first_failure_is_a_later_one() {
    #[cancel_scope]
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
        *handle = Some(current());
        let task = spawn!(fail_after_all(10, "child"));
        // The handle resolves in the same poll in which the cancel becomes visible: completion wins (rule D2).
        task.await?;
        unreachable!("the task failed")
    }
    let mut handle = None;
    assert!(matches!(run(&mut handle).await, Err(Error::Oops(Oops("child")))));
    let late = handle.unwrap().suppressed();
    assert_eq!(late.len(), 1, "{late:?}");
    assert_eq!(late[0].task(), "run");
    assert!(late[0].text().contains("oops: child"), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn f2_siblings_of_a_failed_child_are_cancelled_with_the_cause_task_failed() {
    async fn run(tell: oneshot::Sender<Task<()>>) -> Result<(), Error> {
        let _ = scope!(name = "work", {
            let _ = tell.send(spawn!(name = "sibling", pending::<()>()));
            spawn!(name = "culprit", fail_after_all(10, "first"));
        });
        Ok(())
    }
    let (tell, told) = oneshot::channel();
    assert!(run(tell).await.is_err());
    let cancelled = told.await.unwrap().await.unwrap_err();
    assert_eq!(cancelled.scope_name(), "sibling");
    let Cause::Parent(parent) = cancelled.cause() else { panic!("{cancelled}") };
    assert_eq!(parent.scope_name(), "work");
    let Cause::TaskFailed { task, text, .. } = parent.cause() else { panic!("{cancelled}") };
    assert_eq!((&**task, &**text), ("culprit", "oops: first"));
}

#[tokio::test(start_paused = true)]
async fn f2_siblings_of_a_panicked_child_are_cancelled_with_the_cause_task_panicked() {
    let (tell, told) = oneshot::channel();
    let panicked = payload(async {
        scope!(name = "work", {
            let _ = tell.send(spawn!(pending::<()>()));
            spawn!(name = "culprit", async {
                sleep(10).await;
                assert_eq!(1, 2, "out");
            });
        })
    })
    .await;
    assert!(panicked.downcast_ref::<String>().unwrap().contains("out"));
    let cancelled = told.await.unwrap().await.unwrap_err();
    let Cause::TaskPanicked { task, text, .. } = cancelled.root_cause() else { panic!("{cancelled}") };
    assert_eq!(&**task, "culprit");
    assert!(text.contains("out"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn f2_a_childs_panic_cancels_the_scope_and_leaves_it() {
    let log = Log::new();
    let panicked = payload(async {
        scope!({
            let _body = log.guard("body");
            spawn!(child(log.clone(), "sibling", 100));
            spawn!(async {
                sleep(10).await;
                resume_unwind(Box::new("out"));
                #[expect(unreachable_code, reason = "it gives the child its type")]
                ()
            });
            pending::<()>().await;
        })
    })
    .await;
    log.say("behind");
    assert_eq!(panicked.downcast_ref::<&str>(), Some(&"out"));
    log.expect_unordered(&["10 body", "10 sibling gone", "10 behind"]);
    assert_eq!(log.entries().last().unwrap(), "10 behind");
}

#[derive(Debug, PartialEq)]
struct Exotic {
    code: u32,
}

async fn panic_with(payload: Box<dyn std::any::Any + Send>) {
    resume_unwind(payload)
}

#[tokio::test(start_paused = true)]
async fn f2_a_childs_panic_is_resumed_with_its_original_payload() {
    let text = payload(async { scope!({ spawn!(panic_with(Box::new("text"))) }) }).await;
    assert_eq!(text.downcast_ref::<&str>(), Some(&"text"));
    let string = payload(async { scope!({ spawn!(panic_with(Box::new("a".to_owned()))) }) }).await;
    assert_eq!(string.downcast_ref::<String>().unwrap(), "a");
    let exotic = payload(async { scope!({ spawn!(panic_with(Box::new(Exotic { code: 7 }))) }) }).await;
    assert_eq!(exotic.downcast_ref::<Exotic>(), Some(&Exotic { code: 7 }));
}

#[tokio::test(start_paused = true)]
async fn f2_a_bodys_panic_is_resumed_with_its_original_payload() {
    let childless = payload(async { scope!({ panic_with(Box::new(Exotic { code: 8 })).await }) }).await;
    assert_eq!(childless.downcast_ref::<Exotic>(), Some(&Exotic { code: 8 }));
    let shared = payload(async {
        scope!({
            spawn!(pending::<()>());
            panic_with(Box::new(Exotic { code: 9 })).await
        })
    })
    .await;
    assert_eq!(shared.downcast_ref::<Exotic>(), Some(&Exotic { code: 9 }));
}

#[tokio::test(start_paused = true)]
async fn f2_a_panic_in_a_grandchild_is_resumed_through_all_scopes() {
    let exotic = payload(async {
        scope!({
            spawn!(async {
                let _ = scope!({
                    spawn!(panic_with(Box::new(Exotic { code: 10 })));
                    pending::<()>().await;
                });
            });
            pending::<()>().await;
        })
    })
    .await;
    assert_eq!(exotic.downcast_ref::<Exotic>(), Some(&Exotic { code: 10 }));
}

#[tokio::test(start_paused = true)]
async fn f2_a_later_panic_is_suppressed_with_its_text() {
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
        let _ = scope!(|s| {
            *handle = Some(s.handle());
            spawn!(fail_after_all(10, "first"));
            spawn!(name = "text", async {
                shield!({ sleep(20).await });
                panic_with(Box::new("second")).await;
            });
            spawn!(name = "exotic", async {
                shield!({ sleep(30).await });
                panic_with(Box::new(Exotic { code: 1 })).await;
            });
        });
        Ok(())
    }
    let mut handle = None;
    assert!(matches!(run(&mut handle).await, Err(Error::Oops(Oops("first")))));
    let late = handle.unwrap().suppressed();
    assert_eq!(late.len(), 2);
    assert_eq!((late[0].task(), late[0].text(), late[0].is_panic()), ("text", "second", true));
    assert_eq!((late[1].task(), late[1].is_panic()), ("exotic", true));
    assert!(!late[1].text().is_empty());
}

#[tokio::test(start_paused = true)]
async fn f2_an_error_that_comes_after_a_panic_is_suppressed() {
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
        let _ = scope!(|s| {
            *handle = Some(s.handle());
            spawn!(panic_with(Box::new("first")));
            spawn!(name = "late", fail_after_all(20, "second"));
        });
        Ok(())
    }
    let mut handle = None;
    assert_eq!(payload(run(&mut handle)).await.downcast_ref::<&str>(), Some(&"first"));
    let late = handle.unwrap().suppressed();
    assert_eq!(late.len(), 1);
    assert_eq!((late[0].task(), late[0].text()), ("late", "oops: second"));
}

#[tokio::test(start_paused = true)]
async fn f2_each_later_failure_is_reported_with_task_text_and_source() {
    #[derive(Debug, thiserror::Error)]
    #[error("could not save")]
    struct Save(#[source] Oops);

    async fn run(handle: &mut Option<ScopeHandle>) -> anyhow::Result<()> {
        let _ = scope!(|s| {
            *handle = Some(s.handle());
            spawn!(fail_after_all(10, "first"));
            spawn!(name = "late", async {
                shield!({ sleep(20).await });
                Err::<(), _>(Save(Oops("disk full")))
            });
        });
        Ok(())
    }
    let events = Events::record();
    let mut handle = None;
    assert_eq!(run(&mut handle).await.unwrap_err().to_string(), "oops: first");
    let late = handle.unwrap().suppressed();
    assert_eq!(late.len(), 1);
    assert_eq!(
        (late[0].task(), late[0].text(), late[0].source()),
        ("late", "could not save", Some("oops: disk full"))
    );
    let reports = events.warnings();
    assert_eq!(reports.len(), 1, "the first failure is no report: {reports:?}");
    assert!(reports[0].contains("late failed: could not save: oops: disk full"), "{reports:?}");
}

#[tokio::test(start_paused = true)]
async fn f2_a_failure_beats_the_scopes_own_cancel() {
    async fn run() -> Result<&'static str, Error> {
        let cut = scope!(timeout = 10ms, {
            spawn!(fail_after_all(30, "while it was cancelled"));
            pending::<()>().await;
        });
        Ok(if cut.is_err() { "absorbed" } else { "value" })
    }
    assert!(matches!(run().await, Err(Error::Oops(Oops("while it was cancelled")))));
}

#[tokio::test(start_paused = true)]
async fn f2_a_panic_beats_the_scopes_own_cancel() {
    let panicked = payload(async {
        scope!(|s| {
            spawn!(async {
                shield!({ sleep(30).await });
                panic_with(Box::new("late")).await;
            });
            s.cancel();
            pending::<()>().await;
        })
    })
    .await;
    assert_eq!(panicked.downcast_ref::<&str>(), Some(&"late"));
}

#[tokio::test(start_paused = true)]
async fn f2_a_failure_beats_a_foreign_cancel_and_the_code_behind_runs_to_its_next_suspension() {
    async fn inner(log: &Log) -> Result<(), Error> {
        let _ = scope!({
            let _body = log.guard("inner body");
            spawn!(fail_after_all(30, "failed"));
            pending::<()>().await;
        });
        log.say("not reached: behind the inner boundary, in its function");
        Ok(())
    }
    let log = Log::new();
    let cut = scope!(timeout = 10ms, name = "outer", {
        let failed = inner(&log).await.unwrap_err();
        log.say(failed);
        log.say("still running");
        checkpoint().await.ok();
        log.say("not reached: behind a suspension");
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["10 inner body", "30 oops: failed", "30 still running", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f2_a_panic_beats_a_foreign_cancel() {
    let panicked = payload(async {
        scope!(timeout = 10ms, {
            let _ = scope!({
                spawn!(async {
                    shield!({ sleep(30).await });
                    panic_with(Box::new("late")).await;
                });
                pending::<()>().await;
            });
        })
    })
    .await;
    assert_eq!(panicked.downcast_ref::<&str>(), Some(&"late"));
}

#[tokio::test(start_paused = true)]
async fn f2_a_failure_that_passes_an_outer_scope_of_the_function_cancels_that_scopes_children() {
    async fn run(log: &Log) -> Result<(), Error> {
        let _ = scope!({
            let _body = log.guard("outer body");
            spawn!(child(log.clone(), "outer child", 100));
            let _ = scope!({
                spawn!(child(log.clone(), "inner child", 100));
                spawn!(fail_after_all(10, "deep"));
            });
            log.say("not reached");
        });
        log.say("not reached");
        Ok(())
    }
    let log = Log::new();
    assert!(matches!(run(&log).await, Err(Error::Oops(Oops("deep")))));
    log.say("behind");
    log.expect(&["10 inner child gone", "10 outer body", "10 outer child gone", "10 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f2_a_childs_failure_fails_the_scope_it_was_spawned_into_not_that_of_its_spawner() {
    async fn run(log: &Log) -> Result<(), Error> {
        let _ = scope!(|outer| {
            let inner = scope!({
                spawn!(in outer, fail_after_all(10, "of the outer scope"));
                let _body = log.guard("inner body");
                sleep(100).await;
            });
            log.say(format_args!("not reached: {}", inner.is_ok()));
        });
        Ok(())
    }
    let log = Log::new();
    assert!(matches!(run(&log).await, Err(Error::Oops(Oops("of the outer scope")))));
    log.expect(&["10 inner body"]);
}

#[tokio::test(start_paused = true)]
async fn f2_a_fallback_does_not_catch_a_failure() {
    async fn run() -> Result<&'static str, Error> {
        Ok(scope!(timeout = 50ms, fallback = "fallback", {
            spawn!(fail_after_all(10, "failed"));
            pending::<()>().await;
            "value"
        }))
    }
    assert!(matches!(run().await, Err(Error::Oops(Oops("failed")))));
}

// --- F3: handles ------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f3_a_task_resolves_to_its_childs_value() {
    let log = Log::new();
    let sum = scope!({
        let a = spawn!(async {
            sleep(20).await;
            1
        });
        let b = spawn!(async {
            sleep(10).await;
            2
        });
        let sum = a.await.unwrap() + b.await.unwrap();
        log.say("joined");
        sum
    });
    assert_eq!(sum.unwrap(), 3);
    log.expect(&["20 joined"]);
}

#[tokio::test(start_paused = true)]
async fn f3_the_handle_of_a_failed_child_says_task_failed() {
    async fn run(tell: oneshot::Sender<Task<()>>) -> Result<(), Error> {
        let _ = scope!({
            let _ = tell.send(spawn!(name = "culprit", fail_after_all(10, "failed")));
        });
        Ok(())
    }
    let (tell, told) = oneshot::channel();
    assert!(run(tell).await.is_err());
    let cancelled = told.await.unwrap().await.unwrap_err();
    let Cause::TaskFailed { task, text, .. } = cancelled.cause() else { panic!("{cancelled}") };
    assert_eq!((&**task, &**text), ("culprit", "oops: failed"));
}

#[tokio::test(start_paused = true)]
async fn f3_the_handle_of_a_panicked_child_says_task_panicked() {
    let (tell, told) = oneshot::channel();
    payload(async {
        scope!({
            let _ = tell.send(spawn!(name = "culprit", panic_with(Box::new("out"))));
        })
    })
    .await;
    let cancelled = told.await.unwrap().await.unwrap_err();
    let Cause::TaskPanicked { task, text, .. } = cancelled.cause() else { panic!("{cancelled}") };
    assert_eq!((&**task, &**text), ("culprit", "out"));
}

#[tokio::test(start_paused = true)]
async fn f3_the_handle_of_a_child_cut_by_its_scope_says_parent() {
    let (tell, told) = oneshot::channel();
    let cut = scope!(timeout = 10ms, name = "work", {
        let _ = tell.send(spawn!(pending::<()>()));
        pending::<()>().await;
    });
    assert!(cut.is_err());
    let cancelled = told.await.unwrap().await.unwrap_err();
    assert!(
        matches!(cancelled.cause(), Cause::Parent(parent) if parent.scope_name() == "work"),
        "{cancelled}"
    );
    assert!(cancelled.is_timeout());
}

#[tokio::test(start_paused = true)]
async fn f3_a_failure_counts_when_the_childs_future_is_ready_not_when_its_cleanup_has_run() {
    async fn run(log: &Log) -> Result<(), Error> {
        let _ = scope!({
            spawn!(child(log.clone(), "sibling", 1000));
            spawn!(async {
                defer(sleep(50));
                sleep(10).await;
                Err::<(), _>(Oops("failed"))
            });
            let _body = log.guard("body");
            pending::<()>().await;
        });
        Ok(())
    }
    let log = Log::new();
    assert!(run(&log).await.is_err());
    log.say("behind");
    log.expect_unordered(&["10 body", "10 sibling gone", "60 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f3_a_child_has_ended_when_its_cleanup_has_run_too() {
    let log = Log::new();
    scope!({
        let task = spawn!(async {
            defer(sleep(50));
            sleep(10).await;
            7
        });
        sleep(20).await;
        assert!(!task.is_finished());
        assert_eq!(task.await.unwrap(), 7);
        log.say("ended");
    })
    .unwrap();
    log.expect(&["60 ended"]);
}

#[tokio::test(start_paused = true)]
async fn f3_dropping_a_task_does_not_cancel_the_child() {
    let log = Log::new();
    scope!({
        let task = spawn!(child(log.clone(), "child", 50));
        sleep(10).await;
        drop(task);
        log.say("dropped");
    })
    .unwrap();
    log.expect(&["10 dropped", "50 child done", "50 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn f3_dropping_a_task_does_not_detach_the_child() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, {
        drop(spawn!(child(log.clone(), "child", 50)));
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&["20 child gone", "20 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f3_dropping_a_task_does_not_silence_the_childs_failure() {
    async fn run() -> Result<(), Error> {
        let _ = scope!({
            drop(spawn!(fail_after_all(10, "heard")));
        });
        Ok(())
    }
    assert!(matches!(run().await, Err(Error::Oops(Oops("heard")))));
}

#[tokio::test(start_paused = true)]
async fn f3_task_cancel_cancels_that_child_only_and_is_no_failure() {
    let log = Log::new();
    let value = scope!({
        let task = spawn!(name = "one", child(log.clone(), "one", 100));
        spawn!(child(log.clone(), "other", 50));
        sleep(10).await;
        assert!(task.cancel());
        let cancelled = task.await.unwrap_err();
        assert!(
            matches!(cancelled.cause(), Cause::Task { at: Some(at), .. } if at.file().ends_with("tasks.rs"))
        );
        assert_eq!(cancelled.scope_name(), "one");
        log.say("the body goes on");
        7
    });
    assert_eq!(value.unwrap(), 7, "it does not count as a cancel of the scope (D6)");
    log.expect(&["10 one gone", "10 the body goes on", "50 other done", "50 other gone"]);
}

#[tokio::test(start_paused = true)]
async fn f3_task_cancel_says_whether_the_child_is_cancelled_now() {
    scope!({
        let task = spawn!(async {
            shield!({ sleep(50).await });
        });
        sleep(10).await;
        assert!(task.cancel(), "by this call");
        assert!(task.cancel(), "by an earlier call");
        let ended = spawn!(async {});
        sleep(10).await;
        assert!(ended.is_finished());
        assert!(!ended.cancel(), "it had ended");
        assert!(ended.await.is_ok());
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn f3_a_child_that_is_cancelled_before_its_first_poll_runs_to_its_first_suspension() {
    let log = Log::new();
    scope!({
        let own = log.clone();
        let task = spawn!(async move {
            own.say("begins");
            sleep(10).await;
            own.say("not reached");
        });
        assert!(task.cancel());
        assert!(task.await.is_err());
    })
    .unwrap();
    log.expect(&["0 begins"]);
}

#[tokio::test(start_paused = true)]
async fn f3_a_child_that_ends_at_the_poll_that_sees_its_cancel_keeps_its_value() {
    scope!({
        let (tell, told) = oneshot::channel();
        let task = spawn!(async move { told.await.unwrap_or(0) });
        tokio::task::yield_now().await;
        tell.send(7).unwrap();
        assert!(task.cancel());
        assert_eq!(task.await.unwrap(), 7, "completion wins (D2)");
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn f3_a_child_that_was_cancelled_runs_its_cleanup() {
    let log = Log::new();
    scope!({
        let own = log.clone();
        let task = spawn!(async move {
            let said = own.clone();
            defer(async move {
                sleep(30).await;
                said.say("cleanup ends");
            });
            let _body = own.guard("child's body");
            pending::<()>().await;
        });
        sleep(10).await;
        task.cancel();
        assert!(task.await.is_err());
        log.say("ended");
    })
    .unwrap();
    log.expect(&["10 child's body", "40 cleanup ends", "40 ended"]);
}

#[tokio::test(start_paused = true)]
async fn f3_a_child_that_was_cancelled_finishes_its_shield() {
    let log = Log::new();
    scope!({
        let own = log.clone();
        let task = spawn!(async move {
            shield!({ sleep(30).await });
            own.say("behind the shield");
            sleep(1).await;
            own.say("not reached");
        });
        sleep(10).await;
        task.cancel();
        assert!(task.await.is_err());
    })
    .unwrap();
    log.expect(&["30 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn f3_task_cancel_reaches_the_scopes_in_the_child() {
    let log = Log::new();
    scope!({
        let own = log.clone();
        let task = spawn!(name = "worker", async move {
            let inner = scope!({
                spawn!(child(own.clone(), "grandchild", 100));
                pending::<()>().await;
            });
            own.say(format_args!("not reached: {}", inner.is_ok()));
        });
        sleep(10).await;
        task.cancel();
        let cancelled = task.await.unwrap_err();
        assert!(matches!(cancelled.root_cause(), Cause::Task { .. }), "{cancelled}");
    })
    .unwrap();
    log.expect(&["10 grandchild gone"]);
}

#[tokio::test(start_paused = true)]
async fn f3_is_finished_and_name_say_what_they_say() {
    scope!({
        let named = spawn!(name = "named", sleep(10));
        let computed = spawn!(name = format!("worker {}", 1 + 1), sleep(10));
        let plain = spawn!(sleep(10));
        assert_eq!((&*named.name(), &*computed.name()), ("named", "worker 2"));
        assert!(!plain.name().is_empty());
        assert!(!named.is_finished());
        sleep(20).await;
        assert!(named.is_finished());
        assert!(format!("{named:?}").contains("named"));
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn f3_awaiting_a_task_by_reference_loses_nothing() {
    scope!({
        let mut task = spawn!(async {
            sleep(50).await;
            7
        });
        for _ in 0..3 {
            let early = tokio::time::timeout(std::time::Duration::from_millis(10), &mut task).await;
            assert!(early.is_err());
        }
        assert_eq!(task.await.unwrap(), 7);
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn f3_a_value_that_nobody_took_is_dropped_with_its_task_not_lost() {
    let log = Log::new();
    scope!({
        let value = log.clone();
        let task = spawn!(async move { value.guard("value dropped") });
        sleep(10).await;
        assert!(task.is_finished());
        log.say("the task is still held");
        sleep(10).await;
        drop(task);
        log.say("behind the drop");
    })
    .unwrap();
    log.expect(&["10 the task is still held", "20 value dropped", "20 behind the drop"]);
}

#[tokio::test(start_paused = true)]
async fn f3_the_value_of_a_dropped_task_is_dropped_before_the_boundary_is_left() {
    let log = Log::new();
    scope!({
        let value = log.clone();
        spawn!(async move {
            sleep(30).await;
            value.guard("value dropped")
        });
    })
    .unwrap();
    log.say("behind");
    log.expect(&["30 value dropped", "30 behind"]);
}

// --- F4: fallible and plain children ----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f4_the_ok_of_a_fallible_child_goes_to_its_handle() {
    async fn run() -> Result<u8, Error> {
        let value = scope!({
            let task = spawn!(async { Ok::<u8, Oops>(7) });
            task.await?
        })?;
        Ok(value)
    }
    assert_eq!(run().await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn f4_other_outputs_go_to_the_handle_as_they_are() {
    #[derive(Debug, PartialEq)]
    struct Own(u8);
    scope!({
        assert_eq!(spawn!(async { None::<u8> }).await.unwrap(), None);
        assert_eq!(spawn!(async { Own(1) }).await.unwrap(), Own(1));
        assert_eq!(spawn!(async { (1, "b") }).await.unwrap(), (1, "b"));
        assert_eq!(spawn!(async { vec![Err::<u8, _>("no failure")] }).await.unwrap(), [Err("no failure")]);
        spawn!(async {}).await.unwrap();
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn f4_errors_of_several_types_are_converted_with_from() {
    async fn run(which: u8) -> Result<(), Error> {
        let _ = scope!({
            spawn!(async move { if which == 1 { Err(Oops("one")) } else { Ok(()) } });
            spawn!(async move { (if which == 2 { "x" } else { "2" }).parse::<u8>() });
            spawn!(async move { if which == 3 { Err(io::Error::other("three")) } else { Ok("three") } });
            spawn!(async move { if which == 4 { Err(Error::Oops(Oops("four"))) } else { Ok(()) } });
        });
        Ok(())
    }
    assert!(run(0).await.is_ok());
    assert!(matches!(run(1).await, Err(Error::Oops(Oops("one")))));
    assert!(matches!(run(2).await, Err(Error::Parse(_))));
    assert!(matches!(run(3).await, Err(Error::Io(error)) if error.to_string() == "three"));
    assert!(matches!(run(4).await, Err(Error::Oops(Oops("four")))));
}

#[tokio::test(start_paused = true)]
async fn f4_works_with_anyhow() {
    async fn run(which: u8) -> anyhow::Result<u8> {
        let value = scope!({
            let task = spawn!(async move {
                anyhow::ensure!(which != 1, "one");
                Ok(7)
            });
            spawn!(async move { if which == 2 { Err(Oops("two")) } else { Ok(()) } });
            task.await?
        })?;
        Ok(value)
    }
    assert_eq!(run(0).await.unwrap(), 7);
    assert_eq!(run(1).await.unwrap_err().to_string(), "one");
    assert_eq!(run(2).await.unwrap_err().downcast::<Oops>().unwrap(), Oops("two"));
}

#[tokio::test(start_paused = true)]
async fn f4_works_with_boxed_errors_and_io_results() {
    async fn boxed() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        scope!({
            spawn!(async { Err::<(), _>(Oops("boxed")) });
        })?;
        Ok(())
    }
    async fn io() -> io::Result<()> {
        scope!({
            spawn!(async { Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)) });
        })?;
        Ok(())
    }
    assert_eq!(boxed().await.unwrap_err().to_string(), "oops: boxed");
    assert_eq!(io().await.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn f4_works_in_annotated_functions() {
    #[cancel_scope]
    async fn run(text: &str) -> Result<u8, Error> {
        let text = text.to_owned();
        let task = spawn!(async move { text.parse::<u8>() });
        Ok(task.await?)
    }
    assert_eq!(run("7").await.unwrap(), 7);
    assert!(matches!(run("x").await, Err(Error::Parse(_))));
}

#[tokio::test(start_paused = true)]
async fn f4_an_error_without_a_display_can_fail_a_scope_too() {
    #[derive(Debug, PartialEq)]
    struct Mute;
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Mute> {
        let _ = scope!(|s| {
            *handle = Some(s.handle());
            spawn!(async { Err::<(), _>(Mute) });
            spawn!(name = "late", async {
                shield!({ sleep(10).await });
                Err::<(), _>(Mute)
            });
        });
        Ok(())
    }
    let mut handle = None;
    assert_eq!(run(&mut handle).await, Err(Mute));
    assert!(handle.unwrap().suppressed()[0].text().contains("Mute"));
}

#[tokio::test(start_paused = true)]
async fn f4_a_spawner_converts_with_from_too() {
    async fn run(fail: bool) -> Result<&'static str, Error> {
        let value = scope!(|s| {
            let spawner: Spawner<Error> = s.spawner();
            let plain = spawner.spawn(async { "plain" }).unwrap();
            let fallible =
                spawner.spawn(async move { if fail { Err(Oops("spawned")) } else { Ok(()) } }).unwrap();
            fallible.await?;
            plain.await?
        })?;
        Ok(value)
    }
    assert_eq!(run(false).await.unwrap(), "plain");
    assert!(matches!(run(true).await, Err(Error::Oops(Oops("spawned")))));
}

#[tokio::test(start_paused = true)]
async fn f4_a_spawner_names_its_children_and_the_type_of_their_errors() {
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
        let _ = scope!(|s| {
            *handle = Some(s.handle());
            let spawner = s.spawner();
            assert_eq!(spawner.spawn_named("quick", fail_after_all(10, "quick")).unwrap().name(), "quick");
            spawner.spawn_named("slow", fail_after_all(20, "slow")).unwrap();
        });
        Ok(())
    }
    let mut handle = None;
    assert!(matches!(run(&mut handle).await, Err(Error::Oops(Oops("quick")))));
    let late = handle.unwrap().suppressed();
    // A spawner asks nothing of the error type but the conversion.
    assert_eq!((late[0].task(), late[0].text()), ("slow", "behaviour::tasks::Error"));
}

#[tokio::test(start_paused = true)]
async fn f4_a_helper_spawns_into_its_callers_scope() {
    fn helper<R>(s: &Scope<R>, log: &Log) -> Task<u32> {
        let log = log.clone();
        spawn!(in s, async move {
            child(log, "helper's child", 20).await;
            7
        })
    }
    let log = Log::new();
    let value = scope!(|s| { helper(s, &log).await.unwrap() });
    assert_eq!(value.unwrap(), 7);
    log.expect(&["20 helper's child done", "20 helper's child gone"]);
}

// --- F7: spawning into and cancelling scopes that are cancelled or left -----------------------------------------------

#[tokio::test(start_paused = true)]
async fn f7_a_child_spawned_into_a_cancelled_scope_runs_to_its_first_suspension() {
    let log = Log::new();
    let cut = scope!(|s| {
        s.cancel();
        let own = log.clone();
        spawn!(async move {
            own.say("begins");
            let _gone = own.guard("gone");
            sleep(10).await;
            own.say("not reached");
        });
        log.say("spawned");
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["0 spawned", "0 begins", "0 gone"]);
}

#[tokio::test(start_paused = true)]
async fn f7_a_child_that_needs_no_suspension_runs_to_its_end_in_a_cancelled_scope() {
    let cut = scope!(|s| {
        s.cancel();
        let task = spawn!(async { 7 });
        let value = shield!({ task.await });
        assert_eq!(value.unwrap(), 7);
        pending::<()>().await;
    });
    assert!(cut.is_err());
}

#[tokio::test(start_paused = true)]
async fn f7_spawning_from_outside_while_the_scope_unwinds_is_allowed() {
    let log = Log::new();
    let (tell, told) = oneshot::channel();
    let outside = tokio::spawn({
        let log = log.clone();
        async move {
            let spawner: Spawner<std::convert::Infallible> = told.await.unwrap();
            sleep(30).await;
            let task = spawner.spawn(child(log.clone(), "late", 100)).expect("it has not been left");
            assert!(task.await.is_err());
            sleep(50).await;
            assert!(spawner.spawn(async {}).is_err(), "now it has");
            log.say("outside ends");
        }
    });
    let cut = scope!(timeout = 10ms, |s| {
        assert!(tell.send(s.spawner()).is_ok());
        defer(sleep(50));
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    outside.await.unwrap();
    log.expect(&["30 late gone", "60 behind", "80 outside ends"]);
}

#[tokio::test(start_paused = true)]
async fn f7_spawning_into_a_scope_that_was_left_gives_the_future_back() {
    let log = Log::new();
    let spawner = scope!(|s| { s.spawner() }).unwrap();
    let closed = spawner.spawn(child(log.clone(), "child", 10)).unwrap_err();
    assert_eq!(closed.to_string(), "the scope was left; nothing can be spawned into it");
    let _: &dyn std::error::Error = &closed;
    sleep(20).await;
    log.expect(&[]);
    // It is whole: it was neither polled nor dropped.
    closed.into_inner().await;
    log.expect(&["30 child done", "30 child gone"]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn f7_cancelling_a_scope_that_was_left_does_nothing_else() {
    let log = Log::new();
    scope!({
        let handle = scope!({ current() }).unwrap();
        assert!(!handle.cancel(), "it had been left");
        assert!(handle.is_closed());
        sleep(10).await;
        log.say("the outer scope goes on");
    })
    .unwrap();
    log.expect(&["10 the outer scope goes on"]);
}

#[tokio::test(start_paused = true)]
async fn f7_cancel_is_true_if_the_scope_is_cancelled_now() {
    let cut = scope!(|s| {
        assert!(s.cancel(), "by this call");
        assert!(s.cancel(), "by an earlier call");
        pending::<()>().await;
    });
    assert!(cut.is_err());
}

#[tokio::test(start_paused = true)]
async fn f7_spawning_from_a_thread_without_a_runtime_works() {
    let ran = Arc::new(AtomicUsize::new(0));
    scope!(|s| {
        let (spawner, ran) = (s.spawner(), Arc::clone(&ran));
        let task = on_a_thread(move || {
            spawner.spawn(async move { ran.fetch_add(1, Ordering::SeqCst) }).expect("the scope is open")
        });
        assert_eq!(task.await.unwrap(), 0);
    })
    .unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 1);
}

// --- F8: background children ------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f8_the_boundary_does_not_wait_for_a_background_child() {
    let log = Log::new();
    let value = scope!({
        spawn!(background, child(log.clone(), "ticker", 1000));
        sleep(10).await;
        7
    });
    log.say("behind");
    assert_eq!(value.unwrap(), 7, "that is no cancel of the scope");
    log.expect(&["10 ticker gone", "10 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f8_a_background_child_runs_while_the_other_children_do() {
    let log = Log::new();
    scope!({
        let ticks = log.clone();
        spawn!(background, async move {
            loop {
                sleep(10).await;
                ticks.say("tick");
            }
        });
        spawn!(child(log.clone(), "worker", 35));
        log.say("body ends");
    })
    .unwrap();
    log.say("behind");
    log.expect(&[
        "0 body ends",
        "10 tick",
        "20 tick",
        "30 tick",
        "35 worker done",
        "35 worker gone",
        "35 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn f8_a_background_child_is_awaited_when_it_is_cancelled() {
    let log = Log::new();
    let value = scope!({
        let own = log.clone();
        spawn!(background, async move {
            let said = own.clone();
            defer(async move {
                sleep(20).await;
                said.say("background cleanup ends");
            });
            shield!({ child(own, "background", 100).await });
            pending::<()>().await;
        });
        sleep(10).await;
        7
    });
    log.say("behind");
    assert_eq!(value.unwrap(), 7);
    log.expect(&["100 background done", "100 background gone", "120 background cleanup ends", "120 behind"]);
}

#[tokio::test(start_paused = true)]
async fn f8_a_background_child_ends_before_the_cleanup_of_its_scope() {
    let log = Log::new();
    scope!({
        let said = log.clone();
        defer(async move { said.say("cleanup") });
        spawn!(background, child(log.clone(), "ticker", 1000));
        sleep(10).await;
    })
    .unwrap();
    log.expect(&["10 ticker gone", "10 cleanup"]);
}

#[tokio::test(start_paused = true)]
async fn f8_the_handle_of_a_background_child_says_task() {
    let task = scope!({ spawn!(background, pending::<()>()) }).unwrap();
    let cancelled = task.await.unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Task { .. }), "{cancelled}");
    assert!(cancelled.to_string().contains("background"), "{cancelled}");
}

#[tokio::test(start_paused = true)]
async fn f8_a_background_child_that_ends_in_time_gives_its_value() {
    scope!({
        let task = spawn!(background, async {
            sleep(10).await;
            7
        });
        assert_eq!(task.await.unwrap(), 7);
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn f8_a_background_child_that_fails_fails_the_scope() {
    async fn run(log: &Log) -> Result<(), Error> {
        let _ = scope!({
            let _body = log.guard("body");
            spawn!(background, fail_after_all(10, "heartbeat"));
            pending::<()>().await;
        });
        Ok(())
    }
    let log = Log::new();
    assert!(matches!(run(&log).await, Err(Error::Oops(Oops("heartbeat")))));
    log.expect(&["10 body"]);
}

#[tokio::test(start_paused = true)]
async fn f8_a_background_child_that_fails_while_it_is_cancelled_fails_the_scope() {
    async fn run() -> Result<u8, Error> {
        Ok(scope!({
            spawn!(background, fail_after_all(50, "on the way out"));
            sleep(10).await;
            7
        })?)
    }
    assert!(matches!(run().await, Err(Error::Oops(Oops("on the way out")))));
}

#[tokio::test(start_paused = true)]
async fn f8_a_cancel_that_cuts_only_background_children_does_not_count() {
    let log = Log::new();
    let value = scope!(|s| {
        spawn!(background, child(log.clone(), "ticker", 1000));
        tokio::task::yield_now().await;
        s.cancel();
        7
    });
    assert_eq!(value.unwrap(), 7, "D6: no body and no other child was cut");
    log.expect(&["0 ticker gone"]);
}

#[tokio::test(start_paused = true)]
async fn f8_a_background_child_sees_its_scopes_cancel() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        spawn!(background, child(log.clone(), "ticker", 1000));
        let own = log.clone();
        spawn!(async move { shield!({ child(own, "worker", 50).await }) });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 ticker gone", "50 worker done", "50 worker gone"]);
}

#[tokio::test(start_paused = true)]
async fn f8_several_background_children_are_cancelled_together() {
    let log = Log::new();
    scope!({
        for name in ["a", "b", "c"] {
            spawn!(background, child(log.clone(), name, 1000));
        }
        sleep(10).await;
    })
    .unwrap();
    log.expect_unordered(&["10 a gone", "10 b gone", "10 c gone"]);
}

#[tokio::test(start_paused = true)]
async fn f8_a_background_child_may_be_named() {
    scope!({
        let task = spawn!(name = "heartbeat", background, pending::<()>());
        assert_eq!(task.name(), "heartbeat");
        let other = spawn!(background, name = "ticker", pending::<()>());
        assert_eq!(other.name(), "ticker");
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn f8_a_child_that_a_dying_background_child_spawns_is_awaited() {
    let log = Log::new();
    scope!(|s| {
        let (spawner, own) = (s.spawner(), log.clone());
        spawn!(background, async move {
            defer(async move {
                spawner.spawn(child(own, "late", 30)).expect("the scope is open");
            });
            pending::<()>().await;
        });
        sleep(10).await;
    })
    .unwrap();
    log.say("behind");
    log.expect(&["40 late done", "40 late gone", "40 behind"]);
}

// --- the same on many threads -----------------------------------------------------------------------------------------

/// Tests of a runtime with several threads have no paused time: they assert order and counts, and wait for events.
mod on_many_threads {
    use super::*;

    /// Counts the children that are alive.
    #[derive(Clone, Default)]
    struct Alive(Arc<AtomicUsize>);

    struct Life(Alive);

    impl Alive {
        fn life(&self) -> Life {
            self.0.fetch_add(1, Ordering::SeqCst);
            Life(self.clone())
        }

        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Drop for Life {
        fn drop(&mut self) {
            self.0.0.fetch_sub(1, Ordering::SeqCst);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f1_nothing_is_running_behind_the_boundary() {
        let alive = Alive::default();
        for _ in 0..50 {
            scope!({
                for n in 0..20 {
                    let life = alive.life();
                    spawn!(async move {
                        let _life = life;
                        for _ in 0..n {
                            tokio::task::yield_now().await;
                        }
                    });
                }
            })
            .unwrap();
            assert_eq!(alive.count(), 0);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f1_children_run_in_parallel_with_the_body() {
        let met = scope!({
            let barrier = Arc::new(Barrier::new(3));
            let other = Arc::clone(&barrier);
            spawn!(async move {
                other.wait().await;
            });
            let other = Arc::clone(&barrier);
            spawn!(async move {
                other.wait().await;
            });
            barrier.wait().await;
            "all three met"
        });
        assert_eq!(met.unwrap(), "all three met");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f1_nothing_is_running_behind_the_boundary_of_a_cancelled_scope() {
        let alive = Alive::default();
        for _ in 0..50 {
            let cut = scope!(|s| {
                for _ in 0..20 {
                    let life = alive.life();
                    spawn!(async move {
                        let _life = life;
                        pending::<()>().await;
                    });
                }
                tokio::task::yield_now().await;
                s.cancel();
                pending::<()>().await;
            });
            assert!(cut.is_err());
            assert_eq!(alive.count(), 0);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f2_one_of_many_failures_leaves_and_the_rest_is_suppressed() {
        async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
            let _ = scope!(|s| {
                *handle = Some(s.handle());
                let barrier = Arc::new(Barrier::new(10));
                for _ in 0..10 {
                    let barrier = Arc::clone(&barrier);
                    spawn!(async move {
                        shield!({ barrier.wait().await });
                        Err::<(), _>(Oops("all at once"))
                    });
                }
                pending::<()>().await;
            });
            Ok(())
        }
        for _ in 0..50 {
            let mut handle = None;
            assert!(matches!(run(&mut handle).await, Err(Error::Oops(Oops("all at once")))));
            assert_eq!(handle.unwrap().suppressed().len(), 9);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f2_a_panic_on_another_thread_is_resumed_with_its_payload() {
        for code in 0..50 {
            let exotic = payload(async {
                scope!({
                    spawn!(panic_with(Box::new(Exotic { code })));
                    pending::<()>().await;
                })
            })
            .await;
            assert_eq!(exotic.downcast_ref::<Exotic>(), Some(&Exotic { code }));
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f3_values_come_back_from_other_threads() {
        let sum = scope!({
            let tasks: Vec<_> = (0..100u64).map(|n| spawn!(async move { ready(n).await })).collect();
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            sum
        });
        assert_eq!(sum.unwrap(), 4950);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f3_values_of_dropped_tasks_are_dropped_before_the_boundary_is_left() {
        let alive = Alive::default();
        for _ in 0..50 {
            scope!({
                for _ in 0..10 {
                    let alive = alive.clone();
                    spawn!(async move {
                        tokio::task::yield_now().await;
                        alive.life()
                    });
                }
            })
            .unwrap();
            assert_eq!(alive.count(), 0);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f3_task_cancel_from_another_thread() {
        for _ in 0..50 {
            let value = scope!({
                let task = spawn!(pending::<()>());
                let other = spawn!(async move {
                    assert!(task.cancel());
                    task.await.unwrap_err()
                });
                let cancelled = other.await.unwrap();
                assert!(matches!(cancelled.cause(), Cause::Task { .. }));
                7
            });
            assert_eq!(value.unwrap(), 7);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f4_errors_of_several_types_are_converted_on_the_way_back() {
        async fn run(n: usize) -> Result<(), Error> {
            let _ = scope!({
                if n.is_multiple_of(2) {
                    spawn!(async { Err::<(), _>(Oops("even")) });
                } else {
                    spawn!(async { "odd".parse::<u8>() });
                }
                pending::<()>().await;
            });
            Ok(())
        }
        for n in 0..50 {
            match run(n).await {
                Err(Error::Oops(Oops("even"))) => assert_eq!(n % 2, 0),
                Err(Error::Parse(_)) => assert_eq!(n % 2, 1),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f7_a_spawner_either_spawns_or_gives_the_future_back() {
        for _ in 0..200 {
            let ran = Arc::new(AtomicUsize::new(0));
            let (give, mut take) = mpsc::unbounded_channel::<Spawner<std::convert::Infallible>>();
            let outside = tokio::spawn({
                let ran = Arc::clone(&ran);
                async move {
                    let spawner = take.recv().await.unwrap();
                    let mut accepted = 0;
                    loop {
                        let ran = Arc::clone(&ran);
                        match spawner.spawn(async move { ran.fetch_add(1, Ordering::SeqCst) }) {
                            Ok(_) => accepted += 1,
                            Err(_) => return accepted,
                        }
                        tokio::task::yield_now().await;
                    }
                }
            });
            scope!(|s| {
                give.send(s.spawner()).unwrap();
                tokio::task::yield_now().await;
            })
            .unwrap();
            let behind = ran.load(Ordering::SeqCst);
            let accepted = outside.await.unwrap();
            assert_eq!(behind, accepted, "what was accepted has run when the boundary is left");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn f8_background_children_end_with_the_scope() {
        let alive = Alive::default();
        for _ in 0..50 {
            let life = alive.life();
            let value = scope!({
                spawn!(background, async move {
                    let _life = life;
                    loop {
                        tokio::task::yield_now().await;
                    }
                });
                spawn!(async {}).await.unwrap();
                7
            });
            assert_eq!(value.unwrap(), 7);
            assert_eq!(alive.count(), 0);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn u2_the_order_holds_on_many_threads() {
        for _ in 0..50 {
            let said = Arc::new(Mutex::new(Vec::new()));
            let cut = scope!(|s| {
                let cleanup = Arc::clone(&said);
                defer(async move { cleanup.lock().unwrap().push("cleanup") });
                let child = Arc::clone(&said);
                spawn!(async move {
                    defer(async move {
                        tokio::task::yield_now().await;
                        child.lock().unwrap().push("child's cleanup");
                    });
                    pending::<()>().await;
                });
                tokio::task::yield_now().await;
                s.cancel();
                pending::<()>().await;
            });
            assert!(cut.is_err());
            assert_eq!(*said.lock().unwrap(), ["child's cleanup", "cleanup"]);
        }
    }
}
