//! S2, `cancel_scope`: nested timeouts, checks, shields and bubbles, in async code; those of sync code are in
//! `blocking.rs`.

use std::io;
use std::thread;
use std::time::Duration;

use scope_runtime::testing::SyncClock;
use scope_runtime::{
    Cancelled, blocking, blocking_scope, cancel_scope, check, current, effective_deadline, is_cancelled,
    remaining, scope, shield, spawn, spawn_blocking,
};
use scope_tests::probe::{Log, ms, outside, sleep};

#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0}")]
struct Told(&'static str);

#[tokio::test(start_paused = true)]
async fn row_15_an_async_function_and_a_sync_one_have_the_same_rules() {
    #[cancel_scope(timeout = "3s", error = Told("late"))]
    async fn in_a_task() -> Result<(), Cancelled> {
        shield!({ sleep(4000).await });
        check()
    }
    #[cancel_scope(timeout = "3s", error = Told("late"))]
    fn on_a_thread() -> Result<(), Cancelled> {
        shield!({ blocking::sleep(ms(4000)).unwrap() });
        check()
    }
    for late in [in_a_task().await, thread_with_a_clock(on_a_thread)] {
        let late = late.unwrap_err();
        assert!(late.is_timeout());
        assert_eq!(late.to_string(), "late");
    }
}

fn thread_with_a_clock<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    scope_tests::probe::on_a_thread(|| SyncClock::new().run(f))
}

#[tokio::test(start_paused = true)]
async fn row_16_nested_calls_and_tasks_share_one_timeout() {
    async fn layer(depth: u64) -> Option<Duration> {
        sleep(100).await;
        if depth == 0 { remaining() } else { Box::pin(layer(depth - 1)).await }
    }
    let left = scope!(timeout = 3s, {
        let first = layer(3).await;
        let second = spawn!(layer(4)).await.unwrap();
        (first, second)
    });
    assert_eq!(left.unwrap(), (Some(ms(2600)), Some(ms(2100))));
}

#[tokio::test(start_paused = true)]
async fn row_17_a_cancel_shows_only_at_a_check() {
    let log = Log::new();
    #[cancel_scope(cooperative, timeout = "1s")]
    async fn steps(log: &Log) -> Result<(), Cancelled> {
        let _end = log.guard("gone");
        for step in 1..=3 {
            sleep(600).await;
            log.say(step);
        }
        check()?;
        unreachable!();
    }
    assert!(steps(&log).await.unwrap_err().is_timeout());
    log.expect(&["600 1", "1200 2", "1800 3", "1800 gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_18_a_cancel_reaches_descendants_and_nobody_else() {
    let seen = scope!(|parent| {
        let sibling = spawn!(async {
            sleep(10).await;
            is_cancelled()
        });
        let child = scope!(cooperative, |child| {
            child.cancel();
            scope!({ is_cancelled() }).unwrap()
        });
        assert!(child.unwrap(), "its descendant sees it");
        (parent.is_cancelled(), sibling.await.unwrap())
    });
    assert_eq!(seen.unwrap(), (false, false));
}

#[tokio::test(start_paused = true)]
async fn row_19_a_cancel_bubbles_up_and_out_over_tasks() {
    let log = Log::new();
    let top = scope!(name = "above", |above| {
        let bubbling = scope!(bubble, |bubbling| {
            let other = log.clone();
            spawn!(async move {
                let _end = other.guard("other descendant gone");
                std::future::pending::<()>().await;
            });
            let below = log.clone();
            let up = bubbling.handle();
            spawn!(async move {
                let _ = scope!(name = "between", |between| {
                    let _ = scope!(|child| {
                        sleep(10).await;
                        child.cancel();
                        below.say(format_args!("{} {}", between.is_cancelled(), up.is_cancelled()));
                    });
                });
            });
        });
        assert!(bubbling.is_err());
        above.is_cancelled()
    });
    assert!(!top.unwrap());
    log.expect(&["10 true true", "10 other descendant gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_20_bubble_is_inherited_and_stops_at_the_outermost_scope_that_has_it() {
    let top = scope!(|top| {
        let outermost = scope!(bubble, |outermost| {
            let _ = scope!(bubble, {
                let _ = scope!({
                    let _ = scope!(|child| {
                        child.cancel();
                    });
                });
            });
            outermost.cancel_called()
        });
        (outermost.unwrap(), top.cancel_called())
    });
    assert_eq!(top.unwrap(), (true, false));
}

#[tokio::test(start_paused = true)]
async fn row_21_a_shield_keeps_a_scope_and_its_descendants_and_not_from_themselves() {
    let log = Log::new();
    let parent = scope!(timeout = 10ms, {
        let shielded = scope!(shield, timeout = 50ms, {
            let child = log.clone();
            spawn!(async move {
                let _end = child.guard("descendant gone");
                std::future::pending::<()>().await;
            });
            sleep(30).await;
            log.say(format_args!("untouched: {}", !is_cancelled()));
            std::future::pending::<()>().await;
        });
        assert!(shielded.unwrap_err().is_timeout(), "its own timeout");
        let shielded = scope!(shield, |s| {
            s.cancel();
            std::future::pending::<()>().await;
        });
        assert!(shielded.is_err(), "its own cancel");
        log.say("behind");
    });
    // No suspension came behind the shields: the value is kept (rule D6).
    parent.unwrap();
    log.expect(&["30 untouched: true", "50 descendant gone", "50 behind"]);
}

#[tokio::test(start_paused = true)]
async fn row_22_a_shield_does_not_inherit_the_parents_deadline() {
    let seen = scope!(timeout = 3s, {
        let none = scope!(shield, { remaining() }).unwrap();
        let own = scope!(shield, timeout = 5s, { remaining() });
        (none, own.unwrap())
    });
    assert_eq!(seen.unwrap(), (None, Some(ms(5000))));
}

#[tokio::test(start_paused = true)]
async fn row_23_a_shielded_scope_bubbles_out_and_shielded_siblings_survive() {
    let log = Log::new();
    let parent = scope!(bubble, |parent| {
        let sibling = log.clone();
        let task = spawn!(async move {
            let survived = scope!(shield, {
                sleep(20).await;
                is_cancelled()
            });
            sibling.say(format_args!("shielded sibling cancelled={}", survived.unwrap()));
        });
        tokio::task::yield_now().await;
        let own = scope!(shield, |s| {
            s.cancel();
        });
        own.unwrap();
        log.say(format_args!("parent {}", parent.is_cancelled()));
        drop(task);
        sleep(1).await;
    });
    assert!(parent.is_err());
    log.expect(&["0 parent true", "20 shielded sibling cancelled=false"]);
}

#[tokio::test(start_paused = true)]
async fn row_24_to_27_what_is_left_is_the_minimum_none_without_a_timeout_and_zero_in_the_end() {
    assert_eq!(remaining(), None);
    assert_eq!(scope!(|s| { s.remaining() }).unwrap(), None);
    let parent = scope!(timeout = 3s, cooperative, |parent| {
        assert_eq!(parent.remaining(), Some(ms(3000)));
        sleep(2020).await;
        assert_eq!(parent.remaining(), Some(ms(980)));
        assert_eq!(scope!(timeout = 500ms, { remaining() }).unwrap(), Some(ms(500)));
        assert_eq!(scope!(timeout = 2s, { remaining() }).unwrap(), Some(ms(980)));
        sleep(2000).await;
        assert_eq!(parent.remaining(), Some(Duration::ZERO), "never less");
        scope!(timeout = 2s, { remaining() })
    });
    assert_eq!(parent.unwrap().unwrap(), Some(Duration::ZERO));
    let cancelled = scope!(timeout = 3s, |s| {
        s.cancel();
        s.remaining()
    });
    assert_eq!(cancelled.unwrap(), Some(Duration::ZERO));
}

/// There is nothing to ask before the entry: an option is a value of the scope from its first statement on.
#[tokio::test(start_paused = true)]
async fn row_28_the_timeout_is_there_from_the_first_statement_on() {
    #[cancel_scope(timeout = "5s", scope = s, fallback = None)]
    async fn asks() -> Option<Duration> {
        s.remaining()
    }
    let entered_later = asks();
    sleep(7000).await;
    assert_eq!(entered_later.await, Some(ms(5000)));
}

#[tokio::test(start_paused = true)]
async fn row_29_the_very_error_of_the_scope_is_told_for_a_timeout_and_a_cancel_alike() {
    async fn told(by_hand: bool) -> Vec<Cancelled> {
        let told = scope!(cooperative, timeout = 1s, error = Told("work1 cancelled!"), |s| {
            if by_hand {
                s.cancel();
            } else {
                sleep(1000).await;
            }
            vec![check().unwrap_err(), check().unwrap_err()]
        });
        told.unwrap()
    }
    for by_hand in [false, true] {
        let errors = told(by_hand).await;
        let [first, second] = [0, 1].map(|n| errors[n].error().unwrap().downcast_ref::<Told>().unwrap());
        assert!(std::ptr::eq(first, second), "one instance");
        assert_eq!(*first, Told("work1 cancelled!"));
        assert_eq!(errors[0].is_timeout(), !by_hand);
    }
}

#[tokio::test(start_paused = true)]
async fn row_30_without_an_error_the_nearest_one_above_is_told_and_else_there_is_none() {
    let told = scope!(error = Told("outer msg"), |outer| {
        outer.cancel();
        scope!({ check().unwrap_err().to_string() }).unwrap()
    });
    assert_eq!(told.unwrap(), "outer msg");
    let plain = scope!(name = "plain", |s| {
        s.cancel_with("by hand");
        check().unwrap_err()
    });
    let plain = plain.unwrap();
    assert!(plain.error().is_none());
    assert!(plain.to_string().starts_with("plain (") && plain.to_string().contains(" cancelled: by hand"));
}

/// Sync code hands an error up, in the words of the scope that met it (`examples/seeds/s2_example_2.rs`). In async code
/// the scopes in between unwind instead, so it is told in the words of the scope that was cancelled.
#[tokio::test(start_paused = true)]
async fn row_32_in_async_code_a_cancel_is_told_by_the_scope_that_was_cancelled() {
    #[cancel_scope(error = Told("child cancelled!"))]
    async fn child() -> Result<(), Cancelled> {
        check()
    }
    #[cancel_scope(cooperative, error = Told("parent cancelled!"), scope = s)]
    async fn parent() -> Result<(), Cancelled> {
        child().await?;
        s.cancel();
        child().await?;
        unreachable!();
    }
    assert_eq!(parent().await.unwrap_err().to_string(), "parent cancelled!");
}

#[tokio::test(start_paused = true)]
async fn row_33_cancel_is_true_now_and_later_and_the_body_goes_on_to_its_check() {
    let log = Log::new();
    #[cancel_scope(cooperative, scope = s)]
    async fn work(log: &Log) -> Result<(), Cancelled> {
        assert!(s.cancel());
        assert!(s.cancel());
        sleep(10).await;
        log.say("goes on");
        check()?;
        unreachable!();
    }
    assert!(work(&log).await.is_err());
    log.expect(&["10 goes on"]);
}

#[tokio::test(start_paused = true)]
async fn row_34_a_child_opened_under_a_cancelled_parent_is_cancelled_unless_it_is_shielded() {
    let seen = scope!(|parent| {
        parent.cancel();
        let late = scope!(|late| { late.is_cancelled() }).unwrap();
        let shielded = scope!(shield, |late| { late.is_cancelled() }).unwrap();
        (late, shielded)
    });
    assert_eq!(seen.unwrap(), (true, false));
}

/// Bug to avoid: `cancelled` stayed false behind the deadline until somebody called `check()`.
#[test]
fn row_35_a_passed_deadline_is_seen_by_who_only_looks() {
    SyncClock::new().run(|| {
        let seen = blocking_scope!(timeout = 1s, |s| {
            let _ = blocking_scope!(shield, { blocking::sleep(ms(2000)) });
            (s.is_cancelled(), is_cancelled(), s.cancel_called(), remaining())
        });
        assert_eq!(seen.unwrap(), (true, true, true, Some(Duration::ZERO)));
    });
}

#[tokio::test(start_paused = true)]
async fn row_35_a_passed_deadline_is_seen_in_async_code_before_any_timer_ran() {
    let seen = scope!(timeout = 1s, |s| {
        tokio::time::advance(ms(0)).await; // the scope has been polled and waits
        shield!({ tokio::time::advance(ms(2000)).await });
        (s.is_cancelled(), remaining())
    });
    assert_eq!(seen.unwrap(), (true, Some(Duration::ZERO)));
}

#[tokio::test(start_paused = true)]
async fn row_37_a_cancel_is_a_plain_call_and_what_it_does_can_be_awaited() {
    let log = Log::new();
    let (send, handle) = tokio::sync::oneshot::channel();
    let host = outside({
        let log = log.clone();
        async move {
            let cut = scope!(|s| {
                let _end = log.guard("body gone");
                send.send(s.handle()).unwrap();
                shield!({ sleep(20).await });
                std::future::pending::<()>().await;
            });
            cut.is_err()
        }
    });
    let handle = handle.await.unwrap();
    assert!(handle.cancel());
    handle.delivered().await;
    log.say("delivered");
    assert!(host.await.unwrap());
    log.expect(&["20 body gone", "20 delivered"]);
}

#[tokio::test]
async fn row_39_the_context_travels_with_tasks_and_threads() {
    let seen = scope!(name = "parent", timeout = 1h, {
        let task = spawn!(async { (current().name(), remaining().is_some()) });
        let thread = spawn_blocking!(|| (current().name(), remaining().is_some()));
        [task.await.unwrap(), thread.await.unwrap()]
    });
    assert_eq!(seen.unwrap(), [("parent".into(), true), ("parent".into(), true)]);
}

/// A thread of somebody else's pool knows nothing of scopes: `run` takes the context there.
#[tokio::test]
async fn row_39_where_nothing_carries_the_context_it_is_carried_by_hand() {
    fn on_a_foreign_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
        scope_tests::probe::on_a_thread(f)
    }
    let seen = scope!(timeout = 1h, |s| {
        let without = on_a_foreign_thread(|| effective_deadline().is_some());
        let with = on_a_foreign_thread(|| s.run(|| effective_deadline().is_some()));
        (without, with)
    });
    assert_eq!(seen.unwrap(), (false, true));
}

/// There, async code that calls sync code pays for a hop to a thread, and the other way round.
#[tokio::test]
async fn row_40_a_sync_scope_in_async_code_needs_no_hop() {
    #[cancel_scope]
    fn sync_work() -> Result<(thread::ThreadId, Option<Duration>), Cancelled> {
        check()?;
        Ok((thread::current().id(), remaining()))
    }
    let (there, left) = scope!(timeout = 1h, { sync_work() }).unwrap().unwrap();
    assert_eq!(there, thread::current().id());
    assert!(left.is_some());
}

#[tokio::test(start_paused = true)]
async fn row_41_a_check_at_entry_or_exit_is_a_statement() {
    #[cancel_scope(cooperative, scope = s)]
    async fn work(log: &Log, cancel: bool) -> Result<(), Cancelled> {
        check()?;
        log.say("entered");
        if cancel {
            s.cancel();
        }
        check()
    }
    let log = Log::new();
    assert!(work(&log, false).await.is_ok());
    assert!(work(&log, true).await.is_err());
    let outer: Result<(), _> = scope!(cooperative, |outer| {
        outer.cancel();
        work(&log, false).await.unwrap();
    });
    assert!(outer.is_err());
    log.expect(&["0 entered", "0 entered"]);
}

#[tokio::test(start_paused = true)]
async fn row_42_an_error_of_the_body_cancels_its_scope_and_bubbles() {
    async fn child(seen: &mut Option<scope_runtime::ScopeHandle>) -> Result<(), io::Error> {
        let _ = scope!(|child| {
            *seen = Some(child.handle());
            Err::<(), _>(io::Error::other("bad input"))?;
        });
        Ok(())
    }
    let mut handle = None;
    let parent = scope!(bubble, |parent| {
        assert!(child(&mut handle).await.is_err());
        parent.is_cancelled()
    });
    assert!(parent.unwrap());
    assert!(handle.unwrap().is_cancelled());
}

/// Entering a scope twice can't be written: each call, each pass of a loop, is a scope of its own.
#[tokio::test(start_paused = true)]
async fn row_43_each_entry_is_a_scope_of_its_own() {
    #[cancel_scope(scope = s)]
    async fn once() -> Result<bool, Cancelled> {
        let fresh = !s.is_cancelled();
        s.cancel();
        Ok(fresh)
    }
    assert!(once().await.unwrap());
    assert!(once().await.unwrap());
}

/// In which order the children of one scope are cancelled is not specified: only that each is, and at which moment.
#[tokio::test(start_paused = true)]
async fn row_44_children_are_all_cancelled_at_one_moment_in_any_order() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        for name in ["a", "b", "c"] {
            let log = log.clone();
            spawn!(async move {
                let _end = log.guard(name);
                std::future::pending::<()>().await;
            });
        }
        std::future::pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect_unordered(&["10 a", "10 b", "10 c"]);
}
