//! What passes a cancel on between scopes: bubbles (rule B1), links (B2), futures that cancel (B3).

use std::cell::Cell;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use scope_runtime::{
    Cause, ScopeHandle, cancel_scope, current, defer, fail_after, is_cancelled, scope, shield, spawn,
    try_current,
};
use scope_tests::probe::{Log, ms, outside, sleep};
use tokio::sync::oneshot;

// --- B1 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn b1_an_own_cancel_below_cancels_the_bubbling_scope_and_all_between() {
    let log = Log::new();
    let outer = scope!(name = "above", {
        let bubbling = scope!(bubble, name = "bubbling", |bubbling| {
            let sibling = log.clone();
            spawn!(async move {
                let _end = sibling.guard("sibling gone");
                pending::<()>().await;
            });
            let between = scope!(name = "between", |between| {
                let _ = scope!(name = "inner", |inner| {
                    sleep(10).await;
                    inner.cancel();
                    assert!(between.cancel_called() && bubbling.cancel_called());
                    pending::<()>().await;
                });
                unreachable!("the cancel is foreign to nobody but `bubbling`");
            });
            unreachable!("{between:?}");
        });
        let cancelled = bubbling.unwrap_err();
        let Cause::Bubble(inner) = cancelled.cause() else { panic!("{cancelled}") };
        assert_eq!(inner.scope_name(), "inner");
        assert!(matches!(cancelled.root_cause(), Cause::Explicit { .. }));
        assert!(!is_cancelled(), "it stops at the outermost scope that has it");
        sleep(1).await;
        "on"
    });
    assert_eq!(outer.unwrap(), "on");
    log.expect(&["10 sibling gone"]);
}

#[tokio::test(start_paused = true)]
async fn b1_deadlines_bubble_whatever_they_are_kept_in() {
    for in_function in [false, true] {
        let log = Log::new();
        let cut = scope!(bubble, {
            let _end = log.guard("outer gone");
            if in_function {
                let _ = fail_after(ms(10), pending::<()>()).await;
            } else {
                let _ = scope!({ scope!(timeout = 10ms, { pending::<()>().await }) });
            }
            unreachable!();
        });
        let cancelled = cut.unwrap_err();
        assert!(matches!(cancelled.cause(), Cause::Bubble(_)) && cancelled.is_timeout());
        log.expect(&["10 outer gone"]);
    }
}

#[tokio::test(start_paused = true)]
async fn b1_a_deadline_that_only_check_has_seen_bubbles() {
    let seen = scope!(bubble, |outer| {
        let _ = scope!(timeout = 0s, {
            assert!(is_cancelled());
            assert!(outer.cancel_called());
        });
        outer.cancel_called()
    });
    assert!(seen.unwrap(), "no suspension, so the value is kept");
}

#[tokio::test(start_paused = true)]
async fn b1_bubbles_cross_tasks() {
    let log = Log::new();
    let cut = scope!(bubble, name = "top", {
        let (a, b) = (log.clone(), log.clone());
        spawn!(async move {
            let _end = a.guard("first gone");
            pending::<()>().await;
        });
        spawn!(async move {
            let _end = b.guard("second gone");
            let _ = scope!(timeout = 10ms, { pending::<()>().await });
        });
        pending::<()>().await;
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::Bubble(_)));
    log.expect_unordered(&["10 first gone", "10 second gone"]);
}

#[tokio::test(start_paused = true)]
async fn b1_failures_bubble() {
    async fn inner() -> Result<(), &'static str> {
        let _ = scope!({
            spawn!(async { Err::<(), _>("broken") });
        });
        Ok(())
    }
    let cut = scope!(bubble, |outer| {
        assert_eq!(inner().await, Err("broken"));
        // The error left to this code, which runs on to its next suspension.
        assert!(outer.cancel_called());
        sleep(1).await;
    });
    let cancelled = cut.unwrap_err();
    assert!(matches!(cancelled.root_cause(), Cause::TaskFailed { .. }), "{cancelled}");
}

/// A scope of which nobody has a handle, and that has neither children nor cleanup.
#[tokio::test(start_paused = true)]
async fn b1_the_failure_of_a_scope_that_nobody_watches_bubbles() {
    async fn fails() -> Result<(), &'static str> {
        let _ = scope!({ Err::<(), _>("broken")? });
        Ok(())
    }
    let outer = scope!(bubble, {
        assert!(fails().await.is_err());
        assert!(is_cancelled());
        sleep(10).await;
    });
    assert!(matches!(outer.unwrap_err().root_cause(), Cause::TaskFailed { .. }));
}

#[tokio::test(start_paused = true)]
async fn b1_l5_a_deadline_that_only_the_boundary_has_seen_bubbles() {
    let outer = scope!(bubble, {
        scope!(timeout = 0s, {}).unwrap();
        sleep(10).await;
    });
    assert!(outer.unwrap_err().is_timeout());
}

#[tokio::test(start_paused = true)]
async fn b1_a_scope_can_keep_its_own_cancel_to_itself() {
    let outer = scope!(bubble, |outer| {
        let inner = scope!(bubble = false, timeout = 10ms, {
            let innermost = scope!(timeout = 5ms, { pending::<()>().await });
            assert!(innermost.is_err(), "what is below inherits it");
            pending::<()>().await;
        });
        assert!(inner.unwrap_err().is_timeout());
        assert!(!outer.cancel_called());
        sleep(10).await;
        7
    });
    assert_eq!(outer.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn b1_without_bubble_only_descendants_are_cancelled() {
    let outer = scope!(|outer| {
        let inner = scope!(|inner| {
            inner.cancel();
            sleep(1).await;
        });
        assert!(inner.is_err() && !outer.cancel_called());
        sleep(1).await;
        7
    });
    assert_eq!(outer.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn b1_a_shielded_scopes_own_cancel_bubbles_out_and_none_comes_in() {
    let log = Log::new();
    let cut = scope!(bubble, {
        let sibling = log.clone();
        spawn!(async move {
            shield!({
                sleep(30).await;
                sibling.say("shielded sibling is done");
            });
        });
        let inner = scope!(shield, timeout = 10ms, { pending::<()>().await });
        // Its shield hides the bubbled cancel, so its own is the only one there.
        assert!(inner.unwrap_err().is_timeout());
        log.say("runs on to its next suspension");
        sleep(1).await;
        unreachable!();
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::Bubble(_)));
    log.expect(&["10 runs on to its next suspension", "30 shielded sibling is done"]);
}

#[tokio::test(start_paused = true)]
async fn b1_a_bubbled_cancel_takes_the_grace_of_the_scope_that_it_reaches() {
    let log = Log::new();
    let cut = scope!(bubble, grace = 30ms, {
        let _end = log.guard("outer gone");
        let inner = scope!(timeout = 10ms, { pending::<()>().await });
        assert!(inner.is_err(), "the outer cancel is only soft, so the inner one is its own");
        log.say("goes on for a while");
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 goes on for a while", "40 outer gone"]);
}

#[tokio::test(start_paused = true)]
async fn b1_a_bubble_condition_is_evaluated() {
    for bubble in [false, true] {
        let outer = scope!(bubble = bubble, {
            let _ = scope!(timeout = 1ms, { pending::<()>().await });
            sleep(1).await;
        });
        assert_eq!(outer.is_err(), bubble);
    }
}

#[tokio::test(start_paused = true)]
async fn b1_a_deadline_of_a_scope_that_nobody_polls_any_more_bubbles_all_the_same() {
    let log = Log::new();
    let outer = scope!(bubble, name = "outer", {
        let _end = log.guard("outer gone");
        let mut left = Box::pin(async { scope!(timeout = 10ms, name = "left", { pending::<()>().await }) });
        assert!(tokio::time::timeout(ms(5), &mut left).await.is_err());
        sleep(50).await;
        log.say("not reached");
    });
    let cancelled = outer.unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Bubble(inner) if inner.scope_name() == "left"), "{cancelled}");
    log.expect(&["10 outer gone"]);
}

// --- B2 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn b2_a_linked_scope_is_cancelled_too() {
    async fn inner(of: ScopeHandle) {
        let _ = scope!(link = of, name = "inner", |inner| {
            inner.cancel();
        });
    }
    let log = Log::new();
    let outer = scope!(name = "outer", |outer| {
        spawn!(inner(outer.handle()));
        pending::<()>().await;
    });
    let cancelled = outer.unwrap_err();
    let Cause::Link(inner) = cancelled.cause() else { panic!("{cancelled}") };
    assert_eq!(inner.scope_name(), "inner");
    assert_eq!(log.ms(), 0);
}

#[tokio::test(start_paused = true)]
async fn b2_only_an_own_cancel_goes_over_a_link() {
    let seen = scope!(|elsewhere| {
        let outer = scope!(timeout = 10ms, {
            let _ = scope!(link = elsewhere, { pending::<()>().await });
        });
        assert!(outer.is_err());
        elsewhere.cancel_called()
    });
    assert!(!seen.unwrap(), "the linked scope lost its body to a cancel that was not its own");
}

#[tokio::test(start_paused = true)]
async fn b2_links_chain_and_cycles_end() {
    let all = scope!(|a| {
        let _ = scope!(link = a, |b| {
            let _ = scope!(link = (b, a), |c| {
                c.cancel();
                assert!(a.cancel_called() && b.cancel_called());
            });
        });
        a.cancel_called()
    });
    assert!(all.unwrap());
}

#[tokio::test(start_paused = true)]
async fn b2_a_deadline_goes_over_a_link() {
    let log = Log::new();
    let outer = scope!(|outer| {
        spawn!({
            let outer = outer.handle();
            async move {
                let _ = scope!(link = outer, timeout = 10ms, { pending::<()>().await });
            }
        });
        pending::<()>().await;
    });
    assert!(outer.unwrap_err().is_timeout());
    assert_eq!(log.ms(), 10);
}

#[tokio::test(start_paused = true)]
async fn b2_a_scope_whose_link_was_left_does_not_run() {
    let left = scope!(name = "left", |s| { s.handle() }).unwrap();
    let refused = scope!(link = left, {
        unreachable!("its body does not run");
    });
    let refused: Result<(), _> = refused;
    assert!(matches!(refused.unwrap_err().cause(), Cause::LinkClosed));

    #[cancel_scope(link = left.clone(), fallback = |cancelled| matches!(cancelled.cause(), Cause::LinkClosed))]
    async fn annotated(left: &ScopeHandle) -> bool {
        unreachable!("its body does not run, either: {left:?}")
    }
    let left = scope!(|s| { s.handle() }).unwrap();
    assert!(annotated(&left).await);
}

#[tokio::test(start_paused = true)]
async fn b2_what_can_be_linked() {
    let value = scope!(|a| {
        let handles = vec![a.handle(), current()];
        let _ = scope!(link = handles, |s| { s.cancel() });
        a.cancel_called()
    });
    assert!(value.unwrap());
    let none: Option<ScopeHandle> = None;
    assert!(scope!(link = none, |s| { s.cancel() }).is_ok());
}

// --- B3 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn b3_a_scope_is_cancelled_when_the_future_is_ready() {
    let log = Log::new();
    let cut = scope!(cancel_on = sleep(10), {
        let _end = log.guard("body gone");
        pending::<()>().await;
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::CancelOn));
    log.expect(&["10 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn b3_the_future_may_borrow_and_its_output_is_dropped() {
    let log = Log::new();
    let text = String::from("borrowed");
    let cut = scope!(
        cancel_on = async {
            sleep(10).await;
            log.say(&text);
            log.guard("output dropped")
        },
        {
            let _end = log.guard("body gone");
            pending::<()>().await;
        }
    );
    assert!(cut.is_err());
    log.expect(&["10 borrowed", "10 output dropped", "10 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn b3_the_body_is_polled_first_and_completion_wins() {
    let value = scope!(cancel_on = ready(()), { 7 });
    assert_eq!(value.unwrap(), 7);
    let log = Log::new();
    let value = scope!(cancel_on = sleep(10), {
        sleep(10).await;
        7
    });
    assert_eq!((value.unwrap(), log.ms()), (7, 10));
    let first = Cell::new(false);
    let cut = scope!(cancel_on = ready(()), {
        first.set(true);
        pending::<()>().await;
    });
    assert!(cut.is_err() && first.get(), "the code before the first suspension runs (rule D1)");
}

#[tokio::test(start_paused = true)]
async fn b3_it_is_polled_in_the_parents_context_and_dropped_before_the_body() {
    let log = Log::new();
    let _ = scope!(name = "parent", {
        let cut = scope!(
            name = "child",
            timeout = 10ms,
            cancel_on = async {
                let _end = log.guard("watch gone");
                log.say(current().name());
                pending::<()>().await
            },
            {
                let _end = log.guard("body gone");
                log.say(current().name());
                pending::<()>().await;
            }
        );
        assert!(cut.unwrap_err().is_timeout());
    });
    log.expect(&["0 child", "0 parent", "10 watch gone", "10 body gone"]);
    let _ = scope!(
        cancel_on = poll_fn(|_| {
            assert!(try_current().is_none());
            Poll::Ready(())
        }),
        { pending::<()>().await }
    );
}

#[tokio::test(start_paused = true)]
async fn b3_the_children_are_cancelled_when_the_body_has_ended_too() {
    let log = Log::new();
    let child = log.clone();
    let cut = scope!(cancel_on = sleep(10), {
        spawn!(async move {
            let _end = child.guard("child gone");
            pending::<()>().await;
        });
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::CancelOn));
    log.expect(&["10 child gone"]);

    // It is over with the last child, and dropped when the scope is left.
    let log = Log::new();
    let (watch, child) = (log.clone(), log.clone());
    let value = scope!(
        cancel_on = async move {
            let _end = watch.guard("watch gone");
            pending::<()>().await
        },
        {
            let _end = log.guard("body gone");
            spawn!(async move {
                let _end = child.guard("child gone");
                sleep(20).await;
            });
        }
    );
    log.say("left");
    value.unwrap();
    log.expect(&["0 body gone", "20 child gone", "20 watch gone", "20 left"]);
}

#[tokio::test(start_paused = true)]
async fn b3_a_panic_of_the_future_is_a_failure() {
    let log = Log::new();
    let inner = log.clone();
    let joined = outside(async move {
        let _ = scope!(cancel_on = async { panic!("watch") }, {
            let _end = inner.guard("body gone");
            let child = inner.clone();
            spawn!(async move {
                let _end = child.guard("child gone");
                pending::<()>().await;
            });
            pending::<()>().await;
        });
    });
    let payload = joined.await.unwrap_err().into_panic();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"watch"));
    log.expect(&["0 body gone", "0 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn b3_a_soft_cancel_comes_from_a_future_as_well() {
    let log = Log::new();
    let (stop, stopped) = oneshot::channel::<()>();
    drop(outside(async move {
        sleep(5).await;
        stop.send(()).unwrap();
    }));
    let cut = scope!(cancel_on = stopped, grace = 20ms, { pending::<()>().await });
    assert!(cut.is_err());
    assert_eq!(log.ms(), 25);
}

#[tokio::test(start_paused = true)]
async fn b3_it_works_on_functions_and_together_with_other_options() {
    #[cancel_scope(cancel_on = stop, timeout = 1s, fallback = |cancelled| cancelled.to_string())]
    async fn work(stop: oneshot::Receiver<()>) -> String {
        pending().await
    }
    let (stop, stopped) = oneshot::channel::<()>();
    drop(stop);
    assert!(work(stopped).await.contains("what it was to be cancelled on was ready"));
}

#[tokio::test(start_paused = true)]
async fn b3_a_panic_of_the_future_unwinds_innermost_first() {
    let log = Log::new();
    let inside = log.clone();
    let joined = tokio::spawn(async move {
        let watch = async {
            sleep(10).await;
            panic!("watch");
        };
        let _ = scope!(cancel_on = watch, {
            let _outer = inside.guard("outer body gone");
            shield!({
                sleep(20).await;
                inside.say("shield done");
            });
            let cleanup = inside.clone();
            let _ = scope!({
                defer(async move {
                    sleep(30).await;
                    cleanup.say("inner cleanup");
                });
                pending::<()>().await;
            });
        });
    });
    let payload = joined.await.unwrap_err().into_panic();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"watch"));
    log.expect(&["20 shield done", "50 inner cleanup", "50 outer body gone"]);
}

#[tokio::test(start_paused = true)]
async fn b1_d1_a_deadline_that_passed_before_the_start_bubbles() {
    for with_inner in [false, true] {
        let outer = scope!(bubble, {
            let late = scope!(timeout = 0s, {
                if with_inner {
                    let _ = scope!({ pending::<()>().await });
                }
                pending::<()>().await;
            });
            unreachable!("{late:?}");
        });
        assert!(matches!(outer.unwrap_err().cause(), Cause::Bubble(_)));
    }
}

#[tokio::test(start_paused = true)]
async fn b2_l5_a_deadline_behind_an_outer_one_that_has_passed_cancels_the_linked_scope_in_time() {
    let log = Log::new();
    let _ = scope!(|linked| {
        let (gone, linked) = (log.clone(), linked.handle());
        spawn!(async move {
            let _gone = gone.guard("linked scope is cancelled");
            pending::<()>().await;
        });
        let _ = scope!(timeout = 5ms, {
            let _ = scope!(timeout = ms(20), link = linked, { shield!({ sleep(100).await }) });
        });
    });
    log.expect(&["20 linked scope is cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn b2_a_chain_of_links_may_be_long() {
    let _ = scope!(|first| {
        let mut last = first.handle();
        for _ in 0..20_000 {
            let (tx, rx) = oneshot::channel();
            spawn!(async move {
                let _ = scope!(link = last, |s| {
                    drop(tx.send(s.handle()));
                    pending::<()>().await;
                });
            });
            last = rx.await.unwrap();
        }
        last.cancel();
        assert!(first.cancel_called());
    });
}

#[tokio::test(start_paused = true)]
async fn b2_any_of_several_links_that_was_left_keeps_the_body_from_running() {
    let mut left = None;
    scope!(|s| { left = Some(s.handle()) }).unwrap();
    let left = left.unwrap();
    scope!(|open| {
        let refused = scope!(link = (open.handle(), left), { unreachable!("a link was left") });
        let cancelled = refused.map(|(): ()| ()).unwrap_err();
        assert!(matches!(cancelled.cause(), Cause::LinkClosed), "{cancelled}");
    })
    .unwrap();
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A scope in a child of a scope in a child …
fn nested(
    levels: usize,
    innermost: oneshot::Sender<ScopeHandle>,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        let _ = scope!(|s| {
            if levels == 0 {
                let _ = innermost.send(s.handle());
            } else {
                spawn!(nested(levels - 1, innermost));
            }
            pending::<()>().await;
        });
    })
}

#[tokio::test]
async fn b1_d7_a_bubble_wakes_everybody_once_however_many_levels_it_goes_through() {
    let wakes = Arc::new(Wakes::default());
    let bubbling = scope!(bubble, {
        let (tell, told) = oneshot::channel();
        spawn!(nested(100, tell));
        let innermost = told.await.unwrap();
        let mut watching = Box::pin(innermost.cancelled());
        let waker = Waker::from(Arc::clone(&wakes));
        assert!(watching.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        innermost.cancel();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        pending::<()>().await;
    });
    assert!(matches!(bubbling.unwrap_err().cause(), Cause::Bubble(_)));
}
