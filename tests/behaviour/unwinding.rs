//! U1 to U5: in which order bodies, children and cleanup end, on every way out; and the guards.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use scope_runtime::{
    Cancelled, Cause, InScope as _, ScopeHandle, Spawner, Task, cancel_scope, check, current, defer, guard,
    is_cancelled, root, scope, shield, spawn, try_current, try_join,
};
use scope_tests::probe::{Log, Polls, ms, poll_once, sleep};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::report::Events;

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("oops: {0}")]
struct Oops(&'static str);

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Oops(#[from] Oops),
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn fails(what: &'static str) -> Result<(), Oops> {
    Err(Oops(what))
}

/// A cleanup that takes `n` milliseconds and says when it begins and ends.
async fn cleanup(log: Log, name: &'static str, n: u64) {
    log.say(format_args!("{name} begins"));
    sleep(n).await;
    log.say(format_args!("{name} ends"));
}

/// A child that works for `n` milliseconds, says if it could finish, and when it is dropped.
async fn child(log: Log, name: &'static str, n: u64) {
    let _gone = log.guard(format!("{name} gone"));
    sleep(n).await;
    log.say(format_args!("{name} done"));
}

/// Panics, without a type that says so.
fn panic_with_text(text: &'static str) {
    resume_unwind(Box::new(text))
}

/// What a panic that was caught said.
async fn caught<T>(future: impl Future<Output = T>) -> String {
    let Err(payload) = AssertUnwindSafe(future).catch_unwind().await else { panic!("it did not panic") };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().expect("a text").to_string(),
    }
}

// --- U1: innermost first ---------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn u1_an_outer_body_outlives_everything_inside() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, name = "outer", {
        let _body = log.guard("outer body");
        defer(cleanup(log.clone(), "outer cleanup", 10));
        let _ = scope!({
            let _body = log.guard("middle body");
            defer(cleanup(log.clone(), "middle cleanup", 10));
            let _ = scope!({
                let _body = log.guard("inner body");
                defer(cleanup(log.clone(), "inner cleanup", 10));
                pending::<()>().await;
            });
            log.say("code behind the inner scope");
        });
        log.say("code behind the middle scope");
    });
    log.say("behind");
    assert_eq!(cut.unwrap_err().scope_name(), "outer");
    log.expect(&[
        "100 inner body",
        "100 inner cleanup begins",
        "110 inner cleanup ends",
        "110 middle body",
        "110 middle cleanup begins",
        "120 middle cleanup ends",
        "120 outer body",
        "120 outer cleanup begins",
        "130 outer cleanup ends",
        "130 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u1_an_outer_body_waits_for_a_shield_inside() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        shield!({
            let _body = log.guard("shielded body");
            sleep(250).await;
        });
        log.say("behind the shield");
        sleep(1).await;
        log.say("not reached");
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["250 shielded body", "250 behind the shield", "250 outer body", "250 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u1_an_outer_body_waits_for_the_children_of_an_inner_scope() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let _ = scope!({
            let _body = log.guard("inner body");
            let log = log.clone();
            spawn!(async move {
                shield!({ child(log, "child", 300).await });
            });
            pending::<()>().await;
        });
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["100 inner body", "300 child done", "300 child gone", "300 outer body"]);
}

#[tokio::test(start_paused = true)]
async fn u1_one_branch_that_owes_holds_the_whole_body() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        futures_util::join!(
            async {
                let _ = scope!({
                    let _body = log.guard("quick body");
                    pending::<()>().await;
                });
                log.say("not reached");
            },
            async {
                let _ = scope!({
                    let _body = log.guard("slow body");
                    defer(cleanup(log.clone(), "slow cleanup", 50));
                    pending::<()>().await;
                });
                log.say("not reached");
            },
        );
    });
    assert!(cut.is_err());
    log.expect(&[
        "100 quick body",
        "100 slow body",
        "100 slow cleanup begins",
        "150 slow cleanup ends",
        "150 outer body",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u1_locals_that_an_inner_cleanup_shares_are_alive_while_it_runs() {
    let log = Log::new();
    let _ = scope!(timeout = 100ms, {
        let shared = Arc::new(log.guard("shared dropped"));
        let weak = Arc::downgrade(&shared);
        let _ = scope!({
            let log = log.clone();
            defer(async move {
                sleep(50).await;
                log.say(if weak.upgrade().is_some() { "still there" } else { "too late" });
            });
            pending::<()>().await;
        });
        drop(shared);
    });
    log.expect(&["150 still there", "150 shared dropped"]);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_scope_that_unwinds_and_that_nobody_polls_does_not_hold_up_the_outer_one() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let mut inner = Box::pin(async {
            let _ = scope!({
                let _body = log.guard("inner body");
                defer(cleanup(log.clone(), "inner cleanup", 50));
                pending::<()>().await;
            });
        });
        tokio::select! {
            biased;
            () = &mut inner => {}
            () = std::future::ready(()) => {}
        }
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    // The outer body is not held back; what the inner scope owes is adopted, and the boundary waits for it.
    log.expect(&[
        "100 inner body",
        "100 outer body",
        "100 inner cleanup begins",
        "150 inner cleanup ends",
        "150 behind",
    ]);
    assert_eq!(root::count(), 0);
}

// --- U2: body, children, cleanup, boundary, on every way out ----------------------------------------------------------

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Value,
    QuestionMark,
    ReturnErr,
    ReturnOk,
    Break,
    Continue,
    Panic,
    Cancel,
}

/// A scope with a body, a child of 50 ms and two cleanups of 10 ms, that is left in the given way at 20 ms.
async fn leave(log: &Log, way: Way) -> Result<&'static str, Error> {
    let _function = log.guard("function");
    let mut left = "continued";
    for turn in 0..2 {
        if turn == 1 {
            break;
        }
        let value = scope!(|s| {
            let _body = log.guard("body");
            defer(cleanup(log.clone(), "first", 10));
            defer(cleanup(log.clone(), "second", 10));
            spawn!(child(log.clone(), "child", 50));
            sleep(20).await;
            match way {
                Way::Value => {}
                Way::QuestionMark => fails("?")?,
                Way::ReturnErr => return Err(Oops("return").into()),
                Way::ReturnOk => return Ok("returned"),
                Way::Break => {
                    left = "broken";
                    break;
                }
                Way::Continue => continue,
                Way::Panic => panic!("at the disco"),
                Way::Cancel => {
                    s.cancel();
                    pending().await
                }
            }
            "value"
        });
        log.say("behind the scope");
        left = match value {
            Ok(value) => value,
            Err(cancelled) if cancelled.is_timeout() => "timeout",
            Err(_) => "cancelled",
        };
        break;
    }
    log.say("behind the loop");
    Ok(left)
}

const WAITED: [&str; 7] = [
    "20 body",
    "50 child done",
    "50 child gone",
    "50 second begins",
    "60 second ends",
    "60 first begins",
    "70 first ends",
];

const CUT: [&str; 6] =
    ["20 body", "20 child gone", "20 second begins", "30 second ends", "30 first begins", "40 first ends"];

#[tokio::test(start_paused = true)]
async fn u2_order_when_the_body_falls_off_its_end() {
    let log = Log::new();
    assert_eq!(leave(&log, Way::Value).await.unwrap(), "value");
    log.expect(&[&WAITED[..], &["70 behind the scope", "70 behind the loop", "70 function"]].concat());
}

#[tokio::test(start_paused = true)]
async fn u2_order_when_a_question_mark_leaves_the_body() {
    let log = Log::new();
    assert_eq!(leave(&log, Way::QuestionMark).await.unwrap_err().to_string(), "oops: ?");
    log.expect(&[&CUT[..], &["40 function"]].concat());
}

#[tokio::test(start_paused = true)]
async fn u2_order_when_the_body_returns_an_err() {
    let log = Log::new();
    assert_eq!(leave(&log, Way::ReturnErr).await.unwrap_err().to_string(), "oops: return");
    log.expect(&[&CUT[..], &["40 function"]].concat());
}

#[tokio::test(start_paused = true)]
async fn u2_order_when_the_body_returns_a_value() {
    let log = Log::new();
    assert_eq!(leave(&log, Way::ReturnOk).await.unwrap(), "returned");
    log.expect(&[&WAITED[..], &["70 function"]].concat());
}

#[tokio::test(start_paused = true)]
async fn u2_order_when_the_body_panics() {
    let log = Log::new();
    assert_eq!(caught(leave(&log, Way::Panic)).await, "at the disco");
    log.expect(&[&CUT[..], &["40 function"]].concat());
}

#[tokio::test(start_paused = true)]
async fn u2_order_when_the_body_is_cancelled() {
    let log = Log::new();
    assert_eq!(leave(&log, Way::Cancel).await.unwrap(), "cancelled");
    log.expect(&[&CUT[..], &["40 behind the scope", "40 behind the loop", "40 function"]].concat());
}

#[tokio::test(start_paused = true)]
async fn u2_cleanup_runs_last_registered_first_one_after_the_other() {
    let log = Log::new();
    scope!({
        defer(cleanup(log.clone(), "a", 10));
        defer(cleanup(log.clone(), "b", 20));
        defer(cleanup(log.clone(), "c", 30));
    })
    .unwrap();
    log.expect(&["0 c begins", "30 c ends", "30 b begins", "50 b ends", "50 a begins", "60 a ends"]);
}

/// Whether two wakers compare equal depends on the build: this failed with `--release`, where virtual time stood still.
#[tokio::test(start_paused = true)]
async fn u2_a_scope_whose_cleanup_waits_is_not_polled_meanwhile() {
    let polls = Polls::new();
    polls.of(async { scope!({ defer(sleep(10)) }) }).await.unwrap();
    assert_eq!(polls.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn u2_the_output_of_a_child_whose_task_was_dropped_is_dropped_before_cleanup() {
    let log = Log::new();
    let kept = scope!({
        defer(cleanup(log.clone(), "cleanup", 10));
        let (dropped, kept) = (log.clone(), log.clone());
        spawn!(async move {
            sleep(30).await;
            dropped.guard("unwanted output")
        });
        spawn!(async move {
            sleep(20).await;
            kept.guard("wanted output")
        })
    });
    let output = kept.unwrap().await.unwrap();
    log.expect(&["30 unwanted output", "30 cleanup begins", "40 cleanup ends"]);
    drop(output);
    assert_eq!(log.entries().last().unwrap(), "40 wanted output");
}

#[tokio::test(start_paused = true)]
async fn u2_an_output_that_is_ready_when_its_task_is_dropped_is_dropped_then() {
    let log = Log::new();
    scope!({
        let output = log.clone();
        let task = spawn!(async move { output.guard("output") });
        sleep(10).await;
        drop(task);
        sleep(10).await;
        log.say("body");
    })
    .unwrap();
    log.expect(&["10 output", "20 body"]);
}

#[tokio::test(start_paused = true)]
async fn u2_cleanup_may_spawn_into_its_own_scope() {
    let log = Log::new();
    scope!(|s| {
        let (spawner, log) = (s.spawner(), log.clone());
        defer(async move {
            log.say("cleanup");
            spawner.spawn(child(log, "late child", 30)).expect("the scope is still open");
        });
    })
    .unwrap();
    log.say("behind");
    log.expect(&["0 cleanup", "30 late child done", "30 late child gone", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u2_cleanup_of_a_cancelled_scope_may_spawn_too_and_the_child_sees_the_cancel() {
    let log = Log::new();
    let cut = scope!(|s| {
        let (spawner, log) = (s.spawner(), log.clone());
        defer(async move {
            let late = spawner.spawn(child(log.clone(), "late child", 30)).expect("the scope is still open");
            assert!(matches!(late.await.unwrap_err().root_cause(), Cause::Explicit { .. }));
            log.say("cleanup ends");
        });
        s.cancel();
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["0 late child gone", "0 cleanup ends"]);
}

#[tokio::test(start_paused = true)]
async fn u2_children_and_cleanup_alternate_until_both_are_empty() {
    let log = Log::new();
    let spawner = scope!(|s| {
        let (spawner, log) = (s.spawner(), log.clone());
        let spawner2 = spawner.clone();
        defer(async move {
            log.say("cleanup 1");
            let late = log.clone();
            // Registered while cleanup runs: it belongs to the scope, and runs after the child that follows.
            defer(async move {
                late.say("cleanup 2");
                spawner2.spawn(child(late.clone(), "child 2", 20)).expect("the scope is still open");
            });
            spawner.spawn(child(log, "child 1", 10)).expect("the scope is still open");
        });
        s.spawner()
    })
    .unwrap();
    log.say("behind");
    log.expect(&[
        "0 cleanup 1",
        "10 child 1 done",
        "10 child 1 gone",
        "10 cleanup 2",
        "30 child 2 done",
        "30 child 2 gone",
        "30 behind",
    ]);
    assert!(spawner.spawn(async {}).is_err(), "then the scope closes");
}

#[tokio::test(start_paused = true)]
async fn u2_children_that_a_dying_child_spawns_are_awaited_too() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, |s| {
        let (spawner, log) = (s.spawner(), log.clone());
        spawn!(async move {
            defer(async move {
                spawner.spawn(async move { shield!({ child(log, "grandchild", 30).await }) }).unwrap();
            });
            pending::<()>().await;
        });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["40 grandchild done", "40 grandchild gone"]);
}

/// Registers a cleanup, and spawns a child, when it is dropped.
struct Parting {
    log: Log,
    spawner: Spawner<Infallible>,
}

impl Drop for Parting {
    fn drop(&mut self) {
        defer(cleanup(self.log.clone(), "parting cleanup", 10));
        let late = self.log.clone();
        let spawned = self.spawner.spawn(async move { shield!({ child(late, "parting child", 30).await }) });
        assert!(spawned.is_ok(), "a scope that unwinds is still open (F7)");
    }
}

#[tokio::test(start_paused = true)]
async fn u2_what_the_destructors_of_the_body_register_and_spawn_belongs_to_the_scope() {
    let log = Log::new();
    for ends in [true, false] {
        let cut = scope!(timeout = 100ms, |s| {
            defer(cleanup(log.clone(), "cleanup", 10));
            let _parting = Parting { log: log.clone(), spawner: s.spawner() };
            if !ends {
                pending::<()>().await;
            }
        });
        log.say("behind");
        assert_eq!(cut.is_ok(), ends);
    }
    log.expect(&[
        "30 parting child done",
        "30 parting child gone",
        "30 parting cleanup begins",
        "40 parting cleanup ends",
        "40 cleanup begins",
        "50 cleanup ends",
        "50 behind",
        "180 parting child done",
        "180 parting child gone",
        "180 parting cleanup begins",
        "190 parting cleanup ends",
        "190 cleanup begins",
        "200 cleanup ends",
        "200 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u2_a_scope_that_a_panic_drops_in_place_is_awaited_by_the_scope_around_it() {
    let log = Log::new();
    let message = caught(async {
        scope!({
            let own = log.clone();
            let mut inner = Box::pin(async move {
                let _ = scope!({
                    let _body = own.guard("inner body");
                    defer(cleanup(own.clone(), "inner cleanup", 30));
                    spawn!(child(own.clone(), "inner child", 1000));
                    pending::<()>().await;
                });
            });
            tokio::select! {
                () = &mut inner => {}
                () = sleep(10) => {}
            }
            panic_with_text("out");
        })
    })
    .await;
    log.say("behind");
    assert_eq!(message, "out");
    log.expect(&[
        "10 inner body",
        "10 inner child gone",
        "10 inner cleanup begins",
        "40 inner cleanup ends",
        "40 behind",
    ]);
    assert_eq!(root::count(), 0);
}

/// The value is dropped before the scope learns that the child has ended, so its panic has somebody to be reported to.
#[tokio::test(start_paused = true)]
async fn u2_an_output_that_panics_when_it_is_dropped_behind_its_handle_is_reported() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("it goes off");
        }
    }
    let mut handle = None;
    scope!(|s| {
        handle = Some(s.handle());
        let task = spawn!(name = "bomb", async {
            sleep(10).await;
            Bomb
        });
        tokio::task::yield_now().await;
        drop(task);
        sleep(20).await;
    })
    .unwrap();
    let late = handle.unwrap().suppressed();
    assert_eq!((late.len(), late[0].task(), late[0].text()), (1, "bomb", "it goes off"));
}

// --- U3: cleanup ------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn u3_cleanup_is_shielded_from_every_outer_cancel() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let _ = scope!({
            let log = log.clone();
            defer(async move {
                log.say(format_args!("cancelled: {}", is_cancelled()));
                sleep(50).await;
                log.say("ends");
            });
            // The cleanup is under way when the outer deadline passes.
        });
        log.say("behind the inner scope");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["0 cancelled: false", "50 ends", "50 behind the inner scope"]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_is_shielded_from_its_scopes_own_cancel() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let log = log.clone();
        defer(async move {
            log.say(format_args!("cancelled: {}", is_cancelled()));
            sleep(50).await;
            log.say("ends");
        });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 cancelled: false", "60 ends"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_cancel_while_cleanup_runs_does_not_reach_it() {
    let log = Log::new();
    let value = scope!(|s| {
        let (handle, log) = (s.handle(), log.clone());
        defer(async move {
            handle.cancel();
            sleep(50).await;
            log.say("ends");
        });
        7
    });
    assert_eq!(value.unwrap(), 7, "nothing was cut, so the value counts (D6)");
    log.expect(&["50 ends"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_cancel_that_cleanup_is_told_of_by_its_scope_is_an_error_like_any_other() {
    /// A guest of the scope that the cleanup runs for, which looks for a cancel.
    async fn guest(scope: ScopeHandle) -> Result<(), Cancelled> {
        async { check() }.in_scope(scope).await?
    }

    async fn in_a_scope(scope: ScopeHandle, log: Log) -> Result<(), Error> {
        let _ = scope!({
            guest(scope).await?;
        });
        log.say("not reached");
        Ok(())
    }

    async fn in_a_join(scope: ScopeHandle) -> Result<(), Cancelled> {
        try_join!(guest(scope), async { Ok(()) })?;
        Ok(())
    }

    let log = Log::new();
    let value = scope!(|s| {
        let (handle, log) = (s.handle(), log.clone());
        defer(async move {
            handle.cancel();
            // Nobody between it and this cleanup could unwind for that cancel.
            let told = in_a_scope(handle.clone(), log.clone()).await;
            log.say(format_args!("a scope: {}", matches!(told, Err(Error::Cancelled(_)))));
            log.say(format_args!("a join: {}", in_a_join(handle).await.is_err()));
        });
        7
    });
    assert_eq!(value.unwrap(), 7);
    log.expect(&["0 a scope: true", "0 a join: true"]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_may_open_scopes_and_use_timeouts() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let log = log.clone();
        defer(async move {
            let inner = scope!(timeout = 30ms, name = "goodbye", {
                let _body = log.guard("goodbye body");
                defer(cleanup(log.clone(), "goodbye cleanup", 5));
                pending::<()>().await;
            });
            log.say(inner.unwrap_err().scope_name());
            let bounded = tokio::time::timeout(ms(20), pending::<()>()).await;
            log.say(format_args!("timed out: {}", bounded.is_err()));
        });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&[
        "40 goodbye body",
        "40 goodbye cleanup begins",
        "45 goodbye cleanup ends",
        "45 goodbye",
        "65 timed out: true",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_child_task_is_a_frame_of_its_own() {
    let log = Log::new();
    scope!({
        let _body = log.guard("body");
        let own = log.clone();
        spawn!(async move {
            defer(cleanup(own.clone(), "the child's cleanup", 10));
            sleep(20).await;
            own.say("the child's end");
        });
        sleep(100).await;
    })
    .unwrap();
    log.expect(&[
        "20 the child's end",
        "20 the child's cleanup begins",
        "30 the child's cleanup ends",
        "100 body",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u3_if_one_cleanup_panics_the_rest_still_run() {
    let log = Log::new();
    let message = caught(async {
        scope!({
            defer(cleanup(log.clone(), "first", 10));
            defer(async { panic!("spilled") });
            defer(cleanup(log.clone(), "third", 10));
        })
    })
    .await;
    assert_eq!(message, "spilled");
    log.expect(&["0 third begins", "10 third ends", "10 first begins", "20 first ends"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_panic_of_a_cleanup_is_a_failure_and_beats_the_value() {
    let message = caught(async {
        let _unreached: u8 = scope!({
            defer(async { panic!("spilled") });
            7
        })
        .unwrap();
    })
    .await;
    assert_eq!(message, "spilled");
}

#[tokio::test(start_paused = true)]
async fn u3_a_panic_of_a_cleanup_beats_the_cancel() {
    let message = caught(async {
        scope!(timeout = 10ms, {
            defer(async { panic!("spilled") });
            pending::<()>().await;
        })
    })
    .await;
    assert_eq!(message, "spilled");
}

#[tokio::test(start_paused = true)]
async fn u3_a_panic_of_a_cleanup_comes_after_the_bodys_own_failure() {
    async fn fail(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
        let _ = scope!(|s| {
            *handle = Some(s.handle());
            defer(async { panic!("spilled") });
            fails("first")?;
        });
        Ok(())
    }
    let mut handle = None;
    assert_eq!(fail(&mut handle).await.unwrap_err().to_string(), "oops: first");
    let late = handle.unwrap().suppressed();
    assert_eq!(late.len(), 1);
    assert_eq!((late[0].text(), late[0].is_panic()), ("spilled", true));
}

#[tokio::test(start_paused = true)]
async fn u3_a_child_of_a_cleanup_that_fails_fails_the_scope() {
    async fn fail(log: &Log) -> Result<u8, Error> {
        let value = scope!(|s| {
            let (spawner, log) = (s.spawner(), log.clone());
            defer(cleanup(log.clone(), "the rest", 10));
            defer(async move {
                let task = spawner.spawn(async { fails("in a cleanup") }).unwrap();
                assert!(task.await.is_err());
                log.say("the cleanup goes on");
            });
            7
        })?;
        Ok(value)
    }
    let log = Log::new();
    assert!(matches!(fail(&log).await, Err(Error::Oops(Oops("in a cleanup")))));
    log.expect(&["0 the cleanup goes on", "0 the rest begins", "10 the rest ends"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_panic_of_the_cleanup_of_a_cancelled_child_is_a_failure() {
    let message = caught(async {
        scope!({
            let task = spawn!(async {
                defer(async { panic!("spilled") });
                pending::<()>().await;
            });
            tokio::task::yield_now().await;
            task.cancel();
            pending::<()>().await;
        })
    })
    .await;
    assert_eq!(message, "spilled");
}

#[tokio::test(start_paused = true)]
async fn u3_current_in_a_cleanup_is_its_scope() {
    let log = Log::new();
    scope!(name = "tidy", {
        let log = log.clone();
        defer(async move { log.say(current().name()) });
    })
    .unwrap();
    log.expect(&["0 tidy"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_panic_of_a_childs_cleanup_fails_the_scope_it_was_spawned_into() {
    let log = Log::new();
    let message = caught(async {
        scope!({
            spawn!(async {
                defer(async { panic!("spilled") });
            });
            let _body = log.guard("body");
            pending::<()>().await;
        })
    })
    .await;
    assert_eq!(message, "spilled");
    log.expect(&["0 body"]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_timeout_leaves_quick_cleanup_alone() {
    let log = Log::new();
    scope!(cleanup_timeout = 30ms, {
        defer(cleanup(log.clone(), "cleanup", 29));
    })
    .unwrap();
    log.expect(&["0 cleanup begins", "29 cleanup ends"]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_timeout_counts_from_the_beginning_of_the_cleanup() {
    let log = Log::new();
    scope!(cleanup_timeout = 30ms, {
        defer(cleanup(log.clone(), "cleanup", 20));
        spawn!(child(log.clone(), "child", 100));
        sleep(50).await;
    })
    .unwrap();
    log.expect(&["100 child done", "100 child gone", "100 cleanup begins", "120 cleanup ends"]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_timeout_drops_the_cleanup_and_all_that_waits() {
    let log = Log::new();
    let value = scope!(cleanup_timeout = 30ms, {
        let (waiting, running) = (log.guard("waiting cleanup dropped"), log.guard("running cleanup dropped"));
        let log = log.clone();
        defer(async move {
            let _waiting = waiting;
            log.say("not reached");
        });
        defer(async move {
            let _running = running;
            pending::<()>().await;
        });
        7
    });
    log.say("behind");
    assert_eq!(value.unwrap(), 7, "a cleanup that was cut is no cancel");
    log.expect_unordered(&["30 waiting cleanup dropped", "30 running cleanup dropped", "30 behind"]);
    assert_eq!(log.entries().last().unwrap(), "30 behind");
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_timeout_bounds_the_whole_cleanup_not_each() {
    let log = Log::new();
    scope!(cleanup_timeout = 30ms, {
        defer(cleanup(log.clone(), "b", 20));
        defer(cleanup(log.clone(), "a", 20));
    })
    .unwrap();
    log.say("behind");
    log.expect(&["0 a begins", "20 a ends", "20 b begins", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_timeout_goes_on_counting_while_the_children_of_cleanup_run() {
    let log = Log::new();
    scope!(cleanup_timeout = 30ms, |s| {
        let (spawner, log) = (s.spawner(), log.clone());
        defer(cleanup(log.clone(), "b", 20));
        defer(async move {
            // The next cleanup waits for this child (rule U2).
            spawner.spawn(child(log, "child", 20)).unwrap();
        });
    })
    .unwrap();
    log.say("behind");
    log.expect(&["20 child done", "20 child gone", "20 b begins", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_timeout_bounds_a_child_that_cleanup_left_running() {
    let log = Log::new();
    scope!(cleanup_timeout = 30ms, |s| {
        let (spawner, log) = (s.spawner(), log.clone());
        defer(async move {
            spawner.spawn(child(log, "child", 1000)).unwrap();
        });
    })
    .unwrap();
    log.say("behind");
    root::wait_idle().await;
    log.expect_unordered(&["30 behind", "30 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_timeout_drops_what_the_cleanup_opened() {
    let log = Log::new();
    scope!(cleanup_timeout = 30ms, {
        let log = log.clone();
        defer(async move {
            let _ = scope!(name = "opened", {
                let _body = log.guard("opened scope dropped");
                pending::<()>().await;
            });
        });
    })
    .unwrap();
    log.say("behind");
    log.expect(&["30 opened scope dropped", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_timeout_drops_shields_too() {
    let log = Log::new();
    scope!(cleanup_timeout = 30ms, {
        let log = log.clone();
        defer(async move {
            shield!({
                let _body = log.guard("shield dropped");
                pending::<()>().await;
            });
        });
    })
    .unwrap();
    log.say("behind");
    log.expect(&["30 shield dropped", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_timeout_cancels_the_children_that_cleanup_spawned() {
    let log = Log::new();
    let mut task: Option<Task<()>> = None;
    let (tell, told) = oneshot::channel();
    scope!(cleanup_timeout = 30ms, |s| {
        let (spawner, log) = (s.spawner(), log.clone());
        defer(async move {
            tell.send(spawner.spawn(child(log, "child", 1000)).unwrap()).unwrap();
            pending::<()>().await;
        });
    })
    .unwrap();
    log.say("behind");
    task.replace(told.await.unwrap());
    assert!(task.unwrap().await.is_err());
    log.expect_unordered(&["30 behind", "30 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn u3_what_cleanup_timeout_leaves_behind_goes_to_the_root() {
    let log = Log::new();
    scope!(name = "outer", {
        scope!(cleanup_timeout = 30ms, |s| {
            let (spawner, log) = (s.spawner(), log.clone());
            defer(async move {
                let late = async move { shield!({ child(log, "shielded child", 100).await }) };
                spawner.spawn(late).unwrap();
                pending::<()>().await;
            });
        })
        .unwrap();
        log.say("behind");
        assert_eq!(root::count(), 1);
    })
    .unwrap();
    log.say("behind the outer scope");
    root::wait_idle().await;
    log.expect(&[
        "30 behind",
        "30 behind the outer scope",
        "100 shielded child done",
        "100 shielded child gone",
    ]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn u3_what_a_scope_opened_by_cleanup_owes_goes_to_the_root_at_cleanup_timeout() {
    let log = Log::new();
    scope!(cleanup_timeout = 30ms, {
        let log = log.clone();
        defer(async move {
            let _ = scope!(name = "opened", {
                defer(cleanup(log.clone(), "cleanup of the opened scope", 50));
                pending::<()>().await;
            });
        });
    })
    .unwrap();
    log.say("behind");
    assert_eq!(root::count(), 1);
    root::wait_idle().await;
    log.expect(&[
        "30 behind",
        "30 cleanup of the opened scope begins",
        "80 cleanup of the opened scope ends",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u3_cleanup_timeout_is_reported() {
    let events = Events::record();
    scope!(cleanup_timeout = 30ms, name = "slow to leave", {
        defer(pending::<()>());
    })
    .unwrap();
    let reports = events.warnings();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("slow to leave"), "{reports:?}");
    assert!(reports[0].contains("timeout"), "{reports:?}");
}

#[tokio::test(start_paused = true)]
async fn u3_a_panic_in_what_cleanup_timeout_drops_is_a_failure() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom");
        }
    }
    let log = Log::new();
    let message = caught(async {
        scope!(cleanup_timeout = 30ms, {
            let dropped = log.guard("the other cleanup dropped");
            defer(async move {
                let _dropped = dropped;
                pending::<()>().await;
            });
            defer(async {
                let _bomb = Bomb;
                pending::<()>().await;
            });
        })
    })
    .await;
    assert_eq!(message, "boom");
    log.expect(&["30 the other cleanup dropped"]);
}

// --- U4: who waits, and who cancels -----------------------------------------------------------------------------------

/// Whether the child could finish, as told by its log.
#[track_caller]
fn assert_waited(log: &Log) {
    log.expect(&["50 child done", "50 child gone", "50 behind"]);
}

#[track_caller]
fn assert_cancelled(log: &Log) {
    log.expect(&["0 child gone", "0 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u4_an_err_by_question_mark_cancels_the_children_first() {
    async fn leave(log: &Log) -> Result<(), Error> {
        let _ = scope!(|s| {
            spawn!(in s, child(log.clone(), "child", 50));
            tokio::task::yield_now().await;
            fails("?")?;
        });
        log.say("not reached");
        Ok(())
    }
    let log = Log::new();
    assert!(matches!(leave(&log).await, Err(Error::Oops(Oops("?")))));
    log.say("behind");
    assert_cancelled(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_an_err_by_return_cancels_the_children_first() {
    async fn leave(log: &Log) -> Result<(), Error> {
        let _ = scope!(|s| {
            spawn!(in s, child(log.clone(), "child", 50));
            tokio::task::yield_now().await;
            if !log.entries().iter().any(|said| said == "never said") {
                return Err(Oops("return").into());
            }
        });
        log.say("not reached");
        Ok(())
    }
    let log = Log::new();
    assert!(matches!(leave(&log).await, Err(Error::Oops(Oops("return")))));
    log.say("behind");
    assert_cancelled(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_an_err_as_the_value_of_an_annotated_function_cancels_the_children_first() {
    #[cancel_scope]
    async fn leave(log: &Log) -> Result<(), Error> {
        spawn!(child(log.clone(), "child", 50));
        tokio::task::yield_now().await;
        Err(Oops("value").into())
    }
    let log = Log::new();
    assert!(matches!(leave(&log).await, Err(Error::Oops(Oops("value")))));
    log.say("behind");
    assert_cancelled(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_an_err_by_question_mark_in_an_annotated_function_cancels_the_children_first() {
    #[cancel_scope]
    async fn leave(log: &Log) -> Result<(), Error> {
        spawn!(child(log.clone(), "child", 50));
        tokio::task::yield_now().await;
        fails("?")?;
        Ok(())
    }
    let log = Log::new();
    assert!(matches!(leave(&log).await, Err(Error::Oops(Oops("?")))));
    log.say("behind");
    assert_cancelled(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_a_panic_cancels_the_children_first() {
    let log = Log::new();
    let message = caught(async {
        scope!({
            spawn!(child(log.clone(), "child", 50));
            tokio::task::yield_now().await;
            panic_with_text("out");
        })
    })
    .await;
    log.say("behind");
    assert_eq!(message, "out");
    assert_cancelled(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_an_err_that_is_the_value_of_a_block_is_a_value() {
    let log = Log::new();
    let value: Result<Result<u8, Oops>, Cancelled> = scope!({
        spawn!(child(log.clone(), "child", 50));
        tokio::task::yield_now().await;
        Err(Oops("a mere value"))
    });
    log.say("behind");
    assert_eq!(value.unwrap(), Err(Oops("a mere value")));
    assert_waited(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_falling_off_the_end_waits_for_the_children() {
    let log = Log::new();
    scope!({
        spawn!(child(log.clone(), "child", 50));
        tokio::task::yield_now().await;
    })
    .unwrap();
    log.say("behind");
    assert_waited(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_the_ok_of_an_annotated_function_waits_for_the_children() {
    #[cancel_scope]
    async fn leave(log: &Log) -> Result<u8, Error> {
        spawn!(child(log.clone(), "child", 50));
        Ok(7)
    }
    let log = Log::new();
    assert_eq!(leave(&log).await.unwrap(), 7);
    log.say("behind");
    assert_waited(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_return_ok_waits_for_the_children() {
    async fn leave(log: &Log) -> Result<u8, Error> {
        let _ = scope!({
            spawn!(child(log.clone(), "child", 50));
            tokio::task::yield_now().await;
            if log.entries().is_empty() {
                return Ok(7);
            }
        });
        Ok(0)
    }
    let log = Log::new();
    assert_eq!(leave(&log).await.unwrap(), 7);
    log.say("behind");
    assert_waited(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_return_none_waits_for_the_children() {
    async fn leave(log: &Log) -> Option<u8> {
        let _ = scope!({
            spawn!(child(log.clone(), "child", 50));
            tokio::task::yield_now().await;
            if log.entries().is_empty() {
                return None;
            }
        });
        Some(0)
    }
    let log = Log::new();
    assert_eq!(leave(&log).await, None);
    log.say("behind");
    assert_waited(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_a_question_mark_on_none_waits_for_the_children() {
    async fn leave(log: &Log) -> Option<u8> {
        let _ = scope!({
            spawn!(child(log.clone(), "child", 50));
            tokio::task::yield_now().await;
            log.entries().first()?;
        });
        Some(0)
    }
    let log = Log::new();
    assert_eq!(leave(&log).await, None);
    log.say("behind");
    assert_waited(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_none_as_the_value_of_a_block_waits_for_the_children() {
    let log = Log::new();
    let value: Result<Option<u8>, Cancelled> = scope!({
        spawn!(child(log.clone(), "child", 50));
        tokio::task::yield_now().await;
        None
    });
    log.say("behind");
    assert_eq!(value.unwrap(), None);
    assert_waited(&log);
}

#[tokio::test(start_paused = true)]
async fn u4_break_waits_for_the_children() {
    let log = Log::new();
    assert_eq!(leave(&log, Way::Break).await.unwrap(), "broken");
    log.expect(&[&WAITED[..], &["70 behind the loop", "70 function"]].concat());
}

#[tokio::test(start_paused = true)]
async fn u4_continue_waits_for_the_children() {
    let log = Log::new();
    assert_eq!(leave(&log, Way::Continue).await.unwrap(), "continued");
    log.expect(&[&WAITED[..], &["70 behind the loop", "70 function"]].concat());
}

#[tokio::test(start_paused = true)]
async fn u4_an_err_that_crosses_several_scopes_cancels_the_children_of_each_innermost_first() {
    async fn leave(log: &Log) -> Result<(), Error> {
        let _ = scope!(|outer| {
            let _body = log.guard("outer body");
            spawn!(in outer, child(log.clone(), "outer child", 50));
            let _ = scope!(|inner| {
                let _body = log.guard("inner body");
                spawn!(in inner, child(log.clone(), "inner child", 50));
                tokio::task::yield_now().await;
                fails("deep")?;
            });
            log.say("not reached");
        });
        Ok(())
    }
    let log = Log::new();
    assert!(leave(&log).await.is_err());
    log.expect(&["0 inner body", "0 inner child gone", "0 outer body", "0 outer child gone"]);
}

// --- U5: a scope's future is dropped by something that is no scope ----------------------------------------------------

/// A scope with a child that is under way and a cleanup, that never ends by itself.
async fn endless(log: Log) {
    let _ = scope!(name = "endless", {
        let _body = log.guard("body");
        defer(cleanup(log.clone(), "cleanup", 30));
        spawn!(child(log.clone(), "child", 1000));
        pending::<()>().await;
    });
}

#[tokio::test(start_paused = true)]
async fn u5_dropped_by_select_is_adopted_by_the_enclosing_scope() {
    let log = Log::new();
    scope!({
        tokio::select! {
            () = endless(log.clone()) => unreachable!(),
            () = sleep(100) => log.say("select ends"),
        }
        log.say("the body goes on");
        assert_eq!(root::count(), 0);
    })
    .unwrap();
    log.say("behind");
    log.expect(&[
        "100 body",
        "100 select ends",
        "100 the body goes on",
        "100 child gone",
        "100 cleanup begins",
        "130 cleanup ends",
        "130 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u5_dropped_by_a_tokio_timeout_is_adopted_by_the_enclosing_scope() {
    let log = Log::new();
    scope!({
        let late = tokio::time::timeout(ms(100), endless(log.clone())).await;
        assert!(late.is_err());
        log.say("the body goes on");
    })
    .unwrap();
    log.say("behind");
    log.expect(&[
        "100 body",
        "100 the body goes on",
        "100 child gone",
        "100 cleanup begins",
        "130 cleanup ends",
        "130 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u5_dropped_by_an_abort_is_adopted_by_the_root() {
    let log = Log::new();
    let job = tokio::spawn(endless(log.clone()));
    sleep(100).await;
    job.abort();
    assert!(job.await.unwrap_err().is_cancelled());
    assert_eq!(root::count(), 1);
    root::wait_idle().await;
    log.say("idle");
    log.expect(&["100 body", "100 child gone", "100 cleanup begins", "130 cleanup ends", "130 idle"]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn u5_without_an_enclosing_scope_the_root_adopts_after_select_and_timeout_too() {
    let log = Log::new();
    tokio::select! {
        () = endless(log.clone()) => unreachable!(),
        () = sleep(10) => {}
    }
    assert_eq!(root::count(), 1);
    let _ = tokio::time::timeout(ms(10), endless(log.clone())).await;
    assert_eq!(root::count(), 2);
    root::wait_idle().await;
    log.expect(&[
        "10 body",
        "10 child gone",
        "10 cleanup begins",
        "20 body",
        "20 child gone",
        "20 cleanup begins",
        "40 cleanup ends",
        "50 cleanup ends",
    ]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn u5_the_nearest_enclosing_live_scope_adopts() {
    let log = Log::new();
    scope!(name = "outer", {
        scope!(name = "live", {
            let dropped = async {
                // Dropped together with what is in it: it can't adopt.
                let _ = scope!(name = "dropped", { endless(log.clone()).await });
            };
            let _ = tokio::time::timeout(ms(10), dropped).await;
            log.say("dropped");
        })
        .unwrap();
        log.say("behind the live scope");
        assert_eq!(root::count(), 0);
    })
    .unwrap();
    log.say("behind the outer scope");
    log.expect(&[
        "10 body",
        "10 dropped",
        "10 child gone",
        "10 cleanup begins",
        "40 cleanup ends",
        "40 behind the live scope",
        "40 behind the outer scope",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u5_every_scope_of_a_dropped_nest_gets_its_cleanup() {
    let log = Log::new();
    let nest = {
        let log = log.clone();
        async move {
            let _ = scope!({
                defer(cleanup(log.clone(), "outer", 10));
                let _ = scope!({
                    defer(cleanup(log.clone(), "inner", 10));
                    pending::<()>().await;
                });
            });
        }
    };
    let _ = tokio::time::timeout(ms(5), nest).await;
    root::wait_idle().await;
    let mut said = log.entries();
    said.retain(|entry| entry.ends_with("ends"));
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn u5_a_child_task_that_drops_a_scope_adopts_it() {
    let log = Log::new();
    scope!({
        let own = log.clone();
        let task = spawn!(async move {
            let _ = tokio::time::timeout(ms(10), endless(own.clone())).await;
            own.say("the child's end");
        });
        task.await.unwrap();
        log.say("task ended");
        assert_eq!(root::count(), 0);
    })
    .unwrap();
    log.expect(&[
        "10 body",
        "10 the child's end",
        "10 child gone",
        "10 cleanup begins",
        "40 cleanup ends",
        "40 task ended",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u5_the_children_of_a_dropped_scope_are_cancelled_with_the_cause_dropped() {
    let (tell, told) = oneshot::channel();
    let dropped = async move {
        let _ = scope!(name = "dropped", {
            let _ = tell.send(spawn!(pending::<()>()));
            pending::<()>().await;
        });
    };
    let _ = tokio::time::timeout(ms(10), dropped).await;
    let task = told.await.unwrap();
    let cancelled = task.await.unwrap_err();
    assert!(matches!(cancelled.root_cause(), Cause::Dropped), "{cancelled}");
    assert!(cancelled.to_string().contains("dropped"), "{cancelled}");
    root::wait_idle().await;
}

#[tokio::test(start_paused = true)]
async fn u5_a_cleanup_that_is_under_way_goes_on() {
    let log = Log::new();
    let dropped = {
        let log = log.clone();
        async move {
            let _ = scope!({
                defer(cleanup(log.clone(), "first", 50));
                defer(cleanup(log.clone(), "second", 50));
            });
            log.say("not reached");
        }
    };
    let _ = tokio::time::timeout(ms(20), dropped).await;
    log.say("dropped");
    assert_eq!(root::count(), 1);
    root::wait_idle().await;
    log.expect(&["0 second begins", "20 dropped", "50 second ends", "50 first begins", "100 first ends"]);
}

#[tokio::test(start_paused = true)]
async fn u5_cleanup_timeout_still_bounds_adopted_cleanup() {
    let log = Log::new();
    let dropped = {
        let log = log.clone();
        async move {
            let _ = scope!(cleanup_timeout = 50ms, {
                let _dropped = log.guard("body");
                defer(async move {
                    let _gone = log.guard("cleanup dropped");
                    pending::<()>().await;
                });
                pending::<()>().await;
            });
        }
    };
    let _ = tokio::time::timeout(ms(20), dropped).await;
    root::wait_idle().await;
    log.expect(&["20 body", "70 cleanup dropped"]);
}

#[tokio::test(start_paused = true)]
async fn u5_nothing_is_left_of_a_dropped_scope_that_owes_nothing() {
    let log = Log::new();
    let handle = Arc::new(Mutex::new(None));
    let dropped = async {
        let _ = scope!({
            let _body = log.guard("body");
            *handle.lock().unwrap() = Some(current());
            pending::<()>().await;
        });
    };
    let _ = tokio::time::timeout(ms(20), dropped).await;
    log.expect(&["20 body"]);
    assert_eq!(root::count(), 0);
    let handle = handle.lock().unwrap().take().unwrap();
    assert!(handle.is_closed());
    assert!(!handle.cancel(), "it was left (F7)");
}

#[tokio::test(start_paused = true)]
async fn u5_a_scope_that_was_never_polled_owes_nothing() {
    let log = Log::new();
    drop(endless(log.clone()));
    assert_eq!(root::count(), 0);
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn u5_drop_does_not_block() {
    // A child that can't be stopped at once: the drop returns all the same, at the same instant.
    let log = Log::new();
    let dropped = {
        let log = log.clone();
        async move {
            let _ = scope!({
                spawn!(async move { shield!({ child(log, "child", 500).await }) });
                pending::<()>().await;
            });
        }
    };
    let _ = tokio::time::timeout(ms(20), dropped).await;
    log.say("dropped");
    assert_eq!(root::count(), 1);
    root::wait_idle().await;
    log.expect(&["20 dropped", "500 child done", "500 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn u5_the_adopting_scope_waits_also_when_it_is_cancelled() {
    let log = Log::new();
    let cut = scope!(timeout = 15ms, {
        let _ = tokio::time::timeout(ms(10), endless(log.clone())).await;
        let _body = log.guard("outer body");
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&[
        "10 body",
        "10 child gone",
        "10 cleanup begins",
        "15 outer body",
        "40 cleanup ends",
        "40 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u5_an_adopted_orphan_is_no_cancel_of_the_adopting_scope() {
    let log = Log::new();
    let value = scope!({
        let _ = tokio::time::timeout(ms(10), endless(log.clone())).await;
        7
    });
    assert_eq!(value.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn u5_failures_of_adopted_children_fail_nobody_and_are_reported() {
    async fn fail(handles: &Mutex<Vec<ScopeHandle>>) -> Result<u8, Error> {
        let value = scope!(|outer| {
            handles.lock().unwrap().push(outer.handle());
            let dropped = async {
                let _ = scope!(name = "dropped", |s| {
                    handles.lock().unwrap().push(s.handle());
                    spawn!(name = "late", async {
                        shield!({ sleep(50).await });
                        Err::<(), _>(Oops("late"))
                    });
                    spawn!(name = "later", async {
                        shield!({ sleep(60).await });
                        assert_eq!(1, 2, "later");
                    });
                    pending::<()>().await;
                });
                Ok::<_, Error>(())
            };
            let _ = tokio::time::timeout(ms(10), dropped).await;
            7
        })?;
        Ok(value)
    }
    let log = Log::new();
    let events = Events::record();
    let handles = Mutex::default();
    assert_eq!(fail(&handles).await.unwrap(), 7);
    assert_eq!(log.ms(), 60, "the enclosing scope waited");
    let handles = handles.into_inner().unwrap();
    let suppressed = handles[1].suppressed();
    assert_eq!(suppressed.len(), 2);
    assert_eq!((suppressed[0].task(), suppressed[0].text()), ("late", "oops: late"));
    assert_eq!((suppressed[1].task(), suppressed[1].is_panic()), ("later", true));
    assert_eq!(handles[0].suppressed(), []);
    let reports = events.warnings().join("\n");
    assert!(reports.contains("oops: late") && reports.contains("later panicked"), "{reports}");
}

#[tokio::test(start_paused = true)]
async fn u5_a_failure_that_had_not_left_yet_is_reported_when_its_scope_is_dropped() {
    #[cancel_scope]
    async fn fail(handle: &Mutex<Option<ScopeHandle>>) -> Result<(), Error> {
        *handle.lock().unwrap() = Some(current());
        defer(sleep(100));
        fails("first")?;
        Ok(())
    }
    let events = Events::record();
    let handle = Mutex::default();
    assert!(tokio::time::timeout(ms(10), fail(&handle)).await.is_err());
    root::wait_idle().await;
    let suppressed = handle.into_inner().unwrap().unwrap().suppressed();
    assert_eq!(suppressed.len(), 1);
    assert_eq!(suppressed[0].text(), "oops: first");
    assert!(events.warnings().join("\n").contains("oops: first"));
}

#[tokio::test(start_paused = true)]
async fn u5_a_panic_of_adopted_cleanup_fails_nobody_and_the_rest_runs() {
    let log = Log::new();
    let value = scope!({
        let dropped = async {
            let _ = scope!(name = "dropped", {
                defer(cleanup(log.clone(), "first", 10));
                defer(async { panic!("spilled") });
                pending::<()>().await;
            });
        };
        let _ = tokio::time::timeout(ms(10), dropped).await;
        7
    });
    assert_eq!(value.unwrap(), 7);
    log.expect(&["10 first begins", "20 first ends"]);
}

#[tokio::test(start_paused = true)]
async fn u5_wait_idle_is_ready_at_once_when_there_is_nothing() {
    let log = Log::new();
    assert_eq!(root::count(), 0);
    root::wait_idle().await;
    assert_eq!(log.ms(), 0);
}

#[tokio::test(start_paused = true)]
async fn u5_wait_idle_waits_for_orphans_of_orphans() {
    // The cleanup of an orphan drops a scope itself.
    let log = Log::new();
    let dropped = {
        let log = log.clone();
        async move {
            let _ = scope!({
                defer(async move {
                    let _ = tokio::time::timeout(ms(10), endless(log)).await;
                });
                pending::<()>().await;
            });
        }
    };
    let _ = tokio::time::timeout(ms(10), dropped).await;
    root::wait_idle().await;
    log.expect(&["20 body", "20 child gone", "20 cleanup begins", "50 cleanup ends"]);
    assert_eq!(root::count(), 0);
}

#[test]
fn u5_a_runtime_that_shuts_down_takes_its_orphans_off_the_count() {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let log = runtime.block_on(async { Log::new() });
    runtime.block_on(async {
        let job = tokio::spawn(endless(log.clone()));
        tokio::task::yield_now().await;
        job.abort();
        assert!(job.await.is_err());
        tokio::task::yield_now().await;
        assert_eq!(root::count(), 1);
    });
    let handle = runtime.handle().clone();
    drop(runtime);
    let _context = handle.enter();
    assert_eq!(root::count(), 0);
}

#[test]
fn u5_cleanup_that_the_runtimes_end_cuts_off_is_dropped_and_reported() {
    let events = Events::record();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let log = runtime.block_on(async { Log::new() });
    runtime.block_on(async {
        let dropped = {
            let log = log.clone();
            async move {
                let _ = scope!(name = "cut off", {
                    let (waiting, running) = (log.guard("waiting cleanup"), log.guard("running cleanup"));
                    defer(async move {
                        let _waiting = waiting;
                    });
                    defer(async move {
                        let _running = running;
                        pending::<()>().await;
                    });
                    pending::<()>().await;
                });
            }
        };
        let _ = tokio::time::timeout(ms(10), dropped).await;
        sleep(10).await;
        assert_eq!(root::count(), 1);
        assert_eq!(log.entries(), [] as [&str; 0]);
    });
    let handle = runtime.handle().clone();
    drop(runtime);
    let mut said: Vec<_> =
        log.entries().iter().map(|entry| entry.split_once(' ').unwrap().1.to_owned()).collect();
    said.sort();
    assert_eq!(said, ["running cleanup", "waiting cleanup"]);
    let reports = events.warnings().join("\n");
    assert!(reports.contains("cut off") && reports.contains("shut down"), "{reports}");
    let _context = handle.enter();
    assert_eq!(root::count(), 0);
}

#[test]
fn u5_a_scope_that_dies_with_its_runtime_is_reported_and_counted_nowhere() {
    let events = Events::record();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let log = runtime.block_on(async { Log::new() });
    let (give, take) = oneshot::channel();
    runtime.block_on(async {
        let log = log.clone();
        tokio::spawn(async move {
            let _ = scope!(name = "doomed", {
                let _body = log.guard("body");
                let dropped = log.guard("cleanup dropped");
                defer(async move {
                    let _dropped = dropped;
                    pending::<()>().await;
                });
                let _ = give.send(spawn!(child(log.clone(), "child", 1000)));
                pending::<()>().await;
            });
        });
        sleep(10).await;
    });
    let handle = runtime.handle().clone();
    drop(runtime);
    let mut said: Vec<_> =
        log.entries().iter().map(|entry| entry.split_once(' ').unwrap().1.to_owned()).collect();
    said.sort();
    assert_eq!(said, ["body", "child gone", "cleanup dropped"]);
    let reports = events.warnings().join("\n");
    assert!(reports.contains("doomed") && reports.contains("shut down"), "{reports}");
    // The child's handle is told; what told it first, the runtime or the scope, depends on which task died first.
    assert!(take.now_or_never().unwrap().unwrap().now_or_never().unwrap().is_err());
    let _context = handle.enter();
    assert_eq!(root::count(), 0);
}

#[test]
fn u5_a_runtime_of_many_threads_that_shuts_down_takes_its_orphans_off_the_count() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let dropped = Arc::new(());
    runtime.block_on(async {
        for _ in 0..20 {
            let dropped = Arc::clone(&dropped);
            let job = tokio::spawn(async move {
                let _ = scope!({
                    defer(async move {
                        let _dropped = dropped;
                        pending::<()>().await;
                    });
                    pending::<()>().await;
                });
            });
            tokio::task::yield_now().await;
            job.abort();
            let _ = job.await;
        }
    });
    let handle = runtime.handle().clone();
    drop(runtime);
    assert_eq!(Arc::strong_count(&dropped), 1, "nothing of them is kept");
    let _context = handle.enter();
    assert_eq!(root::count(), 0);
}

#[test]
fn u5_there_is_one_root_per_runtime() {
    let build = || Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (one, other) = (build(), build());
    one.block_on(async {
        let log = Log::new();
        let _ = tokio::time::timeout(ms(10), endless(log)).await;
        assert_eq!(root::count(), 1);
    });
    other.block_on(async {
        assert_eq!(root::count(), 0);
        root::wait_idle().await;
    });
    one.block_on(async {
        assert_eq!(root::count(), 1);
        root::wait_idle().await;
        assert_eq!(root::count(), 0);
    });
}

// --- guards -----------------------------------------------------------------------------------------------------------

/// A guard whose cleanup takes `n` milliseconds.
macro_rules! guarded {
    ($log:expr, $name:expr, $n:expr) => {
        guard($log.clone(), |log| cleanup(log, $name, $n))
    };
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_that_is_dropped_while_the_body_goes_on_starts_at_once() {
    let log = Log::new();
    scope!({
        let guard = guarded!(log, "guard", 30);
        sleep(10).await;
        drop(guard);
        log.say("dropped");
        sleep(10).await;
        log.say("the body goes on");
    })
    .unwrap();
    log.say("behind");
    log.expect(&["10 dropped", "10 guard begins", "20 the body goes on", "40 guard ends", "40 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_that_was_started_is_a_shielded_child() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, {
        drop(guarded!(log, "guard", 50));
        let _body = log.guard("body");
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&["0 guard begins", "20 body", "50 guard ends", "50 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_that_is_dropped_in_unwinding_takes_its_turn_by_the_order_of_creation() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, {
        defer(cleanup(log.clone(), "defer 1", 10));
        let _guard = guarded!(log, "guard 2", 10);
        defer(cleanup(log.clone(), "defer 3", 10));
        let _other = guarded!(log, "guard 4", 10);
        defer(cleanup(log.clone(), "defer 5", 10));
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&[
        "20 defer 5 begins",
        "30 defer 5 ends",
        "30 guard 4 begins",
        "40 guard 4 ends",
        "40 defer 3 begins",
        "50 defer 3 ends",
        "50 guard 2 begins",
        "60 guard 2 ends",
        "60 defer 1 begins",
        "70 defer 1 ends",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_at_the_end_of_its_body_runs_before_the_boundary_is_left() {
    let log = Log::new();
    scope!({
        defer(cleanup(log.clone(), "defer", 10));
        let _guard = guarded!(log, "guard", 10);
    })
    .unwrap();
    log.say("behind");
    // A child, since the body dropped it: children end before cleanup (rule U2).
    log.expect(&["0 guard begins", "10 guard ends", "10 defer begins", "20 defer ends", "20 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_that_a_panic_drops_runs_before_the_boundary_is_left() {
    let log = Log::new();
    let message = caught(async {
        scope!({
            let _guard = guarded!(log, "guard", 10);
            sleep(5).await;
            panic_with_text("out");
        })
    })
    .await;
    log.say("behind");
    assert_eq!(message, "out");
    log.expect(&["5 guard begins", "15 guard ends", "15 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_goes_to_the_frame_that_is_innermost_at_the_drop() {
    let log = Log::new();
    scope!({
        let guard = guarded!(log, "guard", 30);
        scope!({
            drop(guard);
        })
        .unwrap();
        log.say("behind the inner scope");
    })
    .unwrap();
    log.expect(&["0 guard begins", "30 guard ends", "30 behind the inner scope"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_that_is_dropped_in_the_unwinding_of_an_inner_scope_is_that_scopes_cleanup() {
    let log = Log::new();
    scope!({
        let guard = guarded!(log, "guard", 30);
        let cut = scope!(timeout = 10ms, {
            let _guard = guard;
            defer(cleanup(log.clone(), "defer", 10));
            pending::<()>().await;
        });
        assert!(cut.is_err());
        log.say("behind the inner scope");
    })
    .unwrap();
    let said = log.entries();
    assert_eq!(said.last().unwrap(), "50 behind the inner scope", "{said:?}");
    assert_eq!(said.len(), 5, "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_moved_into_a_child_belongs_to_the_child() {
    let log = Log::new();
    scope!({
        let guard = guarded!(log, "guard", 30);
        let task = spawn!(async move {
            sleep(10).await;
            drop(guard);
        });
        task.await.unwrap();
        log.say("task ended");
        sleep(10).await;
    })
    .unwrap();
    log.expect(&["10 guard begins", "40 guard ends", "40 task ended"]);
}

#[tokio::test(start_paused = true)]
async fn u3_close_runs_the_cleanup_now_and_waits_for_it() {
    let log = Log::new();
    scope!({
        let guard = guarded!(log, "guard", 30);
        sleep(10).await;
        guard.close().await;
        log.say("closed");
    })
    .unwrap();
    log.expect(&["10 guard begins", "40 guard ends", "40 closed"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_close_that_is_cut_lets_the_cleanup_go_on() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, {
        let guard = guarded!(log, "guard", 30);
        let _body = log.guard("body");
        guard.close().await;
        log.say("not reached");
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&["0 guard begins", "20 body", "30 guard ends", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_close_in_a_cleanup_runs_there() {
    let log = Log::new();
    scope!(timeout = 10ms, {
        let guard = guarded!(log, "guard", 30);
        defer(async move { guard.close().await });
        pending::<()>().await;
    })
    .unwrap_err();
    log.say("behind");
    log.expect(&["10 guard begins", "40 guard ends", "40 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_into_inner_disarms_a_guard() {
    let log = Log::new();
    let value = scope!({
        let guard = guard(41, {
            let log = log.clone();
            move |_| cleanup(log, "guard", 30)
        });
        sleep(10).await;
        guard.into_inner() + 1
    });
    assert_eq!(value.unwrap(), 42);
    assert_eq!(log.ms(), 10);
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_derefs_to_its_value_and_hands_it_to_the_cleanup() {
    let log = Log::new();
    scope!({
        let mut guard = guard(vec![1], {
            let log = log.clone();
            |value| async move { log.say(format_args!("{value:?}")) }
        });
        guard.push(2);
        assert_eq!(guard.len(), 2);
    })
    .unwrap();
    log.expect(&["0 [1, 2]"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_dropped_outside_goes_to_the_scope_that_made_it_if_that_is_open() {
    let log = Log::new();
    let (give, take) = oneshot::channel();
    let outside = tokio::spawn({
        let log = log.clone();
        async move {
            let guard = take.await.unwrap();
            assert!(try_current().is_none());
            sleep(10).await;
            drop(guard);
            log.say("dropped outside");
        }
    });
    scope!({
        let _ = give.send(guarded!(log, "guard", 50));
        sleep(20).await;
        assert_eq!(root::count(), 0);
        log.say("body ends");
    })
    .unwrap();
    log.say("behind");
    outside.await.unwrap();
    log.expect(&["10 dropped outside", "10 guard begins", "20 body ends", "60 guard ends", "60 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_dropped_outside_goes_to_the_root_if_the_scope_that_made_it_was_left() {
    let log = Log::new();
    let guard = scope!({ guarded!(log, "guard", 30) }).unwrap();
    sleep(10).await;
    drop(guard);
    assert_eq!(root::count(), 1);
    root::wait_idle().await;
    log.say("idle");
    log.expect(&["10 guard begins", "40 guard ends", "40 idle"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_made_outside_of_every_scope_goes_to_the_root() {
    let log = Log::new();
    drop(guarded!(log, "guard", 30));
    assert_eq!(root::count(), 1);
    root::wait_idle().await;
    log.say("idle");
    log.expect(&["0 guard begins", "30 guard ends", "30 idle"]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_made_outside_and_dropped_inside_belongs_inside() {
    let log = Log::new();
    let guard = guarded!(log, "guard", 30);
    scope!({
        drop(guard);
        assert_eq!(root::count(), 0);
    })
    .unwrap();
    log.say("behind");
    log.expect(&["0 guard begins", "30 guard ends", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u3_close_works_outside_of_every_scope() {
    let log = Log::new();
    guarded!(log, "guard", 30).close().await;
    log.say("closed");
    log.expect(&["0 guard begins", "30 guard ends", "30 closed"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guards_cleanup_that_panics_is_a_failure_of_the_scope() {
    let log = Log::new();
    let message = caught(async {
        scope!({
            let _body = log.guard("body");
            drop(guard((), |()| async { panic!("spilled") }));
            pending::<()>().await;
        })
    })
    .await;
    assert_eq!(message, "spilled");
    log.expect(&["0 body"]);
}

#[tokio::test(start_paused = true)]
async fn u3_a_guard_in_a_scope_that_is_dropped_from_outside_takes_its_turn_among_the_adopted_cleanup() {
    let log = Log::new();
    let dropped = {
        let log = log.clone();
        async move {
            let _ = scope!({
                defer(cleanup(log.clone(), "defer 1", 10));
                let _guard = guarded!(log, "guard 2", 10);
                defer(cleanup(log.clone(), "defer 3", 10));
                pending::<()>().await;
            });
        }
    };
    let _ = tokio::time::timeout(ms(10), dropped).await;
    root::wait_idle().await;
    log.expect(&[
        "10 defer 3 begins",
        "20 defer 3 ends",
        "20 guard 2 begins",
        "30 guard 2 ends",
        "30 defer 1 begins",
        "40 defer 1 ends",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u3_w3_a_child_that_a_cleanup_timeout_cancelled_and_that_says_so_has_not_failed() {
    type Error = Box<dyn std::error::Error + Send + Sync>;
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Error> {
        let _ = scope!(cleanup_timeout = 10ms, |s| {
            *handle = Some(s.handle());
            let spawner = s.spawner();
            defer(async move {
                let child = async {
                    sleep(10).await;
                    Ok::<(), Error>(check()?)
                };
                drop(spawner.spawn(child));
            });
        });
        Ok(())
    }
    let mut handle = None;
    run(&mut handle).await.unwrap();
    root::wait_idle().await;
    assert!(handle.unwrap().suppressed().is_empty());
}

#[test]
fn u3_a_guard_without_any_runtime_is_reported_and_does_not_panic() {
    let events = Events::record();
    drop(guard((), |()| async { unreachable!("there is nothing to run it on") }));
    assert_eq!(events.warnings().len(), 1);
}

#[test]
fn a_panic_payload_survives_the_helper() {
    // `caught` must tell texts from anything else, or the tests above would see what they want to see.
    let boxed: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async { resume_unwind(Box::new("text")) });
    assert_eq!(caught(boxed).now_or_never(), Some("text".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn u1a_an_abandoned_scope_whose_body_panicked_is_cancelled_when_it_is_polled_again() {
    let events = Events::record();
    let mut behind = None;
    let mut forgotten = Box::pin(async {
        let cut: Result<(), Cancelled> = scope!(name = "forgotten", {
            defer(sleep(50));
            resume_unwind(Box::new("in the body"));
        });
        behind = Some(cut);
    });
    let cut = scope!(timeout = 10ms, {
        assert!(poll_once(&mut forgotten).await.is_pending());
        pending::<()>().await;
    });
    assert!(cut.is_err());
    // The panic was reported when its scope was taken over: there is neither a payload nor a value.
    assert!(events.warnings().iter().any(|text| text.contains("in the body")));
    forgotten.await;
    assert!(matches!(behind.unwrap().unwrap_err().cause(), Cause::TaskPanicked { .. }));
}

/// An executor inside of the body has much to do in each pass, and comes to the scope that unwinds only some passes later.
#[tokio::test(start_paused = true)]
async fn u1a_a_scope_that_a_busy_sub_executor_polls_seldom_is_not_given_up() {
    let log = Log::new();
    let cut = scope!(|outer| {
        let _end = log.guard("outer gone");
        let mut inside: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send>>> = FuturesUnordered::new();
        for _ in 0..20 {
            inside.push(Box::pin(poll_fn(|cx| {
                cx.waker().wake_by_ref();
                Poll::Pending
            })));
        }
        let (cleanup, handle) = (log.clone(), outer.handle());
        inside.push(Box::pin(async move {
            let _ = scope!({
                defer(async move {
                    for _ in 0..3 {
                        tokio::task::yield_now().await;
                    }
                    cleanup.say("cleanup done");
                });
                handle.cancel();
                pending::<()>().await
            });
        }));
        while inside.next().await.is_some() {}
    });
    assert!(cut.is_err());
    log.expect(&["0 cleanup done", "0 outer gone"]);
}

#[test]
fn f1_a_child_that_its_runtime_dropped_holds_up_no_boundary() {
    let runtime = || Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut waits = Box::pin(async {
        scope!({
            let task = spawn!(pending::<()>());
            task.await.unwrap_err()
        })
    });
    let first = runtime();
    first.block_on(async { assert!(poll_once(&mut waits).await.is_pending()) });
    drop(first);
    let ended = runtime().block_on(async { tokio::time::timeout(ms(10), waits).await });
    let cancelled = ended.expect("the scope waits for a child that is gone").unwrap();
    assert!(matches!(cancelled.cause(), Cause::Runtime), "{cancelled}");
}
