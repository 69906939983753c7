//! Deadlines and timeouts (rules L1 to L6).

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use scope_runtime::{
    Cancelled, Cause, ScopeHandle, cancel_scope, check, current, defer, effective_deadline, fail_after,
    is_cancelled, move_on_after, remaining, scope, shield, spawn,
};
use scope_tests::probe::{Log, ms, outside, poll_once, sleep};
use tokio::time::Instant;

/// Moves the clock without a suspension of the caller, so that no timer has fired yet.
async fn pass(n: u64) {
    let mut advance = Box::pin(tokio::time::advance(ms(n)));
    assert!(poll_once(&mut advance).await.is_pending(), "it yields after it has moved the clock");
}

/// Moves a scope's deadline from a task outside of every scope, at `when` to `to`.
fn move_deadline(handle: ScopeHandle, log: &Log, when: u64, to: impl Into<Option<u64>>) {
    let deadline = to.into().map(|to| log.at(to));
    drop(outside(async move {
        sleep(when).await;
        handle.set_deadline(deadline);
    }));
}

fn after(cancelled: &Cancelled) -> Option<Duration> {
    match cancelled.cause() {
        Cause::Deadline { after, .. } => *after,
        cause => panic!("no deadline: {cause}"),
    }
}

// --- L1 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn l1_a_timeout_counts_from_the_moment_the_scope_is_entered() {
    let log = Log::new();
    let future = async {
        scope!(timeout = 50ms, {
            let _end = log.guard("body gone");
            sleep(100).await;
        })
    };
    sleep(30).await;
    assert!(future.await.is_err());
    log.expect(&["80 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l1_a_timeout_of_a_function_counts_from_its_first_poll() {
    #[cancel_scope(timeout = "50ms")]
    async fn late(log: &Log) -> Result<(), Cancelled> {
        let _end = log.guard("body gone");
        sleep(100).await;
        Ok(())
    }
    let log = Log::new();
    let future = late(&log);
    sleep(30).await;
    assert!(future.await.unwrap_err().is_timeout());
    log.expect(&["80 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l1_each_pass_through_a_block_starts_the_time_anew() {
    let log = Log::new();
    for _ in 0..3 {
        let cut = scope!(timeout = 20ms, {
            let _end = log.guard("cut");
            sleep(100).await;
        });
        assert!(cut.is_err());
    }
    log.expect(&["20 cut", "40 cut", "60 cut"]);
}

#[tokio::test(start_paused = true)]
async fn l1_a_deadline_is_an_instant() {
    let log = Log::new();
    let at = log.at(50);
    sleep(30).await;
    let cut = scope!(deadline = at, {
        let _end = log.guard("body gone");
        sleep(100).await;
    });
    assert_eq!(after(&cut.unwrap_err()), None);
    log.expect(&["50 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l1_a_deadline_may_be_an_instant_of_std() {
    let log = Log::new();
    let cut = scope!(deadline = log.at(50).into_std(), {
        let _end = log.guard("body gone");
        sleep(100).await;
    });
    assert!(cut.is_err());
    log.expect(&["50 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l1_no_timeout_and_no_deadline_are_none() {
    let log = Log::new();
    let timeout: Option<Duration> = None;
    let deadline: Option<Instant> = None;
    scope!(timeout = timeout, {
        assert_eq!(remaining(), None);
        sleep(100).await;
    })
    .unwrap();
    scope!(deadline = deadline, {
        assert_eq!(remaining(), None);
        sleep(100).await;
    })
    .unwrap();
    scope!(timeout = Some(ms(10)), { sleep(100).await }).unwrap_err();
    log.say("left");
    log.expect(&["210 left"]);
}

#[tokio::test(start_paused = true)]
async fn l1_expiry_has_the_cause_deadline_with_the_timeout() {
    let cut = scope!(timeout = 10ms, name = "late", { sleep(100).await });
    let cancelled = cut.unwrap_err();
    assert_eq!(cancelled.scope_name(), "late");
    assert_eq!(after(&cancelled), Some(ms(10)));
    assert!(cancelled.is_timeout());
}

#[tokio::test(start_paused = true)]
async fn l1_a_huge_timeout_is_none_that_matters() {
    scope!(timeout = Duration::MAX, { sleep(100).await }).unwrap();
    scope!(timeout = Duration::from_secs(u64::MAX / 2), { sleep(100).await }).unwrap();
    assert!(fail_after(Duration::MAX, sleep(100)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn l1_fail_after_gives_the_value_or_the_error() {
    let log = Log::new();
    assert_eq!(fail_after(ms(20), async { 7 }).await.unwrap(), 7);
    assert!(fail_after(ms(20), sleep(100)).await.unwrap_err().is_timeout());
    log.say("left");
    log.expect(&["20 left"]);
}

#[tokio::test(start_paused = true)]
async fn l1_move_on_after_gives_the_value_or_nothing() {
    let log = Log::new();
    assert_eq!(move_on_after(ms(20), async { 7 }).await, Some(7));
    assert_eq!(move_on_after(ms(20), sleep(100)).await, None);
    log.say("left");
    log.expect(&["20 left"]);
}

#[tokio::test(start_paused = true)]
async fn l1_fail_after_counts_from_the_moment_it_is_entered() {
    let log = Log::new();
    let entered_later = fail_after(ms(50), sleep(100));
    let moved_on_later = move_on_after(ms(50), sleep(100));
    sleep(30).await;
    assert!(entered_later.await.is_err());
    log.say("failed");
    assert!(moved_on_later.await.is_none());
    log.say("moved on");
    log.expect(&["80 failed", "130 moved on"]);
}

#[tokio::test(start_paused = true)]
async fn l1_children_are_cut_at_the_deadline_while_nobody_polls_the_future_of_their_scope() {
    let log = Log::new();
    let child = log.clone();
    let mut host = Box::pin(async move {
        scope!(timeout = 10ms, {
            spawn!(async move {
                let _end = child.guard("child gone");
                pending::<()>().await;
            });
            pending::<()>().await;
        })
    });
    assert!(poll_once(&mut host).await.is_pending());
    sleep(20).await;
    log.say("polled again");
    assert!(host.await.is_err());
    log.expect(&["10 child gone", "20 polled again"]);
}

// --- L2 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn l2_there_is_no_remaining_time_without_a_deadline() {
    assert_eq!((remaining(), effective_deadline()), (None, None));
    let inside = scope!({ (remaining(), effective_deadline(), current().remaining(), current().deadline()) });
    assert_eq!(inside.unwrap(), (None, None, None, None));
}

#[tokio::test(start_paused = true)]
async fn l2_the_effective_deadline_is_the_minimum_over_the_scope_and_its_ancestors() {
    let log = Log::new();
    scope!(timeout = 100ms, {
        scope!(timeout = 40ms, {
            scope!(timeout = 70ms, {
                sleep(10).await;
                assert_eq!(remaining(), Some(ms(30)));
                assert_eq!(effective_deadline(), Some(log.at(40)));
                let handle = current();
                assert_eq!(handle.remaining(), Some(ms(30)));
                assert_eq!(handle.effective_deadline(), Some(log.at(40)));
                assert_eq!(handle.deadline(), Some(log.at(70)));
            })
            .unwrap();
        })
        .unwrap();
        assert_eq!(remaining(), Some(ms(90)));
        scope!(timeout = 20ms, { assert_eq!(remaining(), Some(ms(20))) }).unwrap();
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn l2_the_nearest_deadline_cuts_and_its_scope_absorbs() {
    let log = Log::new();
    scope!(timeout = 100ms, {
        let middle = scope!(timeout = 40ms, name = "middle", {
            let _ = scope!(timeout = ms(70), {
                let _end = log.guard("inner gone");
                sleep(200).await;
            });
            log.say("not reached");
        });
        assert_eq!(middle.unwrap_err().scope_name(), "middle");
        log.say("middle left");
    })
    .unwrap();
    log.expect(&["40 inner gone", "40 middle left"]);
}

#[tokio::test(start_paused = true)]
async fn l2_outer_deadlines_do_not_count_inside_a_shield() {
    let log = Log::new();
    scope!(timeout = 100ms, {
        shield!({
            assert_eq!((remaining(), effective_deadline()), (None, None));
            scope!(timeout = 300ms, { assert_eq!(remaining(), Some(ms(300))) }).unwrap();
        });
        scope!(shield, timeout = 200ms, |s| {
            assert_eq!(remaining(), Some(ms(200)));
            assert_eq!(s.effective_deadline(), Some(log.at(200)));
            s.set_shield(false);
            assert_eq!(remaining(), Some(ms(100)));
            assert_eq!(s.effective_deadline(), Some(log.at(100)));
        })
        .unwrap();
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn l2_a_child_task_has_the_deadline_of_its_scope() {
    let log = Log::new();
    let cut = scope!(timeout = 50ms, {
        let child = log.clone();
        let task = spawn!(async move {
            assert_eq!(remaining(), Some(ms(50)));
            assert_eq!(effective_deadline(), Some(child.at(50)));
            let _end = child.guard("child gone");
            let _ = scope!(timeout = ms(80), {
                assert_eq!(remaining(), Some(ms(50)));
                sleep(100).await;
            });
            child.say("not reached");
        });
        let _ = task.await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["50 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn l2_remaining_is_zero_once_a_cancel_is_visible() {
    let log = Log::new();
    sleep(20).await;
    let seen = scope!(timeout = 100ms, |outer| {
        scope!(timeout = 50ms, |inner| {
            outer.cancel();
            assert_eq!((inner.remaining(), outer.remaining()), (Some(ms(0)), Some(ms(0))));
            assert!(inner.effective_deadline().unwrap() <= log.at(20));
            assert!(effective_deadline().unwrap() <= Instant::now());
            remaining()
        })
        .unwrap()
    });
    assert_eq!(seen.unwrap(), Some(ms(0)));
}

#[tokio::test(start_paused = true)]
async fn l2_remaining_is_zero_once_a_cancel_is_visible_in_a_scope_without_a_deadline() {
    let seen = scope!(|s| {
        s.cancel();
        assert!(effective_deadline().unwrap() <= Instant::now());
        (remaining(), s.remaining())
    });
    assert_eq!(seen.unwrap(), (Some(ms(0)), Some(ms(0))));
}

#[tokio::test(start_paused = true)]
async fn l2_a_passed_deadline_is_the_effective_one_and_leaves_no_time() {
    let log = Log::new();
    let seen = scope!(timeout = 50ms, {
        pass(80).await;
        (remaining(), effective_deadline())
    });
    assert_eq!(seen.unwrap(), (Some(ms(0)), Some(log.at(50))));
}

// --- L3 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_can_be_moved_away_by_the_body() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, |s| {
        s.set_deadline(log.at(50));
        assert_eq!((s.deadline(), remaining()), (Some(log.at(50)), Some(ms(50))));
        let _end = log.guard("body gone");
        sleep(100).await;
    });
    assert!(cut.is_err());
    log.expect(&["50 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_can_be_moved_closer_by_the_body() {
    let log = Log::new();
    let cut = scope!(timeout = 50ms, |s| {
        sleep(5).await;
        s.set_deadline(log.at(10));
        let _end = log.guard("body gone");
        sleep(100).await;
    });
    assert!(cut.is_err());
    log.expect(&["10 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_can_be_moved_away_while_the_body_sleeps() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, |s| {
        move_deadline(s.handle(), &log, 10, 50);
        let _end = log.guard("body gone");
        sleep(100).await;
    });
    assert!(cut.is_err());
    log.expect(&["50 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_can_be_moved_closer_while_the_body_sleeps() {
    let log = Log::new();
    let cut = scope!(timeout = 50ms, |s| {
        move_deadline(s.handle(), &log, 10, 20);
        let _end = log.guard("body gone");
        sleep(100).await;
    });
    assert!(cut.is_err());
    log.expect(&["20 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_can_be_moved_again_and_again() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, |s| {
        move_deadline(s.handle(), &log, 10, 80);
        move_deadline(s.handle(), &log, 30, None);
        move_deadline(s.handle(), &log, 90, 95);
        let _end = log.guard("body gone");
        sleep(200).await;
    });
    assert!(cut.is_err());
    log.expect(&["95 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_can_be_taken_away() {
    let log = Log::new();
    scope!(timeout = 20ms, |s| {
        move_deadline(s.handle(), &log, 10, None);
        sleep(100).await;
        assert_eq!((remaining(), s.deadline()), (None, None));
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn l3_a_scope_without_a_deadline_can_be_given_one() {
    let log = Log::new();
    let cut = scope!(|s| {
        move_deadline(s.handle(), &log, 10, 20);
        let _end = log.guard("body gone");
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["20 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_that_is_moved_into_the_past_fires_at_once() {
    let log = Log::new();
    let cut = scope!(timeout = 50ms, |s| {
        sleep(20).await;
        s.set_deadline(log.at(10));
        assert!(is_cancelled() && check().unwrap_err().is_timeout());
        log.say("before the next suspension");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["20 before the next suspension"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_that_is_moved_into_the_past_wakes_a_sleeping_body() {
    let log = Log::new();
    let cut = scope!(timeout = 50ms, |s| {
        move_deadline(s.handle(), &log, 20, 10);
        let _end = log.guard("body gone");
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["20 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_moving_the_deadline_of_a_cancelled_scope_changes_nothing() {
    let log = Log::new();
    let cut = scope!(timeout = 50ms, |s| {
        s.cancel();
        s.set_deadline(log.at(80));
        assert_eq!(s.deadline(), Some(log.at(50)));
        s.set_deadline(None);
        assert_eq!((s.deadline(), remaining()), (Some(log.at(50)), Some(ms(0))));
        sleep(1).await;
        log.say("not reached");
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::Explicit { .. }));
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn l3_moving_a_deadline_that_has_passed_changes_nothing() {
    let log = Log::new();
    let cut = scope!(timeout = 50ms, |s| {
        pass(60).await;
        s.set_deadline(log.at(80));
        assert!(is_cancelled());
        assert_eq!(s.deadline(), Some(log.at(50)));
        sleep(1).await;
        log.say("not reached");
    });
    assert_eq!(after(&cut.unwrap_err()), Some(ms(50)));
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn l3_moving_an_outer_deadline_closer_cuts_the_scopes_inside() {
    let log = Log::new();
    let outer = scope!(timeout = 100ms, |outer| {
        move_deadline(outer.handle(), &log, 10, 30);
        let _end = log.guard("outer gone");
        let _ = scope!(timeout = 60ms, {
            let _end = log.guard("inner gone");
            sleep(200).await;
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["30 inner gone", "30 outer gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_moving_an_outer_deadline_away_leaves_the_inner_one() {
    // The inner scope needed no timer of its own as long as the outer deadline came first.
    let log = Log::new();
    scope!(timeout = 20ms, |outer| {
        move_deadline(outer.handle(), &log, 10, None);
        let inner = scope!(timeout = 60ms, {
            let _end = log.guard("inner gone");
            sleep(200).await;
        });
        assert_eq!(after(&inner.unwrap_err()), Some(ms(60)));
        log.say("inner left");
    })
    .unwrap();
    log.expect(&["60 inner gone", "60 inner left"]);
}

#[tokio::test(start_paused = true)]
async fn l3_moving_an_outer_deadline_away_leaves_the_one_of_a_scope_in_a_sub_executor() {
    let log = Log::new();
    scope!(timeout = 20ms, |outer| {
        move_deadline(outer.handle(), &log, 10, None);
        let mut branches = FuturesUnordered::new();
        branches.push(async {
            let inner = scope!(timeout = 60ms, {
                let _end = log.guard("inner gone");
                sleep(200).await;
            });
            inner.is_err()
        });
        assert_eq!(branches.next().await, Some(true));
        log.say("inner left");
    })
    .unwrap();
    log.expect(&["60 inner gone", "60 inner left"]);
}

#[tokio::test(start_paused = true)]
async fn l3_moving_a_deadline_reaches_child_tasks() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, |s| {
        let child = log.clone();
        spawn!(async move {
            let _end = child.guard("child gone");
            sleep(15).await;
            assert_eq!(remaining(), Some(ms(35)));
            sleep(200).await;
        });
        move_deadline(s.handle(), &log, 10, 50);
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["50 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_can_be_moved_while_the_boundary_waits_for_children() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, |s| {
        let child = log.clone();
        spawn!(async move {
            let _end = child.guard("child gone");
            sleep(200).await;
        });
        move_deadline(s.handle(), &log, 10, 50);
    });
    assert!(cut.is_err());
    log.expect(&["50 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_moved_deadline_no_longer_names_the_timeout() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, |s| {
        s.set_deadline(log.at(30));
        sleep(100).await;
    });
    assert_eq!(after(&cut.unwrap_err()), None);
}

/// No timer has fired: it is the question that finds out.
#[tokio::test(start_paused = true)]
async fn l3_who_asks_goes_by_the_deadline_as_it_was_moved() {
    let kept = scope!(timeout = 50ms, |s| {
        s.set_deadline(Instant::now() + ms(10));
        assert!(check().is_ok());
        pass(20).await;
        assert!(check().is_err() && is_cancelled());
    });
    kept.unwrap();
}

// --- L4 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn l4_paused_tests_are_exact() {
    let log = Log::new();
    for n in [1, 2, 7, 64, 65, 4095, 4096, 100_000] {
        let before = log.ms();
        let cut = scope!(timeout = ms(n), { pending::<()>().await });
        assert!(cut.is_err());
        assert_eq!(log.ms() - before, u128::from(n));
    }
}

#[tokio::test(start_paused = true)]
async fn l4_a_deadline_follows_a_clock_that_is_moved_by_hand() {
    let log = Log::new();
    let cut = scope!(timeout = 1h, {
        let _end = log.guard("body gone");
        outside(async { tokio::time::advance(ms(3_600_000)).await });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["3600000 body gone"]);
}

// --- L5 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn l5_a_passed_deadline_is_visible_whether_or_not_a_timer_fired() {
    let seen = scope!(timeout = 50ms, {
        pass(60).await;
        (is_cancelled(), check().is_err())
    });
    assert_eq!(seen.unwrap(), (true, true));
}

#[tokio::test(start_paused = true)]
async fn l5_a_handle_compares_with_the_clock() {
    let seen = scope!(timeout = 50ms, |s| {
        scope!(|inner| {
            let before = (s.is_cancelled(), inner.is_cancelled(), s.cancel_called());
            pass(60).await;
            (before, (s.is_cancelled(), inner.is_cancelled(), s.cancel_called(), inner.cancel_called()))
        })
        .unwrap()
    });
    assert_eq!(seen.unwrap(), ((false, false, false), (true, true, true, false)));
}

#[tokio::test(start_paused = true)]
async fn l5_a_suspension_compares_with_the_clock() {
    let log = Log::new();
    let cut = scope!(timeout = 50ms, {
        let _end = log.guard("body gone");
        pass(60).await;
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["60 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l5_the_boundary_compares_with_the_clock() {
    // An own cancel becomes a foreign one by the time that passes in the cleanup, without any timer.
    let log = Log::new();
    let outer = scope!(timeout = 50ms, {
        let _ = scope!(|inner| {
            let cleanup = log.clone();
            defer(async move {
                pass(60).await;
                cleanup.say("cleanup done");
            });
            inner.cancel();
            sleep(1).await;
        });
        log.say("not reached");
    });
    log.say("left");
    assert!(outer.is_err());
    log.expect(&["60 cleanup done", "60 left"]);
}

#[tokio::test(start_paused = true)]
async fn l5_a_deadline_that_passed_unseen_before_the_scope_was_left_counts_as_a_cancel_of_it() {
    let mut handle = None;
    let value = scope!(timeout = 50ms, |s| {
        handle = Some(s.handle());
        pass(60).await;
        7
    });
    assert_eq!(value.unwrap(), 7, "nothing was unwound by it");
    assert!(handle.unwrap().cancel_called());
}

#[tokio::test(start_paused = true)]
async fn l5_a_cancel_compares_with_the_clock_first() {
    let cut = scope!(timeout = 50ms, |s| {
        pass(60).await;
        s.cancel();
        sleep(1).await;
    });
    assert!(cut.unwrap_err().is_timeout());
}

/// Runs a body in a runtime without timers and says what was reached before one was asked for.
fn reached_without_timers<F>(log: &Log, body: F) -> Vec<String>
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ended = catch_unwind(AssertUnwindSafe(|| runtime.block_on(body)));
    assert!(ended.is_err(), "somebody asks for a timer");
    log.take()
}

/// Polls the future, and says that the poll came back.
async fn polled<F: Future>(log: &Log, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = Pin::new(&mut future).poll(cx);
        log.say("polled");
        polled
    })
    .await
}

#[test]
fn l5_an_inner_deadline_behind_the_outer_one_costs_no_timer() {
    let log = Log::new();
    let reached = reached_without_timers(&log, async {
        let _ = scope!(timeout = 1m, {
            polled(&log, async {
                let _ = scope!(timeout = 2m, { pending::<()>().await });
            })
            .await;
        });
    });
    assert_eq!(reached, ["0 polled"], "only the outer scope asked for a timer");
}

#[test]
fn l5_an_inner_deadline_before_the_outer_one_needs_a_timer() {
    let log = Log::new();
    let reached = reached_without_timers(&log, async {
        let _ = scope!(timeout = 2m, {
            polled(&log, async {
                let _ = scope!(timeout = 1m, { pending::<()>().await });
            })
            .await;
        });
    });
    assert_eq!(reached, [""; 0]);
}

#[test]
fn l5_an_inner_deadline_that_is_polled_with_another_waker_needs_a_timer() {
    let log = Log::new();
    let reached = reached_without_timers(&log, async {
        let _ = scope!(timeout = 1m, {
            polled(&log, async {
                let mut branches = FuturesUnordered::new();
                branches.push(async {
                    let _ = scope!(timeout = 2m, { pending::<()>().await });
                });
                branches.next().await;
            })
            .await;
        });
    });
    assert_eq!(reached, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn l5_deadlines_hold_for_scopes_that_were_moved_below_a_later_one() {
    // The inner scope had no timer as long as it was polled below an earlier deadline.
    let log = Log::new();
    let inside = log.clone();
    let mut moved = Box::pin(async move {
        let cut = scope!(timeout = 50ms, {
            let _end = inside.guard("moved gone");
            pending::<()>().await;
        });
        cut.is_err()
    });
    assert_eq!(scope!(timeout = 20ms, { poll_once(&mut moved).await }).unwrap(), Poll::Pending);
    assert!(scope!(timeout = 100ms, { moved.await }).unwrap());
    log.expect(&["50 moved gone"]);
}

#[tokio::test(start_paused = true)]
async fn l5_a_deadline_wakes_the_task_that_a_scope_was_moved_to() {
    let log = Log::new();
    let inside = log.clone();
    let mut moved = Box::pin(async move {
        let cut = scope!(timeout = 50ms, {
            let _end = inside.guard("moved gone");
            pending::<()>().await;
        });
        cut.is_err()
    });
    assert!(poll_once(&mut moved).await.is_pending());
    assert!(outside(moved).await.unwrap());
    log.expect(&["50 moved gone"]);
}

#[tokio::test(start_paused = true)]
async fn l5_a_scope_that_outlives_the_one_that_it_was_polled_in_is_cut_in_time() {
    // Whoever polled it last is woken, though the timer was kept by a scope that is gone.
    let log = Log::new();
    let waits = RefCell::new(None::<Pin<Box<dyn Future<Output = ()>>>>);
    let last = poll_fn(|cx| match waits.borrow_mut().as_mut() {
        None => Poll::Pending,
        Some(scope) => Pin::new(scope).poll(cx),
    });
    let first = async {
        let mut inner = Box::pin(async {
            let cut = scope!(timeout = 50ms, {
                let _end = log.guard("body gone");
                pending::<()>().await;
            });
            assert!(cut.is_err());
        });
        let _ = scope!({
            assert!(poll_once(&mut inner).await.is_pending());
        });
        *waits.borrow_mut() = Some(inner);
    };
    // In this order: the one that has the scope in the end was polled before it had it.
    tokio::join!(biased; last, first, sleep(100));
    log.expect(&["50 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn l5_scopes_one_after_the_other_are_each_cut_at_their_own_deadline() {
    // They use one timer, which stays set when the scope that it was set for is left.
    let log = Log::new();
    let _ = scope!({
        for (timeout, done) in [(50, 10), (100, 60), (20, 30), (40, 50), (300, 0), (1, 2)] {
            let ended = move_on_after(ms(timeout), sleep(done)).await;
            log.say(if ended.is_some() { "done" } else { "cut" });
        }
    });
    log.expect(&["10 done", "70 done", "90 cut", "130 cut", "130 done", "131 cut"]);
}

#[tokio::test(start_paused = true)]
async fn l5_a_timer_that_was_set_for_a_scope_that_is_gone_wakes_once() {
    let mut polls = 0;
    let _ = scope!({
        scope!(timeout = 50ms, { sleep(10).await }).unwrap();
        let mut rest = pin!(sleep(200));
        poll_fn(|cx| {
            polls += 1;
            rest.as_mut().poll(cx)
        })
        .await;
    });
    assert_eq!(polls, 3, "at first, when the timer fires, and at the end");
}

/// Time stands still while the body is polled, so this is the moment itself.
#[tokio::test(start_paused = true)]
async fn l5_a_deadline_has_passed_at_its_very_moment() {
    let kept = scope!(timeout = 10ms, {
        pass(9).await;
        assert!(check().is_ok() && !is_cancelled());
        pass(1).await;
        assert!(check().is_err() && is_cancelled());
    });
    kept.unwrap();
    // With a handle others could ask, too.
    let kept = scope!(timeout = 10ms, |s| {
        pass(10).await;
        assert!(s.is_cancelled() && check().is_err());
    });
    kept.unwrap();
}

/// The body has come to a stop for no other reason, so the boundary finds the budget empty when it sets its timer.
#[tokio::test(start_paused = true)]
async fn l5_a_deadline_fires_though_the_body_uses_up_the_budget_of_its_task() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..1_000 {
        tx.send(()).unwrap();
    }
    let body = async { scope!(timeout = 10ms, { while rx.recv().await.is_some() {} }) };
    let cut = tokio::time::timeout(ms(50), body).await;
    assert!(cut.expect("the deadline was missed").unwrap_err().is_timeout());
}

/// The timer is late, since the body keeps the thread.
#[tokio::test(start_paused = true)]
async fn g1_the_grace_of_a_deadline_counts_from_the_deadline() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, grace = 20ms, {
        let _end = log.guard("body gone");
        pass(15).await;
        sleep(100).await;
    });
    assert!(cut.is_err());
    log.expect(&["30 body gone"]);
}

// --- L6 ----------------------------------------------------------------------------------------------------

/// A cleanup that takes 40 ms.
fn slow_cleanup(log: &Log) {
    let log = log.clone();
    defer(async move {
        sleep(40).await;
        log.say("cleanup done");
    });
}

#[tokio::test(start_paused = true)]
async fn l6_a_scope_that_was_cancelled_reports_no_deadline_that_passed_later() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, |s| {
        slow_cleanup(&log);
        sleep(10).await;
        s.cancel_with("enough");
        sleep(1).await;
    });
    let cancelled = cut.unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Explicit { .. }), "{cancelled}");
    assert!(!cancelled.is_timeout());
    log.expect(&["50 cleanup done"]);
}

#[tokio::test(start_paused = true)]
async fn l6_a_scope_whose_deadline_passed_reports_no_later_cancel() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, |s| {
        let handle = s.handle();
        outside(async move {
            sleep(30).await;
            assert!(handle.cancel_with("too late"));
        });
        slow_cleanup(&log);
        pending::<()>().await;
    });
    assert_eq!(after(&cut.unwrap_err()), Some(ms(20)));
    log.expect(&["60 cleanup done"]);
}

#[tokio::test(start_paused = true)]
async fn l6_a_cancel_behind_a_deadline_that_passed_unseen_is_not_the_first_cause() {
    let cut = scope!(timeout = 20ms, |s| {
        shield!({ sleep(30).await });
        s.cancel_with("too late");
        sleep(1).await;
    });
    assert_eq!(after(&cut.unwrap_err()), Some(ms(20)));
}

#[tokio::test(start_paused = true)]
async fn l6_a_cancel_before_a_deadline_that_passes_unseen_is_the_first_cause() {
    let cut = scope!(timeout = 20ms, |s| {
        s.cancel_with("in time");
        shield!({ sleep(30).await });
        sleep(1).await;
    });
    assert!(cut.unwrap_err().to_string().contains("in time"));
}

#[tokio::test(start_paused = true)]
async fn l6_the_first_reason_is_kept() {
    let cut = scope!(|s| {
        assert!(s.cancel_with("first"));
        assert!(s.cancel_with("second"));
        sleep(1).await;
    });
    let text = cut.unwrap_err().to_string();
    assert!(text.contains("first") && !text.contains("second"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn l6_a_failure_before_the_deadline_stays_the_cause_for_the_other_children() {
    async fn fails(log: &Log) -> Result<(), String> {
        let seen = log.clone();
        scope!(timeout = 20ms, {
            spawn!(async move {
                shield!({ sleep(40).await });
                seen.say(check().unwrap_err().root_cause());
            });
            spawn!(name = "culprit", async { Err::<(), _>("broken".to_owned()) });
            sleep(100).await;
        })
        .map_err(|cancelled| cancelled.to_string())
    }
    let log = Log::new();
    assert_eq!(fails(&log).await.unwrap_err(), "broken");
    log.expect(&["40 culprit failed: broken"]);
}

#[tokio::test(start_paused = true)]
async fn l6_a_failure_behind_the_deadline_leaves_and_the_deadline_stays_the_cause() {
    async fn fails(log: &Log) -> Result<(), String> {
        let seen = log.clone();
        scope!(timeout = 20ms, {
            spawn!(async move {
                shield!({ sleep(40).await });
                seen.say(check().unwrap_err().root_cause());
            });
            spawn!(async {
                shield!({ sleep(30).await });
                Err::<(), _>("broken".to_owned())
            });
            sleep(100).await;
        })
        .map_err(|cancelled| cancelled.to_string())
    }
    let log = Log::new();
    assert_eq!(fails(&log).await.unwrap_err(), "broken");
    log.expect(&["40 deadline of 20ms passed"]);
}
