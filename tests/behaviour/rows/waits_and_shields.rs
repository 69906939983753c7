//! S3, AnyIO's chapter on cancellation and timeouts.

use std::future::{Future, pending, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use scope_runtime::testing::SyncClock;
use scope_runtime::{
    Cancelled, Cause, blocking, blocking_scope, cancel_scope, check, checkpoint, current, defer,
    effective_deadline, fail_after, guard, is_cancelled, move_on_after, scope, shield, spawn, spawn_blocking,
};
use scope_tests::probe::{Log, ms, outside, sleep};
use tokio::time::Instant;

/// A thread can't be killed: it ends when it asks.
#[test]
fn row_46_a_thread_has_to_cooperate() {
    let clock = SyncClock::new();
    let steps = clock.run(|| {
        let mut steps = 0;
        let cut = blocking_scope!(timeout = 25ms, {
            let counted = &mut steps;
            spawn_blocking!(move || {
                while check().is_ok() {
                    let _ = blocking_scope!(shield, { blocking::sleep(ms(10)) });
                    *counted += 1;
                }
            });
        });
        cut.unwrap(); // the child ended by itself, though it was told why
        steps
    });
    assert_eq!((steps, clock.elapsed()), (3, ms(30)), "its scope waited until it asked");
}

#[tokio::test(start_paused = true)]
async fn row_47_cancelling_a_scope_cancels_all_inside_also_in_child_tasks() {
    let log = Log::new();
    let outer = scope!(|outer| {
        let of_task = log.clone();
        spawn!(async move {
            let _ = scope!({
                let _ = scope!({
                    let _end = of_task.guard("scope in the child gone");
                    pending::<()>().await;
                });
            });
            of_task.say("not reached");
        });
        let handle = outer.handle();
        drop(outside(async move {
            sleep(10).await;
            handle.cancel();
        }));
        let _ = scope!({
            let _end = log.guard("inner scope gone");
            pending::<()>().await;
        });
        log.say("not reached");
    });
    assert!(outer.is_err());
    log.expect_unordered(&["10 scope in the child gone", "10 inner scope gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_48_a_task_that_waits_is_cancelled_at_once_where_it_waits() {
    let log = Log::new();
    let mut task = None;
    let cut = scope!(|s| {
        let child = log.clone();
        task = Some(spawn!(async move {
            let _end = child.guard("gone");
            sleep(60_000).await;
            child.say("not reached");
        }));
        sleep(10).await;
        s.cancel();
    });
    assert!(cut.is_err());
    log.expect(&["10 gone"]);
    let cancelled = task.unwrap().await.unwrap_err();
    assert_eq!(cancelled.landed_at().unwrap().expression(), "sleep(60_000)");
}

#[tokio::test(start_paused = true)]
async fn row_49_a_task_that_just_starts_runs_to_its_first_wait() {
    let log = Log::new();
    let cut = scope!(|s| {
        s.cancel();
        let child = log.clone();
        spawn!(async move {
            child.say("started");
            sleep(1).await;
            child.say("not reached");
        });
    });
    assert!(cut.is_err());
    log.expect(&["0 started"]);
}

#[tokio::test(start_paused = true)]
async fn row_50_a_task_group_has_a_cancel_of_its_own() {
    let log = Log::new();
    let group = scope!(|group| {
        for name in ["first gone", "second gone"] {
            let child = log.clone();
            spawn!(async move {
                let _end = child.guard(name);
                pending::<()>().await;
            });
        }
        sleep(10).await;
        group.cancel();
    });
    assert!(group.is_err());
    log.expect_unordered(&["10 first gone", "10 second gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_51_move_on_after_leaves_early_and_without_an_error() {
    let start = Instant::now();
    assert_eq!(move_on_after(ms(1000), sleep(2000)).await, None);
    let block: Option<()> = scope!(timeout = 1s, { sleep(2000).await }).ok();
    assert_eq!((block, start.elapsed()), (None, ms(2000)));
}

#[tokio::test(start_paused = true)]
async fn row_52_fail_after_fails_with_a_timeout() {
    async fn block() -> io::Result<()> {
        scope!(timeout = 1s, { sleep(2000).await })?;
        unreachable!();
    }
    assert_eq!(block().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(fail_after(ms(1000), sleep(2000)).await.unwrap_err().is_timeout());
}

#[tokio::test(start_paused = true)]
async fn row_54_and_55_a_deadline_can_be_read_and_the_one_that_counts_may_be_another() {
    let start = Instant::now();
    let outer = scope!(timeout = 1s, |outer| {
        let inner = scope!(timeout = 5s, |inner| {
            (inner.deadline(), inner.effective_deadline(), effective_deadline())
        });
        let [one, five] = [1000, 5000].map(|n| Some(start + ms(n)));
        assert_eq!(inner.unwrap(), (five, one, one));
        // Directly in a shield there is none.
        assert_eq!(scope!(shield, { effective_deadline() }).unwrap(), None);
        outer.cancel();
        effective_deadline()
    });
    assert!(outer.unwrap().unwrap() <= Instant::now(), "once it is cancelled: not in the future");
}

#[tokio::test(start_paused = true)]
async fn row_56_a_cancel_that_ended_nothing_was_not_caught() {
    let (mut called, mut went_on) = (false, false);
    let caught = scope!(|s| {
        s.cancel();
        called = s.cancel_called();
        went_on = true;
    });
    assert!(called && went_on && caught.is_ok());
    let caught = scope!(|s| {
        s.cancel();
        pending::<()>().await;
    });
    assert!(caught.is_err());
}

/// Bug to avoid: a scope that was cancelled, and whose exit took longer than its deadline, reported a timeout.
#[tokio::test(start_paused = true)]
async fn row_57_a_cancel_and_a_slow_exit_past_the_deadline_is_no_timeout() {
    let start = Instant::now();
    let cut = scope!(timeout = 1s, |s| {
        defer(async { sleep(5000).await });
        s.cancel();
        pending::<()>().await;
    });
    let cancelled = cut.unwrap_err();
    assert_eq!(start.elapsed(), ms(5000));
    assert!(!cancelled.is_timeout() && matches!(cancelled.cause(), Cause::Explicit { .. }));
    assert_eq!(io::Error::from(cancelled).kind(), io::ErrorKind::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn row_58_a_shield_exempts_from_all_but_its_own_cancel() {
    let log = Log::new();
    let outer = scope!(|outer| {
        outer.cancel();
        let shielded = scope!(shield, |shielded| {
            sleep(10).await;
            log.say("still here");
            shielded.cancel();
            sleep(10).await;
            log.say("not reached");
        });
        assert!(shielded.is_err());
        log.say("behind the shield");
        sleep(10).await;
        log.say("not reached either");
    });
    assert!(outer.is_err());
    log.expect(&["10 still here", "10 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn row_59_a_shield_goes_together_with_a_timeout() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let bounded = scope!(shield, timeout = 30ms, { pending::<()>().await });
        assert!(bounded.unwrap_err().is_timeout());
        log.say("bounded");
    });
    outer.unwrap();
    log.expect(&["30 bounded"]);
}

#[tokio::test(start_paused = true)]
async fn row_60_the_shutdown_of_an_async_resource_runs_to_its_end() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let closes = log.clone();
        let connection = guard("connection", move |name| async move {
            sleep(50).await;
            closes.say(format_args!("{name} closed"));
        });
        assert_eq!(*connection, "connection");
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["60 connection closed"]);
}

#[tokio::test(start_paused = true)]
async fn row_61_cleanup_runs_on_any_failure_which_then_goes_on() {
    async fn do_something(log: Log, how: &str) -> Result<(), io::Error> {
        let _ = scope!({
            let cleanup = log.clone();
            defer(async move { cleanup.say("cleanup") });
            match how {
                "error" => Err(io::Error::other("disk full"))?,
                "panic" => panic!("oops"),
                _ => pending::<()>().await,
            }
        });
        unreachable!("whatever it was goes on");
    }
    let log = Log::new();
    assert_eq!(do_something(log.clone(), "error").await.unwrap_err().to_string(), "disk full");
    let panicked = outside({
        let log = log.clone();
        async move { do_something(log, "panic").await }
    });
    assert!(panicked.await.unwrap_err().is_panic());
    let cut = scope!(timeout = 10ms, { do_something(log.clone(), "cancel").await });
    assert!(cut.is_err());
    log.expect(&["0 cleanup", "0 cleanup", "10 cleanup"]);
}

/// One type, wherever a cancel is met.
#[tokio::test(start_paused = true)]
async fn row_62_a_cancel_is_one_type_everywhere() {
    fn is_it(result: Result<(), Cancelled>) -> bool {
        result.is_err()
    }
    let mut task = None;
    let block = scope!(cooperative, |s| {
        let child = spawn!(pending::<()>());
        s.cancel();
        assert!(is_it(check()) && is_it(checkpoint().await));
        child.cancel();
        task = Some(child);
    });
    assert!(block.is_ok());
    assert!(is_it(task.unwrap().await));
    assert!(is_it(scope!(timeout = 0s, { pending().await })));
    assert!(is_it(fail_after(ms(1), pending()).await));
}

#[tokio::test(start_paused = true)]
async fn row_63_a_cancel_that_is_swallowed_comes_again_and_again() {
    // As an error: it was swallowed three times, and nothing was lost.
    let mut swallowed = 0;
    let soft = scope!(cooperative, |s| {
        s.cancel();
        for _ in 0..3 {
            sleep(1).await;
            if check().is_err() {
                swallowed += 1;
            }
        }
    });
    assert!(soft.is_ok() && swallowed == 3);
    // By dropping, there is nothing to swallow.
    let log = Log::new();
    let hard = scope!(|s| {
        s.cancel();
        let _ = scope!({ sleep(1).await });
        log.say("not reached");
    });
    assert!(hard.is_err());
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn row_64_an_await_in_cleanup_by_hand_is_cancelled_at_once() {
    let log = Log::new();
    let cut = scope!(|s| {
        let _end = log.guard("gone");
        s.cancel();
        if check().is_err() {
            log.say("cleanup");
            sleep(10).await;
            log.say("not reached");
        }
    });
    assert!(cut.is_err());
    log.expect(&["0 cleanup", "0 gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_65_an_await_in_a_shield_is_not_and_then_the_cancel_goes_on() {
    let log = Log::new();
    #[cancel_scope]
    async fn do_something(log: &Log) -> Result<(), Cancelled> {
        let cancelled = check();
        if cancelled.is_err() {
            shield!({ sleep(10).await });
            log.say("cleaned up");
        }
        cancelled
    }
    let cut = scope!(|s| {
        let _end = log.guard("gone");
        s.cancel();
        let _ = do_something(&log).await;
        log.say("not reached");
    });
    assert!(cut.is_err());
    log.expect(&["10 cleaned up", "10 gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_66_to_68_scopes_are_left_in_the_reverse_order_of_their_entry() {
    let log = Log::new();
    let leaves = |name: &'static str| {
        let log = log.clone();
        async move { log.say(name) }
    };
    let outer = scope!(timeout = 10ms, {
        defer(leaves("first"));
        let _ = scope!({
            defer(leaves("second"));
            let _ = scope!({
                defer(leaves("third"));
                pending::<()>().await;
            });
        });
    });
    assert!(outer.is_err());
    log.expect(&["10 third", "10 second", "10 first"]);
}

/// Each part of the future is in the scope that polls it, and none gets another's.
#[tokio::test(start_paused = true)]
async fn row_69_a_future_that_is_driven_in_parts_keeps_its_scopes_apart() {
    let mut parts = pin!(async {
        let block = scope!(name = "own", {
            let mut names = Vec::new();
            for _ in 0..2 {
                names.push((current().name(), is_cancelled()));
                tokio::task::yield_now().await;
            }
            names
        });
        block.unwrap()
    });
    let first = scope!(name = "first", |s| {
        let polled = poll_fn(|cx| Poll::Ready(parts.as_mut().poll(cx))).await;
        s.cancel(); // nothing of it is still in here
        (polled.is_pending(), current().name())
    });
    assert_eq!(first.unwrap(), (true, "first".into()));
    let second = scope!(name = "second", { (parts.await, current().name()) });
    let (names, name) = second.unwrap();
    assert_eq!(names, [("own".into(), false), ("own".into(), false)]);
    assert_eq!(name, "second");
}

#[tokio::test(start_paused = true)]
async fn row_71_the_children_of_a_block_end_with_it_however_it_is_left() {
    let log = Log::new();
    for way in 0..3 {
        let _ = scope!({
            let child = log.clone();
            spawn!(background, async move {
                let _end = child.guard(format!("{way} gone"));
                pending::<()>().await;
            });
            tokio::task::yield_now().await;
            match way {
                0 => continue,
                1 => (),
                _ => break,
            }
        });
        log.say(format_args!("{way} behind"));
    }
    log.expect(&["0 0 gone", "0 1 gone", "0 1 behind", "0 2 gone"]);
}

async fn with_resource<R>(log: &Log, body: impl AsyncFnOnce(&str) -> R) -> Result<R, Cancelled> {
    scope!({
        log.say("setup");
        let teardown = log.clone();
        defer(async move { teardown.say("teardown") });
        let child = log.clone();
        spawn!(background, async move {
            let _end = child.guard("its task ended");
            pending::<()>().await;
        });
        body("resource").await
    })
}

#[tokio::test(start_paused = true)]
async fn row_72_a_context_manager_is_a_function_that_takes_the_body() {
    let log = Log::new();
    let value = with_resource(&log, async |name| {
        sleep(10).await;
        log.say(name);
        7
    });
    assert_eq!(value.await.unwrap(), 7);
    log.expect(&["0 setup", "10 resource", "10 its task ended", "10 teardown"]);
}

/// Fixtures of tests: setup, test and teardown are one task.
#[cancel_scope(timeout = "1s")]
#[tokio::test(start_paused = true)]
async fn row_73_a_fixture_is_a_scope_around_the_test() {
    let log = Log::new();
    let task = tokio::task::try_id();
    let same = with_resource(&log, async |_| tokio::task::try_id() == task).await;
    assert!(same.unwrap());
}

#[tokio::test(start_paused = true)]
async fn row_75_the_first_reason_wins_and_the_text_says_where_and_who() {
    let mut task = None;
    let cut = scope!(name = "import", |s| {
        task = Some(spawn!(name = "reader", pending::<()>()));
        s.cancel_with("the file changed");
        s.cancel_with("too late");
        pending::<()>().await;
    });
    let text = cut.unwrap_err().to_string();
    assert!(text.starts_with("import (") && text.contains("cancelled: the file changed"), "{text}");
    let text = task.unwrap().await.unwrap_err().to_string();
    assert!(text.starts_with("reader (") && text.contains("the file changed"), "{text}");
}
