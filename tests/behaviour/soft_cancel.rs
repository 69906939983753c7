//! Grace: cancels that are soft first, then hard (rules G1 and G2, with D5, T3 and L5).

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};

use scope_runtime::{
    Cancelled, Cause, ScopeHandle, cancel_scope, cancelled, check, checkpoint, current, defer, is_cancelled,
    remaining, scope, shield, spawn,
};
use scope_tests::probe::{Log, ms, outside, sleep};

fn cancel_at(handle: ScopeHandle, at: u64) {
    drop(outside(async move {
        sleep(at).await;
        handle.cancel();
    }));
}

#[tokio::test(start_paused = true)]
async fn g1_a_cancel_is_seen_at_once_and_drops_bodies_after_the_grace() {
    let log = Log::new();
    let cut = scope!(grace = 50ms, |s| {
        let _end = log.guard("body gone");
        cancel_at(s.handle(), 10);
        cancelled().await;
        log.say("seen");
        assert!(is_cancelled() && check().is_err() && s.is_cancelled());
        assert_eq!(remaining(), Some(ms(0)));
        sleep(20).await;
        log.say("went on");
        sleep(60).await;
        log.say("not reached");
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::Explicit { .. }));
    log.expect(&["10 seen", "30 went on", "60 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn g1_a_body_that_ends_within_the_grace_keeps_its_value() {
    let log = Log::new();
    let value = scope!(grace = 50ms, |s| {
        s.cancel();
        sleep(49).await;
        7
    });
    assert_eq!(value.unwrap(), 7);
    assert_eq!(log.ms(), 49);
}

#[tokio::test(start_paused = true)]
async fn g1_the_grace_of_a_deadline_counts_from_the_deadline() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, grace = 50ms, {
        let _end = log.guard("body gone");
        cancelled().await;
        log.say("seen");
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["10 seen", "60 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn g1_the_grace_of_the_scope_that_was_cancelled_counts_for_all_below() {
    let log = Log::new();
    let cut = scope!(grace = 50ms, |s| {
        let _end = log.guard("outer gone");
        let below = log.clone();
        spawn!(async move {
            let _end = below.guard("child gone");
            cancelled().await;
            below.say("child sees it");
            pending::<()>().await;
        });
        cancel_at(s.handle(), 10);
        let inner = scope!(grace = 5ms, {
            let _end = log.guard("inner gone");
            cancelled().await;
            log.say("inner sees it");
            pending::<()>().await;
        });
        unreachable!("{inner:?}");
    });
    assert!(cut.is_err());
    log.expect_unordered(&[
        "10 inner sees it",
        "10 child sees it",
        "60 inner gone",
        "60 outer gone",
        "60 child gone",
    ]);
}

#[tokio::test(start_paused = true)]
async fn g1_a_scope_is_hard_as_soon_as_any_cancel_that_it_sees_is() {
    let log = Log::new();
    let outer = scope!(timeout = 20ms, {
        let inner = scope!(grace = 1h, |inner| {
            let _end = log.guard("inner gone");
            inner.cancel();
            pending::<()>().await;
        });
        unreachable!("{inner:?}");
    });
    assert!(outer.unwrap_err().is_timeout());
    log.expect(&["20 inner gone"]);
}

#[tokio::test(start_paused = true)]
async fn g1_an_inner_timeout_ends_inside_of_a_soft_outer_scope() {
    let log = Log::new();
    let outer = scope!(cooperative, |outer| {
        outer.cancel();
        let inner = scope!(timeout = 30ms, {
            let _end = log.guard("inner gone");
            pending::<()>().await;
        });
        // The inner cancel is its own: only hard ones decide.
        assert!(matches!(inner.unwrap_err().cause(), Cause::Deadline { .. }));
        sleep(10).await;
        "went on"
    });
    assert_eq!(outer.unwrap(), "went on");
    assert_eq!(log.ms(), 40);
    log.expect(&["30 inner gone"]);
}

#[tokio::test(start_paused = true)]
async fn g1_an_inner_deadline_behind_a_soft_outer_one_is_still_kept() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, grace = 100ms, {
        let inner = scope!(timeout = 40ms, {
            let _end = log.guard("inner gone");
            pending::<()>().await;
        });
        assert!(inner.unwrap_err().is_timeout());
        log.say("behind");
        pending::<()>().await;
    });
    assert!(outer.is_err());
    assert_eq!(log.ms(), 110);
    log.expect(&["40 inner gone", "40 behind"]);
}

#[tokio::test(start_paused = true)]
async fn g1_cooperative_is_a_grace_without_end() {
    let log = Log::new();
    let value = scope!(cooperative, |s| {
        s.cancel();
        sleep(1_000_000).await;
        "to the end"
    });
    assert_eq!(value.unwrap(), "to the end");
    assert_eq!(log.ms(), 1_000_000);
}

#[tokio::test(start_paused = true)]
async fn g1_check_delivers_in_a_cooperative_scope() {
    let log = Log::new();
    async fn work(log: &Log) -> Result<(), Cancelled> {
        let stopped = scope!(cooperative, timeout = 25ms, {
            loop {
                sleep(10).await;
                log.say("step");
                check()?;
            }
        });
        assert!(stopped.unwrap_err().is_timeout());
        log.say("behind the scope");
        Ok(())
    }
    work(&log).await.unwrap();
    log.expect(&["10 step", "20 step", "30 step", "30 behind the scope"]);
}

#[tokio::test(start_paused = true)]
async fn g1_a_check_below_a_soft_scope_unwinds_up_to_it() {
    let log = Log::new();
    #[cancel_scope]
    async fn step(log: &Log) -> Result<(), Cancelled> {
        let _end = log.guard("step gone");
        loop {
            sleep(10).await;
            check()?;
        }
    }
    async fn run(log: &Log) -> Result<&'static str, Cancelled> {
        let stopped = scope!(cooperative, timeout = 25ms, {
            let _end = log.guard("body gone");
            let _ = step(log).await;
            log.say("not reached: the cancel is the outer scope's, and the inner one does not absorb it");
        });
        assert!(stopped.unwrap_err().is_timeout());
        Ok("on")
    }
    assert_eq!(run(&log).await.unwrap(), "on");
    log.expect(&["30 step gone", "30 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn g1_a_child_that_checks_ends_softly_and_leaves_its_siblings_their_grace() {
    let log = Log::new();
    async fn run(log: &Log) -> Result<(), Cancelled> {
        let stopped = scope!(cooperative, timeout = 10ms, {
            let (a, b) = (log.clone(), log.clone());
            let quick = spawn!(async move {
                sleep(20).await;
                a.say("quick checks");
                check()
            });
            spawn!(async move {
                sleep(60).await;
                b.say("slow is done");
            });
            sleep(40).await;
            log.say("body is done");
            let cancelled = quick.await.unwrap_err();
            assert!(cancelled.is_timeout());
        });
        // A child was unwound by a cancel that it saw through the scope (rule D6).
        assert!(stopped.unwrap_err().is_timeout());
        Ok(())
    }
    run(&log).await.unwrap();
    log.expect(&["20 quick checks", "40 body is done", "60 slow is done"]);
}

#[tokio::test(start_paused = true)]
async fn g1_a_failure_is_soft_in_a_scope_with_grace_and_leaves_all_the_same() {
    let log = Log::new();
    async fn run(log: &Log) -> Result<(), std::io::Error> {
        let _ = scope!(grace = 50ms, {
            spawn!(async {
                sleep(10).await;
                Err::<(), _>(std::io::Error::other("disk full"))
            });
            let _end = log.guard("body gone");
            cancelled().await;
            log.say("seen");
            sleep(30).await;
            log.say("brought to an end");
        });
        Ok(())
    }
    assert_eq!(run(&log).await.unwrap_err().to_string(), "disk full");
    log.expect(&["10 seen", "40 brought to an end", "40 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn g1_cleanup_runs_after_the_grace() {
    let log = Log::new();
    let cut = scope!(grace = 20ms, |s| {
        let cleanup = log.clone();
        defer(async move {
            sleep(5).await;
            cleanup.say("cleaned");
        });
        let _end = log.guard("body gone");
        s.cancel();
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["20 body gone", "25 cleaned"]);
}

#[tokio::test(start_paused = true)]
async fn g1_a_shield_hides_soft_cancels_as_well() {
    let outer = scope!(cooperative, |outer| {
        outer.cancel();
        shield!({
            assert!(!is_cancelled() && check().is_ok());
            checkpoint().await.unwrap();
        });
        is_cancelled()
    });
    assert!(outer.unwrap());
}

#[tokio::test(start_paused = true)]
async fn g1_a_deadline_that_passes_while_a_cancel_is_soft_changes_nothing() {
    let log = Log::new();
    let cut = scope!(grace = 50ms, timeout = 20ms, |s| {
        s.cancel_with("first");
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().to_string().contains("first"));
    assert_eq!(log.ms(), 50);
}

#[tokio::test(start_paused = true)]
async fn g1_a_grace_that_is_computed_and_none_means_no_grace() {
    for (grace, end) in [(Some(ms(30)), 30), (None, 0)] {
        let log = Log::new();
        let cut = scope!(grace = grace, |s| {
            s.cancel();
            pending::<()>().await;
        });
        assert!(cut.is_err());
        assert_eq!(log.ms(), end);
    }
}

#[tokio::test(start_paused = true)]
async fn g2_cancel_now_skips_the_grace() {
    let log = Log::new();
    let cut = scope!(grace = 1h, |s| {
        let _end = log.guard("body gone");
        s.cancel_now();
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["0 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn g2_cancel_now_ends_a_grace_that_has_begun() {
    let log = Log::new();
    let cut = scope!(cooperative, |s| {
        let _end = log.guard("body gone");
        let handle = s.handle();
        drop(outside(async move {
            sleep(10).await;
            assert!(handle.cancel_now());
        }));
        s.cancel_with("first");
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().to_string().contains("first"), "the first cause stays (rule L6)");
    log.expect(&["10 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn g2_cancel_now_reaches_parked_children() {
    let log = Log::new();
    let cut = scope!(cooperative, |s| {
        let child = log.clone();
        spawn!(async move {
            let _end = child.guard("child gone");
            pending::<()>().await;
        });
        s.cancel();
        let handle = s.handle();
        drop(outside(async move {
            sleep(10).await;
            handle.cancel_now();
        }));
        // The body is over; its scope waits for the child, softly cancelled.
    });
    assert!(cut.is_err());
    log.expect(&["10 child gone"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_check_sees_a_soft_cancel_from_another_thread() {
    static STEPS: AtomicU32 = AtomicU32::new(0);
    async fn run() -> Result<(), Cancelled> {
        scope!(cooperative, {
            let handle = current();
            drop(spawn!(async move {
                while STEPS.load(Ordering::Relaxed) < 3 {
                    tokio::task::yield_now().await;
                }
                handle.cancel();
            }));
            loop {
                STEPS.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                check()?;
            }
        })
    }
    assert!(matches!(run().await.unwrap_err().cause(), Cause::Explicit { .. }));
    assert!(STEPS.load(Ordering::Relaxed) >= 3);
}

#[tokio::test(start_paused = true)]
async fn g1_a_scope_that_waits_for_an_inner_one_keeps_its_own_deadline() {
    let log = Log::new();
    let done = tokio::time::timeout(ms(1000), async {
        let _ = scope!(cooperative, |s| {
            s.cancel();
            let _ = scope!(timeout = 100ms, {
                // The first branch unwinds for the soft cancel; the second holds that up.
                let polite = async {
                    let _ = scope!({ check()? });
                    Ok::<_, Cancelled>(())
                };
                let busy = async {
                    let child = log.clone();
                    let _ = scope!({
                        spawn!(async move {
                            let _gone = child.guard("child gone");
                            pending::<()>().await;
                        });
                    });
                };
                let _ = tokio::join!(polite, busy);
            });
        });
    });
    assert!(done.await.is_ok(), "it does not hang");
    log.expect(&["100 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn g1_d7_a_grace_ends_for_the_children_of_a_future_that_nobody_polls() {
    let log = Log::new();
    let said = log.clone();
    let mut future = Box::pin(async move {
        scope!(timeout = 10ms, grace = 20ms, {
            spawn!(async move {
                let deep = said.clone();
                spawn_two_deep(&said, deep).await;
            });
            pending::<()>().await;
        })
    });
    let _ = tokio::time::timeout(ms(5), &mut future).await;
    sleep(100).await;
    log.expect_unordered(&["30 child gone", "30 grandchild gone"]);
    drop(future);
}

#[tokio::test(start_paused = true)]
async fn g1_a_child_is_cut_at_the_end_of_the_grace_though_nobody_polls_its_scope() {
    let log = Log::new();
    let (tx, rx) = std::sync::mpsc::channel();
    let inside = log.clone();
    let mut left = Box::pin(async move {
        scope!(grace = 20ms, |s| {
            tx.send(s.handle()).unwrap();
            spawn!(async move {
                let _end = inside.guard("child gone");
                pending::<()>().await
            });
            pending::<()>().await
        })
    });
    assert!(tokio::time::timeout(ms(10), &mut left).await.is_err());
    rx.recv().unwrap().cancel();
    sleep(50).await;
    log.say("polled again");
    assert!(left.await.is_err());
    log.expect(&["30 child gone", "60 polled again"]);
}

async fn spawn_two_deep(log: &Log, deep: Log) {
    let _gone = log.guard("child gone");
    let _ = scope!({
        spawn!(async move {
            let _gone = deep.guard("grandchild gone");
            pending::<()>().await;
        });
        pending::<()>().await;
    });
}
