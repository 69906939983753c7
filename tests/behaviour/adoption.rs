//! U5 and T1: futures that are handed over to another scope, to be finished there.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;

use scope_runtime::{Cause, ScopeHandle, current, defer, root, scope, shield, spawn, try_current};
use scope_tests::probe::{Log, ms, on_a_thread, outside, poll_once, sleep};
use tokio::time::timeout;

use crate::report::Events;

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future that its owner may drop at any time: what is left of it goes on in `home`.
struct HandedOver {
    future: Option<Boxed>,
    home: ScopeHandle,
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        self.home.adopt(self.future.take().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn u5_an_adopted_future_is_finished_and_the_boundary_waits_for_it() {
    let log = Log::new();
    scope!(|home| {
        let own = log.clone();
        let mut future: Boxed = Box::pin(async move {
            own.say("begins");
            sleep(30).await;
            own.say(format_args!("ends in {}", current().name()));
        });
        assert!(timeout(ms(10), &mut future).await.is_err());
        log.say("given away");
        home.adopt(future);
    })
    .unwrap();
    log.say("behind");
    log.expect(&["0 begins", "10 given away", "30 ends in scope", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn u5_a_future_that_was_never_polled_can_be_adopted_too() {
    let log = Log::new();
    scope!(|home| {
        let own = log.clone();
        home.adopt(async move { own.say("runs") }); // any future with the output `()`
    })
    .unwrap();
    log.expect(&["0 runs"]);
}

#[tokio::test(start_paused = true)]
async fn t1_what_an_adopted_future_owes_is_owed_by_the_scope_that_adopted_it() {
    let log = Log::new();
    let cut = scope!(timeout = 50ms, name = "home", |home| {
        let own = log.clone();
        let future: Boxed = Box::pin(async move {
            let request = scope!(name = "request", {
                let said = own.clone();
                defer(async move {
                    sleep(10).await;
                    said.say("cleanup");
                });
                let said = own.clone();
                spawn!(async move {
                    shield!({ sleep(70).await });
                    said.say("child of the request")
                });
                shield!({ sleep(60).await });
                own.say("shielded write");
                pending::<()>().await;
            });
            unreachable!("a foreign cancel is not absorbed: {request:?}");
        });
        let handed = HandedOver { future: Some(future), home: home.handle() };
        let log = log.clone();
        // Another scope begins it, and drops it.
        scope!(name = "connection", {
            let mut handed = handed;
            let answer = timeout(ms(20), handed.future.as_mut().unwrap());
            assert!(answer.await.is_err());
        })
        .unwrap();
        log.say("the connection is gone");
        pending::<()>().await;
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    // The home's deadline passes at 50, and is seen in the request, which unwinds innermost first.
    log.expect(&[
        "20 the connection is gone",
        "60 shielded write",
        "70 child of the request",
        "80 cleanup",
        "80 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn t1_an_adopted_future_sees_the_adopters_deadline_and_shield() {
    let log = Log::new();
    let _ = scope!(timeout = 10ms, {
        let _ = scope!(shield, timeout = 100ms, |home| {
            let own = log.clone();
            let future = async move {
                let begun = scope_runtime::remaining();
                own.say(format_args!("{begun:?}"));
                tokio::task::yield_now().await;
                own.say(format_args!("{:?}", scope_runtime::remaining()));
                let _gone = own.guard("cut");
                pending::<()>().await;
            };
            let mut future: Boxed = Box::pin(future);
            let _ = scope!(timeout = 50ms, { poll_once(&mut future).await });
            home.adopt(future);
        });
    });
    log.expect(&["0 Some(50ms)", "0 Some(100ms)", "100 cut"]);
}

#[tokio::test(start_paused = true)]
async fn u5_a_cut_of_an_adopted_future_does_not_cost_the_adopter_its_value() {
    let value = scope!(|home| {
        home.adopt(pending());
        home.cancel();
        "value"
    });
    assert_eq!(value.unwrap(), "value");
}

#[tokio::test(start_paused = true)]
async fn u5_a_panic_of_an_adopted_future_is_reported_and_fails_nobody() {
    let events = Events::record();
    let mut handle = None;
    let log = Log::new();
    scope!(|home| {
        handle = Some(home.handle());
        home.adopt(async { panic!("out of cheese") });
        sleep(10).await;
        assert!(!home.is_cancelled());
        log.say("the body went on");
    })
    .unwrap();
    let late = handle.unwrap().suppressed();
    assert_eq!(late.iter().map(ToString::to_string).collect::<Vec<_>>(), ["adopted panicked: out of cheese"]);
    assert_eq!(events.warnings().len(), 1);
    log.expect(&["10 the body went on"]);
}

#[tokio::test(start_paused = true)]
async fn f6_an_adopted_future_does_not_wait_for_a_turn() {
    let log = Log::new();
    scope!(limit = 1, |home| {
        spawn!(sleep(100));
        spawn!(sleep(100));
        let own = log.clone();
        home.adopt(async move {
            sleep(10).await;
            own.say("adopted");
        });
    })
    .unwrap();
    log.expect(&["10 adopted"]);
    assert_eq!(log.ms(), 200);
}

#[tokio::test(start_paused = true)]
async fn u5_a_scope_that_was_left_hands_the_future_to_the_root() {
    let log = Log::new();
    let home = scope!(|home| { home.handle() }).unwrap();
    let own = log.clone();
    home.adopt(async move {
        sleep(10).await;
        own.say(format_args!("in a scope: {}", try_current().is_some()));
    });
    assert_eq!(root::count(), 1);
    root::wait_idle().await;
    log.expect(&["10 in a scope: false"]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn u5_adopting_works_from_a_thread_that_knows_no_runtime() {
    let log = Log::new();
    scope!(|home| {
        let (handle, own) = (home.handle(), log.clone());
        on_a_thread(move || {
            handle.adopt(async move {
                sleep(10).await;
                own.say("done");
            });
        });
    })
    .unwrap();
    log.expect(&["10 done"]);
}

#[test]
fn u5_adopting_without_any_runtime_drops_the_future_without_a_panic() {
    let events = Events::record();
    let alive = Arc::new(());
    let handle =
        futures_util::FutureExt::now_or_never(async { scope!(|s| { s.handle() }) }).unwrap().unwrap();
    let held = Arc::clone(&alive);
    handle.adopt(async move { drop(held) });
    assert_eq!(Arc::strong_count(&alive), 1);
    assert_eq!(events.warnings().len(), 1, "and tells of the loss");
}

#[test]
fn u5_a_runtime_that_shuts_down_drops_what_was_adopted() {
    let alive = Arc::new(());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let held = Arc::clone(&alive);
        outside(async move {
            scope!(|home| {
                home.adopt(async move {
                    let _held = held;
                    pending::<()>().await;
                });
                pending::<()>().await;
            })
        });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    });
    drop(runtime);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test(start_paused = true)]
async fn u5_an_adopter_that_is_dropped_itself_passes_the_future_on() {
    let log = Log::new();
    let own = log.clone();
    let dropped = timeout(ms(10), async {
        scope!(|home| {
            home.adopt(async move {
                shield!({ sleep(50).await });
                own.say("finished at the root");
            });
            pending::<()>().await;
        })
    });
    assert!(dropped.await.is_err());
    assert_eq!(root::count(), 1);
    root::wait_idle().await;
    log.expect(&["50 finished at the root"]);
}

#[tokio::test(start_paused = true)]
async fn u5_a_scope_inside_can_be_cancelled_so_that_the_future_unwinds() {
    let log = Log::new();
    scope!(|home| {
        let (tx, rx) = tokio::sync::oneshot::channel();
        let own = log.clone();
        let mut future: Boxed = Box::pin(async move {
            let cut = scope!(|request| {
                tx.send(request.handle()).unwrap();
                let _body = own.guard("body");
                let said = own.clone();
                defer(async move {
                    sleep(10).await;
                    said.say("cleanup");
                });
                pending::<()>().await;
            });
            assert!(matches!(cut.unwrap_err().cause(), Cause::Explicit { .. }));
            own.say("absorbed");
        });
        assert!(poll_once(&mut future).await.is_pending());
        let request = rx.await.unwrap();
        home.adopt(future);
        sleep(5).await;
        assert!(request.cancel());
        request.delivered().await;
        log.say("delivered");
        assert!(!request.is_closed(), "its cleanup is still to run");
    })
    .unwrap();
    log.expect(&["5 body", "5 delivered", "15 cleanup", "15 absorbed"]);
}
