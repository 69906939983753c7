//! Shields (rules S1 and S2, with T4), and what waiting for one costs.

use std::future::{Future, pending};
use std::pin::Pin;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use scope_runtime::{
    Cancelled, ScopeHandle, check, checkpoint, current, is_cancelled, remaining, scope, shield, spawn,
};
use scope_tests::probe::{Log, Polls, ms, on_a_thread, outside, sleep};

/// Turns a shield on and off from outside of every scope, at the given times.
fn turn(handle: ScopeHandle, log: &Log, turns: &'static [(u64, bool)]) {
    let log = log.clone();
    drop(outside(async move {
        for &(at, on) in turns {
            tokio::time::sleep_until(log.at(at)).await;
            log.say(if on { "shield on" } else { "shield off" });
            handle.set_shield(on);
        }
    }));
}

// --- S1 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn s1_a_shielded_scope_does_not_see_an_outer_cancel() {
    let log = Log::new();
    let outer = scope!(|outer| {
        let _end = log.guard("outer gone");
        let inner = scope!(shield, {
            outer.cancel();
            sleep(30).await;
            log.say("inner slept");
            assert!(!is_cancelled() && check().is_ok());
            checkpoint().await.unwrap();
            7
        });
        assert_eq!(inner.unwrap(), 7);
        log.say("behind the shield");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["30 inner slept", "30 behind the shield", "30 outer gone"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_shielded_scope_does_not_see_an_outer_deadline() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let inner = scope!(shield, {
            assert_eq!(remaining(), None);
            sleep(30).await;
            7
        });
        assert_eq!(inner.unwrap(), 7);
        log.say("behind the shield");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["30 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_shield_block_holds_the_same_way() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let value = shield!({
            sleep(30).await;
            7
        });
        log.say(format_args!("behind the shield: {value}"));
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["30 behind the shield: 7"]);
}

#[tokio::test(start_paused = true)]
async fn s1_all_below_a_shield_do_not_see_the_outer_cancel() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let value = shield!({
            scope!({
                scope!({
                    sleep(30).await;
                    is_cancelled()
                })
                .unwrap()
            })
            .unwrap()
        });
        log.say(format_args!("cancelled inside: {value}"));
    });
    assert!(outer.is_ok());
    log.expect(&["30 cancelled inside: false"]);
}

#[tokio::test(start_paused = true)]
async fn s1_children_of_a_shielded_scope_do_not_see_the_outer_cancel() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let inner = scope!(shield, {
            let child = log.clone();
            spawn!(async move {
                assert_eq!(remaining(), None);
                sleep(30).await;
                assert!(check().is_ok());
                child.say("child done");
            });
        });
        assert!(inner.is_ok());
        log.say("behind the shield");
    });
    assert!(outer.is_ok());
    log.expect(&["30 child done", "30 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn s1_children_spawned_in_a_shield_block_do_not_see_the_outer_cancel() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        shield!({
            let child = log.clone();
            spawn!(async move {
                sleep(30).await;
                child.say("child done");
            });
        });
        log.say("behind the shield");
    });
    assert!(outer.is_ok());
    log.expect(&["30 child done", "30 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_child_outside_of_the_shield_sees_the_cancel_meanwhile() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let child = log.clone();
        spawn!(async move {
            let _end = child.guard("child gone");
            pending::<()>().await;
        });
        shield!({ sleep(30).await });
        log.say("behind the shield");
    });
    assert!(outer.is_err(), "its child was cut");
    log.expect(&["10 child gone", "30 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_shield_in_a_child_task_hides_the_cancel_of_its_scope() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let child = log.clone();
        spawn!(async move {
            shield!({ sleep(30).await });
            child.say("behind the shield");
            sleep(1).await;
            child.say("not reached");
        });
    });
    log.say("left");
    assert!(outer.is_err());
    log.expect(&["30 behind the shield", "30 left"]);
}

#[tokio::test(start_paused = true)]
async fn s1_the_own_cancel_of_a_shielded_scope_still_works() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let inner = scope!(shield, name = "inner", |inner| {
            let handle = inner.handle();
            outside(async move {
                sleep(20).await;
                handle.cancel();
            });
            let _end = log.guard("inner gone");
            sleep(100).await;
        });
        assert_eq!(inner.unwrap_err().scope_name(), "inner");
        log.say("behind the shield");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["20 inner gone", "20 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn s1_the_own_deadline_of_a_shielded_scope_still_works() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let inner = scope!(shield, timeout = 20ms, name = "inner", {
            assert_eq!(remaining(), Some(ms(20)));
            let _end = log.guard("inner gone");
            sleep(100).await;
        });
        assert!(inner.unwrap_err().is_timeout());
        log.say("behind the shield");
    });
    assert!(outer.is_ok(), "it was left before its next suspension");
    log.expect(&["20 inner gone", "20 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_scope_inside_a_shield_still_has_its_own_timeout() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        shield!({
            let inner = scope!(timeout = 20ms, { sleep(100).await });
            assert!(inner.unwrap_err().is_timeout());
            log.say("inner left");
            sleep(20).await;
            log.say("shield done");
        });
    });
    assert!(outer.is_ok());
    log.expect(&["20 inner left", "40 shield done"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_shield_block_opens_no_cancel_switch() {
    let log = Log::new();
    let outer = scope!(name = "outer", {
        shield!({
            let handle = current();
            assert_eq!(handle.name(), "outer");
            handle.cancel();
            assert!(handle.is_cancelled());
            assert!(!is_cancelled(), "the shield hides it");
            sleep(30).await;
            log.say("shield done");
        });
        sleep(1).await;
        log.say("not reached");
    });
    assert_eq!(outer.unwrap_err().scope_name(), "outer");
    log.expect(&["30 shield done"]);
}

#[tokio::test(start_paused = true)]
async fn s1_nested_shields_hold_each_for_itself() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        shield!({
            shield!({ sleep(20).await });
            log.say("behind the inner shield");
            sleep(20).await;
            log.say("still shielded");
        });
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["20 behind the inner shield", "40 still shielded"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_shield_outside_of_every_scope_is_just_a_block() {
    let log = Log::new();
    let value = shield!({
        sleep(10).await;
        7
    });
    assert_eq!(value, 7);
    log.say("done");
    log.expect(&["10 done"]);
}

#[tokio::test(start_paused = true)]
async fn s1_control_flow_crosses_a_shield() {
    async fn first_even(log: &Log, from: u64) -> Result<u64, String> {
        for n in from.. {
            shield!({
                sleep(10).await;
                log.say(n);
                if n == 5 {
                    Err(format!("{n} is too much"))?;
                }
                if n % 2 == 1 {
                    continue;
                }
                if n == 8 {
                    break;
                }
                return Ok(n);
            });
        }
        Ok(0)
    }
    let log = Log::new();
    assert_eq!(first_even(&log, 1).await, Ok(2));
    assert_eq!(first_even(&log, 5).await, Err("5 is too much".to_owned()));
    assert_eq!(first_even(&log, 7).await, Ok(0));
    log.expect(&["10 1", "20 2", "30 5", "40 7", "50 8"]);
}

#[tokio::test(start_paused = true)]
async fn s1_an_error_leaves_a_shield_under_a_cancelled_scope() {
    async fn saves() -> Result<(), String> {
        shield!({
            sleep(30).await;
            Err("disk full".to_owned())?;
        });
        Ok(())
    }
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        log.say(saves().await.unwrap_err());
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["30 disk full"]);
}

#[tokio::test(start_paused = true)]
async fn s1_a_failed_child_of_a_shield_leaves_the_function() {
    async fn saves() -> Result<(), String> {
        shield!({
            spawn!(async { Err::<(), _>("disk full".to_owned()) });
            pending::<()>().await;
        });
        Ok(())
    }
    assert_eq!(saves().await, Err("disk full".to_owned()));
}

// --- S2 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn s2_the_code_behind_a_shield_runs_on_to_its_next_suspension() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let _end = log.guard("outer gone");
        let _ = scope!(shield, { sleep(30).await });
        log.say("behind the shield");
        assert!(is_cancelled());
        std::future::ready(()).await;
        log.say("behind an await that does not suspend");
        tokio::task::yield_now().await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["30 behind the shield", "30 behind an await that does not suspend", "30 outer gone"]);
}

#[tokio::test(start_paused = true)]
async fn s2_a_body_that_ends_behind_its_shield_keeps_its_value() {
    let outer = scope!(timeout = 10ms, {
        shield!({
            sleep(30).await;
            7
        })
    });
    assert_eq!(outer.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn s2_the_next_shield_holds_again() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        shield!({ sleep(30).await });
        log.say("behind the first shield");
        shield!({ sleep(30).await });
        log.say("behind the second shield");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["30 behind the first shield", "60 behind the second shield"]);
}

// --- set_shield --------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn t4_a_scope_can_be_shielded_from_outside_before_the_cancel() {
    let log = Log::new();
    let outer = scope!(timeout = 20ms, {
        let inner = scope!(|inner| {
            turn(inner.handle(), &log, &[(10, true)]);
            sleep(50).await;
            7
        });
        log.say(format_args!("inner: {}", inner.unwrap()));
    });
    assert!(outer.is_ok());
    log.expect(&["10 shield on", "50 inner: 7"]);
}

#[tokio::test(start_paused = true)]
async fn t4_a_shield_that_was_turned_off_hides_nothing_later() {
    let log = Log::new();
    let outer = scope!(timeout = 20ms, {
        let _ = scope!(shield, |inner| {
            turn(inner.handle(), &log, &[(10, false)]);
            let _end = log.guard("inner gone");
            sleep(50).await;
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["10 shield off", "20 inner gone"]);
}

#[tokio::test(start_paused = true)]
async fn t4_a_shield_that_is_off_only_while_nothing_is_cancelled_costs_nothing() {
    let log = Log::new();
    let outer = scope!(timeout = 30ms, {
        let inner = scope!(shield, |inner| {
            turn(inner.handle(), &log, &[(10, false), (20, true)]);
            sleep(50).await;
            7
        });
        log.say(format_args!("inner: {}", inner.unwrap()));
    });
    assert!(outer.is_ok());
    log.expect(&["10 shield off", "20 shield on", "50 inner: 7"]);
}

#[tokio::test(start_paused = true)]
async fn t4_turning_a_shield_off_is_seen_at_once_by_all_below() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, |_outer| {
        let _ = scope!(shield, |inner| {
            turn(inner.handle(), &log, &[(20, false)]);
            let child = log.clone();
            spawn!(async move {
                let _ = scope!({
                    let _end = child.guard("scope in the child gone");
                    pending::<()>().await;
                });
            });
            let _ = scope!({
                let _end = log.guard("innermost gone");
                pending::<()>().await;
            });
        });
        log.say("not reached");
    });
    log.say("left");
    assert!(outer.is_err());
    assert_eq!(log.entries()[0], "20 shield off");
    log.expect_unordered(&["20 shield off", "20 innermost gone", "20 scope in the child gone", "20 left"]);
}

#[tokio::test(start_paused = true)]
async fn t4_turning_an_outer_shield_off_leaves_an_inner_one() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let _ = scope!(shield, |middle| {
            turn(middle.handle(), &log, &[(20, false)]);
            shield!({ sleep(30).await });
            log.say("behind the inner shield");
            sleep(1).await;
            log.say("not reached");
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["20 shield off", "30 behind the inner shield"]);
}

#[tokio::test(start_paused = true)]
async fn t4_a_shield_can_be_turned_off_from_another_thread() {
    let log = Log::new();
    let outer = scope!(|outer| {
        let _ = scope!(shield, |inner| {
            outer.cancel();
            let handle = inner.handle();
            on_a_thread(move || handle.set_shield(false));
            assert!(is_cancelled());
            sleep(1).await;
            log.say("not reached");
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn t4_the_shield_option_takes_an_expression() {
    async fn guarded(on: bool) -> Result<u8, Cancelled> {
        scope!(timeout = 10ms, {
            scope!(shield = on, {
                sleep(30).await;
                7
            })
            .unwrap()
        })
    }
    assert_eq!(guarded(true).await.unwrap(), 7);
    assert!(guarded(false).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn t4_what_was_cut_is_seen_by_asking_though_a_shield_went_up() {
    let log = Log::new();
    let child = log.clone();
    let outer = scope!(timeout = 10ms, {
        let _ = scope!(name = "inner", |inner| {
            let handle = inner.handle();
            drop(outside(async move {
                sleep(15).await;
                handle.set_shield(true);
            }));
            spawn!(async move {
                shield!({ sleep(20).await });
                assert!(is_cancelled() && check().is_err());
                child.say("asked");
            });
            pending::<()>().await;
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["20 asked"]);
}

// --- what waiting costs ------------------------------------------------------------------------------------

/// At the start, at the deadline, once more for the request that it is, and at the end; and seldom a look whether
/// the shield is still polled (rule U1a).
const A_FEW: usize = 8;

/// Runs `body` in a scope that is cancelled after 10 ms, and says how often it was polled.
async fn polls_of(body: impl Future<Output = ()>) -> usize {
    let polls = Polls::new();
    let outer = scope!(timeout = 10ms, {
        polls.of(body).await;
        sleep(1).await;
    });
    assert!(outer.is_err());
    polls.count()
}

#[tokio::test(start_paused = true)]
async fn h16_waiting_for_a_shield_polls_only_when_something_happened() {
    let log = Log::new();
    let polls = polls_of(async { shield!({ sleep(60_000).await }) }).await;
    log.say("left");
    assert!(polls <= A_FEW, "{polls} polls");
    log.expect(&["60000 left"]);
}

#[tokio::test(start_paused = true)]
async fn h16_waiting_for_a_shielded_child_task_polls_only_when_something_happened() {
    let log = Log::new();
    let polls = Polls::new();
    let outer = polls
        .of(async {
            scope!(timeout = 10ms, {
                spawn!(async { shield!({ sleep(60_000).await }) });
                pending::<()>().await;
            })
        })
        .await;
    assert!(outer.is_err());
    log.say("left");
    assert!(polls.count() <= A_FEW, "{} polls", polls.count());
    log.expect(&["60000 left"]);
}

#[tokio::test(start_paused = true)]
async fn h16_waiting_for_a_shielded_child_of_an_inner_scope_polls_only_when_something_happened() {
    let log = Log::new();
    let polls = polls_of(async {
        let _ = scope!({
            spawn!(async { shield!({ sleep(60_000).await }) });
            pending::<()>().await;
        });
    })
    .await;
    log.say("left");
    assert!(polls <= A_FEW, "{polls} polls");
    log.expect(&["60000 left"]);
}

#[tokio::test(start_paused = true)]
async fn h16_a_cancel_does_not_wake_a_task_that_is_shielded_from_it() {
    let polls = Polls::new();
    let outer = scope!(|outer| {
        let inner = scope!(shield, {
            let child = polls.of(sleep(50));
            spawn!(child);
            sleep(10).await;
            outer.cancel();
        });
        assert!(inner.is_ok());
    });
    assert!(outer.is_ok());
    assert_eq!(polls.count(), 2, "at its start and at its end");
}

/// In a sub-executor a scope must be looked for now and then, in case that nobody polls it any more (rule U1a):
/// at most so often in a minute.
const LOOKS: usize = 64;

#[tokio::test(start_paused = true)]
async fn h16_waiting_for_a_shield_in_a_sub_executor_is_no_busy_polling() {
    let log = Log::new();
    let polls = polls_of(async {
        let mut branches = FuturesUnordered::new();
        branches.push(async { shield!({ sleep(60_000).await }) });
        while branches.next().await.is_some() {}
    })
    .await;
    log.say("left");
    assert!(polls <= LOOKS, "{polls} polls");
    log.expect(&["60000 left"]);
}

#[tokio::test(start_paused = true)]
async fn h16_waiting_for_a_shielded_child_in_a_sub_executor_is_no_busy_polling() {
    let log = Log::new();
    let polls = polls_of(async {
        let mut branches = FuturesUnordered::new();
        branches.push(async {
            let _ = scope!({
                spawn!(async { shield!({ sleep(60_000).await }) });
                pending::<()>().await;
            });
        });
        while branches.next().await.is_some() {}
    })
    .await;
    log.say("left");
    assert!(polls <= LOOKS, "{polls} polls");
    log.expect(&["60000 left"]);
}

#[tokio::test(start_paused = true)]
async fn h16_waiting_for_many_shields_in_nested_sub_executors_is_no_busy_polling() {
    type Branch<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

    let log = Log::new();
    let polls = polls_of(async {
        let outer: FuturesUnordered<Branch<'_>> = FuturesUnordered::new();
        for n in 1..=3 {
            outer.push(Box::pin(async move {
                let inner: FuturesUnordered<Branch<'_>> = FuturesUnordered::new();
                for m in 1..=3 {
                    inner.push(Box::pin(async move { shield!({ sleep(n * m * 1000).await }) }));
                }
                inner.collect::<Vec<_>>().await;
            }));
        }
        outer.collect::<Vec<_>>().await;
    })
    .await;
    log.say("left");
    assert!(polls <= 4 * LOOKS, "{polls} polls");
    log.expect(&["9000 left"]);
}

#[tokio::test(start_paused = true)]
async fn h16_waiting_for_shields_in_join_all_is_no_busy_polling() {
    let log = Log::new();
    let polls = polls_of(async {
        // So many that it runs them in a sub-executor.
        join_all((0..40).map(|_| async { shield!({ sleep(60_000).await }) })).await;
    })
    .await;
    log.say("left");
    assert!(polls <= LOOKS, "{polls} polls");
    log.expect(&["60000 left"]);
}

#[tokio::test(start_paused = true)]
async fn h16_a_busy_sibling_branch_makes_no_busy_polling_of_a_shield() {
    let log = Log::new();
    let shielded = Polls::new();
    let outer = scope!(timeout = 10ms, {
        let mut branches: FuturesUnordered<Pin<Box<dyn Future<Output = ()> + '_>>> = FuturesUnordered::new();
        branches.push(Box::pin(shielded.of(async { shield!({ sleep(1000).await }) })));
        branches.push(Box::pin(async {
            loop {
                sleep(1).await;
            }
        }));
        while branches.next().await.is_some() {}
    });
    assert!(outer.is_err());
    log.say("left");
    assert!(shielded.count() <= LOOKS, "{} polls", shielded.count());
    log.expect(&["1000 left"]);
}

// --- forgotten shields -------------------------------------------------------------------------------------

/// Runs a future for at most a minute, so that a scope that is never left fails the test and doesn't hang it.
async fn within_a_minute(future: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(ms(60_000), future).await;
    assert!(ended.is_ok(), "the scope was never left");
}

#[tokio::test(start_paused = true)]
async fn u1a_a_shield_that_is_forgotten_in_the_pass_that_reached_it_last_is_given_up() {
    let log = Log::new();
    within_a_minute(async {
        let outer = scope!(timeout = 10ms, {
            let _end = log.guard("outer gone");
            let mut forgotten = Box::pin(async { shield!({ pending::<()>().await }) });
            tokio::select! {
                biased;
                () = &mut forgotten => unreachable!("it never ends"),
                () = sleep(20) => log.say("moved on"),
            }
            pending::<()>().await;
        });
        assert!(outer.unwrap_err().is_timeout());
    })
    .await;
    assert_eq!(log.entries()[0], "20 moved on");
    assert!(log.entries()[1].ends_with(" outer gone"));
    assert!((5_010..=10_020).contains(&log.ms()), "looked for within 5 s, given up 5 s later: {}", log.ms());
}

#[tokio::test(start_paused = true)]
async fn u1a_a_shield_that_is_put_aside_in_the_pass_that_reached_it_last_is_given_up() {
    let log = Log::new();
    let mut aside = Vec::new();
    within_a_minute(async {
        let outer = scope!(timeout = 10ms, {
            let mut forgotten = Box::pin(async { shield!({ pending::<()>().await }) });
            tokio::select! {
                biased;
                () = &mut forgotten => unreachable!("it never ends"),
                () = sleep(20) => log.say("put aside"),
            }
            aside.push(forgotten);
            pending::<()>().await;
        });
        assert!(outer.unwrap_err().is_timeout());
    })
    .await;
    log.expect(&["20 put aside"]);
    assert!((5_010..=10_020).contains(&log.ms()), "looked for within 5 s, given up 5 s later: {}", log.ms());
    assert_eq!(aside.len(), 1, "it is not the scope's to drop");
}

#[tokio::test(start_paused = true)]
async fn u1a_a_shield_that_is_polled_is_held_for_as_long_as_it_takes() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let mut polled = Box::pin(async { shield!({ sleep(3_600_000).await }) });
        tokio::select! {
            biased;
            () = &mut polled => unreachable!("it takes longer"),
            () = sleep(20) => log.say("moved on"),
        }
        polled.await;
        log.say("shield done");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["20 moved on", "3600000 shield done"]);
}
