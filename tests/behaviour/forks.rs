//! `fork!`: children inside the host task. What F1 to F4, F7, F8, U1 to U5, T1, T2, D1, D7 and L5 say of children holds
//! for them, and they may borrow.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use scope_runtime::{
    Cancelled, Cause, ScopeHandle, Task, cancel_scope, cancelled, check, current, defer, effective_deadline,
    fork, guard, is_cancelled, remaining, root, scope, shield, spawn,
};
use scope_tests::probe::{Log, Polls, ms, outside, poll_once, sleep};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use crate::report::Events;

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("oops: {0}")]
struct Oops(&'static str);

/// A child that says when it is done or dropped.
async fn child(log: &Log, name: &str, n: u64) {
    let _gone = log.guard(format!("{name} gone"));
    sleep(n).await;
    log.say(format_args!("{name} done"));
}

/// The payload of a panic.
async fn payload<T>(future: impl Future<Output = T>) -> Box<dyn std::any::Any + Send> {
    match AssertUnwindSafe(future).catch_unwind().await {
        Ok(_) => panic!("it did not panic"),
        Err(payload) => payload,
    }
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

// --- borrowing, and Send exactly when the parts are -------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f1_forks_borrow_what_was_declared_before_the_scope() {
    let text = String::from("shared");
    let mut counts = vec![1];
    let mut total = 0;
    let seen = scope!({
        let a = fork!(async {
            sleep(10).await;
            text.len()
        });
        fork!(async {
            sleep(20).await;
            counts.push(2);
        });
        fork!(async {
            for n in 1..=3 {
                sleep(1).await;
                total += n;
            }
        });
        let slice = fork!(async { &text[1..] });
        (a.await.unwrap(), slice.await.unwrap())
    });
    assert_eq!(seen.unwrap(), (6, "hared"));
    assert_eq!((counts, total), (vec![1, 2], 6));
}

#[tokio::test(start_paused = true)]
async fn f1_forks_of_an_annotated_function_borrow_its_parameters() {
    struct Store {
        rows: Vec<u32>,
    }
    impl Store {
        #[cancel_scope]
        async fn fill(&mut self, from: &[u32], mut scratch: Vec<u32>, (a, b): (u32, u32)) -> io::Result<u32> {
            fork!(async {
                for row in from {
                    sleep(1).await;
                    self.rows.push(*row);
                }
            });
            let sum = fork!(async {
                scratch.push(a + b);
                sleep(2).await;
                scratch.iter().sum::<u32>()
            });
            Ok(sum.await?)
        }
    }
    let mut store = Store { rows: vec![1] };
    let filled = assert_send(store.fill(&[2, 3], vec![10], (20, 30)));
    assert_eq!(filled.await.unwrap(), 60);
    assert_eq!(store.rows, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn f1_forks_of_generic_functions_borrow_too() {
    #[cancel_scope(fallback = None)]
    async fn longest<T, F>(items: &[T], measure: impl Fn(&T) -> F) -> Option<&T>
    where
        T: Sync,
        F: Future<Output = usize>,
    {
        let best = std::sync::Mutex::new(None);
        let (best_of, measure) = (&best, &measure);
        let mut found = None;
        scope!({
            for item in items {
                fork!(async move {
                    let length = measure(item).await;
                    let mut best = best_of.lock().unwrap();
                    if best.is_none_or(|(longest, _)| length > longest) {
                        *best = Some((length, item));
                    }
                });
            }
        })
        .unwrap();
        if let Some((_, item)) = *best.lock().unwrap() {
            found = Some(item);
        }
        found
    }
    let words = ["a", "ccc", "bb"].map(String::from);
    let found = scope!({
        longest(&words, |word| {
            let length = word.len();
            async move {
                sleep(length as u64).await;
                length
            }
        })
        .await
    });
    assert_eq!(found.unwrap(), Some(&words[1]));
}

/// That it is not `Send` with a part that is not is shown by the ui case `fork/not_send.rs`.
#[tokio::test(start_paused = true)]
async fn f1_a_future_with_forks_is_send_if_they_are() {
    let text = String::from("text");
    let lengths = assert_send(async {
        scope!(timeout = 1s, {
            let a = fork!(async {
                tokio::task::yield_now().await;
                text.len()
            });
            // Not held over an await, so it is no part of the future.
            let b = fork!(async { Cell::new(1).get() });
            tokio::task::yield_now().await;
            (a.await.unwrap(), b.await.unwrap())
        })
    });
    assert_eq!(lengths.await.unwrap(), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn f1_a_fork_may_hold_what_is_not_send() {
    let shared = Rc::new(RefCell::new(Vec::new()));
    let ended = scope!({
        for n in [30, 10, 20] {
            let shared = Rc::clone(&shared);
            fork!(async move {
                sleep(n).await;
                shared.borrow_mut().push(n);
            });
        }
        let value = fork!(async { Rc::new(7) });
        value.await.unwrap()
    });
    assert_eq!(*ended.unwrap(), 7);
    assert_eq!(*shared.borrow(), [10, 20, 30]);
}

// --- F1, U2: the boundary waits for them -------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f1_a_boundary_waits_for_all_its_forks() {
    let log = Log::new();
    scope!({
        fork!(child(&log, "a", 10));
        fork!(child(&log, "b", 30));
        drop(fork!(child(&log, "c", 20)));
        log.say("body ends");
    })
    .unwrap();
    log.say("behind");
    log.expect(&[
        "0 body ends",
        "10 a done",
        "10 a gone",
        "20 c done",
        "20 c gone",
        "30 b done",
        "30 b gone",
        "30 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn f1_one_fork_in_the_text_starts_as_many_as_it_is_run() {
    let log = Log::new();
    scope!({
        let start = |name: &'static str, n| fork!(child(&log, name, n));
        for n in 1..=3 {
            start("in a closure", n * 10);
        }
        let last = start("last", 5);
        last.await.unwrap();
    })
    .unwrap();
    log.expect(&[
        "5 last done",
        "5 last gone",
        "10 in a closure done",
        "10 in a closure gone",
        "20 in a closure done",
        "20 in a closure gone",
        "30 in a closure done",
        "30 in a closure gone",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u2_body_then_forks_then_cleanup() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let said = log.clone();
        defer(async move {
            sleep(5).await;
            said.say("cleanup");
        });
        fork!(async {
            let _gone = log.guard("fork gone");
            shield!({ sleep(30).await });
        });
        let _body = log.guard("body gone");
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 body gone", "30 fork gone", "35 cleanup"]);
}

#[tokio::test(start_paused = true)]
async fn u2_forks_and_spawned_children_share_a_boundary() {
    let log = Log::new();
    scope!({
        let said = log.clone();
        spawn!(async move {
            sleep(20).await;
            said.say("spawned");
        });
        fork!(async {
            sleep(10).await;
            log.say("forked");
        });
    })
    .unwrap();
    log.expect(&["10 forked", "20 spawned"]);
    assert_eq!(log.ms(), 20);
}

#[tokio::test(start_paused = true)]
async fn u3_what_a_fork_registers_runs_at_its_own_end() {
    let log = Log::new();
    scope!({
        let said = log.clone();
        fork!(async {
            defer(async move {
                sleep(10).await;
                said.say("cleanup of the fork");
            });
            sleep(5).await;
        });
        sleep(20).await;
        log.say("body ends");
    })
    .unwrap();
    log.expect(&["15 cleanup of the fork", "20 body ends"]);
}

// --- T1, T2, D1, D2: where a fork runs ---------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn t2_a_fork_is_in_the_scope_of_its_block() {
    let cut = scope!(name = "outer", timeout = 1s, {
        let inner = scope!(name = "inner", {
            // Started while an inner scope runs; it belongs to the block that it is written in.
            let start = || {
                fork!(async {
                    assert_eq!(current().name(), "inner");
                    assert_eq!(remaining(), Some(ms(1000)));
                    sleep(10).await;
                    current().cancel();
                })
            };
            let _ = scope!(name = "innermost", timeout = 5ms, {
                start();
                pending::<()>().await;
            });
            pending::<()>().await;
        });
        inner.unwrap_err().scope_name().to_owned()
    });
    assert_eq!(cut.unwrap(), "inner");
}

#[tokio::test(start_paused = true)]
async fn t2_in_a_shield_a_fork_has_the_enclosing_scope() {
    let ended = scope!(name = "outer", timeout = 10ms, {
        shield!({
            let task = fork!(async {
                sleep(30).await;
                (current().name(), effective_deadline())
            });
            task.await.unwrap()
        })
    });
    assert_eq!(ended.unwrap(), ("outer".into(), None));
}

#[tokio::test]
async fn d1_a_new_fork_is_polled_in_the_same_pass() {
    let started = Cell::new(0);
    let mut block = pin!(async {
        scope!({
            let nested = || fork!(async { started.set(started.get() + 100) });
            fork!(async {
                started.set(started.get() + 1);
                pending::<()>().await;
            });
            fork!(async move {
                nested();
            });
            pending::<()>().await;
        })
    });
    assert!(poll_once(&mut block).await.is_pending());
    assert_eq!(started.get(), 101);
}

#[tokio::test(start_paused = true)]
async fn d1_a_fork_of_a_cancelled_scope_runs_to_its_first_suspension() {
    let log = Log::new();
    let cut = scope!({
        current().cancel();
        fork!(async {
            log.say(format_args!("runs, cancelled: {}", is_cancelled()));
            sleep(1).await;
            log.say("never");
        });
        fork!(async { log.say("runs to its end") });
    });
    assert!(cut.is_err());
    log.expect(&["0 runs, cancelled: true", "0 runs to its end"]);
}

#[tokio::test(start_paused = true)]
async fn d2_the_body_that_a_fork_woke_goes_on_before_the_fork_cancels_it() {
    let (tx, rx) = oneshot::channel();
    let log = Log::new();
    let cut = scope!({
        fork!(async {
            sleep(10).await;
            tx.send(7).unwrap();
            current().cancel();
        });
        log.say(format_args!("received {}", rx.await.unwrap()));
        sleep(1).await;
        log.say("never");
    });
    assert!(cut.is_err());
    log.expect(&["10 received 7"]);
}

#[tokio::test(start_paused = true)]
async fn d2_the_same_if_the_fork_cancels_a_scope_around() {
    let log = Log::new();
    let outer = scope!(|outer| {
        let (outer, (tx, rx)) = (outer.handle(), oneshot::channel());
        let _ = scope!({
            // The first one is new in the pass in which it does so.
            let cancel = || {
                let outer = outer.clone();
                fork!(async move { outer.cancel() })
            };
            fork!(async {
                sleep(10).await;
                tx.send(7).unwrap();
            });
            log.say(format_args!("received {}", rx.await.unwrap()));
            let task = cancel();
            log.say(format_args!("cancelled: {}", task.await.unwrap()));
            sleep(1).await;
            log.say("never");
        });
        log.say("never");
    });
    assert!(outer.is_err());
    log.expect(&["10 received 7", "10 cancelled: true"]);
}

#[tokio::test(start_paused = true)]
async fn d2_a_fork_that_is_ready_when_the_deadline_passes_keeps_its_value() {
    let kept = Cell::new(false);
    let cut = scope!(timeout = 10ms, {
        fork!(async {
            sleep(10).await;
            kept.set(true);
        });
        sleep(10).await;
    });
    assert!(kept.get());
    assert!(cut.is_ok(), "nothing was lost (rule D6)");
}

// --- D4, D7, L5: cancels and timers reach them -------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn d7_a_cancel_from_another_task_cuts_forks_at_once() {
    let log = Log::new();
    let (tell, told) = oneshot::channel::<ScopeHandle>();
    let canceller = outside(async move {
        let scope = told.await.unwrap();
        sleep(10).await;
        scope.cancel()
    });
    let cut = scope!({
        tell.send(current()).unwrap();
        fork!(child(&log, "a", 100));
        fork!(async {
            let _ = scope!({ child(&log, "inside b", 100).await });
        });
    });
    assert!(cut.is_err());
    assert!(canceller.await.unwrap());
    log.expect(&["10 a gone", "10 inside b gone"]);
}

#[tokio::test(start_paused = true)]
async fn d7_forks_inside_a_sub_executor_are_cut_at_once() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let mut inner = FuturesUnordered::new();
        inner.push(async {
            let _ = scope!({
                fork!(child(&log, "a", 100));
                pending::<()>().await;
            });
        });
        inner.next().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 a gone"]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_foreign_cancel_unwinds_forks_and_runs_no_code_behind() {
    let log = Log::new();
    let cut = scope!(name = "outer", timeout = 10ms, {
        let _ = scope!(name = "inner", {
            fork!(child(&log, "a", 100));
        });
        log.say("never");
    });
    assert_eq!(cut.unwrap_err().scope_name(), "outer");
    log.expect(&["10 a gone"]);
}

#[tokio::test(start_paused = true)]
async fn l5_deadlines_of_scopes_inside_forks_work() {
    let log = Log::new();
    let log = &log;
    let cut = scope!(timeout = 50ms, {
        for n in [10u64, 20, 100] {
            fork!(async move {
                let cut = scope!(timeout = ms(n), { pending::<()>().await });
                log.say(format_args!("{n}: {}", cut.is_err()));
            });
        }
        fork!(async {
            // Behind the outer deadline: it costs no timer, and is told by the outer one.
            let _ = scope!(timeout = std::time::Duration::from_secs(60), { child(log, "late", 90).await });
        });
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["10 10: true", "20 20: true", "50 late gone"]);
}

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_that_a_fork_moves_counts() {
    let cut = scope!(timeout = 1h, {
        fork!(async {
            sleep(10).await;
            current().set_deadline(tokio::time::Instant::now() + ms(20));
        });
        pending::<()>().await;
    });
    let start = Log::new();
    assert!(cut.unwrap_err().is_timeout());
    assert_eq!(start.ms(), 0);
}

#[tokio::test(start_paused = true)]
async fn t4_once_a_fork_is_cut_the_scope_counts_as_cancelled() {
    let log = Log::new();
    let outer = scope!(name = "outer", |outer| {
        let outer = outer.handle();
        let _ = scope!(name = "inner", {
            fork!(async {
                let _gone = log.guard("fork gone");
                pending::<()>().await;
            });
            sleep(10).await;
            outer.cancel();
            // In this pass the fork is delivered to behind the body, which hides the cancel in the next one.
            shield!({ sleep(10).await });
            log.say("behind the shield");
            sleep(1).await;
            log.say("never");
        });
        log.say("never");
    });
    assert!(outer.is_err());
    log.expect(&["10 fork gone", "20 behind the shield"]);
}

// --- F2, F3, F4: failures ----------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f2_the_error_of_a_fork_leaves_the_function_converted() {
    #[cancel_scope]
    async fn parse(text: &str, log: &Log) -> Result<u32, Box<dyn std::error::Error>> {
        fork!(child(log, "sibling", 100));
        let n = fork!(name = "parse", async {
            sleep(10).await;
            text.parse::<u32>()
        });
        let n = n.await?;
        log.say("never");
        Ok(n)
    }
    let log = Log::new();
    let error = parse("ten", &log).await.unwrap_err();
    assert!(error.is::<std::num::ParseIntError>());
    log.expect(&["10 sibling gone"]);
}

#[tokio::test(start_paused = true)]
async fn f2_the_error_of_a_fork_may_borrow_and_need_not_be_send() {
    #[derive(Debug, PartialEq)]
    struct Bad<'a>(&'a str, Rc<u8>);
    #[cancel_scope(fallback = Ok(()))]
    async fn check_all<'a>(words: &'a [String]) -> Result<(), Bad<'a>> {
        for word in words {
            fork!(async move { if word.is_empty() { Ok(()) } else { Err(Bad(word, Rc::new(1))) } });
        }
        Ok(())
    }
    let words = ["", "x", "y"].map(String::from);
    assert_eq!(check_all(&words).await, Err(Bad("x", Rc::new(1))));
}

#[tokio::test(start_paused = true)]
async fn f2_later_failures_of_forks_are_reported() {
    async fn fail(handle: &Cell<Option<ScopeHandle>>) -> Result<(), Oops> {
        scope!(|s| {
            handle.set(Some(s.handle()));
            fork!(name = "first", async { Err::<(), _>(Oops("a")) });
            fork!(name = "second", async { Err::<(), _>(Oops("b")) });
            fork!(name = "third", async {
                if true {
                    panic!("c")
                }
            });
            pending::<()>().await;
        })
        .unwrap();
        Ok(())
    }
    let events = Events::record();
    let handle = Cell::new(None);
    assert_eq!(fail(&handle).await, Err(Oops("a")));
    let later: Vec<_> = handle.take().unwrap().suppressed().iter().map(ToString::to_string).collect();
    assert_eq!(later, ["second failed: oops: b", "third panicked: c"]);
    assert_eq!(events.warnings().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn f2_a_panic_of_a_fork_is_resumed_at_the_boundary() {
    let log = Log::new();
    let thrown = payload(async {
        let _ = scope!({
            fork!(child(&log, "sibling", 100));
            fork!(async {
                sleep(10).await;
                if true {
                    resume_unwind(Box::new(42));
                }
            });
            pending::<()>().await;
        });
        log.say("never");
    });
    assert_eq!(thrown.await.downcast_ref(), Some(&42));
    log.expect(&["10 sibling gone"]);
}

#[tokio::test(start_paused = true)]
async fn f2_a_panic_in_a_destructor_or_a_cleanup_of_a_fork_is_a_failure() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("destructor");
        }
    }
    let thrown = payload(async {
        let _ = scope!(timeout = 10ms, {
            fork!(async {
                let _bomb = Bomb;
                pending::<()>().await;
            });
        });
    });
    assert_eq!(thrown.await.downcast_ref(), Some(&"destructor"));
    let thrown = payload(async {
        let _ = scope!({
            fork!(async { defer(async { panic!("cleanup") }) });
        });
    });
    assert_eq!(thrown.await.downcast_ref(), Some(&"cleanup"));
}

#[tokio::test(start_paused = true)]
async fn f2_the_first_failure_of_forks_and_spawned_children_decides() {
    #[derive(Debug, PartialEq)]
    enum Error {
        Forked(u8),
        Spawned(u16),
    }
    impl From<u8> for Error {
        fn from(n: u8) -> Self {
            Self::Forked(n)
        }
    }
    impl From<u16> for Error {
        fn from(n: u16) -> Self {
            Self::Spawned(n)
        }
    }
    async fn both(forked: u64, spawned: u64) -> Result<(), Error> {
        scope!({
            fork!(async {
                shield!({ sleep(forked).await });
                Err::<(), u8>(1)
            });
            spawn!(async move {
                shield!({ sleep(spawned).await });
                Err::<(), u16>(2)
            });
        })
        .unwrap();
        Ok(())
    }
    assert_eq!(both(10, 20).await, Err(Error::Forked(1)));
    assert_eq!(both(20, 10).await, Err(Error::Spawned(2)));
}

#[tokio::test(start_paused = true)]
async fn f2_an_error_of_the_body_hides_a_later_one_of_a_fork() {
    async fn fail() -> Result<(), Oops> {
        scope!({
            fork!(async {
                shield!({ sleep(20).await });
                Err::<(), _>(Oops("fork"))
            });
            sleep(10).await;
            return Err(Oops("body"));
        })
        .unwrap()
    }
    assert_eq!(fail().await, Err(Oops("body")));
}

#[tokio::test(start_paused = true)]
async fn f2_a_fork_that_fails_leaves_two_nested_blocks() {
    async fn fail(log: &Log) -> Result<(), Oops> {
        let _ = scope!({
            fork!(child(log, "outer fork", 100));
            let _ = scope!({
                fork!(async {
                    sleep(10).await;
                    Err::<(), _>(Oops("inner"))
                });
                pending::<()>().await;
            });
            log.say("never");
        });
        log.say("never");
        Ok(())
    }
    let log = Log::new();
    assert_eq!(fail(&log).await, Err(Oops("inner")));
    log.expect(&["10 outer fork gone"]);
}

#[tokio::test(start_paused = true)]
async fn f3_the_handle_of_a_failed_fork_says_so() {
    async fn fail(told: &Cell<Option<Cancelled>>) -> Result<(), Oops> {
        let _ = scope!({
            let task = fork!(name = "bad", async { Err::<(), _>(Oops("x")) });
            told.set(task.await.err());
        });
        Ok(())
    }
    let told = Cell::new(None);
    assert_eq!(fail(&told).await, Err(Oops("x")));
    let told = told.take().unwrap();
    assert_eq!(told.scope_name(), "bad");
    assert!(matches!(told.cause(), Cause::TaskFailed { text, .. } if text == "oops: x"));
}

#[tokio::test(start_paused = true)]
async fn f3_a_failure_counts_before_the_cleanup_of_the_fork() {
    let log = Log::new();
    async fn fail(log: &Log) -> Result<(), Oops> {
        let _ = scope!({
            let said = log.clone();
            fork!(async {
                defer(async move {
                    sleep(50).await;
                    said.say("cleaned up");
                });
                Err::<(), _>(Oops("x"))
            });
            let _body = log.guard("body gone");
            pending::<()>().await;
        });
        Ok(())
    }
    assert_eq!(fail(&log).await, Err(Oops("x")));
    log.expect(&["0 body gone", "50 cleaned up"]);
    assert_eq!(log.ms(), 50);
}

#[tokio::test(start_paused = true)]
async fn f3_cancelling_a_fork_through_its_handle_is_no_failure() {
    let log = Log::new();
    let value = scope!({
        let task = fork!(name = "one", child(&log, "one", 100));
        let other = fork!(async {
            sleep(30).await;
            7
        });
        sleep(10).await;
        assert!(!task.is_finished());
        assert!(task.cancel());
        let cancelled = task.await.unwrap_err();
        assert!(matches!(cancelled.cause(), Cause::Task { .. }));
        assert_eq!(cancelled.scope_name(), "one");
        other.await.unwrap()
    });
    assert_eq!(value.unwrap(), 7);
    log.expect(&["10 one gone"]);
    assert_eq!(log.ms(), 30);
}

#[tokio::test(start_paused = true)]
async fn f4_outputs_that_are_no_result_go_to_the_handle() {
    let value = scope!({
        let option = fork!(async { None::<u8> });
        let text = fork!(async { "text" });
        fork!(async { drop(check()) });
        (option.await.unwrap(), text.await.unwrap())
    });
    assert_eq!(value.unwrap(), (None, "text"));
}

#[tokio::test(start_paused = true)]
async fn f4_a_fork_whose_output_stays_undecided_is_a_plain_one() {
    let ticks = Cell::new(0);
    let value = scope!({
        fork!(background, async {
            loop {
                sleep(10).await;
                ticks.set(ticks.get() + 1);
            }
        });
        sleep(35).await;
        "done"
    });
    assert_eq!((value.unwrap(), ticks.get()), ("done", 3));
}

#[tokio::test(start_paused = true)]
async fn f8_a_background_fork_ends_with_the_others() {
    let log = Log::new();
    let value = scope!({
        let said = log.clone();
        fork!(background, name = "ticker", async {
            defer(async move {
                sleep(5).await;
                said.say("ticker cleaned up");
            });
            child(&log, "ticker", 1000).await;
        });
        fork!(child(&log, "work", 30));
        "value"
    });
    assert_eq!(value.unwrap(), "value");
    log.expect(&["30 work done", "30 work gone", "30 ticker gone", "35 ticker cleaned up"]);
}

/// Its turn to be dismissed has passed when it is started.
#[tokio::test(start_paused = true)]
async fn f8_a_background_child_that_a_dismissed_one_starts_is_cancelled_too() {
    let log = Log::new();
    let kept = scope!(|s| {
        let child = log.clone();
        fork!(background, async move {
            shield!({ sleep(10).await });
            spawn!(in s, background, async move {
                let _end = child.guard("gone");
                pending::<()>().await
            });
        });
        7
    });
    assert_eq!(kept.unwrap(), 7);
    log.expect(&["10 gone"]);
}

// --- U1, U4, U5: ways out ----------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn u1_scopes_inside_forks_unwind_innermost_first() {
    let log = Log::new();
    let said = |what: &'static str| {
        let log = log.clone();
        async move {
            sleep(10).await;
            log.say(what);
        }
    };
    let cut = scope!(timeout = 10ms, {
        defer(said("4 cleanup of the scope"));
        fork!(async {
            let _fork = log.guard("2 fork gone");
            defer(said("3 cleanup of the fork"));
            let _ = scope!({
                defer(said("1 cleanup inside"));
                let _inner = log.guard("0 inner gone");
                pending::<()>().await;
            });
        });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&[
        "10 0 inner gone",
        "20 1 cleanup inside",
        "20 2 fork gone",
        "30 3 cleanup of the fork",
        "40 4 cleanup of the scope",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u4_leaving_with_an_error_cancels_forks_and_break_waits_for_them() {
    async fn leave(log: &Log, with_error: bool) -> Result<(), Oops> {
        loop {
            let _ = scope!({
                fork!(child(log, "fork", 20));
                sleep(10).await;
                if with_error {
                    return Err(Oops("body"));
                }
                break;
            });
        }
        Ok(())
    }
    let log = Log::new();
    assert!(leave(&log, true).await.is_err());
    log.expect(&["10 fork gone"]);
    let log = Log::new();
    assert!(leave(&log, false).await.is_ok());
    log.expect(&["20 fork done", "20 fork gone"]);
}

#[tokio::test(start_paused = true)]
async fn u5_forks_are_dropped_in_place_and_what_they_registered_is_adopted() {
    let log = Log::new();
    let (mut task, mut handle) = (None, None);
    scope!(name = "around", {
        let dropped = timeout(ms(10), async {
            let _ = scope!(name = "dropped", {
                handle = Some(current());
                let said = log.clone();
                task = Some(fork!(async {
                    defer(async move {
                        sleep(30).await;
                        said.say("cleaned up");
                    });
                    let _ = scope!({ child(&log, "fork", 100).await });
                }));
                let _body = log.guard("body gone");
                pending::<()>().await;
            });
        });
        assert!(dropped.await.is_err());
        log.say("dropped");
        // The fork has left its cleanup to its scope, which is not over until that has run.
        assert!(!handle.as_ref().unwrap().is_closed());
    })
    .unwrap();
    assert!(handle.unwrap().is_closed());
    log.expect(&["10 body gone", "10 fork gone", "10 dropped", "40 cleaned up"]);
    assert_eq!(root::count(), 0);
    assert!(matches!(task.unwrap().await.unwrap_err().cause(), Cause::Dropped));
}

#[tokio::test(start_paused = true)]
async fn u5_the_root_waits_for_the_cleanup_of_forks() {
    let log = Log::new();
    let said = log.clone();
    let dropped = timeout(ms(10), async {
        let _ = scope!({
            fork!(async {
                defer(async move {
                    sleep(30).await;
                    said.say("cleaned up");
                });
                pending::<()>().await;
            });
        });
    });
    assert!(dropped.await.is_err());
    assert!(root::count() > 0);
    root::wait_idle().await;
    log.expect(&["40 cleaned up"]);
}

#[tokio::test(start_paused = true)]
async fn u5_forks_without_work_left_need_no_orphan() {
    let events = Events::record();
    let dropped = timeout(ms(10), async {
        let _ = scope!({
            fork!(pending::<()>());
            pending::<()>().await;
        });
    });
    assert!(dropped.await.is_err());
    assert_eq!(root::count(), 0);
    assert_eq!(events.warnings(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn u5_a_destructor_may_fork_while_its_scope_is_dropped() {
    struct Forks<'a, F: Fn() -> Task<()>>(&'a F);
    impl<F: Fn() -> Task<()>> Drop for Forks<'_, F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    let log = Log::new();
    let dropped = timeout(ms(10), async {
        let _ = scope!({
            let start = || {
                let gone = log.guard("fork gone");
                fork!(async move {
                    log_nothing();
                    drop(gone);
                })
            };
            let _forks = Forks(&start);
            pending::<()>().await;
        });
    });
    assert!(dropped.await.is_err());
    log.expect(&["10 fork gone"]);
    assert_eq!(root::count(), 0);
}

fn log_nothing() {}

#[tokio::test(start_paused = true)]
async fn u5_a_panicking_destructor_takes_no_other_fork_along() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("destructor");
        }
    }
    let log = Log::new();
    let thrown = payload(async {
        let dropped = timeout(ms(10), async {
            let _ = scope!({
                fork!(child(&log, "a", 100));
                fork!(async {
                    let _bomb = Bomb;
                    pending::<()>().await;
                });
                fork!(child(&log, "b", 100));
            });
        });
        let _ = dropped.await;
    });
    assert_eq!(thrown.await.downcast_ref(), Some(&"destructor"));
    log.expect_unordered(&["10 a gone", "10 b gone"]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn u1a_the_forks_of_an_abandoned_scope_end_with_the_body_around() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let mut forgotten = Box::pin(async {
            let _ = scope!({
                fork!(async {
                    let _gone = log.guard("fork gone");
                    shield!({ sleep(10_000).await });
                });
                pending::<()>().await;
            });
        });
        // Polled once, and never again.
        assert!(poll_once(&mut forgotten).await.is_pending());
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 fork gone"]);
    root::wait_idle().await;
}

#[tokio::test(start_paused = true)]
async fn u1a_an_abandoned_scope_that_is_polled_again_has_dropped_its_forks() {
    let log = Log::new();
    let mut forgotten = Box::pin(async {
        let _ = scope!(timeout = 5ms, {
            fork!(async {
                let _gone = log.guard("fork gone");
                shield!({ sleep(100).await });
            });
            pending::<()>().await;
        });
        log.say("behind");
    });
    let cut = scope!(timeout = 20ms, {
        let _ = timeout(ms(10), &mut forgotten).await;
        sleep(1000).await;
    });
    assert!(cut.is_err());
    log.expect(&[]);
    forgotten.await;
    log.expect(&["20 fork gone", "20 behind"]);
    root::wait_idle().await;
}

// --- guards, nesting, other executors ----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn u3_a_guard_in_a_fork_that_is_cut_cleans_up_in_its_turn() {
    let log = Log::new();
    let said = log.clone();
    let cut = scope!(timeout = 10ms, {
        fork!(async {
            let _guard = guard(said, |said| async move {
                sleep(5).await;
                said.say("closed");
            });
            pending::<()>().await;
        });
    });
    assert!(cut.is_err());
    log.expect(&["15 closed"]);
}

#[tokio::test(start_paused = true)]
async fn f1_forks_open_scopes_with_forks_of_their_own() {
    fn tree<'a>(depth: u32, log: &'a Log) -> std::pin::Pin<Box<dyn Future<Output = u32> + 'a>> {
        Box::pin(async move {
            if depth == 0 {
                sleep(10).await;
                log.say("leaf");
                return 1;
            }
            let sum = scope!({
                let tasks: Vec<_> = (0..3).map(|_| fork!(tree(depth - 1, log))).collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await.unwrap();
                }
                sum
            });
            sum.unwrap()
        })
    }
    let log = Log::new();
    assert_eq!(tree(4, &log).await, 81);
    assert_eq!(log.ms(), 10);
}

#[test]
fn f1_forks_need_no_runtime() {
    let mut cx = Context::from_waker(Waker::noop());
    let word = String::from("word");
    let mut block = pin!(async {
        let both = scope!({
            let a = fork!(async { word.len() });
            let b = fork!(async { word.to_uppercase() });
            (a.await.unwrap(), b.await.unwrap())
        });
        both.unwrap()
    });
    let both = (0..3).find_map(|_| match block.as_mut().poll(&mut cx) {
        Poll::Ready(both) => Some(both),
        Poll::Pending => None,
    });
    assert_eq!(both, Some((4, "WORD".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn f1_only_forks_that_were_woken_are_polled() {
    let idle = Polls::new();
    scope!({
        let quiet = fork!(idle.of(pending::<()>()));
        fork!(async {
            for _ in 0..100 {
                sleep(1).await;
            }
        })
        .await
        .unwrap();
        assert_eq!(idle.count(), 1);
        quiet.cancel();
    })
    .unwrap();
    assert_eq!(idle.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn f1_a_thousand_forks_of_one_place_run_at_once() {
    let log = Log::new();
    let done = Cell::new(0);
    scope!({
        for n in 0..1000u64 {
            let done = &done;
            fork!(async move {
                sleep(n % 10).await;
                done.set(done.get() + 1);
            });
        }
    })
    .unwrap();
    assert_eq!((done.get(), log.ms()), (1000, 9));
}

#[tokio::test(start_paused = true)]
async fn f7_forks_start_forks_until_the_boundary_is_left() {
    let (tx, mut rx) = mpsc::unbounded_channel::<u64>();
    let log = Log::new();
    scope!({
        let worker = |n: u64| {
            let (tx, log) = (tx.clone(), &log);
            fork!(async move {
                sleep(10).await;
                log.say(n);
                if n > 0 {
                    tx.send(n - 1).unwrap();
                }
            })
        };
        worker(2);
        // The body has ended by the time they are all started.
        fork!(async move {
            let mut left = 2;
            while left > 0 {
                left = rx.recv().await.unwrap();
                worker(left);
            }
        });
    })
    .unwrap();
    log.expect(&["10 2", "20 1", "30 0"]);
}

#[tokio::test(start_paused = true)]
async fn d7_forks_wake_the_body_and_each_other() {
    let (ping, pong) = (Notify::new(), Notify::new());
    let rounds = Cell::new(0);
    scope!({
        fork!(async {
            for _ in 0..10 {
                ping.notified().await;
                pong.notify_one();
            }
        });
        for _ in 0..10 {
            ping.notify_one();
            pong.notified().await;
            rounds.set(rounds.get() + 1);
        }
    })
    .unwrap();
    assert_eq!(rounds.get(), 10);
}

#[test]
fn d7_a_spawned_host_with_forks_moves_between_threads() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let total = runtime.block_on(async {
        let hosts = (0..20u64).map(|host| {
            tokio::spawn(async move {
                let words = vec![host; 10];
                let sum = std::sync::atomic::AtomicU64::new(0);
                scope!({
                    for word in &words {
                        let sum = &sum;
                        fork!(async move {
                            for _ in 0..10 {
                                tokio::task::yield_now().await;
                            }
                            sum.fetch_add(*word, std::sync::atomic::Ordering::Relaxed);
                        });
                    }
                })
                .unwrap();
                sum.into_inner()
            })
        });
        let mut total = 0;
        for host in hosts.collect::<Vec<_>>() {
            total += host.await.unwrap();
        }
        total
    });
    assert_eq!(total, 1900);
}

#[tokio::test(start_paused = true)]
async fn f1_a_function_with_a_fallback_and_forks() {
    #[cancel_scope(timeout = "10ms", fallback = name.len())]
    async fn measure(name: String) -> usize {
        fork!(async { sleep(name.len() as u64).await });
        pending().await
    }
    assert_eq!(measure("four".to_owned()).await, 4);
}

#[tokio::test(start_paused = true)]
async fn d2_a_body_that_is_ready_at_once_still_runs_its_forks() {
    let ran = Cell::new(false);
    let polls = Polls::new();
    let value = scope!({
        fork!(polls.of(poll_fn(|_| {
            ran.set(true);
            Poll::Ready(())
        })));
        7
    });
    assert_eq!((value.unwrap(), ran.get(), polls.count()), (7, true, 1));
}

// --- with the other options of a scope ---------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn g1_a_soft_cancel_is_told_to_forks_and_a_hard_one_cuts_them() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, grace = 20ms, {
        fork!(async {
            cancelled().await;
            log.say("told");
            child(&log, "asked", 5).await;
        });
        fork!(child(&log, "did not ask", 100));
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 told", "15 asked done", "15 asked gone", "30 did not ask gone"]);
}

#[tokio::test(start_paused = true)]
async fn b3_forks_run_beside_what_cancels_the_scope() {
    let log = Log::new();
    let cut = scope!(cancel_on = sleep(10), {
        fork!(child(&log, "quick", 5));
        fork!(child(&log, "slow", 100));
        pending::<()>().await;
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::CancelOn));
    log.expect(&["5 quick done", "5 quick gone", "10 slow gone"]);
}

#[tokio::test(start_paused = true)]
async fn b1_the_failure_of_a_fork_bubbles_as_that_of_its_scope() {
    async fn fail(log: &Log) -> Result<(), Oops> {
        let _ = scope!(name = "inner", {
            fork!(async { Err::<(), _>(Oops("x")) });
            pending::<()>().await;
        });
        log.say("never");
        Ok(())
    }
    let log = Log::new();
    let outer = scope!(bubble, {
        let failed = fail(&log).await;
        log.say(format_args!("{failed:?}"));
        sleep(1).await;
        log.say("never");
    });
    assert!(matches!(outer.unwrap_err().cause(), Cause::Bubble(inner) if inner.scope_name() == "inner"));
    log.expect(&[r#"0 Err(Oops("x"))"#]);
}

#[tokio::test(start_paused = true)]
async fn w3_a_fork_that_passes_its_cancel_on_did_not_fail() {
    #[cancel_scope(timeout = "10ms")]
    async fn work(log: &Log) -> Result<(), Cancelled> {
        fork!(async {
            shield!({ sleep(20).await });
            check()?;
            log.say("never");
            Ok::<_, Cancelled>(())
        });
        pending().await
    }
    let log = Log::new();
    let events = Events::record();
    assert!(work(&log).await.unwrap_err().is_timeout());
    assert_eq!(events.warnings(), [""; 0]);
    log.expect(&[]);
}

#[tokio::test(start_paused = true)]
async fn w4_a_fork_tells_the_await_at_which_it_was_cut() {
    let mut task = None;
    let cut = scope!(timeout = 10ms, {
        task = Some(fork!(async {
            sleep(1).await;
            sleep(1000).await;
        }));
        pending::<()>().await;
    });
    assert_eq!(cut.unwrap_err().landed_at().unwrap().expression(), "pending::<()>()");
    let cancelled = task.unwrap().await.unwrap_err();
    assert_eq!(cancelled.landed_at().unwrap().expression(), "sleep(1000)");
}
