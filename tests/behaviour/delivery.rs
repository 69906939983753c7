//! When and where a cancel is delivered, and who absorbs it (rules D1 to D7).

use std::cell::RefCell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use scope_runtime::{
    Cancelled, Cause, ScopeHandle, cancel_scope, cancelled, check, checkpoint, current, defer, is_cancelled,
    scope, shield, spawn,
};
use scope_tests::probe::{Guard, Log, ms, outside, poll_once, sleep};
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A scope that is moved while it unwinds.
type Moved = Boxed<Result<(), Cancelled>>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Is cancelled from outside of every scope after `n` ms.
fn cancel_after(handle: ScopeHandle, n: u64) {
    drop(outside(async move {
        sleep(n).await;
        handle.cancel();
    }));
}

// --- D1 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn d1_the_code_before_the_first_suspension_runs_in_a_scope_that_is_cancelled_already() {
    let log = Log::new();
    let outer = scope!(|outer| {
        outer.cancel();
        let _ = scope!({
            log.say("before the first suspension");
            sleep(1).await;
            log.say("not reached");
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["0 before the first suspension"]);
}

#[tokio::test(start_paused = true)]
async fn d1_the_code_before_the_first_suspension_runs_in_a_task_whose_scope_is_cancelled_already() {
    let log = Log::new();
    let outer = scope!(|outer| {
        outer.cancel();
        let child = log.clone();
        spawn!(async move {
            child.say("before the first suspension");
            let _end = child.guard("child gone");
            sleep(1).await;
            child.say("not reached");
        });
    });
    assert!(outer.is_err(), "its child was unwound");
    log.expect(&["0 before the first suspension", "0 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn d1_a_task_that_was_cancelled_before_it_started_runs_to_its_first_suspension() {
    let log = Log::new();
    scope!({
        let child = log.clone();
        let task = spawn!(async move {
            child.say("before the first suspension");
            sleep(1).await;
            child.say("not reached");
        });
        assert!(task.cancel());
        assert!(task.await.is_err());
    })
    .unwrap();
    log.expect(&["0 before the first suspension"]);
}

#[tokio::test(start_paused = true)]
async fn d1_a_zero_timeout_means_cancelled_from_the_start() {
    let log = Log::new();
    let cut = scope!(timeout = 0s, {
        assert!(is_cancelled() && check().unwrap_err().is_timeout());
        log.say("before the first suspension");
        tokio::task::yield_now().await;
        log.say("not reached");
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["0 before the first suspension"]);
}

#[tokio::test(start_paused = true)]
async fn d1_a_past_deadline_means_cancelled_from_the_start() {
    let log = Log::new();
    sleep(20).await;
    let cut = scope!(deadline = Instant::now() - ms(10), {
        assert!(is_cancelled());
        log.say("before the first suspension");
        tokio::task::yield_now().await;
        log.say("not reached");
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["20 before the first suspension"]);
}

// --- D2 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn d2_a_cancel_is_delivered_at_the_next_suspension_and_not_before() {
    let log = Log::new();
    let cut = scope!(|s| {
        let _end = log.guard("body gone");
        s.cancel();
        log.say("behind the request");
        std::future::ready(()).await;
        log.say("behind an await that does not suspend");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["0 behind the request", "0 behind an await that does not suspend", "0 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn d2_a_result_that_is_ready_wins_over_a_cancel() {
    let (tx, rx) = oneshot::channel();
    let value = scope!(|s| {
        let handle = s.handle();
        outside(async move {
            sleep(10).await;
            handle.cancel();
            tx.send(7).unwrap();
        });
        rx.await.unwrap()
    });
    assert_eq!(value.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn d2_a_result_that_is_ready_wins_over_a_deadline_that_passes_at_the_same_instant() {
    let log = Log::new();
    let value = scope!(timeout = 10ms, {
        sleep(10).await;
        log.say("slept");
        7
    });
    assert_eq!(value.unwrap(), 7);
    log.expect(&["10 slept"]);
}

#[tokio::test(start_paused = true)]
async fn d2_a_result_that_is_ready_wins_in_every_scope_around_it() {
    let value = scope!(timeout = 10ms, {
        scope!(timeout = 10ms, {
            scope!(timeout = 10ms, {
                sleep(10).await;
                7
            })
            .unwrap()
        })
        .unwrap()
    });
    assert_eq!(value.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn d2_a_ready_result_of_a_child_wins_over_a_cancel() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<u8>();
    let value = scope!(|s| {
        let task = spawn!(async { rx.await.unwrap() });
        let handle = s.handle();
        outside(async move {
            sleep(10).await;
            handle.cancel();
            tx.send(7).unwrap();
        });
        let value = shield!({ task.await });
        log.say("got it");
        value
    });
    assert_eq!(value.unwrap().unwrap(), 7);
    log.expect(&["10 got it"]);
}

#[tokio::test(start_paused = true)]
async fn d2_the_code_behind_a_result_runs_to_its_next_suspension() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        sleep(10).await;
        log.say("slept");
        std::future::ready(()).await;
        log.say("behind an await that does not suspend");
        tokio::task::yield_now().await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["10 slept", "10 behind an await that does not suspend"]);
}

#[tokio::test(start_paused = true)]
async fn d2_leaving_an_inner_scope_is_no_delivery_point() {
    let log = Log::new();
    let cut = scope!(|outer| {
        outer.cancel();
        assert!(scope!({ log.say("in the inner scope") }).is_ok());
        log.say("behind the inner scope");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["0 in the inner scope", "0 behind the inner scope"]);
}

#[tokio::test(start_paused = true)]
async fn d2_leaving_a_shield_is_no_delivery_point() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        shield!({ sleep(20).await });
        log.say("behind the shield");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["20 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn d2_waiting_for_children_at_a_boundary_is_no_delivery_point() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let inner = scope!({
            let child = log.clone();
            spawn!(async move {
                shield!({ sleep(30).await });
                child.say("child done");
            });
            "value"
        });
        assert_eq!(inner.unwrap(), "value");
        log.say("behind the inner scope");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["30 child done", "30 behind the inner scope"]);
}

#[tokio::test(start_paused = true)]
async fn d2_waiting_for_cleanup_at_a_boundary_is_no_delivery_point() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let inner = scope!({
            let cleanup = log.clone();
            defer(async move {
                sleep(30).await;
                cleanup.say("cleanup done");
            });
            "value"
        });
        assert_eq!(inner.unwrap(), "value");
        log.say("behind the inner scope");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["30 cleanup done", "30 behind the inner scope"]);
}

#[tokio::test(start_paused = true)]
async fn d2_a_checkpoint_is_a_suspension() {
    let log = Log::new();
    let cut = scope!(|s| {
        checkpoint().await.unwrap();
        log.say("behind the first checkpoint");
        s.cancel();
        let _ = checkpoint().await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["0 behind the first checkpoint"]);
}

#[tokio::test(start_paused = true)]
async fn d2_a_check_does_not_drop_the_body() {
    let stopped = scope!(name = "loop", |s| {
        s.cancel();
        let cancelled = check().unwrap_err();
        cancelled.scope_name().to_owned()
    });
    assert_eq!(stopped.unwrap(), "loop");
}

// --- D3 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn d3_every_suspension_behind_a_shield_is_a_delivery() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        for round in 1.. {
            shield!({ sleep(30).await });
            log.say(format_args!("round {round}"));
            tokio::task::yield_now().await;
        }
    });
    assert!(cut.is_err());
    log.expect(&["30 round 1"]);
}

#[tokio::test(start_paused = true)]
async fn d3_every_later_child_of_a_cancelled_scope_is_delivered_to() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, |s| {
        shield!({
            for round in 1..=3 {
                sleep(20).await;
                let child = log.clone();
                let task = spawn!(in s, async move {
                    child.say(format_args!("child {round}"));
                    sleep(1).await;
                    child.say("not reached");
                });
                assert!(task.await.unwrap_err().is_timeout());
            }
        });
    });
    assert!(cut.is_err(), "its children were cut");
    log.expect(&["20 child 1", "40 child 2", "60 child 3"]);
}

#[tokio::test(start_paused = true)]
async fn d3_a_cancelled_scope_never_becomes_uncancelled() {
    let log = Log::new();
    let cut = scope!(|s| {
        s.cancel();
        s.set_deadline(None);
        assert!(is_cancelled());
        s.set_deadline(log.at(1000));
        assert!(is_cancelled());
        s.set_shield(true);
        assert!(is_cancelled() && s.cancel_called());
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn d3_a_scope_whose_deadline_passed_never_becomes_uncancelled() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, |s| {
        shield!({ sleep(20).await });
        assert!(is_cancelled());
        s.set_deadline(log.at(1000));
        assert!(is_cancelled());
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn d3_known_limit_other_branches_of_a_body_run_on_while_a_scope_inside_holds_the_drop_back() {
    let log = Log::new();
    let cut = scope!(timeout = 15ms, {
        tokio::join!(async { shield!({ sleep(35).await }) }, async {
            let _end = log.guard("branch gone");
            for tick in 1.. {
                sleep(10).await;
                log.say(format_args!("tick {tick}"));
            }
        });
    });
    assert!(cut.is_err());
    log.expect(&["10 tick 1", "20 tick 2", "30 tick 3", "35 branch gone"]);
}

// --- D4 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn d4_no_code_behind_an_inner_scope_runs_after_a_foreign_cancel() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, name = "outer", {
        let _end = log.guard("outer gone");
        let _ = scope!(name = "middle", {
            let _end = log.guard("middle gone");
            let _ = scope!(name = "inner", {
                let _end = log.guard("inner gone");
                sleep(100).await;
            });
            log.say("not reached");
        });
        log.say("not reached");
    });
    log.say("left");
    assert_eq!(outer.unwrap_err().scope_name(), "outer");
    log.expect(&["10 inner gone", "10 middle gone", "10 outer gone", "10 left"]);
}

#[tokio::test(start_paused = true)]
async fn d4_an_inner_scope_that_was_cancelled_too_does_not_absorb_a_foreign_cancel() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let _ = scope!(|inner| {
            cancel_after(inner.handle(), 10);
            sleep(100).await;
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_fallback_does_not_run_after_a_foreign_cancel() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        scope!(fallback = log.say("not reached"), { sleep(100).await });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_failure_that_leaves_an_inner_scope_is_not_swallowed_by_a_foreign_cancel() {
    async fn fails_late(log: &Log) -> Result<(), String> {
        let inside = log.clone();
        scope!({
            spawn!(async move {
                shield!({ sleep(30).await });
                inside.say("fails");
                Err::<(), _>("broken".to_owned())
            });
            sleep(100).await;
        })
        .map_err(|cancelled| cancelled.to_string())
    }

    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let failed = fails_late(&log).await;
        log.say(failed.unwrap_err());
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["30 fails", "30 broken"]);
}

#[tokio::test(start_paused = true)]
async fn d4_an_error_of_the_body_under_a_foreign_cancel_leaves_as_it_is() {
    async fn fails_behind_a_shield() -> Result<(), String> {
        scope!({
            shield!({ sleep(30).await });
            Err::<(), _>("broken".to_owned())?;
        })
        .map_err(|cancelled| cancelled.to_string())
    }

    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        log.say(fails_behind_a_shield().await.unwrap_err());
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["30 broken"]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_delivery_is_final_whatever_is_visible_by_then() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, name = "outer", {
        let _end = log.guard("outer gone");
        let _ = scope!(name = "middle", |middle| {
            let _end = log.guard("middle gone");
            let (handle, turns) = (middle.handle(), log.clone());
            outside(async move {
                sleep(20).await;
                handle.set_shield(true);
                assert!(!handle.is_cancelled());
                turns.say("shield on");
            });
            let _ = scope!(name = "inner", {
                let cleanup = log.clone();
                defer(async move {
                    sleep(40).await;
                    cleanup.say("cleanup done");
                });
                let _end = log.guard("inner gone");
                sleep(100).await;
            });
            log.say("not reached");
        });
        log.say("not reached");
    });
    log.say("left");
    assert_eq!(outer.unwrap_err().scope_name(), "outer");
    log.expect(&[
        "10 inner gone",
        "20 shield on",
        "50 cleanup done",
        "50 middle gone",
        "50 outer gone",
        "50 left",
    ]);
}

#[tokio::test(start_paused = true)]
async fn d4_the_enclosing_boundary_unwinds_once_nothing_inside_owes_work() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, name = "outer", {
        let _end = log.guard("outer gone");
        tokio::join!(
            async {
                let _ = scope!({
                    let _end = log.guard("left gone");
                    sleep(100).await;
                });
                log.say("not reached");
            },
            async {
                shield!({ sleep(30).await });
                log.say("right unshielded");
                sleep(1).await;
                log.say("not reached");
            }
        );
    });
    assert!(outer.is_err());
    log.expect(&["10 left gone", "30 right unshielded", "30 outer gone"]);
}

/// A scope whose cleanup takes 40 ms.
fn unwinds_slowly(log: Log) -> Moved {
    Box::pin(async move {
        scope!(name = "moved", {
            let cleanup = log.clone();
            defer(async move {
                sleep(40).await;
                cleanup.say("cleanup done");
            });
            let _end = log.guard("moved body gone");
            sleep(100).await;
        })
    })
}

/// Polls `moved` under a scope named "first" that ends at 10 ms; at 20 ms another branch sends it away.
async fn deliver_and_send(log: Log, moved: Moved, to: oneshot::Sender<Moved>) {
    let moved = RefCell::new(Some(moved));
    let first = scope!(timeout = 10ms, name = "first", {
        let _end = log.guard("first gone");
        tokio::join!(
            std::future::poll_fn(|cx| match &mut *moved.borrow_mut() {
                Some(moved) => moved.as_mut().poll(cx).map(drop),
                None => std::task::Poll::Pending,
            }),
            async {
                sleep(20).await;
                log.say("sent");
                assert!(to.send(moved.borrow_mut().take().unwrap()).is_ok());
                pending::<()>().await;
            }
        );
        log.say("not reached");
    });
    assert_eq!(first.unwrap_err().scope_name(), "first");
}

#[track_caller]
fn assert_cut_by_the_deadline_of_first(cancelled: &Cancelled) {
    assert_eq!(cancelled.scope_name(), "moved");
    let Cause::Parent(parent) = cancelled.cause() else { panic!("no foreign cause: {cancelled}") };
    assert_eq!(parent.scope_name(), "first", "{cancelled}");
    assert!(matches!(parent.cause(), Cause::Deadline { .. }), "{cancelled}");
    assert!(cancelled.is_timeout());
}

#[cancel_scope(name = "asks")]
async fn asks_when_it_is_cancelled() -> Result<(), Cancelled> {
    cancelled().await;
    check()
}

/// What passes a soft cancel on has unwound for it, though no hard one is visible.
#[tokio::test(start_paused = true)]
async fn d4_a_future_that_unwound_for_a_soft_cancel_and_is_polled_on_in_another_scope_absorbs() {
    let log = Log::new();
    let elsewhere = log.clone();
    let mut moved: Moved = Box::pin(async move {
        scope!(name = "moved", {
            let cleanup = elsewhere.clone();
            defer(async move {
                sleep(40).await;
                cleanup.say("cleanup done");
            });
            let _end = elsewhere.guard("moved body gone");
            let _ = asks_when_it_is_cancelled().await;
            elsewhere.say("not reached");
        })
    });
    let first = scope!(grace = 1s, name = "first", |first| {
        first.cancel();
        assert!(tokio::time::timeout(ms(10), &mut moved).await.is_err());
        log.say("taken away");
    });
    assert!(first.is_ok());
    let second = scope!(name = "second", {
        let cancelled = moved.await.unwrap_err();
        log.say("behind the moved scope");
        sleep(10).await;
        cancelled
    });
    let cancelled = second.unwrap();
    let Cause::Parent(parent) = cancelled.cause() else { panic!("no foreign cause: {cancelled}") };
    assert_eq!(parent.scope_name(), "first", "{cancelled}");
    log.expect(&["0 moved body gone", "10 taken away", "40 cleanup done", "40 behind the moved scope"]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_future_that_was_delivered_to_and_is_polled_on_outside_absorbs_with_the_foreign_cause() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<Moved>();
    let second = async {
        let cancelled = rx.await.unwrap().await.unwrap_err();
        log.say("behind the moved scope");
        sleep(10).await;
        log.say("went on");
        cancelled
    };
    let moved = unwinds_slowly(log.clone());
    let ((), cancelled) = tokio::join!(deliver_and_send(log.clone(), moved, tx), second);
    assert_cut_by_the_deadline_of_first(&cancelled);
    log.expect(&[
        "10 moved body gone",
        "20 sent",
        "20 first gone",
        "50 cleanup done",
        "50 behind the moved scope",
        "60 went on",
    ]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_future_that_was_delivered_to_and_is_polled_on_in_another_task_absorbs_with_the_foreign_cause() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<Moved>();
    let elsewhere = log.clone();
    let second = outside(async move {
        let cancelled = rx.await.unwrap().await.unwrap_err();
        elsewhere.say("behind the moved scope");
        cancelled
    });
    deliver_and_send(log.clone(), unwinds_slowly(log.clone()), tx).await;
    assert_cut_by_the_deadline_of_first(&second.await.unwrap());
    log.expect(&[
        "10 moved body gone",
        "20 sent",
        "20 first gone",
        "50 cleanup done",
        "50 behind the moved scope",
    ]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_future_that_was_delivered_to_and_is_polled_on_in_another_scope_absorbs_with_the_foreign_cause()
{
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<Moved>();
    let second = async {
        scope!(name = "second", {
            let cancelled = rx.await.unwrap().await.unwrap_err();
            log.say("behind the moved scope");
            sleep(10).await;
            log.say("went on");
            cancelled
        })
        .unwrap()
    };
    let moved = unwinds_slowly(log.clone());
    let ((), cancelled) = tokio::join!(deliver_and_send(log.clone(), moved, tx), second);
    assert_cut_by_the_deadline_of_first(&cancelled);
    log.expect(&[
        "10 moved body gone",
        "20 sent",
        "20 first gone",
        "50 cleanup done",
        "50 behind the moved scope",
        "60 went on",
    ]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_future_that_was_delivered_to_is_held_and_cut_by_a_cancelled_scope_that_polls_it_now() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<Moved>();
    let second = async {
        let second = scope!(timeout = 30ms, name = "second", {
            let _end = log.guard("second gone");
            let cancelled = rx.await.unwrap().await.unwrap_err();
            assert_cut_by_the_deadline_of_first(&cancelled);
            log.say("behind the moved scope");
            sleep(10).await;
            log.say("not reached");
        });
        assert_eq!(second.unwrap_err().scope_name(), "second");
    };
    let moved = unwinds_slowly(log.clone());
    tokio::join!(deliver_and_send(log.clone(), moved, tx), second);
    log.expect(&[
        "10 moved body gone",
        "20 sent",
        "20 first gone",
        "50 cleanup done",
        "50 behind the moved scope",
        "50 second gone",
    ]);
}

/// A scope that owes nothing, so that it has unwound at once; a shield in another branch of "first" holds that
/// one back, and sends the scope away when it is done, at 20 ms.
async fn unwind_and_send(log: Log, to: oneshot::Sender<Moved>) {
    let inside = log.clone();
    let moved: Moved = Box::pin(async move {
        scope!(name = "moved", {
            let _end = inside.guard("moved body gone");
            sleep(100).await;
        })
    });
    let moved = RefCell::new(Some(moved));
    let first = scope!(timeout = 10ms, name = "first", {
        let _end = log.guard("first gone");
        tokio::join!(
            std::future::poll_fn(|cx| match &mut *moved.borrow_mut() {
                Some(moved) => moved.as_mut().poll(cx).map(drop),
                None => std::task::Poll::Pending,
            }),
            async {
                shield!({ sleep(20).await });
                assert!(to.send(moved.borrow_mut().take().unwrap()).is_ok());
                sleep(1).await;
            }
        );
        log.say("not reached");
    });
    assert_eq!(first.unwrap_err().scope_name(), "first");
}

#[tokio::test(start_paused = true)]
async fn d4_a_scope_that_has_unwound_and_is_polled_on_outside_absorbs_with_the_foreign_cause() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<Moved>();
    let second = async {
        let cancelled = rx.await.unwrap().await.unwrap_err();
        log.say("behind the moved scope");
        cancelled
    };
    let ((), cancelled) = tokio::join!(unwind_and_send(log.clone(), tx), second);
    assert_cut_by_the_deadline_of_first(&cancelled);
    log.expect(&["10 moved body gone", "20 first gone", "20 behind the moved scope"]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_scope_that_has_unwound_and_is_polled_on_in_another_scope_absorbs_with_the_foreign_cause() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<Moved>();
    let second = async {
        scope!(name = "second", {
            let cancelled = rx.await.unwrap().await.unwrap_err();
            log.say("behind the moved scope");
            sleep(10).await;
            log.say("went on");
            cancelled
        })
        .unwrap()
    };
    let ((), cancelled) = tokio::join!(unwind_and_send(log.clone(), tx), second);
    assert_cut_by_the_deadline_of_first(&cancelled);
    log.expect(&["10 moved body gone", "20 first gone", "20 behind the moved scope", "30 went on"]);
}

// --- D5 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn d5_an_own_cancel_is_absorbed_and_the_host_goes_on() {
    let log = Log::new();
    scope!(name = "outer", {
        let inner = scope!(timeout = 10ms, name = "inner", {
            let _end = log.guard("inner gone");
            sleep(100).await;
        });
        assert_eq!(inner.unwrap_err().scope_name(), "inner");
        log.say("behind the inner scope");
        sleep(10).await;
        log.say("went on");
    })
    .unwrap();
    log.expect(&["10 inner gone", "10 behind the inner scope", "20 went on"]);
}

#[tokio::test(start_paused = true)]
async fn d5_a_middle_scope_absorbs_what_it_did_to_the_scopes_inside() {
    let log = Log::new();
    scope!(name = "outer", {
        let middle = scope!(timeout = 10ms, name = "middle", {
            let _ = scope!(name = "inner", { sleep(100).await });
            log.say("not reached");
        });
        assert_eq!(middle.unwrap_err().scope_name(), "middle");
        log.say("behind the middle scope");
    })
    .unwrap();
    log.expect(&["10 behind the middle scope"]);
}

#[tokio::test(start_paused = true)]
async fn d5_a_fallback_gives_the_value_after_an_own_cancel() {
    let value = scope!(timeout = 10ms, fallback = |cancelled| cancelled.is_timeout(), {
        sleep(100).await;
        false
    });
    assert!(value);
}

#[tokio::test(start_paused = true)]
async fn d5_an_outer_cancel_during_cleanup_makes_it_foreign() {
    let log = Log::new();
    let outer = scope!(timeout = 30ms, {
        let _ = scope!(timeout = 10ms, {
            let cleanup = log.clone();
            defer(async move {
                sleep(40).await;
                cleanup.say("cleanup done");
            });
            sleep(100).await;
        });
        log.say("not reached");
    });
    log.say("left");
    assert!(outer.is_err());
    log.expect(&["50 cleanup done", "50 left"]);
}

#[tokio::test(start_paused = true)]
async fn d5_an_outer_cancel_while_children_end_makes_it_foreign() {
    let log = Log::new();
    let outer = scope!(timeout = 30ms, {
        let _ = scope!(timeout = 10ms, {
            let child = log.clone();
            spawn!(async move {
                shield!({ sleep(50).await });
                child.say("child done");
            });
            sleep(100).await;
        });
        log.say("not reached");
    });
    log.say("left");
    assert!(outer.is_err());
    log.expect(&["50 child done", "50 left"]);
}

#[tokio::test(start_paused = true)]
async fn d5_an_own_cancel_during_cleanup_does_not_absorb_a_visible_outer_one() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let _ = scope!(|inner| {
            cancel_after(inner.handle(), 20);
            defer(async { sleep(40).await });
            sleep(100).await;
        });
        log.say("not reached");
    });
    log.say("left");
    assert!(outer.is_err());
    log.expect(&["50 left"]);
}

#[tokio::test(start_paused = true)]
async fn d5_a_delivery_from_outside_is_own_if_the_scope_is_cancelled_and_shielded_when_it_is_left() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, name = "outer", {
        let inner = scope!(name = "inner", |inner| {
            let handle = inner.handle();
            outside(async move {
                sleep(20).await;
                handle.cancel();
                handle.set_shield(true);
            });
            defer(async { sleep(40).await });
            sleep(100).await;
        });
        assert_eq!(inner.unwrap_err().scope_name(), "inner");
        log.say("behind the inner scope");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["50 behind the inner scope"]);
}

#[tokio::test(start_paused = true)]
async fn d5_a_function_that_absorbs_its_own_cancel_returns_it_as_its_error() {
    #[cancel_scope(timeout = "10ms")]
    async fn late() -> Result<u8, Cancelled> {
        sleep(100).await;
        Ok(7)
    }
    let log = Log::new();
    assert_eq!(late().await.unwrap_err().scope_name(), "late");
    log.say("returned");
    log.expect(&["10 returned"]);
}

#[tokio::test(start_paused = true)]
async fn d5_deadlines_that_pass_at_the_same_instant_are_absorbed_by_the_outer_scope() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, name = "outer", {
        let _ = scope!(timeout = 10ms, name = "inner", {
            let _end = log.guard("inner gone");
            sleep(100).await;
        });
        log.say("not reached");
    });
    assert_eq!(outer.unwrap_err().scope_name(), "outer");
    log.expect(&["10 inner gone"]);
}

#[tokio::test(start_paused = true)]
async fn d5_an_outer_cancel_from_a_destructor_of_the_inner_body_makes_it_foreign() {
    struct CancelsAtDrop(ScopeHandle);
    impl Drop for CancelsAtDrop {
        fn drop(&mut self) {
            assert!(self.0.cancel_with("from a destructor"));
        }
    }
    let log = Log::new();
    let outer = scope!(name = "outer", |outer| {
        let _ = scope!(timeout = 10ms, name = "inner", {
            let _cancels = CancelsAtDrop(outer.handle());
            sleep(100).await;
        });
        log.say("not reached");
    });
    log.say("left");
    assert!(outer.unwrap_err().to_string().contains("from a destructor"));
    log.expect(&["10 left"]);
}

// --- D6 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn d6_a_body_that_ends_before_the_delivery_keeps_its_value() {
    let value = scope!(|s| {
        s.cancel();
        7
    });
    assert_eq!(value.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn d6_a_deadline_that_passes_while_a_boundary_waits_takes_no_value() {
    let log = Log::new();
    let value = scope!(timeout = 10ms, {
        defer(async { sleep(30).await });
        7
    });
    log.say("left");
    assert_eq!(value.unwrap(), 7);
    log.expect(&["30 left"]);
}

#[tokio::test(start_paused = true)]
async fn d6_a_child_that_ends_by_itself_in_a_cancelled_scope_takes_no_value() {
    let log = Log::new();
    let value = scope!(timeout = 10ms, {
        let child = log.clone();
        spawn!(async move {
            shield!({ sleep(30).await });
            child.say("child done");
        });
        7
    });
    assert_eq!(value.unwrap(), 7);
    log.expect(&["30 child done"]);
}

#[tokio::test(start_paused = true)]
async fn d6_a_child_that_was_cut_by_the_scope_takes_the_value_which_is_dropped() {
    let log = Log::new();
    let value: Result<Guard, Cancelled> = scope!(timeout = 10ms, {
        let child = log.clone();
        spawn!(async move {
            let _end = child.guard("child gone");
            sleep(100).await;
        });
        log.guard("value dropped")
    });
    assert!(value.unwrap_err().is_timeout());
    log.expect(&["10 child gone", "10 value dropped"]);
}

#[tokio::test(start_paused = true)]
async fn d6_a_child_that_was_cut_from_outside_takes_the_value_of_its_scope_and_of_the_outer_one() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let _ = scope!({
            spawn!(sleep(100));
            log.guard("value dropped")
        });
        log.say("not reached");
    });
    assert!(outer.unwrap_err().is_timeout());
    log.expect(&["10 value dropped"]);
}

#[tokio::test(start_paused = true)]
async fn d6_task_cancel_takes_no_value() {
    let log = Log::new();
    let value = scope!({
        let child = log.clone();
        let task = spawn!(async move {
            let _end = child.guard("child gone");
            sleep(100).await;
        });
        sleep(10).await;
        task.cancel();
        7
    });
    log.say("left");
    assert_eq!(value.unwrap(), 7);
    log.expect(&["10 child gone", "10 left"]);
}

#[tokio::test(start_paused = true)]
async fn d6_task_cancel_takes_no_value_of_a_scope_that_is_cancelled_later() {
    let value = scope!(|s| {
        let task = spawn!(sleep(100));
        task.cancel();
        assert!(task.await.is_err());
        s.cancel();
        7
    });
    assert_eq!(value.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn d6_background_children_take_no_value() {
    let log = Log::new();
    let value = scope!({
        let child = log.clone();
        spawn!(background, async move {
            let _end = child.guard("background gone");
            sleep(100).await;
        });
        sleep(10).await;
        7
    });
    log.say("left");
    assert_eq!(value.unwrap(), 7);
    log.expect(&["10 background gone", "10 left"]);
}

#[tokio::test(start_paused = true)]
async fn d6_background_children_that_are_cut_by_the_scopes_own_cancel_take_no_value() {
    let log = Log::new();
    let value = scope!(timeout = 10ms, {
        let child = log.clone();
        spawn!(background, async move {
            let _end = child.guard("background gone");
            sleep(100).await;
        });
        shield!({ sleep(20).await });
        7
    });
    assert_eq!(value.unwrap(), 7);
    log.expect(&["10 background gone"]);
}

#[tokio::test(start_paused = true)]
async fn d6_an_own_cancel_of_an_inner_scope_takes_no_value_of_the_outer_one() {
    let value = scope!(timeout = 50ms, {
        let inner = scope!(timeout = 10ms, { sleep(100).await });
        assert!(inner.is_err());
        7
    });
    assert_eq!(value.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn d6_an_own_cancel_of_a_scope_in_a_child_takes_no_value() {
    let value = scope!({
        let task = spawn!(async { scope!(timeout = 10ms, { sleep(100).await }).is_err() });
        (task.await.unwrap(), 7)
    });
    assert_eq!(value.unwrap(), (true, 7));
}

// --- D7 ----------------------------------------------------------------------------------------------------

/// A thread that cancels what it is given, which it waits for.
fn canceller() -> (mpsc::Sender<ScopeHandle>, std::thread::JoinHandle<bool>) {
    let (tx, rx) = mpsc::channel::<ScopeHandle>();
    (tx, std::thread::spawn(move || rx.recv().unwrap().cancel_with("from a thread")))
}

#[tokio::test(start_paused = true)]
async fn d7_a_cancel_from_another_thread_wakes_the_body() {
    let (handles, thread) = canceller();
    let log = Log::new();
    let cut = scope!(|s| {
        let _end = log.guard("body gone");
        handles.send(s.handle()).unwrap();
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().to_string().contains("from a thread"));
    assert!(thread.join().unwrap());
    log.expect(&["0 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn d7_a_cancel_from_another_thread_wakes_children_and_the_scopes_in_them() {
    let (handles, thread) = canceller();
    let log = Log::new();
    let cut = scope!(|s| {
        for name in ["first", "second"] {
            let log = log.clone();
            spawn!(async move {
                let _ = scope!({
                    let inner = log.clone();
                    spawn!(async move {
                        let _end = inner.guard(format!("{name} grandchild gone"));
                        pending::<()>().await;
                    });
                    pending::<()>().await;
                });
                log.say("not reached");
            });
        }
        handles.send(s.handle()).unwrap();
        shield!({ tokio::task::yield_now().await });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    assert!(thread.join().unwrap());
    log.expect_unordered(&["0 first grandchild gone", "0 second grandchild gone"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_a_cancel_wakes_every_task_of_a_tree_on_many_threads() {
    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let dropped = Arc::new(AtomicUsize::new(0));
    let (handles, thread) = canceller();
    let cut = scope!(|s| {
        for _ in 0..20 {
            let dropped = Arc::clone(&dropped);
            spawn!(async move {
                let _ = scope!({
                    for _ in 0..20 {
                        let count = Count(Arc::clone(&dropped));
                        spawn!(async move {
                            let _count = count;
                            pending::<()>().await;
                        });
                    }
                    let _count = Count(dropped);
                    pending::<()>().await;
                });
            });
        }
        handles.send(s.handle()).unwrap();
        pending::<()>().await;
    });
    assert!(cut.is_err());
    assert!(thread.join().unwrap());
    assert_eq!(dropped.load(Ordering::Relaxed), 20 * 21, "all have ended when the scope was left");
}

#[tokio::test(start_paused = true)]
async fn d7_a_cancel_that_races_with_the_first_suspension_is_never_lost() {
    const ROUNDS: usize = 500;
    let (tx, rx) = mpsc::channel::<ScopeHandle>();
    let barrier = Arc::new(Barrier::new(2));
    let thread = std::thread::spawn({
        let barrier = Arc::clone(&barrier);
        move || {
            for handle in rx {
                barrier.wait();
                handle.cancel();
            }
        }
    });
    for round in 0..ROUNDS {
        let cut = scope!(|s| {
            tx.send(s.handle()).unwrap();
            barrier.wait();
            if round % 2 == 0 {
                pending::<()>().await;
            } else {
                // In a child, and in a scope without a node.
                spawn!(pending::<()>());
                let _ = scope!({ pending::<()>().await });
            }
        });
        assert!(cut.is_err());
    }
    drop(tx);
    thread.join().unwrap();
}

#[tokio::test(start_paused = true)]
async fn d7_a_scope_with_children_in_a_sub_executor_is_woken_through_it() {
    let log = Log::new();
    let outer = scope!(|outer| {
        cancel_after(outer.handle(), 10);
        let _end = log.guard("outer gone");
        let mut branches = FuturesUnordered::new();
        for _ in 0..2 {
            branches.push(async {
                let _ = scope!({
                    let child = log.clone();
                    spawn!(async move {
                        let _end = child.guard("child gone");
                        pending::<()>().await;
                    });
                    let _end = log.guard("inner gone");
                    pending::<()>().await;
                });
                log.say("not reached");
            });
        }
        while branches.next().await.is_some() {}
        log.say("not reached");
    });
    log.say("left");
    assert!(outer.is_err());
    let entries = log.entries();
    let times = |text: &str| entries.iter().filter(|entry| *entry == text).count();
    assert_eq!((times("10 inner gone"), times("10 child gone")), (2, 2), "{entries:?}");
    assert_eq!(entries[4..], ["10 outer gone", "10 left"]);
}

#[tokio::test(start_paused = true)]
async fn d7_a_scope_with_cleanup_in_a_sub_executor_is_woken_through_it() {
    let log = Log::new();
    let outer = scope!(|outer| {
        cancel_after(outer.handle(), 10);
        let _end = log.guard("outer gone");
        let mut branches = FuturesUnordered::new();
        branches.push(async {
            let _ = scope!({
                let cleanup = log.clone();
                defer(async move {
                    sleep(20).await;
                    cleanup.say("cleanup done");
                });
                let _end = log.guard("inner gone");
                pending::<()>().await;
            });
            log.say("not reached");
        });
        while branches.next().await.is_some() {}
        log.say("not reached");
    });
    log.say("left");
    assert!(outer.is_err());
    log.expect(&["10 inner gone", "30 cleanup done", "30 outer gone", "30 left"]);
}

#[tokio::test(start_paused = true)]
async fn d7_a_shield_in_a_sub_executor_is_woken_through_it_when_it_is_turned_off() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let _end = log.guard("outer gone");
        let mut branches = FuturesUnordered::new();
        branches.push(async {
            let _ = scope!(shield, |inner| {
                let handle = inner.handle();
                outside(async move {
                    sleep(20).await;
                    handle.set_shield(false);
                });
                let _end = log.guard("inner gone");
                pending::<()>().await;
            });
            log.say("not reached");
        });
        while branches.next().await.is_some() {}
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["20 inner gone", "20 outer gone"]);
}

#[tokio::test(start_paused = true)]
async fn d7_an_own_cancel_of_a_scope_in_a_sub_executor_wakes_it_there() {
    let log = Log::new();
    scope!({
        let mut branches = FuturesUnordered::new();
        branches.push(async {
            let inner = scope!(|inner| {
                cancel_after(inner.handle(), 10);
                pending::<()>().await;
            });
            inner.is_err()
        });
        assert_eq!(branches.next().await, Some(true));
        log.say("behind the branch");
    })
    .unwrap();
    log.expect(&["10 behind the branch"]);
}

#[tokio::test(start_paused = true)]
async fn d7_a_deadline_wakes_scopes_in_a_sub_executor() {
    let log = Log::new();
    let outer = scope!(timeout = 20ms, {
        let mut branches = FuturesUnordered::new();
        for n in [10, 15, 25] {
            let log = &log;
            branches.push(async move {
                let cut = scope!(timeout = ms(n), {
                    let _end = log.guard(format!("{n} gone"));
                    pending::<()>().await;
                });
                log.say(format_args!("{n} left"));
                cut.is_err()
            });
        }
        while branches.next().await.is_some() {}
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["10 10 gone", "10 10 left", "15 15 gone", "15 15 left", "20 25 gone"]);
}

#[tokio::test(start_paused = true)]
async fn d7_the_waker_of_the_last_poll_is_the_one_that_counts() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<ScopeHandle>();
    let inside = log.clone();
    let mut moved: Boxed<bool> = Box::pin(async move {
        let cut = scope!(|s| {
            tx.send(s.handle()).unwrap();
            let _end = inside.guard("body gone");
            pending::<()>().await;
        });
        cut.is_err()
    });
    assert!(poll_once(&mut moved).await.is_pending());
    let handle = rx.await.unwrap();
    let elsewhere = outside(moved);
    cancel_after(handle, 10);
    assert!(elsewhere.await.unwrap());
    log.expect(&["10 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn d7_a_child_is_woken_at_once_when_its_scope_is_cancelled_by_the_body() {
    let log = Log::new();
    let outer = scope!(name = "outer", {
        let child = log.clone();
        spawn!(async move {
            let _end = child.guard("child gone");
            pending::<()>().await;
        });
        sleep(10).await;
        current().cancel();
        shield!({ sleep(20).await });
        log.say("shield done");
    });
    assert!(outer.is_err());
    log.expect(&["10 child gone", "30 shield done"]);
}

#[tokio::test(start_paused = true)]
async fn d7_children_of_a_scope_whose_future_is_not_polled_meanwhile_are_woken_too() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<ScopeHandle>();
    let child = log.clone();
    let mut host = Box::pin(async move {
        scope!(|s| {
            tx.send(s.handle()).unwrap();
            spawn!(async move {
                let _end = child.guard("child gone");
                pending::<()>().await;
            });
            pending::<()>().await;
        })
    });
    assert!(poll_once(&mut host).await.is_pending());
    sleep(10).await;
    assert!(rx.await.unwrap().cancel());
    sleep(10).await;
    log.say("polled again");
    assert!(host.await.is_err());
    log.expect(&["10 child gone", "20 polled again"]);
}
