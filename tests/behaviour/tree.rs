//! The tree of scopes, and which cancels are visible where (rules T1 to T6).

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::Poll;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use scope_runtime::{
    Cancelled, Cause, InScope, Spawner, cancel_scope, check, current, defer, detach, effective_deadline,
    fork, is_cancelled, race, remaining, scope, shield, spawn, try_current,
};
use scope_tests::probe::{Log, ms, on_a_thread, outside, poll_once, sleep};
use tokio::sync::oneshot;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Sleeps in a scope of its own for `n` ms, and says when it is done or dropped.
async fn works_in_a_scope(log: Log, n: u64) -> Result<(), Cancelled> {
    scope!(name = "inner", {
        let _end = log.guard("inner body gone");
        sleep(n).await;
        log.say("inner done");
    })
}

/// Stays shielded for `n` ms.
async fn works_shielded(log: Log, n: u64) {
    shield!({
        let _end = log.guard("shield gone");
        sleep(n).await;
        log.say("shield done");
    });
}

// --- T1 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn t1_a_scope_of_a_called_function_is_in_the_callers_scope() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, name = "outer", {
        let _end = log.guard("outer body gone");
        let _ = works_in_a_scope(log.clone(), 100).await;
        log.say("not reached");
    });
    log.say("left");
    assert_eq!(outer.unwrap_err().scope_name(), "outer");
    log.expect(&["10 inner body gone", "10 outer body gone", "10 left"]);
}

#[tokio::test(start_paused = true)]
async fn t1_a_moved_future_is_no_longer_in_the_scope_that_polled_it_before() {
    let log = Log::new();
    let mut moved = Box::pin(works_in_a_scope(log.clone(), 100));
    let first = scope!(timeout = 10ms, name = "first", {
        assert!(poll_once(&mut moved).await.is_pending());
        sleep(20).await;
    });
    log.say("first left");
    assert!(first.is_err());
    assert!(moved.await.is_ok(), "polled outside every scope");
    log.expect(&["10 first left", "100 inner done", "100 inner body gone"]);
}

#[tokio::test(start_paused = true)]
async fn t1_a_moved_future_is_in_the_scope_that_polls_it() {
    let log = Log::new();
    let mut moved = Box::pin(works_in_a_scope(log.clone(), 100));
    let first = scope!(name = "first", { poll_once(&mut moved).await });
    assert!(first.unwrap().is_pending());
    let second = scope!(timeout = 30ms, name = "second", {
        let _ = moved.as_mut().await;
        log.say("not reached");
    });
    assert_eq!(second.unwrap_err().scope_name(), "second");
    log.expect(&["30 inner body gone"]);
}

#[tokio::test(start_paused = true)]
async fn t1_the_parent_is_read_again_at_every_poll() {
    let mut moved = Box::pin(async {
        let mut seen = Vec::new();
        scope!(name = "moved", {
            for _ in 0..3 {
                seen.push(remaining().map(|left| left.as_millis()));
                tokio::task::yield_now().await;
            }
        })
        .unwrap();
        seen
    });
    assert!(scope!(timeout = 40ms, { poll_once(&mut moved).await }).unwrap().is_pending());
    assert!(poll_once(&mut moved).await.is_pending());
    assert!(scope!(timeout = 70ms, { poll_once(&mut moved).await }).unwrap().is_pending());
    assert_eq!(moved.await, [Some(40), None, Some(70)]);
}

#[tokio::test(start_paused = true)]
async fn t1_what_a_moved_future_owes_holds_the_scope_that_polls_it_now() {
    let log = Log::new();
    let mut moved = Box::pin(works_shielded(log.clone(), 100));
    assert!(scope!({ poll_once(&mut moved).await }).unwrap().is_pending());
    log.say("first left");
    let second = scope!(timeout = 30ms, {
        let _end = log.guard("second body gone");
        moved.await;
        log.say("behind the shield");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(second.is_err());
    log.expect(&[
        "0 first left",
        "100 shield done",
        "100 shield gone",
        "100 behind the shield",
        "100 second body gone",
    ]);
}

#[tokio::test(start_paused = true)]
async fn t1_what_a_moved_future_owes_no_longer_holds_the_scope_that_polled_it_before() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel();
    let first = async {
        let first = scope!(timeout = 10ms, {
            let _end = log.guard("first body gone");
            let mut moved: Boxed<()> = Box::pin(works_shielded(log.clone(), 100));
            assert!(poll_once(&mut moved).await.is_pending());
            assert!(tx.send(moved).is_ok());
            sleep(50).await;
        });
        assert!(first.is_err());
    };
    let second = async { scope!({ rx.await.unwrap().await }).unwrap() };
    tokio::join!(first, second);
    log.expect(&["10 first body gone", "100 shield done", "100 shield gone"]);
}

#[tokio::test(start_paused = true)]
async fn t1_a_cancelled_scope_is_woken_when_another_task_takes_over_what_held_it() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<Boxed<()>>();
    let takes_over = outside(async move {
        let moved = rx.await.unwrap();
        sleep(5).await;
        moved.await;
    });
    let moved: Boxed<()> = Box::pin(works_shielded(log.clone(), 100));
    let moved = RefCell::new(Some(moved));
    let first = scope!(timeout = 10ms, {
        let _end = log.guard("first gone");
        tokio::join!(
            std::future::poll_fn(|cx| match &mut *moved.borrow_mut() {
                Some(moved) => moved.as_mut().poll(cx),
                None => Poll::Pending,
            }),
            async {
                sleep(20).await;
                log.say("sent");
                assert!(tx.send(moved.borrow_mut().take().unwrap()).is_ok());
                pending::<()>().await;
            }
        );
    });
    assert!(first.is_err());
    takes_over.await.unwrap();
    log.expect(&["20 sent", "25 first gone", "100 shield done", "100 shield gone"]);
}

#[tokio::test(start_paused = true)]
async fn t1_scopes_in_the_branches_of_a_join_are_siblings() {
    let log = Log::new();
    scope!(name = "outer", {
        let (left, right) = tokio::join!(
            async {
                scope!(timeout = 10ms, name = "left", {
                    let _end = log.guard("left gone");
                    sleep(100).await;
                })
            },
            async {
                scope!(name = "right", {
                    let _end = log.guard("right gone");
                    sleep(20).await;
                    assert!(!is_cancelled());
                    remaining()
                })
            }
        );
        assert_eq!(left.unwrap_err().scope_name(), "left");
        assert_eq!(right.unwrap(), None);
    })
    .unwrap();
    log.expect(&["10 left gone", "20 right gone"]);
}

#[tokio::test(start_paused = true)]
async fn t1_scopes_in_the_branches_of_a_join_have_the_same_parent() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, name = "outer", {
        let _end = log.guard("outer gone");
        let _ = tokio::join!(works_in_a_scope(log.clone(), 100), works_in_a_scope(log.clone(), 100));
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["10 inner body gone", "10 inner body gone", "10 outer gone"]);
}

#[tokio::test(start_paused = true)]
async fn t1_scopes_in_the_branches_of_a_select_are_siblings() {
    let log = Log::new();
    let left = async {
        let cut = scope!(timeout = 10ms, name = "left", { sleep(100).await });
        log.say("left cut");
        assert!(cut.is_err());
        sleep(100).await;
    };
    let right = async {
        scope!(name = "right", {
            sleep(20).await;
            remaining()
        })
    };
    scope!({
        tokio::select! {
            () = left => panic!("right is done first"),
            value = right => assert_eq!(value.unwrap(), None),
        }
        log.say("selected");
    })
    .unwrap();
    log.expect(&["10 left cut", "20 selected"]);
}

#[tokio::test(start_paused = true)]
async fn t1_tasks_of_a_local_set_polled_in_the_body_are_in_the_scope() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, name = "outer", {
        let set = tokio::task::LocalSet::new();
        let local = log.clone();
        set.spawn_local(async move {
            local.say(format_args!("in {}", current().name()));
            let _ = works_in_a_scope(local.clone(), 100).await;
            local.say("not reached");
        });
        set.await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["0 in outer", "10 inner body gone"]);
}

#[test]
fn t1_code_in_a_nested_runtime_polled_in_the_body_is_in_the_scope() {
    let outer = async {
        scope!(name = "outer", {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let log = Log::new();
                let cut = scope!(name = "nested", {
                    let _end = log.guard("nested gone");
                    current().cancel_with("enough");
                    sleep(5).await;
                });
                assert_eq!(cut.unwrap_err().scope_name(), "nested");
                log.expect(&["0 nested gone"]);
                assert_eq!(current().name(), "outer");
                current().cancel();
                assert!(check().is_err());
                "the nested runtime went on"
            })
        })
    };
    let value = outer.now_or_never().expect("the body does not suspend").unwrap();
    assert_eq!(value, "the nested runtime went on");
}

/// Runs a body on a thread of its own, with the handle of a runtime, and gives what it says: it may hang for good.
fn in_time(body: impl FnOnce(&tokio::runtime::Runtime) -> String + Send + 'static) -> String {
    let (tx, rx) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _ = tx.send(body(&runtime));
    });
    rx.recv_timeout(ms(10_000)).expect("it hangs")
}

/// Runs a task on that runtime, since `block_in_place` needs one.
fn in_a_task(task: impl Future<Output = String> + Send + 'static) -> String {
    in_time(move |runtime| runtime.block_on(async { outside(task).await.unwrap() }))
}

/// Waits for ever, two scopes deep, in a nested `block_on`; says what the scope around that is told.
fn waits_in_place() -> String {
    tokio::task::block_in_place(|| {
        tokio::runtime::Handle::current().block_on(async {
            let nested = scope!(name = "nested", {
                let _ = scope!({ pending::<()>().await });
                unreachable!("a foreign cancel is not absorbed");
            });
            nested.unwrap_err().to_string()
        })
    })
}

#[test]
fn t1_a_deadline_around_a_nested_block_on_cuts_the_scopes_in_it() {
    // The outer boundary never comes to the end of its first pass, or of a later one, so it has no timer, or none that
    // reaches in.
    for sleeps_first in [false, true] {
        let told = in_a_task(async move {
            let outer = scope!(timeout = 20ms, name = "outer", {
                if sleeps_first {
                    sleep(1).await;
                }
                waits_in_place()
            });
            outer.unwrap()
        });
        assert!(told.contains("nested") && told.contains("passed its deadline of 20ms"), "{told}");
    }
}

#[test]
fn t1_a_deadline_that_is_moved_around_a_nested_block_on_cuts_the_scopes_in_it() {
    let told = in_a_task(async {
        let outer = scope!(timeout = 1h, name = "outer", |outer| {
            sleep(1).await;
            let handle = outer.handle();
            outside(async move {
                sleep(10).await;
                handle.set_deadline(tokio::time::Instant::now() + ms(10));
            });
            waits_in_place()
        });
        outer.unwrap()
    });
    assert!(told.contains("parent outer") && told.contains("passed its deadline"), "{told}");
}

#[test]
fn t1_a_cancel_around_a_nested_block_on_cuts_the_scopes_in_it() {
    let told = in_a_task(async {
        let outer = scope!(name = "outer", |outer| {
            let handle = outer.handle();
            outside(async move {
                sleep(10).await;
                handle.cancel();
            });
            waits_in_place()
        });
        outer.unwrap()
    });
    assert!(told.contains("parent outer") && told.contains("was cancelled"), "{told}");
}

#[test]
fn t1_g1_the_end_of_a_grace_around_a_nested_block_on_cuts_the_scopes_in_it() {
    let told = in_a_task(async {
        let outer = scope!(timeout = 10ms, grace = 10ms, name = "outer", { waits_in_place() });
        outer.unwrap()
    });
    assert!(told.contains("parent outer") && told.contains("passed its deadline"), "{told}");
}

#[test]
fn t1_a_deadline_around_a_nested_block_on_in_a_fork_and_in_an_arm_cuts_the_scopes_in_it() {
    for in_fork in [false, true] {
        let told = in_a_task(async move {
            let outer = scope!(timeout = 20ms, name = "outer", {
                if in_fork {
                    fork!(async { waits_in_place() }).await.unwrap()
                } else {
                    race!(async { waits_in_place() }, pending())
                }
            });
            outer.unwrap()
        });
        assert!(told.contains("parent outer") && told.contains("passed its deadline of 20ms"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn l5_a_scope_in_a_sub_executor_leaves_the_deadline_to_the_outer_one_that_has_waited() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let mut branches: FuturesUnordered<Boxed<()>> = FuturesUnordered::new();
        for n in 0..3 {
            let log = log.clone();
            branches.push(Box::pin(async move {
                let _ = scope!({
                    let _gone = log.guard(format!("{n} gone"));
                    sleep(5).await;
                    pending::<()>().await;
                });
                log.say("never");
            }));
        }
        branches.next().await;
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect_unordered(&["10 0 gone", "10 1 gone", "10 2 gone"]);
}

#[cancel_scope(name = "annotated")]
async fn name_of_the_current_scope() -> Result<String, Cancelled> {
    Ok(current().name().into_owned())
}

#[tokio::test(start_paused = true)]
async fn t1_an_annotated_function_is_a_scope_of_its_own() {
    let names = scope!(name = "outer", {
        let inner = name_of_the_current_scope().await.unwrap();
        (inner, current().name().into_owned())
    });
    assert_eq!(names.unwrap(), ("annotated".to_owned(), "outer".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn t1_a_future_that_is_made_in_a_scope_and_polled_outside_is_outside() {
    let made = scope!(name = "outer", { async { try_current().is_none() } });
    assert!(made.unwrap().await);
    assert_eq!(poll_once(&mut Box::pin(async { try_current().is_none() })).await, Poll::Ready(true));
}

#[tokio::test(start_paused = true)]
async fn t1_leaving_a_scope_is_no_cancel_for_the_children_of_a_future_that_it_polled_once() {
    let log = Log::new();
    let child = log.clone();
    let mut moved = Box::pin(async move {
        scope!({
            let task = spawn!(async move {
                sleep(50).await;
                child.say("child done");
                7
            });
            task.await.unwrap()
        })
    });
    assert!(scope!({ poll_once(&mut moved).await }).unwrap().is_pending());
    log.say("first left");
    sleep(20).await;
    assert_eq!(moved.await.unwrap(), 7);
    log.expect(&["0 first left", "50 child done"]);
}

#[tokio::test(start_paused = true)]
async fn t1_a_cancel_of_the_scope_that_polled_it_before_does_not_reach_the_children_of_a_moved_future() {
    let log = Log::new();
    let child = log.clone();
    let mut moved = Box::pin(async move {
        scope!({
            let task = spawn!(async move {
                sleep(50).await;
                child.say("child done");
                7
            });
            task.await.unwrap()
        })
    });
    let first = scope!(|s| {
        assert!(poll_once(&mut moved).await.is_pending());
        s.handle()
    });
    assert!(poll_once(&mut moved).await.is_pending(), "polled outside");
    assert!(!first.unwrap().cancel());
    assert_eq!(moved.await.unwrap(), 7);
    log.expect(&["50 child done"]);
}

#[tokio::test(start_paused = true)]
async fn t1_a_hundred_scopes_in_each_other_unwind_from_the_inside() {
    fn nested(log: &Log, level: usize) -> Pin<Box<dyn Future<Output = ()> + '_>> {
        Box::pin(async move {
            let _ = scope!({
                let _end = log.guard(format!("level {level}"));
                if level == 0 { sleep(100).await } else { nested(log, level - 1).await }
            });
            log.say("not reached");
        })
    }
    let log = Log::new();
    let outer = scope!(timeout = 10ms, { nested(&log, 99).await });
    assert!(outer.is_err());
    assert_eq!(log.entries(), (0..100).map(|level| format!("10 level {level}")).collect::<Vec<_>>());
}

// --- T2 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn t2_a_child_takes_the_cancel_of_the_scope_that_it_was_spawned_into() {
    let log = Log::new();
    let outer = scope!(timeout = 50ms, name = "outer", |outer| {
        let inner = scope!(timeout = 10ms, name = "inner", {
            let log = log.clone();
            spawn!(in outer, async move {
                let _end = log.guard("child gone");
                sleep(100).await;
            });
            sleep(100).await;
        });
        log.say("inner left");
        assert!(inner.is_err());
        sleep(100).await;
    });
    assert!(outer.is_err());
    log.expect(&["10 inner left", "50 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn t2_a_child_takes_the_deadline_of_the_scope_that_it_was_spawned_into() {
    scope!(timeout = 500ms, |outer| {
        scope!(timeout = 50ms, |inner| {
            let far = spawn!(in outer, async { remaining() });
            let near = spawn!(in inner, async { remaining() });
            assert_eq!(far.await.unwrap(), Some(ms(500)));
            assert_eq!(near.await.unwrap(), Some(ms(50)));
        })
        .unwrap();
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn t2_a_child_takes_the_shield_of_the_scope_that_it_was_spawned_into() {
    let log = Log::new();
    let (tx, rx) = oneshot::channel::<Spawner<Infallible>>();
    let outer = scope!(timeout = 10ms, name = "outer", |outer| {
        spawn!(in outer, {
            let log = log.clone();
            async move {
                let spawner = rx.await.unwrap();
                let child = log.clone();
                let task = spawner.spawn(async move {
                    let _end = child.guard("child gone");
                    sleep(50).await;
                    child.say("child done");
                });
                drop(task);
                let _end = log.guard("spawner gone");
                sleep(100).await;
            }
        });
        scope!(shield, |inner| {
            assert!(tx.send(inner.spawner()).is_ok());
            sleep(20).await;
        })
        .unwrap();
    });
    log.say("left");
    assert!(outer.is_err(), "one of its children was cut");
    log.expect(&["10 spawner gone", "50 child done", "50 child gone", "50 left"]);
}

#[tokio::test(start_paused = true)]
async fn t2_a_child_does_not_take_the_shield_of_its_spawner() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, |outer| {
        shield!({
            let child = log.clone();
            spawn!(in outer, async move {
                let _end = child.guard("child gone");
                sleep(100).await;
            });
            sleep(30).await;
            log.say("shield done");
        });
        sleep(1).await;
    });
    assert!(outer.is_err());
    log.expect(&["10 child gone", "30 shield done"]);
}

#[tokio::test(start_paused = true)]
async fn t2_a_child_spawned_from_a_foreign_task_is_in_the_scope() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, name = "outer", |s| {
        let spawner = s.spawner();
        let child = log.clone();
        let elsewhere = outside(async move {
            assert!(try_current().is_none());
            let task = spawner.spawn(async move {
                let _end = child.guard(format!("child of {} gone", current().name()));
                sleep(100).await;
            });
            assert!(task.is_ok());
        });
        elsewhere.await.unwrap();
        sleep(100).await;
    });
    assert!(outer.is_err());
    log.expect(&["10 child of outer gone"]);
}

#[tokio::test(start_paused = true)]
async fn t2_a_child_spawned_from_a_raw_thread_is_in_the_scope() {
    let outer = scope!(timeout = 10ms, name = "outer", |s| {
        let spawner = s.spawner();
        let task = on_a_thread(move || spawner.spawn(async { current().name().into_owned() }).unwrap());
        task.await.unwrap()
    });
    assert_eq!(outer.unwrap(), "outer");
}

// --- T3 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn t3_a_scope_sees_its_own_cancel() {
    let seen = scope!(|s| {
        let before = (s.is_cancelled(), is_cancelled());
        s.cancel();
        (before, (s.is_cancelled(), is_cancelled()))
    });
    assert_eq!(seen.unwrap(), ((false, false), (true, true)));
}

#[tokio::test(start_paused = true)]
async fn t3_a_scope_sees_the_cancel_of_a_parent_through_the_scopes_between() {
    let seen = scope!(|outer| {
        scope!(|middle| {
            scope!(|inner| {
                outer.cancel();
                [outer, middle, inner].map(|s| (s.is_cancelled(), s.cancel_called()))
            })
            .unwrap()
        })
        .unwrap()
    });
    assert_eq!(seen.unwrap(), [(true, true), (true, false), (true, false)]);
}

#[tokio::test(start_paused = true)]
async fn t3_a_scope_does_not_see_the_cancel_of_a_scope_inside() {
    let seen = scope!(|outer| {
        let inner = scope!(|inner| {
            inner.cancel();
            (outer.is_cancelled(), inner.is_cancelled())
        });
        assert!(!is_cancelled());
        inner.unwrap()
    });
    assert_eq!(seen.unwrap(), (false, true));
}

#[tokio::test(start_paused = true)]
async fn t3_a_shielded_scope_does_not_see_the_cancel_of_its_parent() {
    let seen = scope!(|outer| {
        scope!(shield, |middle| {
            scope!(|inner| {
                outer.cancel();
                [outer, middle, inner].map(|s| s.is_cancelled())
            })
            .unwrap()
        })
        .unwrap()
    });
    assert_eq!(seen.unwrap(), [true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn t3_a_shielded_scope_sees_its_own_cancel() {
    let seen = scope!(shield, |s| {
        s.cancel();
        scope!({ is_cancelled() }).unwrap()
    });
    assert!(seen.unwrap());
}

#[tokio::test(start_paused = true)]
async fn t3_a_child_task_sees_the_cancel_of_its_scope() {
    let seen = scope!(|s| {
        let task = spawn!(async { (is_cancelled(), scope!({ is_cancelled() }).unwrap()) });
        s.cancel();
        shield!({ task.await.unwrap() })
    });
    assert_eq!(seen.unwrap(), (true, true));
}

// --- T4 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn t4_turning_a_shield_off_makes_the_cancel_visible_at_once() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, |_outer| {
        let _ = scope!(shield, |inner| {
            let handle = inner.handle();
            let turns = log.clone();
            outside(async move {
                sleep(30).await;
                assert!(!handle.is_cancelled());
                handle.set_shield(false);
                assert!(handle.is_cancelled());
                turns.say("shield off");
            });
            let _end = log.guard("inner gone");
            sleep(100).await;
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["30 shield off", "30 inner gone"]);
}

#[tokio::test(start_paused = true)]
async fn t4_turning_a_shield_off_in_the_body_makes_the_cancel_visible_at_the_next_suspension() {
    let log = Log::new();
    let outer = scope!(|outer| {
        let _ = scope!(shield, |inner| {
            outer.cancel();
            sleep(10).await;
            inner.set_shield(false);
            log.say("shield off");
            sleep(10).await;
            log.say("not reached");
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["10 shield off"]);
}

#[tokio::test(start_paused = true)]
async fn t4_turning_a_shield_on_hides_the_cancel_from_code_not_yet_delivered_to() {
    let log = Log::new();
    let outer = scope!(|outer| {
        outer.cancel();
        let inner = scope!(|inner| {
            assert!(is_cancelled());
            inner.set_shield(true);
            assert!(!is_cancelled());
            sleep(20).await;
            log.say("inner done");
        });
        assert!(inner.is_ok());
        assert!(is_cancelled());
        log.say("behind the inner scope");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect(&["20 inner done", "20 behind the inner scope"]);
}

#[tokio::test(start_paused = true)]
async fn t4_once_the_body_was_delivered_to_the_children_see_the_cancel_behind_any_shield() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, |_outer| {
        let _ = scope!(name = "inner", |inner| {
            let child = log.clone();
            spawn!(async move {
                shield!({ sleep(50).await });
                child.say("child unshielded");
                let _end = child.guard("child gone");
                sleep(100).await;
            });
            let (handle, turns) = (inner.handle(), log.clone());
            outside(async move {
                sleep(20).await;
                handle.set_shield(true);
                turns.say("shield on");
            });
            let _end = log.guard("body gone");
            sleep(100).await;
        });
        log.say("not reached");
    });
    log.say("left");
    assert!(outer.is_err());
    log.expect(&["10 body gone", "20 shield on", "50 child unshielded", "50 child gone", "50 left"]);
}

#[tokio::test(start_paused = true)]
async fn t4_once_a_child_was_delivered_to_its_siblings_see_the_cancel_behind_any_shield() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, |_outer| {
        let _ = scope!(name = "inner", |inner| {
            let (first, second) = (log.clone(), log.clone());
            spawn!(async move {
                let _end = first.guard("first gone");
                sleep(100).await;
            });
            spawn!(async move {
                shield!({ sleep(50).await });
                let _end = second.guard("second gone");
                sleep(100).await;
            });
            shield!({
                sleep(20).await;
                inner.set_shield(true);
                log.say("shield on");
                sleep(60).await;
            });
            log.say("body unshielded");
            sleep(100).await;
            log.say("not reached");
        });
        log.say("not reached");
    });
    log.say("left");
    assert!(outer.is_err());
    log.expect(&["10 first gone", "20 shield on", "50 second gone", "80 body unshielded", "80 left"]);
}

#[tokio::test(start_paused = true)]
async fn t4_a_shield_that_is_turned_on_before_any_delivery_keeps_the_whole_scope() {
    let log = Log::new();
    let outer = scope!(|outer| {
        let inner = scope!(|inner| {
            let child = log.clone();
            spawn!(async move {
                sleep(50).await;
                child.say("child done");
            });
            outer.cancel();
            inner.set_shield(true);
        });
        assert!(inner.is_ok());
        log.say("behind the inner scope");
    });
    assert!(outer.is_ok(), "nothing of it was unwound");
    log.expect(&["50 child done", "50 behind the inner scope"]);
}

// --- T5 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn t5_a_task_from_tokio_spawn_starts_outside_every_scope() {
    let log = Log::new();
    let mut away = None;
    let outer = scope!(timeout = 10ms, {
        let log = log.clone();
        away = Some(outside(async move {
            assert!(try_current().is_none());
            assert_eq!(remaining(), None);
            sleep(30).await;
            assert!(!is_cancelled() && check().is_ok());
            works_in_a_scope(log, 30).await
        }));
        sleep(100).await;
    });
    log.say("left");
    assert!(outer.is_err());
    away.unwrap().await.unwrap().unwrap();
    log.expect(&["10 left", "60 inner done", "60 inner body gone"]);
}

#[tokio::test(start_paused = true)]
async fn t5_a_raw_thread_starts_outside_every_scope() {
    let seen = scope!(|s| {
        s.cancel();
        on_a_thread(|| (try_current().is_none(), is_cancelled(), check().is_ok()))
    });
    assert_eq!(seen.unwrap(), (true, false, true));
}

#[test]
fn t5_a_task_that_is_polled_inside_a_bodys_poll_is_in_that_scope() {
    let outer = async {
        scope!(name = "outer", {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let spawned = runtime.spawn(async { (current().name(), is_cancelled()) });
            current().cancel();
            runtime.block_on(spawned).unwrap()
        })
    };
    let (name, cancelled) = outer.now_or_never().expect("the body does not suspend").unwrap();
    assert_eq!((&*name, cancelled), ("outer", true));
}

#[tokio::test(start_paused = true)]
async fn t5_a_detached_task_outlives_the_scope_and_its_cancel() {
    let log = Log::new();
    let (task, own) = (log.clone(), log.clone());
    let cut = scope!(timeout = 10ms, {
        detach!(async move {
            let seen = try_current().is_some() || is_cancelled();
            sleep(30).await;
            task.say(seen);
        });
        pending::<()>().await
    });
    own.say(cut.is_err());
    sleep(50).await;
    log.expect(&["10 true", "30 false"]);
}

// --- T6 ----------------------------------------------------------------------------------------------------

/// Also if somebody cancels that scope afterwards, which does nothing (rule F7); and a scope inside knows the error.
#[tokio::test(start_paused = true)]
async fn t6_f7_w3_what_a_guest_is_told_of_a_scope_that_was_left_is_that() {
    let left = scope!(|s| { s.handle() }).unwrap();
    for cancelled in [false, true] {
        if cancelled {
            assert!(!left.cancel());
        }
        let mut went_on = false;
        let guest = async {
            let _ = scope!({ check()? });
            went_on = true;
            Ok::<(), Cancelled>(())
        };
        let closed = guest.in_scope(left.clone()).await.unwrap_err();
        assert!(!went_on, "the inner scope unwinds, and the guest with it");
        assert!(matches!(closed.cause(), Cause::Closed), "{closed}");
    }
}

#[tokio::test(start_paused = true)]
async fn t6_in_scope_gives_the_futures_value() {
    let outer = scope!(|s| {
        let guest = async {
            sleep(10).await;
            7
        };
        outside(guest.in_scope(s.handle())).await.unwrap()
    });
    assert_eq!(outer.unwrap().unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn t6_a_guest_is_in_the_scope() {
    let outer = scope!(timeout = 40ms, name = "outer", |s| {
        let guest = async { (current().name(), remaining()) };
        outside(guest.in_scope(s.handle())).await.unwrap().unwrap()
    });
    let (name, left) = outer.unwrap();
    assert_eq!((&*name, left), ("outer", Some(ms(40))));
}

#[tokio::test(start_paused = true)]
async fn t6_a_guest_sees_the_cancel_of_the_scope() {
    let log = Log::new();
    let mut guest = None;
    let outer = scope!(name = "outer", |s| {
        let in_guest = log.clone();
        let future = async move {
            let _end = in_guest.guard("guest gone");
            sleep(100).await;
        };
        guest = Some(outside(future.in_scope(s.handle())));
        sleep(10).await;
        s.cancel();
        shield!({ sleep(20).await });
        log.say("shield done");
    });
    assert!(outer.is_ok());
    let cancelled = guest.unwrap().await.unwrap().unwrap_err();
    let Cause::Parent(parent) = cancelled.cause() else { panic!("it saw the scope's cancel: {cancelled}") };
    assert_eq!(parent.scope_name(), "outer");
    assert!(matches!(parent.cause(), Cause::Explicit { .. }));
    log.expect(&["10 guest gone", "30 shield done"]);
}

#[tokio::test(start_paused = true)]
async fn t6_a_guest_sees_the_deadline_of_the_scope() {
    let log = Log::new();
    let mut guest = None;
    let outer = scope!(timeout = 10ms, |s| {
        let in_guest = log.clone();
        let future = async move {
            let _end = in_guest.guard("guest gone");
            sleep(100).await;
        };
        guest = Some(outside(future.in_scope(s.handle())));
        shield!({ sleep(30).await });
        log.say("shield done");
    });
    assert!(outer.is_ok());
    assert!(guest.unwrap().await.unwrap().unwrap_err().is_timeout());
    log.expect(&["10 guest gone", "30 shield done"]);
}

#[tokio::test(start_paused = true)]
async fn t6_a_guest_has_the_shield_of_the_scope() {
    let outer = scope!(|outer| {
        let value = scope!(shield, |inner| {
            let guest = async {
                sleep(20).await;
                check().is_ok()
            };
            let guest = outside(guest.in_scope(inner.handle()));
            outer.cancel();
            guest.await.unwrap().unwrap()
        });
        value.unwrap()
    });
    assert!(outer.unwrap());
}

#[tokio::test(start_paused = true)]
async fn t6_a_guest_unwinds_itself_before_it_gives_its_value() {
    let log = Log::new();
    let mut guest = None;
    let outer = scope!(timeout = 10ms, |s| {
        let in_guest = log.clone();
        let future = async move {
            let cleanup = in_guest.clone();
            defer(async move {
                sleep(20).await;
                cleanup.say("cleanup of the guest");
            });
            let _end = in_guest.guard("guest gone");
            sleep(100).await;
        };
        let (handle, log) = (s.handle(), log.clone());
        guest = Some(outside(async move {
            let value = future.in_scope(handle).await;
            log.say("guest ended");
            value
        }));
        sleep(100).await;
    });
    log.say("left");
    assert!(outer.is_err());
    assert!(guest.unwrap().await.unwrap().is_err());
    log.expect_unordered(&["10 guest gone", "10 left", "30 cleanup of the guest", "30 guest ended"]);
}

#[tokio::test(start_paused = true)]
async fn t6_the_scope_does_not_wait_for_a_guest() {
    let log = Log::new();
    let mut guest = None;
    scope!(|s| {
        let in_guest = log.clone();
        let future = async move {
            shield!({ sleep(50).await });
            in_guest.say("guest unshielded");
        };
        guest = Some(outside(future.in_scope(s.handle())));
        sleep(10).await;
    })
    .unwrap();
    log.say("left");
    assert!(guest.unwrap().await.unwrap().is_ok(), "its future was ready before the next suspension");
    log.expect(&["10 left", "50 guest unshielded"]);
}

#[tokio::test(start_paused = true)]
async fn t6_leaving_the_scope_cancels_a_guest_with_the_cause_closed() {
    let log = Log::new();
    let mut guest = None;
    scope!(name = "outer", |s| {
        let in_guest = log.clone();
        let future = async move {
            let _end = in_guest.guard("guest gone");
            sleep(100).await;
        };
        guest = Some(outside(future.in_scope(s.handle())));
        sleep(10).await;
    })
    .unwrap();
    log.say("left");
    let cancelled = guest.unwrap().await.unwrap().unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Closed), "{cancelled}");
    log.expect(&["10 left", "10 guest gone"]);
}

#[tokio::test(start_paused = true)]
async fn t6_leaving_the_scope_cancels_a_guest_before_its_first_poll() {
    let log = Log::new();
    let in_guest = log.clone();
    let future = async move {
        in_guest.say("before the first suspension");
        assert!(is_cancelled() && check().is_err());
        let _end = in_guest.guard("guest gone");
        sleep(100).await;
    };
    let guest = scope!(|s| { future.in_scope(s.handle()) }).unwrap();
    sleep(5).await;
    let cancelled = guest.await.unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Closed), "{cancelled}");
    log.expect(&["5 before the first suspension", "5 guest gone"]);
}

#[tokio::test(start_paused = true)]
async fn t6_a_guest_of_a_scope_that_was_left_already_is_cancelled() {
    let handle = scope!(|s| { s.handle() }).unwrap();
    let cancelled = sleep(100).in_scope(handle.clone()).await.unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Closed), "{cancelled}");
    assert_eq!(async { 7 }.in_scope(handle).await.unwrap(), 7, "no suspension, no delivery");
}

#[tokio::test(start_paused = true)]
async fn t6_a_guest_of_a_cancelled_scope_that_is_left_later_keeps_the_first_cause() {
    let mut guest = None;
    let outer = scope!(name = "outer", |s| {
        let handle = s.handle();
        guest = Some(outside(async move {
            let future = async {
                shield!({ sleep(30).await });
                sleep(30).await;
            };
            future.in_scope(handle).await
        }));
        sleep(1).await;
        s.cancel_with("enough");
    });
    assert!(outer.is_ok());
    let cancelled = guest.unwrap().await.unwrap().unwrap_err();
    assert!(cancelled.to_string().contains("enough"), "{cancelled}");
}

#[tokio::test(start_paused = true)]
async fn t6_what_a_guest_spawned_belongs_to_it() {
    let log = Log::new();
    let mut guest = None;
    scope!(|s| {
        let in_guest = log.clone();
        let future = async move {
            let _ = scope!({
                let child = in_guest.clone();
                spawn!(async move {
                    shield!({ sleep(50).await });
                    let _end = child.guard("child gone");
                    sleep(100).await;
                });
                let _end = in_guest.guard("guest gone");
                sleep(100).await;
            });
            in_guest.say("not reached");
        };
        guest = Some(outside(future.in_scope(s.handle())));
        sleep(10).await;
    })
    .unwrap();
    log.say("left");
    assert!(guest.unwrap().await.unwrap().is_err());
    log.say("guest ended");
    log.expect(&["10 left", "10 guest gone", "50 child gone", "50 guest ended"]);
}

#[tokio::test(start_paused = true)]
async fn t6_a_guest_that_is_polled_in_another_scope_is_below_its_own() {
    let guest = scope!(name = "own", |own| {
        let mut guest = Box::pin(
            async {
                sleep(20).await;
                current().name()
            }
            .in_scope(own.handle()),
        );
        let cut = scope!(timeout = 10ms, name = "other", {
            let _ = guest.as_mut().await;
        });
        assert!(cut.is_err());
        guest.await
    });
    assert_eq!(guest.unwrap().unwrap(), "own");
}

#[test]
fn t6_check_outside_every_scope_is_ok() {
    assert!(check().is_ok());
    assert!(!is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn t6_a_stretch_of_a_thread_sees_the_scopes_cancel_deadline_and_shield() {
    let seen = scope!(timeout = 50ms, |s| {
        let handle = s.handle();
        let before = on_a_thread({
            let handle = handle.clone();
            move || handle.run(|| (check().is_ok(), effective_deadline(), try_current().is_some()))
        });
        handle.cancel_with("enough");
        let after = on_a_thread(move || {
            let outside = check().is_ok();
            (outside, handle.run(|| check().unwrap_err().to_string()), check().is_ok())
        });
        (before, after, s.deadline())
    });
    let (before, (outside, cancelled, behind), deadline) = seen.unwrap();
    assert_eq!(before, (true, deadline, true));
    assert!(outside && behind, "the context ends with the closure");
    assert!(cancelled.contains("enough"), "{cancelled}");
}

#[tokio::test(start_paused = true)]
async fn t6_a_stretch_under_a_scope_that_was_left_is_cancelled_with_the_cause_closed() {
    let handle = scope!({ current() }).unwrap();
    let cancelled = handle.run(check).unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Closed), "{cancelled}");
    assert!(check().is_ok());
}

#[tokio::test(start_paused = true)]
async fn t6_a_stretch_that_panics_is_left_and_passes_the_panic_on() {
    let value = scope!({
        let handle = current();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            handle.run(|| std::panic::panic_any(7_u8));
        }));
        (panicked.unwrap_err().downcast::<u8>().ok(), current().name() == handle.name())
    });
    assert_eq!(value.unwrap(), (Some(Box::new(7)), true));
}

#[tokio::test(start_paused = true)]
async fn t6_what_a_stretch_defers_runs_at_the_end_of_the_scope() {
    let log = Log::new();
    scope!({
        let (handle, cleanup) = (current(), log.clone());
        handle.run(|| defer(async move { cleanup.say("cleanup") }));
        sleep(10).await;
        log.say("body ends");
    })
    .unwrap();
    log.expect(&["10 body ends", "10 cleanup"]);
}
