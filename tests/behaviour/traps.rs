//! The known traps: futures that are alive and polled by nobody (U1a), futures that move (T1, D4), wake-ups that could
//! get lost (D7), and scopes that live long.

use std::future::{Future, pending, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use scope_runtime::{
    Cancelled, Cause, ScopeHandle, current, defer, is_cancelled, root, scope, shield, spawn,
};
use scope_tests::probe::{Log, ms, poll_once, sleep};
use tokio::sync::oneshot;

use crate::report::Events;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

async fn cleanup(log: Log, name: &'static str, n: u64) {
    log.say(format_args!("{name} begins"));
    sleep(n).await;
    log.say(format_args!("{name} ends"));
}

/// A scope that never ends by itself, with a cleanup and a child that take a while to go.
fn owing(log: &Log) -> Boxed<()> {
    let log = log.clone();
    Box::pin(async move {
        let _ = scope!(name = "owing", {
            let _body = log.guard("inner body");
            defer(cleanup(log.clone(), "cleanup", 50));
            let own = log.clone();
            spawn!(async move {
                defer(cleanup(own, "child's cleanup", 20));
                pending::<()>().await;
            });
            pending::<()>().await;
        });
        log.say("not reached: behind the inner scope");
    })
}

/// What [`owing`] says if it is given up at `at`: nothing of it is lost.
#[track_caller]
fn assert_adopted(log: &Log, at: u64) {
    host_and_child(
        log,
        &[&format!("{at} inner body"), &format!("{at} outer body")],
        &format!("{at} child's cleanup begins"),
        &[
            &format!("{} child's cleanup ends", at + 20),
            &format!("{} cleanup begins", at + 20),
            &format!("{} cleanup ends", at + 70),
            &format!("{} behind", at + 70),
        ],
    );
    assert_eq!(root::count(), 0);
}

/// What the host task said at first, in this order; what a child said about the same time; and the rest. Which of
/// two tasks runs first when both are woken is not ours.
#[track_caller]
fn host_and_child(log: &Log, host: &[&str], child: &str, rest: &[&str]) {
    let mut said = log.entries();
    let at = said.iter().position(|entry| entry == child).unwrap_or_else(|| panic!("{child}: {said:?}"));
    assert!(at <= host.len(), "{child} comes late: {said:?}");
    said.remove(at);
    assert_eq!(said, [host, rest].concat());
}

/// A shield that takes a minute.
fn shielded(log: &Log) -> Boxed<()> {
    let log = log.clone();
    Box::pin(async move {
        let _ = scope!(shield, name = "long shield", {
            let _body = log.guard("shielded body dropped");
            sleep(60_000).await;
            log.say("shield ends");
        });
    })
}

/// Polls a future once with the task's own waker; the future lives on.
async fn touch<F: Future + Unpin>(future: &mut F) {
    tokio::select! {
        biased;
        _ = &mut *future => panic!("it was to be pending"),
        () = ready(()) => {}
    }
}

/// Polls a future once with a waker that leads nowhere.
fn touch_without_waker<F: Future + Unpin>(future: &mut F) {
    assert!(future.now_or_never().is_none(), "it was to be pending");
}

/// Fails instead of hanging: on paused time an hour passes at once if everybody waits.
async fn within_an_hour<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(3600), future).await.expect("a wake-up was lost")
}

// --- U1a: alive, and polled by nobody ---------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn u1a_select_on_a_reference_that_owes_cleanup_and_children() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let mut inner = owing(&log);
        touch(&mut inner).await;
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    assert_adopted(&log, 100);
}

#[tokio::test(start_paused = true)]
async fn u1a_now_or_never_on_a_reference_whose_waker_leads_nowhere() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let mut inner = owing(&log);
        touch_without_waker(&mut inner);
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    assert_adopted(&log, 100);
}

#[tokio::test(start_paused = true)]
async fn u1a_futures_unordered_that_nobody_polls_any_more() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let mut inner: FuturesUnordered<_> = [owing(&log)].into_iter().collect();
        touch(&mut inner.next()).await;
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    assert_adopted(&log, 100);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_branch_of_join_that_forgets_its_future() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let forgets = async {
            let mut inner = owing(&log);
            touch(&mut inner).await;
            pending::<()>().await;
        };
        futures_util::join!(forgets, async {
            // The other branch keeps the body busy: its passes do not reach the inner scope either.
            loop {
                sleep(7).await;
            }
        });
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    assert_adopted(&log, 100);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_scope_that_had_begun_to_unwind_by_its_own_cancel() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let own = log.clone();
        let mut inner: Boxed<()> = Box::pin(async move {
            let _ = scope!(timeout = 20ms, {
                let _body = own.guard("inner body");
                defer(cleanup(own.clone(), "second cleanup", 10));
                defer(cleanup(own.clone(), "cleanup", 1000));
                pending::<()>().await;
            });
            own.say("not reached");
        });
        tokio::select! {
            () = &mut inner => {}
            () = sleep(30) => log.say("polled no more"),
        }
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&[
        "20 inner body",
        "20 cleanup begins",
        "30 polled no more",
        "100 outer body",
        "1020 cleanup ends",
        "1020 second cleanup begins",
        "1030 second cleanup ends",
        "1030 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u1a_scopes_in_a_scope_that_nobody_polls() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let own = log.clone();
        let mut nest: Boxed<()> = Box::pin(async move {
            let _ = scope!({
                let _body = own.guard("middle body");
                let _ = scope!({ owing(&own).await });
            });
        });
        touch(&mut nest).await;
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    host_and_child(
        &log,
        &["100 inner body", "100 middle body", "100 outer body"],
        "100 child's cleanup begins",
        &["120 child's cleanup ends", "120 cleanup begins", "170 cleanup ends", "170 behind"],
    );
}

#[tokio::test(start_paused = true)]
async fn u1a_a_child_that_is_alive_in_a_scope_that_nobody_polls_is_awaited() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let own = log.clone();
        let mut inner: Boxed<()> = Box::pin(async move {
            let _ = scope!({
                spawn!(async move {
                    shield!({ sleep(300).await });
                    own.say("shielded child ends");
                });
                pending::<()>().await;
            });
        });
        touch(&mut inner).await;
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&["100 outer body", "300 shielded child ends", "300 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_running_shield_that_nobody_polls_is_given_up_after_five_seconds() {
    let log = Log::new();
    let events = Events::record();
    let cut = scope!(timeout = 100ms, name = "outer", {
        let _body = log.guard("outer body");
        let mut inner = shielded(&log);
        touch(&mut inner).await;
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["5100 shielded body dropped", "5100 outer body", "5100 behind"]);
    let reports = events.warnings();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("long shield"), "it is reported by name: {reports:?}");
}

#[tokio::test(start_paused = true)]
async fn u1a_a_running_shield_whose_waker_leads_nowhere_is_given_up_after_five_seconds() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let mut inner = shielded(&log);
        touch_without_waker(&mut inner);
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["5100 shielded body dropped", "5100 outer body", "5100 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_running_shield_in_futures_unordered_that_nobody_polls_is_given_up_after_five_seconds() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let mut inner: FuturesUnordered<_> = [shielded(&log)].into_iter().collect();
        touch(&mut inner.next()).await;
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["5100 shielded body dropped", "5100 outer body", "5100 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_running_shield_inside_of_a_scope_that_nobody_polls_is_given_up_after_five_seconds() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let own = log.clone();
        let mut inner: Boxed<()> = Box::pin(async move {
            let _ = scope!(name = "around", {
                let _body = own.guard("body around the shield");
                shielded(&own).await;
            });
        });
        touch(&mut inner).await;
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&[
        "5100 shielded body dropped",
        "5100 body around the shield",
        "5100 outer body",
        "5100 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u1a_what_a_shield_that_is_given_up_owes_is_adopted() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let own = log.clone();
        let mut inner: Boxed<()> = Box::pin(async move {
            shield!({
                let _body = own.guard("inner body");
                defer(cleanup(own.clone(), "cleanup", 50));
                pending::<()>().await;
            });
        });
        touch(&mut inner).await;
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&[
        "5100 inner body",
        "5100 outer body",
        "5100 cleanup begins",
        "5150 cleanup ends",
        "5150 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_shield_that_was_unwinding_when_it_was_forgotten_is_given_up_at_once() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let own = log.clone();
        let mut inner: Boxed<()> = Box::pin(async move {
            shield!({
                defer(cleanup(own.clone(), "cleanup", 1000));
                sleep(10).await;
            });
        });
        tokio::select! {
            () = &mut inner => {}
            () = sleep(20) => log.say("polled no more"),
        }
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&[
        "10 cleanup begins",
        "20 polled no more",
        "100 outer body",
        "1010 cleanup ends",
        "1010 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_shield_that_is_polled_is_never_given_up() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        shielded(&log).await;
        sleep(1).await;
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&["60000 shield ends", "60000 shielded body dropped", "60000 outer body", "60000 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_shield_in_futures_unordered_that_is_polled_is_never_given_up() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let mut busy: FuturesUnordered<Boxed<()>> = FuturesUnordered::new();
        busy.push(shielded(&log));
        // Neighbours that wake the set for themselves only, so that most passes do not reach the shield.
        for n in 1..4 {
            busy.push(Box::pin(async move {
                loop {
                    sleep(100 * n).await;
                }
            }));
        }
        while busy.next().await.is_some() {}
    });
    log.say("behind");
    assert!(cut.is_err());
    let said = log.entries();
    assert_eq!(said[0], "60000 shield ends", "{said:?}");
    assert!(said.ends_with(&["60000 behind".to_owned()]), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn u1a_a_shield_in_a_join_that_is_polled_is_never_given_up() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        futures_util::join!(shielded(&log), pending::<()>());
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&["60000 shield ends", "60000 shielded body dropped", "60000 outer body", "60000 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u1a_an_unwinding_scope_in_futures_unordered_that_is_polled_unwinds_in_place() {
    let log = Log::new();
    let events = Events::record();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let mut busy: FuturesUnordered<Boxed<()>> = FuturesUnordered::new();
        busy.push(owing(&log));
        busy.push(Box::pin(async {
            loop {
                sleep(1).await;
            }
        }));
        while busy.next().await.is_some() {}
    });
    log.say("behind");
    assert!(cut.is_err());
    host_and_child(
        &log,
        &["100 inner body"],
        "100 child's cleanup begins",
        &[
            "120 child's cleanup ends",
            "120 cleanup begins",
            "170 cleanup ends",
            "170 outer body",
            "170 behind",
        ],
    );
    assert_eq!(events.warnings(), [] as [&str; 0], "nothing was given up or adopted");
}

#[tokio::test(start_paused = true)]
async fn u1a_a_future_that_is_polled_again_only_when_it_was_woken_is_found() {
    // `select!` on a reference again and again: between two passes nobody is at it, but every pass reaches it.
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let mut inner = owing(&log);
        loop {
            tokio::select! {
                () = &mut inner => break,
                () = sleep(7) => {}
            }
        }
    });
    log.say("behind");
    assert!(cut.is_err());
    let said = log.entries();
    assert!(said[..2].contains(&"100 inner body".to_owned()), "{said:?}");
    assert_eq!(said[said.len() - 2..], ["170 outer body", "170 behind"], "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn u1a_one_that_is_polled_is_awaited_and_one_that_is_forgotten_is_given_up() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let _body = log.guard("outer body");
        let own = log.clone();
        let mut forgotten: Boxed<()> = Box::pin(async move {
            let _ = scope!({
                defer(cleanup(own.clone(), "forgotten", 30));
                pending::<()>().await;
            });
        });
        touch(&mut forgotten).await;
        let _ = scope!({
            defer(cleanup(log.clone(), "polled", 200));
            pending::<()>().await;
        });
    });
    log.say("behind");
    assert!(cut.is_err());
    // The one that is forgotten need not wait for the body that holds it: its cleanup is adopted at once, or when
    // the body is dropped; either way nothing is lost, and the polled one is not cut short.
    let said = log.entries();
    for expected in ["100 polled begins", "300 polled ends", "300 outer body"] {
        assert!(said.iter().any(|entry| entry == expected), "{expected} is missing: {said:?}");
    }
    assert!(said.iter().any(|entry| entry.ends_with("forgotten ends")), "{said:?}");
    assert!(said.last().unwrap().ends_with("behind"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn u1a_an_unwinding_scope_that_was_given_up_and_is_polled_later_says_that_it_was_cancelled() {
    let log = Log::new();
    let own = log.clone();
    // It lives outside of the scope that gives it up.
    let mut inner: Boxed<Result<(), Cancelled>> = Box::pin(async move {
        scope!(timeout = 20ms, name = "given up", {
            let _body = own.guard("inner body");
            defer(cleanup(own.clone(), "cleanup", 500));
            pending::<()>().await;
        })
    });
    let cut = scope!(timeout = 100ms, {
        tokio::select! {
            _ = &mut inner => {}
            () = sleep(30) => log.say("polled no more"),
        }
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    assert_eq!(within_an_hour(inner).await.unwrap_err().scope_name(), "given up");
    log.expect(&[
        "20 inner body",
        "20 cleanup begins",
        "30 polled no more",
        "520 cleanup ends",
        "520 behind",
    ]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn u1a_an_unwinding_scope_that_was_given_up_may_be_polled_while_its_adopter_waits() {
    let log = Log::new();
    let own = log.clone();
    let inner: Boxed<Result<(), Cancelled>> = Box::pin(async move {
        scope!(timeout = 20ms, name = "given up", {
            let _body = own.guard("inner body");
            defer(cleanup(own.clone(), "cleanup", 500));
            pending::<()>().await;
        })
    });
    let inner = Arc::new(std::sync::Mutex::new(inner));
    let polled_later = tokio::spawn({
        let inner = Arc::clone(&inner);
        async move {
            sleep(200).await;
            poll_fn(|cx| inner.lock().unwrap().as_mut().poll(cx)).await
        }
    });
    let cut = scope!(timeout = 100ms, {
        tokio::select! {
            _ = poll_fn(|cx| inner.lock().unwrap().as_mut().poll(cx)) => {}
            () = sleep(30) => {}
        }
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    assert!(within_an_hour(polled_later).await.unwrap().is_err());
    log.expect(&["20 inner body", "20 cleanup begins", "520 cleanup ends", "520 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_scope_that_lives_outside_and_was_delivered_nothing_is_left_alone() {
    let log = Log::new();
    let own = log.clone();
    let mut inner: Boxed<()> = Box::pin(async move {
        let _ = scope!({
            let _body = own.guard("inner body");
            defer(cleanup(own.clone(), "cleanup", 50));
            pending::<()>().await;
        });
    });
    let cut = scope!(timeout = 100ms, {
        touch(&mut inner).await;
        pending::<()>().await;
    });
    log.say("behind the first scope");
    assert!(cut.is_err());
    let cut = scope!(timeout = 50ms, { inner.await });
    log.say("behind the second scope");
    assert!(cut.is_err());
    log.expect(&[
        "100 behind the first scope",
        "150 inner body",
        "150 cleanup begins",
        "200 cleanup ends",
        "200 behind the second scope",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_shield_that_lives_outside_of_the_scope_that_gave_it_up_goes_on() {
    let log = Log::new();
    let mut inner = shielded(&log);
    let cut = scope!(timeout = 100ms, {
        touch(&mut inner).await;
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    inner.await;
    log.expect(&["5100 behind", "60000 shield ends", "60000 shielded body dropped"]);
}

#[tokio::test(start_paused = true)]
async fn u1a_an_explicit_cancel_gives_up_what_nobody_polls_as_well() {
    let log = Log::new();
    let cut = scope!(|s| {
        let _body = log.guard("outer body");
        let mut inner = owing(&log);
        touch(&mut inner).await;
        sleep(10).await;
        s.cancel();
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    assert_adopted(&log, 10);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_child_task_that_forgets_a_scope_ends_too() {
    let log = Log::new();
    let cut = scope!(timeout = 100ms, {
        let own = log.clone();
        spawn!(async move {
            let _body = own.guard("outer body");
            let mut inner = owing(&own);
            touch(&mut inner).await;
            pending::<()>().await;
        });
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.is_err());
    assert_adopted(&log, 100);
}

// --- D4: a future that begins to unwind under one scope, and is moved -------------------------------------------------

/// A scope whose unwinding takes 50 ms; what it says is kept.
fn unwinds(log: &Log) -> Boxed<Cancelled> {
    let log = log.clone();
    Box::pin(async move {
        let cut = scope!(name = "moved", {
            let _body = log.guard("inner body");
            defer(cleanup(log.clone(), "cleanup", 50));
            pending::<()>().await;
        });
        log.say("behind the inner scope");
        cut.unwrap_err()
    })
}

/// Polls `future` until its scope has dropped its body.
async fn until_it_unwinds(future: &mut Boxed<Cancelled>, log: &Log) {
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending(), "it was to be unwinding");
        match log.entries().iter().any(|entry| entry.ends_with("inner body")) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn d4_a_future_that_is_moved_to_another_task_while_it_unwinds_absorbs_with_the_foreign_cause() {
    let log = Log::new();
    let (give, take) = oneshot::channel::<Boxed<Cancelled>>();
    let other = tokio::spawn(async move { take.await.unwrap().await });
    let value = scope!(timeout = 10ms, name = "first", {
        let mut inner = unwinds(&log);
        until_it_unwinds(&mut inner, &log).await;
        assert!(give.send(inner).is_ok());
        "value"
    });
    log.say("behind the first scope");
    assert_eq!(value.unwrap(), "value", "nothing of the first scope itself was cut (D6)");
    let cancelled = other.await.unwrap();
    log.expect(&[
        "10 inner body",
        "10 cleanup begins",
        "10 behind the first scope",
        "60 cleanup ends",
        "60 behind the inner scope",
    ]);
    assert_eq!(cancelled.scope_name(), "moved");
    let Cause::Parent(parent) = cancelled.cause() else { panic!("a foreign cause, not {cancelled}") };
    assert_eq!(parent.scope_name(), "first");
    assert!(matches!(parent.cause(), Cause::Deadline { .. }), "{cancelled}");
}

#[tokio::test(start_paused = true)]
async fn d4_a_future_that_is_moved_under_another_scope_while_it_unwinds_tells_that_one_nothing() {
    let log = Log::new();
    let mut moved = None;
    let first = scope!(timeout = 10ms, name = "first", {
        let mut inner = unwinds(&log);
        until_it_unwinds(&mut inner, &log).await;
        moved = Some(inner);
    });
    assert!(first.is_ok());
    let second = scope!(timeout = 1s, name = "second", {
        let cancelled = moved.take().unwrap().await;
        sleep(20).await;
        log.say("the second scope goes on");
        cancelled
    });
    let cancelled = second.unwrap();
    let Cause::Parent(parent) = cancelled.cause() else { panic!("a foreign cause, not {cancelled}") };
    assert_eq!(parent.scope_name(), "first");
    log.expect(&[
        "10 inner body",
        "10 cleanup begins",
        "60 cleanup ends",
        "60 behind the inner scope",
        "80 the second scope goes on",
    ]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_future_that_is_moved_under_a_cancelled_scope_while_it_unwinds_absorbs_and_runs_to_its_next_suspension()
 {
    let log = Log::new();
    let mut moved = None;
    let first = scope!(timeout = 10ms, name = "first", {
        let mut inner = unwinds(&log);
        until_it_unwinds(&mut inner, &log).await;
        moved = Some(inner);
    });
    assert!(first.is_ok());
    let second = scope!(timeout = 20ms, name = "second", {
        let _body = log.guard("second body");
        moved.take().unwrap().await;
        log.say("runs on");
        sleep(1).await;
        log.say("not reached");
    });
    assert!(second.unwrap_err().is_timeout());
    log.expect(&[
        "10 inner body",
        "10 cleanup begins",
        "60 cleanup ends",
        "60 behind the inner scope",
        "60 runs on",
        "60 second body",
    ]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_future_that_unwinds_by_its_own_cancel_absorbs_wherever_it_is_moved() {
    let log = Log::new();
    let own = log.clone();
    let mut inner: Boxed<Cancelled> = Box::pin(async move {
        let cut = scope!(timeout = 10ms, name = "moved", {
            let _body = own.guard("inner body");
            defer(cleanup(own.clone(), "cleanup", 50));
            pending::<()>().await;
        });
        cut.unwrap_err()
    });
    scope!({ until_it_unwinds(&mut inner, &log).await }).unwrap();
    let cancelled = tokio::spawn(inner).await.unwrap();
    assert!(matches!(cancelled.cause(), Cause::Deadline { .. }), "{cancelled}");
    log.expect(&["10 inner body", "10 cleanup begins", "60 cleanup ends"]);
}

// --- T1, U1: shields that move ----------------------------------------------------------------------------------------

/// A shield of 100 ms, and code behind it.
fn shield_of_100ms(log: &Log) -> Boxed<()> {
    let log = log.clone();
    Box::pin(async move {
        shield!({
            let _body = log.guard("shield ends");
            sleep(100).await;
        });
        log.say("behind the shield");
        sleep(1).await;
        log.say("a suspension later");
    })
}

#[tokio::test(start_paused = true)]
async fn t1_a_shield_that_is_moved_under_a_cancelled_scope_holds_there_too() {
    let log = Log::new();
    let mut moved = shield_of_100ms(&log);
    scope!(name = "first", { touch(&mut moved).await }).unwrap();
    let cut = scope!(name = "second", |s| {
        let _body = log.guard("second body");
        s.cancel();
        moved.await;
    });
    log.say("behind");
    assert!(cut.is_err());
    log.expect(&["100 shield ends", "100 behind the shield", "100 second body", "100 behind"]);
}

#[tokio::test(start_paused = true)]
async fn t1_a_shield_that_is_moved_into_another_tasks_scope_holds_there_too() {
    let log = Log::new();
    let (give, take) = oneshot::channel::<Boxed<()>>();
    let other = tokio::spawn({
        let log = log.clone();
        async move {
            let cut = scope!(timeout = 20ms, name = "second", {
                let _body = log.guard("second body");
                take.await.unwrap().await;
            });
            log.say("behind the second scope");
            cut.is_err()
        }
    });
    scope!(name = "first", {
        let mut inner = shield_of_100ms(&log);
        touch(&mut inner).await;
        sleep(5).await;
        assert!(give.send(inner).is_ok());
    })
    .unwrap();
    log.say("behind the first scope");
    assert!(other.await.unwrap());
    log.expect(&[
        "5 behind the first scope",
        "100 shield ends",
        "100 behind the shield",
        "100 second body",
        "100 behind the second scope",
    ]);
}

#[tokio::test(start_paused = true)]
async fn t1_a_scope_does_not_wait_for_a_shield_that_was_moved_out_of_it() {
    let log = Log::new();
    let (give, take) = oneshot::channel::<Boxed<()>>();
    let other = tokio::spawn(async move { take.await.unwrap().await });
    let cut = scope!(timeout = 20ms, name = "first", {
        let _body = log.guard("first body");
        let mut inner = shield_of_100ms(&log);
        touch(&mut inner).await;
        assert!(give.send(inner).is_ok());
        sleep(1000).await;
    });
    log.say("behind the first scope");
    assert!(cut.is_err());
    other.await.unwrap();
    log.expect(&[
        "20 first body",
        "20 behind the first scope",
        "100 shield ends",
        "100 behind the shield",
        "101 a suspension later",
    ]);
}

#[tokio::test(start_paused = true)]
async fn t1_a_shield_that_is_moved_while_its_scope_waits_for_it_no_longer_holds_that_one_up() {
    let log = Log::new();
    let (give, take) = oneshot::channel::<Boxed<()>>();
    let other = tokio::spawn(async move { take.await.unwrap().await });
    let shared = Arc::new(std::sync::Mutex::new(Some(shield_of_100ms(&log))));
    let mover = tokio::spawn({
        let (shared, log) = (Arc::clone(&shared), log.clone());
        async move {
            sleep(50).await;
            let inner = shared.lock().unwrap().take().unwrap();
            assert!(give.send(inner).is_ok());
            log.say("moved");
        }
    });
    let cut = scope!(timeout = 20ms, name = "first", {
        let _body = log.guard("first body");
        poll_fn(|cx| match &mut *shared.lock().unwrap() {
            Some(inner) => inner.as_mut().poll(cx),
            None => Poll::Pending,
        })
        .await;
    });
    log.say("behind the first scope");
    assert!(cut.is_err());
    mover.await.unwrap();
    other.await.unwrap();
    log.expect(&[
        "50 moved",
        "50 first body",
        "50 behind the first scope",
        "100 shield ends",
        "100 behind the shield",
        "101 a suspension later",
    ]);
}

#[tokio::test(start_paused = true)]
async fn t1_a_scope_sees_the_cancel_of_the_scope_it_was_moved_to() {
    let log = Log::new();
    let own = log.clone();
    let mut moved: Boxed<()> = Box::pin(async move {
        let _ = scope!(name = "moved", {
            let _body = own.guard("inner body");
            defer(cleanup(own.clone(), "cleanup", 50));
            pending::<()>().await;
        });
        own.say("not reached");
    });
    let first = scope!(timeout = 10ms, name = "first", {
        touch(&mut moved).await;
        "handed over"
    });
    assert!(first.is_ok());
    let second = scope!(timeout = 30ms, name = "second", {
        let _body = log.guard("second body");
        moved.await;
    });
    assert!(second.is_err());
    log.expect(&["30 inner body", "30 cleanup begins", "80 cleanup ends", "80 second body"]);
}

// --- D7: wake-ups -----------------------------------------------------------------------------------------------------

/// Cancels from a thread of its own, and waits for that thread.
fn cancel_on_a_thread(handle: ScopeHandle) {
    let cancelled = thread::spawn(move || handle.cancel()).join().unwrap();
    assert!(cancelled);
}

#[tokio::test(start_paused = true)]
async fn d7_a_cancel_that_comes_in_the_poll_that_made_the_node_is_not_lost() {
    let cut = within_an_hour(async {
        scope!({
            poll_fn::<(), _>(|_| {
                // The first handle of this scope, deep in its poll.
                cancel_on_a_thread(current());
                Poll::Pending
            })
            .await;
        })
    })
    .await;
    assert!(matches!(cut.unwrap_err().cause(), Cause::Explicit { .. }));
}

#[tokio::test(start_paused = true)]
async fn d7_a_cancel_that_comes_between_an_inner_scopes_suspension_and_the_outer_ones_is_not_lost() {
    let log = Log::new();
    let cut = within_an_hour(async {
        scope!({
            let _body = log.guard("outer body");
            futures_util::join!(
                async {
                    // It has suspended, without a node, when the node of the outer scope is made.
                    let _ = scope!({
                        let _body = log.guard("inner body");
                        pending::<()>().await;
                    });
                    log.say("not reached");
                },
                poll_fn::<(), _>(|_| {
                    cancel_on_a_thread(current());
                    Poll::Pending
                }),
            );
        })
    })
    .await;
    assert!(cut.is_err());
    log.expect(&["0 inner body", "0 outer body"]);
}

#[tokio::test(start_paused = true)]
async fn d7_a_node_that_is_made_at_a_later_poll_wakes_the_scope() {
    let log = Log::new();
    let (give, take) = oneshot::channel::<ScopeHandle>();
    let canceller = tokio::spawn(async move {
        let handle = take.await.unwrap();
        sleep(10).await;
        cancel_on_a_thread(handle);
    });
    let cut = within_an_hour(async {
        scope!({
            let _body = log.guard("outer body");
            let mut busy: FuturesUnordered<Boxed<()>> = FuturesUnordered::new();
            let own = log.clone();
            busy.push(Box::pin(async move {
                let _ = scope!({
                    let _body = own.guard("inner body");
                    pending::<()>().await;
                });
                own.say("not reached");
            }));
            busy.push(Box::pin(async move {
                // Polled again by itself: the branch above is not part of that pass.
                sleep(5).await;
                assert!(give.send(current()).is_ok());
                pending::<()>().await;
            }));
            while busy.next().await.is_some() {}
        })
    })
    .await;
    assert!(cut.is_err());
    canceller.await.unwrap();
    let mut said = log.entries();
    said.sort();
    assert_eq!(said, ["15 inner body", "15 outer body"]);
}

#[tokio::test(start_paused = true)]
async fn d7_a_cleanup_that_is_registered_at_a_later_poll_is_run_before_the_outer_body_goes() {
    let log = Log::new();
    let cut = within_an_hour(async {
        scope!(timeout = 100ms, {
            let _body = log.guard("outer body");
            let mut busy: FuturesUnordered<Boxed<()>> = FuturesUnordered::new();
            let own = log.clone();
            busy.push(Box::pin(async move {
                let _ = scope!({
                    sleep(20).await;
                    defer(cleanup(own.clone(), "cleanup", 30));
                    let _body = own.guard("inner body");
                    pending::<()>().await;
                });
            }));
            while busy.next().await.is_some() {}
        })
    })
    .await;
    assert!(cut.is_err());
    log.expect(&["100 inner body", "100 cleanup begins", "130 cleanup ends", "130 outer body"]);
}

#[tokio::test(start_paused = true)]
async fn d7_an_inner_deadline_counts_again_when_an_earlier_outer_one_is_taken_away() {
    // The inner scope set no timer, since the outer deadline comes first; then that one goes.
    let log = Log::new();
    let value = within_an_hour(async {
        scope!(timeout = 10ms, {
            futures_util::join!(
                async {
                    let inner = scope!(timeout = 20ms, name = "inner", { pending::<()>().await });
                    log.say(inner.unwrap_err().scope_name());
                },
                async {
                    sleep(5).await;
                    current().set_deadline(None);
                },
            );
            7
        })
    })
    .await;
    assert_eq!(value.unwrap(), 7);
    log.expect(&["20 inner"]);
}

#[tokio::test(start_paused = true)]
async fn d7_an_inner_deadline_in_a_sub_executor_counts_again_when_an_earlier_outer_one_is_taken_away() {
    let log = Log::new();
    let value = within_an_hour(async {
        scope!(timeout = 10ms, {
            let mut busy: FuturesUnordered<Boxed<()>> = FuturesUnordered::new();
            let own = log.clone();
            busy.push(Box::pin(async move {
                let inner = scope!(timeout = 20ms, name = "inner", { pending::<()>().await });
                own.say(inner.unwrap_err().scope_name());
            }));
            busy.push(Box::pin(async {
                sleep(5).await;
                current().set_deadline(None);
            }));
            while busy.next().await.is_some() {}
            7
        })
    })
    .await;
    assert_eq!(value.unwrap(), 7);
    log.expect(&["20 inner"]);
}

/// A body in a sub-executor that says when it has suspended, so that the cancel comes from outside, at any time after.
async fn cancelled_in_a_sub_executor(turn: usize) -> Vec<&'static str> {
    let said = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (give, take) = std::sync::mpsc::channel::<ScopeHandle>();
    let thread = thread::spawn(move || {
        let handle = take.recv().unwrap();
        for _ in 0..turn % 4 {
            thread::yield_now();
        }
        handle.cancel()
    });
    let cut = scope!({
        let mut busy: FuturesUnordered<Boxed<()>> = FuturesUnordered::new();
        let cleaned = Arc::clone(&said);
        busy.push(Box::pin(async move {
            let _ = scope!({
                let child = Arc::clone(&cleaned);
                defer(async move {
                    tokio::task::yield_now().await;
                    cleaned.lock().unwrap().push("cleanup");
                });
                spawn!(async move {
                    defer(async move { child.lock().unwrap().push("child's cleanup") });
                    pending::<()>().await;
                });
                pending::<()>().await;
            });
        }));
        let shielded = Arc::clone(&said);
        busy.push(Box::pin(async move {
            let _ = scope!({
                shield!({
                    while !shielded.lock().unwrap().contains(&"cleanup") {
                        tokio::task::yield_now().await;
                    }
                });
                shielded.lock().unwrap().push("shield");
                pending::<()>().await;
            });
        }));
        busy.push(Box::pin(async move {
            give.send(current()).unwrap();
            pending::<()>().await;
        }));
        while busy.next().await.is_some() {}
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::Explicit { .. }));
    assert!(thread.join().unwrap());
    said.lock().unwrap().clone()
}

#[tokio::test]
async fn d7_a_cancel_from_another_thread_reaches_a_body_in_a_sub_executor() {
    for turn in 0..100 {
        assert_eq!(cancelled_in_a_sub_executor(turn).await, ["child's cleanup", "cleanup", "shield"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_a_cancel_from_another_thread_reaches_a_body_in_a_sub_executor_on_many_threads() {
    for turn in 0..100 {
        let said = tokio::spawn(cancelled_in_a_sub_executor(turn)).await.unwrap();
        assert_eq!(said, ["child's cleanup", "cleanup", "shield"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d7_cancels_that_race_with_the_first_suspension_are_not_lost() {
    for turn in 0..500usize {
        let cut = scope!({
            let handle = current();
            let thread = tokio::task::spawn_blocking(move || {
                for _ in 0..turn % 7 {
                    thread::yield_now();
                }
                handle.cancel()
            });
            drop(thread);
            let _ = scope!({ scope!({ pending::<()>().await }) });
        });
        assert!(cut.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn d7_the_waker_of_the_last_poll_is_the_one_that_is_woken() {
    // First polled with a waker that leads nowhere, then in a task: a cancel must wake the task.
    let (give, take) = oneshot::channel::<ScopeHandle>();
    let mut inner: Boxed<bool> = Box::pin(async move {
        let cut = scope!({
            assert!(give.send(current()).is_ok());
            pending::<()>().await;
        });
        cut.is_err()
    });
    assert!(inner.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let handle = take.await.unwrap();
    let task = tokio::spawn(inner);
    sleep(10).await;
    handle.cancel();
    assert!(within_an_hour(task).await.unwrap());
}

// --- long lives -------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f1_ten_thousand_short_children_in_one_long_scope_leave_nothing_behind() {
    let alive = Arc::new(());
    let metrics = tokio::runtime::Handle::current().metrics();
    let mut most = 0;
    scope!(timeout = 1h, {
        for n in 0..10_000u32 {
            let life = Arc::clone(&alive);
            // Both kinds: awaited, and with a task that was dropped.
            let task = spawn!(async move {
                let _life = life;
                tokio::task::yield_now().await;
                n
            });
            if n.is_multiple_of(2) {
                assert_eq!(task.await.unwrap(), n);
            } else {
                drop(task);
                sleep(1).await;
            }
            most = most.max(Arc::strong_count(&alive) + metrics.num_alive_tasks());
        }
    })
    .unwrap();
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(most <= 3, "at most one child is alive at a time: {most}");
}

#[tokio::test(start_paused = true)]
async fn u1a_ten_thousand_short_scopes_under_a_waiting_cancel_cost_no_more_than_they_should() {
    // A shield in which scopes come and go, while an outer cancel waits for it.
    let log = Log::new();
    let cut = scope!(timeout = 1ms, {
        shield!({
            for _ in 0..10_000 {
                scope!({
                    assert!(!is_cancelled());
                    sleep(1).await;
                })
                .unwrap();
            }
        });
        log.say("behind the shield");
        sleep(1).await;
    });
    assert!(cut.is_err());
    log.expect(&["10000 behind the shield"]);
}

#[test]
fn a_helper_that_polls_once_polls_once() {
    // The tests above stand on this: `touch` must leave the future alive.
    let mut polled = 0;
    let mut future: Pin<Box<dyn Future<Output = ()>>> = Box::pin(poll_fn(|_| {
        polled += 1;
        Poll::Pending
    }));
    assert_eq!(touch(&mut future).now_or_never(), Some(()));
    touch_without_waker(&mut future);
    assert_eq!(poll_once(&mut future).now_or_never(), Some(Poll::Pending));
    drop(future);
    assert_eq!(polled, 3);
    assert_eq!(ms(1), Duration::from_millis(1));
}
