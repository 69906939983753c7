//! Tokens: a switch that is passed by hand, what it cancels and what it leaves behind. The seed rows 76 to 93, then the
//! rest.

use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, panic_any};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt as _;
use scope_runtime::{
    CancelToken, Cancelled, Cause, FirstOfError, TokenWait, cancel_scope, cancelled, check, current, defer,
    remaining, root, scope, shield, spawn,
};
use scope_tests::probe::{Log, Polls, ms, on_a_thread, outside, poll_once, sleep};
use tokio_util::sync::CancellationToken;

/// Triggers the token after `n` milliseconds, from outside of every scope.
fn trigger_after(n: u64, token: &CancelToken) {
    let token = token.clone();
    outside(async move {
        sleep(n).await;
        token.trigger();
    });
}

/// Gives its name after `n` milliseconds, and says when it is dropped.
async fn plain(log: Log, name: &'static str, n: u64) -> &'static str {
    let _gone = log.guard(format!("{name} gone"));
    sleep(n).await;
    name
}

/// The same in a scope with a child and a cleanup, which take 10 and 20 milliseconds to end.
async fn scoped(log: Log, name: &'static str, n: u64) -> &'static str {
    let value = scope!({
        let (child, cleanup, body) = (log.clone(), log.clone(), log.clone());
        defer(async move {
            sleep(20).await;
            cleanup.say(format_args!("{name} cleaned up"));
        });
        spawn!(background, async move {
            defer(async move {
                sleep(10).await;
                child.say(format_args!("{name}'s child ended"));
            });
            pending::<()>().await;
        });
        plain(body, name, n).await
    });
    value.unwrap()
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The name of the token that really fired.
fn fired_name(token: &CancelToken) -> String {
    token.fired().expect("it was triggered").name().to_owned()
}

fn is_send<T: Send + 'static>(_: &T) {}

// --- the rows of the seed -------------------------------------------------------------------------------------------

#[test]
fn row_76_a_token_needs_only_a_name_and_shows_it() {
    let token = CancelToken::new("demo");
    assert_eq!(format!("{token:?}"), "<CancelToken: demo>");
    assert_eq!((token.to_string().as_str(), token.name()), ("demo", "demo"));
    assert!(!token.is_triggered());
    assert!(token.check().is_ok());
}

#[test]
fn a_token_can_go_wherever_a_token_of_tokio_util_can() {
    fn goes_anywhere<T: Clone + Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe>(
        _: &T,
    ) {
    }
    let token = CancelToken::new("a").chain(CancelToken::new("b"));
    goes_anywhere(&token);
    goes_anywhere(&CancellationToken::from(&token));
    is_send(&token.run(pending::<()>()));
    is_send(&token.first_of([pending::<()>()]));
}

#[test]
fn row_77_triggering_is_permanent_and_idempotent() {
    let token = CancelToken::new("demo");
    let clone = token.clone();
    token.trigger();
    assert!(token.is_triggered() && clone.is_triggered());
    clone.trigger();
    assert!(token.is_triggered() && clone.is_triggered());
    assert_eq!(fired_name(&clone), "demo");
}

#[tokio::test(start_paused = true)]
async fn row_78_wait_returns_for_every_waiter() {
    let log = Log::new();
    let token = CancelToken::new("demo");
    scope!({
        for waiter in 0..100 {
            let (wait, log) = (token.wait(), log.clone());
            spawn!(async move {
                wait.await;
                log.say(waiter);
            });
        }
        sleep(10).await;
        token.trigger();
    })
    .unwrap();
    assert_eq!(log.entries().len(), 100);
    assert!(log.entries().iter().all(|entry| entry.starts_with("10 ")));
}

#[tokio::test(start_paused = true)]
async fn row_78_wait_returns_at_once_when_it_was_triggered_before() {
    let (token, other) = (CancelToken::new("demo"), CancelToken::new("other"));
    let (early, chained) = (token.wait(), other.chain(&token).wait());
    token.trigger();
    assert!(poll_once(&mut pin!(token.wait())).await.is_ready());
    assert!(poll_once(&mut pin!(early)).await.is_ready(), "also one that was made before");
    assert!(poll_once(&mut pin!(chained)).await.is_ready());
}

#[test]
fn row_79_the_error_names_the_token_that_really_fired() {
    let a = CancelToken::new("token-a");
    let chained = CancelToken::new("token-b").chain(&a);
    assert!(chained.check().is_ok());
    a.trigger();
    for token in [&a, &chained] {
        let cancelled = token.check().unwrap_err();
        assert_eq!(cancelled.to_string(), "cancellation requested by token-a token");
        assert!(matches!(cancelled.cause(), Cause::Token { name, .. } if name == "token-a"));
    }
}

#[tokio::test(start_paused = true)]
async fn row_80_quick_start() {
    let log = Log::new();
    let token = CancelToken::new("demo");
    let (task_log, task_token) = (log.clone(), token.clone());
    let task = tokio::spawn(async move {
        task_log.say("started task");
        task_token.wait().await;
        task_log.say("task cancelled");
    });
    sleep(10).await;
    token.trigger();
    task.await.unwrap();
    log.expect(&["0 started task", "10 task cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn row_81_a_loop_ends_when_its_condition_sees_the_token() {
    let token = CancelToken::new("demo");
    trigger_after(35, &token);
    let mut rounds = 0;
    while !token.is_triggered() {
        rounds += 1;
        sleep(10).await;
    }
    assert_eq!(rounds, 4);
}

#[tokio::test(start_paused = true)]
async fn row_82_a_loop_is_left_by_check() {
    async fn work(token: &CancelToken) -> Result<(), Cancelled> {
        loop {
            token.check()?;
            sleep(10).await;
        }
    }
    let (log, token) = (Log::new(), CancelToken::new("demo"));
    trigger_after(35, &token);
    let cancelled = work(&token).await.unwrap_err();
    assert_eq!(cancelled.to_string(), "cancellation requested by demo token");
    assert_eq!(log.ms(), 40);
}

#[tokio::test]
async fn row_83_main_waits_for_a_signal_from_outside() {
    let token = CancelToken::new("worker");
    let worker = token.clone();
    let thread = std::thread::spawn(move || worker.trigger());
    token.wait().await;
    thread.join().unwrap();
}

#[test]
fn row_84_a_chain_triggers_when_either_does() {
    let a = CancelToken::new("token-a");
    let b = CancelToken::new("token-b").chain(&a);
    assert_eq!([a.is_triggered(), b.is_triggered()], [false, false]);
    a.trigger();
    assert_eq!([a.is_triggered(), b.is_triggered()], [true, true]);

    let c = CancelToken::new("token-c");
    let chained = c.chain(CancelToken::new("token-d"));
    c.trigger();
    assert!(chained.is_triggered(), "from the other side");
}

#[tokio::test(start_paused = true)]
async fn row_84_who_waits_for_a_chain_is_woken_by_each_of_its_sources() {
    for source in 0..3 {
        let log = Log::new();
        let tokens = [CancelToken::new("a"), CancelToken::new("b"), CancelToken::new("c")];
        let chained = tokens[0].chain(&tokens[1]).chain(&tokens[2]);
        trigger_after(10, &tokens[source]);
        chained.wait().await;
        assert_eq!((log.ms(), fired_name(&chained)), (10, tokens[source].name().to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn row_85_triggering_a_chain_leaves_its_sources_alone() {
    let (a, b) = (CancelToken::new("a"), CancelToken::new("b"));
    let chained = a.chain(&b);
    let mut waiting = pin!(chained.wait());
    assert!(poll_once(&mut waiting).await.is_pending());
    chained.trigger();
    assert!(poll_once(&mut waiting).await.is_ready());
    assert_eq!([a.is_triggered(), b.is_triggered()], [false, false]);
    assert_eq!(fired_name(&chained), "a:b");
}

#[test]
fn row_86_a_chain_is_named_after_its_members() {
    let [a, b, c] = ["a", "b", "c"].map(CancelToken::new);
    assert_eq!(CancelToken::new("token-b").chain(CancelToken::new("token-a")).name(), "token-b:token-a");
    assert_eq!(a.chain(&b).chain(&c).name(), "a:b:c");
    assert_eq!(a.chain(b.chain(&c)).name(), "a:b:c");
    assert_eq!(format!("{:?}", a.chain(&b)), "<CancelToken: a:b>");
}

#[test]
fn row_86_who_fired_is_looked_for_in_chains_of_chains() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(CancelToken::new);
    let inner = b.chain(&c);
    let outer = a.chain(&inner).chain(&d);
    assert!(outer.fired().is_none());
    c.trigger();
    assert_eq!(fired_name(&outer), "c");
    assert!(outer.fired().unwrap().is_triggered());

    // A chain that somebody triggered itself is the one that fired.
    let [e, f, g] = ["e", "f", "g"].map(CancelToken::new);
    let inner = e.chain(&f);
    let outer = inner.chain(&g);
    inner.trigger();
    assert_eq!(fired_name(&outer), "e:f");
}

#[test]
fn row_86_of_several_the_one_that_fired_first_stays_the_answer() {
    let [a, b] = ["a", "b"].map(CancelToken::new);
    let chained = a.chain(&b);
    b.trigger();
    a.trigger();
    b.trigger();
    chained.trigger();
    assert_eq!(fired_name(&chained), "b", "first in time, not in the list");
    assert_eq!(chained.check().unwrap_err().to_string(), "cancellation requested by b token");
}

#[tokio::test(start_paused = true)]
async fn row_87_the_first_to_finish_wins_and_the_rest_are_gone_before_it_returns() {
    let (log, token) = (Log::new(), CancelToken::new("demo"));
    let first = token.first_of([
        plain(log.clone(), "a", 10),
        plain(log.clone(), "b", 20),
        plain(log.clone(), "c", 30),
    ]);
    assert_eq!(first.await.unwrap(), "a");
    log.say("behind");
    log.expect(&["10 a gone", "10 b gone", "10 c gone", "10 behind"]);
}

#[tokio::test(start_paused = true)]
async fn row_87_children_and_cleanup_of_the_rest_are_awaited() {
    let (log, token) = (Log::new(), CancelToken::new("demo"));
    let futures = [scoped(log.clone(), "slow", 1000).boxed(), plain(log.clone(), "fast", 5).boxed()];
    assert_eq!(token.first_of(futures).await.unwrap(), "fast");
    log.say("behind");
    log.expect(&["5 fast gone", "5 slow gone", "15 slow's child ended", "35 slow cleaned up", "35 behind"]);
    assert_eq!(root::count(), 0, "nobody else had to do it");
}

#[tokio::test(start_paused = true)]
async fn row_87_each_of_the_rest_ends_as_soon_as_it_can() {
    let (log, token) = (Log::new(), CancelToken::new("demo"));
    let shielded = {
        let log = log.clone();
        async move { shield!({ plain(log, "shielded", 50).await }) }
    };
    let futures = [
        plain(log.clone(), "slow", 1000).boxed(),
        shielded.boxed(),
        plain(log.clone(), "fast", 5).boxed(),
        plain(log.clone(), "late", 1000).boxed(),
    ];
    assert_eq!(token.first_of(futures).await.unwrap(), "fast");
    log.say("behind");
    log.expect_unordered(&["5 fast gone", "5 slow gone", "5 late gone", "50 shielded gone", "50 behind"]);
    assert_eq!(log.entries().last().unwrap(), "50 behind");
}

#[tokio::test(start_paused = true)]
async fn row_87_of_several_that_are_ready_at_once_the_first_in_order_wins() {
    let (log, token) = (Log::new(), CancelToken::new("demo"));
    let first = token.first_of([10, 5, 5].map(|n| async move {
        sleep(n).await;
        n
    }));
    assert_eq!(first.await.unwrap(), 5);
    assert_eq!(token.first_of([ready("a"), ready("b")]).await.unwrap(), "a");
    assert_eq!(log.ms(), 5);
}

#[tokio::test(start_paused = true)]
async fn row_87_the_winner_is_the_first_that_is_ready_not_the_first_that_has_cleaned_up() {
    let (log, token) = (Log::new(), CancelToken::new("demo"));
    let messy = {
        let log = log.clone();
        async move {
            let cleanup = log.clone();
            defer(async move {
                sleep(100).await;
                cleanup.say("cleaned up");
            });
            plain(log, "messy", 10).await
        }
    };
    let first = token.first_of([messy.boxed(), plain(log.clone(), "tidy", 20).boxed()]);
    assert_eq!(first.await.unwrap(), "messy");
    log.say("behind");
    log.expect(&["10 messy gone", "10 tidy gone", "110 cleaned up", "110 behind"]);
}

#[tokio::test(start_paused = true)]
async fn row_88_a_timeout_and_the_token_are_different_errors() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let late = token.first_of([plain(log.clone(), "a", 1000)]).timeout(ms(10)).await;
    let late = late.unwrap_err();
    assert!(matches!(late, FirstOfError::TimedOut));
    assert_eq!(late.to_string(), "timed out before the first future was ready");
    log.expect(&["10 a gone"]);

    trigger_after(10, &token);
    let stopped = token.first_of([plain(log.clone(), "b", 1000)]).timeout(ms(100)).await.unwrap_err();
    let FirstOfError::Triggered(cancelled) = &stopped else { panic!("{stopped}") };
    assert_eq!(stopped.to_string(), "cancellation requested by token-a token");
    assert_eq!(cancelled.to_string(), stopped.to_string());
    assert!(matches!(cancelled.cause(), Cause::Token { name, .. } if name == "token-a"));
    assert!(!cancelled.is_timeout());
    log.expect(&["10 a gone", "20 b gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_88_what_is_ready_when_the_time_is_up_wins() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    trigger_after(10, &token);
    let first = token.first_of([plain(log.clone(), "a", 10)]).timeout(ms(10)).await;
    assert_eq!(first.unwrap(), "a");
    assert_eq!(log.ms(), 10);
}

#[tokio::test(start_paused = true)]
async fn row_88_the_timeout_is_the_budget_of_the_futures() {
    let token = CancelToken::new("token-a");
    let budget = token.first_of([async { remaining() }]).timeout(ms(10)).await;
    assert_eq!(budget.unwrap(), Some(ms(10)));
}

#[tokio::test(start_paused = true)]
async fn row_89_a_token_that_was_triggered_before_ends_it_at_once() {
    let (log, polls, token) = (Log::new(), Polls::new(), CancelToken::new("token-a"));
    token.trigger();
    let stopped =
        token.first_of([polls.of(plain(log.clone(), "a", 10)), polls.of(plain(log.clone(), "b", 10))]);
    let stopped = stopped.timeout(ms(100)).await.unwrap_err();
    assert!(matches!(stopped, FirstOfError::Triggered(_)));
    log.expect(&["0 a gone", "0 b gone"]);
    assert_eq!(polls.count(), 2, "rule D1: each ran to its first suspension");
}

#[tokio::test(start_paused = true)]
async fn row_90_what_fails_at_the_instant_at_which_the_token_fires_fails_with_its_own_error() {
    let token = CancelToken::new("token-a");
    let fails = async {
        sleep(10).await;
        token.trigger();
        Err::<(), _>("its own")
    };
    let first = token.first_of([fails.boxed(), pending().boxed()]);
    assert_eq!(first.await.unwrap(), Err("its own"));

    let token = CancelToken::new("token-b");
    trigger_after(10, &token);
    let fails = async {
        sleep(10).await;
        Err::<(), _>("its own")
    };
    assert_eq!(token.first_of([fails]).await.unwrap(), Err("its own"), "also if another task triggers it");
}

#[tokio::test(start_paused = true)]
async fn row_90_a_panic_is_resumed_when_the_rest_have_ended() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let panics = async {
        sleep(10).await;
        token.trigger();
        panic_any(7_u8);
    };
    let futures = [scoped(log.clone(), "slow", 1000).boxed(), panics.boxed()];
    let payload = AssertUnwindSafe(token.first_of(futures)).catch_unwind().await.unwrap_err();
    log.say("behind");
    assert_eq!(payload.downcast_ref(), Some(&7_u8));
    log.expect(&["10 slow gone", "20 slow's child ended", "40 slow cleaned up", "40 behind"]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn row_90_a_panic_of_a_losers_cleanup_is_a_failure() {
    let token = CancelToken::new("token-a");
    let loser = async {
        defer(async { panic_any("in cleanup") });
        pending::<u8>().await
    };
    let futures = [loser.boxed(), async { 7 }.boxed()];
    let payload = AssertUnwindSafe(token.first_of(futures)).catch_unwind().await.unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"in cleanup"));
}

#[tokio::test(start_paused = true)]
async fn row_91_an_outer_cancel_ends_all_of_it_before_it_is_left() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let cut = scope!(timeout = 10ms, {
        let futures = [scoped(log.clone(), "a", 1000).boxed(), plain(log.clone(), "b", 1000).boxed()];
        let _ = token.first_of(futures).await;
        log.say("not reached");
    });
    log.say("behind");
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["10 a gone", "10 b gone", "20 a's child ended", "40 a cleaned up", "40 behind"]);
    assert_eq!(root::count(), 0);
}

#[test]
fn row_91_nothing_is_left_with_the_token_when_it_is_dropped() {
    let token = CancelToken::new("a").chain(CancelToken::new("b"));
    let (wakes, waker) = counted();
    let before = Arc::strong_count(&wakes);
    let mut racing = Box::pin(token.first_of([pending::<()>(), pending()]));
    let mut running = Box::pin(token.run(pending::<()>()));
    assert!(!poll_with(racing.as_mut(), &waker) && !poll_with(running.as_mut(), &waker));
    assert!(Arc::strong_count(&wakes) >= before + 6, "each waits for three leaves");
    drop((racing, running));
    assert_eq!(Arc::strong_count(&wakes), before);
    token.trigger();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn row_91_an_outer_cancel_wins_over_the_token() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let cut = scope!(name = "outer", |outer| {
        let both = async {
            sleep(10).await;
            outer.cancel_with("both");
            token.trigger();
            pending::<()>().await;
        };
        let _ = token.first_of([both.boxed(), pending().boxed()]).await;
        log.say("not reached");
    });
    assert!(cut.unwrap_err().to_string().contains("both"));
    log.expect(&[]);
}

#[test]
fn row_92_a_token_works_across_runtimes() {
    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }
    let (a, b) = (CancelToken::new("a"), CancelToken::new("b"));
    let chained = a.chain(&b);
    let (ready, is_ready) = mpsc::channel();
    let waiter = {
        let (chained, ready) = (chained.clone(), ready.clone());
        std::thread::spawn(move || {
            runtime().block_on(async {
                let mut waiting = pin!(chained.wait());
                assert!(poll_once(&mut waiting).await.is_pending());
                ready.send(()).unwrap();
                waiting.await;
                fired_name(&chained)
            })
        })
    };
    let racer = std::thread::spawn(move || {
        runtime().block_on(async {
            let says_that_it_waits = poll_fn(|_| {
                ready.send(()).unwrap();
                Poll::<()>::Pending
            });
            chained.first_of([says_that_it_waits]).await.unwrap_err().to_string()
        })
    });
    is_ready.recv().unwrap();
    is_ready.recv().unwrap();
    // A third runtime, and no runtime at all.
    runtime().block_on(async { b.trigger() });
    a.trigger();
    assert_eq!(waiter.join().unwrap(), "b");
    assert_eq!(racer.join().unwrap(), "cancellation requested by b token");
}

#[tokio::test(start_paused = true)]
async fn row_93_it_bounds_what_knows_nothing_of_tokens() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let (tx, mut rx) = tokio::sync::mpsc::channel(1);
    tx.send(1).await.unwrap();
    trigger_after(10, &token);

    // A method of tokio's that borrows, a task, a future without `Send`.
    assert_eq!(token.run(rx.recv()).await.unwrap(), Some(1));
    assert!(token.run(rx.recv()).await.is_err());
    assert_eq!(log.ms(), 10);
    let token = CancelToken::new("token-b");
    assert_eq!(token.run(tokio::spawn(async { 2 })).await.unwrap().unwrap(), 2);
    let not_send = std::rc::Rc::new(3);
    assert_eq!(*token.run(async move { not_send }).await.unwrap(), 3);
    assert_eq!(token.first_of([tokio::spawn(async { 4 })]).await.unwrap().unwrap(), 4);
}

// --- run ------------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn run_ends_with_the_token_once_everything_inside_has_ended() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let other = CancelToken::new("token-b");
    trigger_after(5, &token);
    let stopped = other.chain(&token).run(scoped(log.clone(), "slow", 1000)).await;
    log.say("behind");
    assert_eq!(stopped.unwrap_err().to_string(), "cancellation requested by token-a token");
    log.expect(&["5 slow gone", "15 slow's child ended", "35 slow cleaned up", "35 behind"]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn d1_run_polls_once_under_a_token_that_was_triggered_before() {
    let (log, polls, token) = (Log::new(), Polls::new(), CancelToken::new("token-a"));
    token.trigger();
    assert!(token.run(polls.of(plain(log.clone(), "a", 10))).await.is_err());
    assert_eq!(polls.count(), 1);
    assert_eq!(token.run(async { 7 }).await.unwrap(), 7, "rule D2: what is ready at once is used");
    log.expect(&["0 a gone"]);
}

#[tokio::test(start_paused = true)]
async fn d2_run_gives_the_value_that_comes_with_the_token() {
    let token = CancelToken::new("token-a");
    let value = token.run(async {
        sleep(10).await;
        token.trigger();
        7
    });
    assert_eq!(value.await.unwrap(), 7);
}

#[tokio::test(start_paused = true)]
async fn d2_wait_is_ready_in_a_scope_that_the_same_token_cancels() {
    let token = CancelToken::new("token-a");
    trigger_after(10, &token);
    let value = token.run(async {
        token.wait().await;
        "the code behind it runs"
    });
    assert_eq!(value.await.unwrap(), "the code behind it runs");
}

#[tokio::test(start_paused = true)]
async fn d4_an_outer_cancel_is_not_absorbed_by_run() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    trigger_after(10, &token);
    let cut = scope!(timeout = 10ms, {
        let _ = token.run(plain(log.clone(), "a", 1000)).await;
        log.say("not reached");
    });
    assert!(cut.unwrap_err().is_timeout());
    log.expect(&["10 a gone"]);
}

#[tokio::test(start_paused = true)]
async fn w1_what_is_asked_under_a_token_says_which_one_it_was() {
    let token = CancelToken::new("token-a");
    let line = line!() + 1;
    let running = token.run(async {
        shield!({
            token.trigger();
            sleep(10).await;
        });
        // Rule S2: on to the next suspension, and there is none.
        (check().unwrap_err(), scope!(name = "inner", { check().unwrap_err() }).unwrap())
    });
    let (here, inner) = running.await.unwrap();
    assert_eq!(here.to_string(), "cancellation requested by token-a token");
    assert_eq!((here.scope_name(), here.site().line()), ("run", line));
    let place = |line| format!("{}:{line}", file!());
    assert_eq!(
        inner.to_string(),
        format!(
            "inner ({}) cancelled: parent run ({}) was cancelled by token-a token",
            place(line + 6),
            place(line)
        )
    );
    assert!(matches!(inner.root_cause(), Cause::Token { name, .. } if name == "token-a"));
}

#[test]
fn w1_check_names_its_own_place() {
    let token = CancelToken::new("token-a");
    token.trigger();
    let line = line!() + 1;
    let cancelled = token.check().unwrap_err();
    assert_eq!((cancelled.site().file(), cancelled.site().line()), (file!(), line));
    assert_eq!(std::io::Error::from(cancelled).kind(), std::io::ErrorKind::Interrupted);
}

#[tokio::test(start_paused = true)]
async fn run_and_first_of_are_scopes_that_code_inside_can_cancel() {
    let token = CancelToken::new("token-a");
    let cancels_itself = || async {
        current().cancel_with("enough");
        pending::<u8>().await
    };
    let stopped = token.run(cancels_itself()).await.unwrap_err();
    assert!(stopped.to_string().contains("run (") && stopped.to_string().contains("enough"));

    let stopped = token.first_of([cancels_itself().boxed(), pending().boxed()]).await.unwrap_err();
    let FirstOfError::ScopeCancelled(cancelled) = stopped else { panic!("{stopped}") };
    assert!(cancelled.to_string().contains("enough"));
    assert!(!token.is_triggered());
}

// --- first_of -------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn first_of_nothing_waits_for_the_token_or_the_timeout() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    trigger_after(20, &token);
    let none: [std::future::Ready<()>; 0] = [];
    let late = token.first_of(none.clone()).timeout(ms(10)).await;
    assert!(matches!(late, Err(FirstOfError::TimedOut)));
    assert!(matches!(token.first_of(none).await, Err(FirstOfError::Triggered(_))));
    assert_eq!(log.ms(), 20);
}

#[tokio::test(start_paused = true)]
async fn d2_a_value_is_kept_when_an_outer_cancel_comes_while_the_others_end() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let mut kept = None;
    let cut = scope!(timeout = 10ms, {
        let futures = [scoped(log.clone(), "slow", 1000).boxed(), plain(log.clone(), "fast", 5).boxed()];
        kept = Some(token.first_of(futures).await.unwrap());
        log.say("the code behind it runs");
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().is_timeout());
    assert_eq!(kept, Some("fast"));
    log.expect(&[
        "5 fast gone",
        "5 slow gone",
        "15 slow's child ended",
        "35 slow cleaned up",
        "35 the code behind it runs",
    ]);
}

#[tokio::test(start_paused = true)]
async fn d2_a_value_wins_over_an_outer_cancel_that_comes_with_it() {
    for [first, second] in [[5, 1000], [1000, 5]] {
        let (log, token) = (Log::new(), CancelToken::new("token-a"));
        let mut kept = None;
        let cut = scope!(timeout = 5ms, {
            let name = |n| if n == 5 { "fast" } else { "slow" };
            let futures = [first, second].map(|n| plain(log.clone(), name(n), n));
            kept = token.first_of(futures).await.ok();
            log.say("the code behind it runs");
            pending::<()>().await;
        });
        assert!(cut.unwrap_err().is_timeout());
        assert_eq!(kept, Some("fast"));
        log.expect_unordered(&["5 fast gone", "5 slow gone", "5 the code behind it runs"]);
        assert_eq!(log.entries()[2], "5 the code behind it runs");
    }
}

#[tokio::test(start_paused = true)]
async fn d2_a_winner_that_still_cleans_up_when_an_outer_cancel_comes_has_won() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let mut kept = None;
    let cut = scope!(timeout = 5ms, {
        let futures = [scoped(log.clone(), "fast", 5).boxed(), plain(log.clone(), "slow", 1000).boxed()];
        kept = token.first_of(futures).await.ok();
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().is_timeout());
    assert_eq!(kept, Some("fast"));
    log.expect(&["5 fast gone", "5 slow gone", "15 fast's child ended", "35 fast cleaned up"]);
}

#[tokio::test(start_paused = true)]
async fn u5_first_of_that_is_dropped_from_outside_leaves_its_work_to_the_enclosing_scope() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    scope!({
        tokio::select! {
            _ = token.first_of([scoped(log.clone(), "a", 1000)]) => unreachable!(),
            () = sleep(10) => log.say("select ends"),
        }
        log.say("the body goes on");
        assert_eq!(root::count(), 0);
    })
    .unwrap();
    log.say("behind");
    log.expect(&[
        "10 a gone",
        "10 select ends",
        "10 the body goes on",
        "20 a's child ended",
        "40 a cleaned up",
        "40 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u5_first_of_and_run_that_are_dropped_outside_of_every_scope_leave_their_work_to_the_root() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let _ = tokio::time::timeout(ms(10), token.first_of([scoped(log.clone(), "a", 1000)])).await;
    let _ = tokio::time::timeout(ms(1), token.run(scoped(log.clone(), "b", 1000))).await;
    assert_eq!(root::count(), 2);
    root::wait_idle().await;
    log.expect(&[
        "10 a gone",
        "11 b gone",
        "20 a's child ended",
        "21 b's child ended",
        "40 a cleaned up",
        "41 b cleaned up",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u5_first_of_that_is_dropped_while_the_losers_end_still_ends_them() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let futures = [scoped(log.clone(), "slow", 1000).boxed(), plain(log.clone(), "fast", 5).boxed()];
    assert!(tokio::time::timeout(ms(10), token.first_of(futures)).await.is_err());
    root::wait_idle().await;
    log.expect(&["5 fast gone", "5 slow gone", "15 slow's child ended", "35 slow cleaned up"]);
}

#[tokio::test]
async fn first_of_runs_as_a_task_on_a_runtime_of_many_threads() {
    let token = CancelToken::new("token-a");
    let task = {
        let token = token.clone();
        outside(async move { token.first_of([pending::<()>(), pending()]).timeout(ms(60_000)).await })
    };
    token.trigger();
    assert!(matches!(task.await.unwrap(), Err(FirstOfError::Triggered(_))));
}

#[tokio::test(start_paused = true)]
async fn first_of_many_futures_ends_them_all() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let dropped = Arc::new(());
    let futures: Vec<_> = (0..500)
        .map(|n| {
            let alive = Arc::clone(&dropped);
            async move {
                sleep(500 - n).await;
                drop(alive);
                n
            }
        })
        .collect();
    assert_eq!(token.first_of(futures).await.unwrap(), 499);
    assert_eq!((log.ms(), Arc::strong_count(&dropped)), (1, 1));
}

// --- as an option of a scope, and together with other rules ---------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn b3_a_token_cancels_the_scope_that_it_is_an_option_of() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    trigger_after(10, &token);
    let line = line!() + 1;
    let cut = scope!(token = CancelToken::new("token-b").chain(&token), name = "fetch", {
        plain(log.clone(), "body", 1000).await
    });
    let cancelled = cut.unwrap_err();
    let place = format!("{}:{line}", file!());
    assert_eq!(cancelled.to_string(), format!("fetch ({place}) cancelled: requested by token-a token"));
    assert!(matches!(cancelled.cause(), Cause::Token { name, .. } if name == "token-a"));
    log.expect(&["10 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn b3_a_token_cancels_the_children_that_the_boundary_waits_for() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    trigger_after(10, &token);
    let cut = scope!(token = token, {
        spawn!(plain(log.clone(), "child", 1000));
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::Token { name, .. } if name == "token-a"));
    log.expect(&["10 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn b3_whatever_is_a_token_can_be_the_option() {
    let (token, theirs) = (CancelToken::new("token-a"), CancellationToken::new());
    token.trigger();
    theirs.cancel();
    assert!(scope!(token = &token, { sleep(1).await }).is_err());
    assert!(scope!(token = token.clone(), { sleep(1).await }).is_err());
    assert!(scope!(token = &theirs, { sleep(1).await }).is_err());
    assert!(scope!(token = theirs.clone(), timeout = 1s, { sleep(1).await }).is_err());
    assert_eq!(scope!(token = token, { "rules D1, D2" }).unwrap(), "rules D1, D2");

    #[cancel_scope(token = token, fallback = "stopped")]
    async fn under(token: &CancelToken) -> &'static str {
        pending().await
    }
    assert_eq!(under(&CancelToken::from(theirs)).await, "stopped");
}

#[tokio::test(start_paused = true)]
async fn g1_a_token_gives_the_grace_of_the_scope_that_it_cancels() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    trigger_after(10, &token);
    let cut = scope!(token = &token, grace = 20ms, {
        cancelled().await;
        assert!(check().is_err());
        log.say("soft");
        plain(log.clone(), "body", 1000).await
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::Token { .. }));
    log.expect(&["10 soft", "30 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn b1_a_token_that_cancels_a_future_bubbles() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    trigger_after(10, &token);
    let cut = scope!(bubble, {
        let _ = token.run(plain(log.clone(), "a", 1000)).await;
        log.say("not reached");
        sleep(1).await;
        log.say("nor this");
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::Bubble(_)));
    log.expect(&["10 a gone"]);
}

#[tokio::test(start_paused = true)]
async fn b1_the_end_of_those_that_did_not_win_does_not_bubble() {
    let (log, token) = (Log::new(), CancelToken::new("token-a"));
    let value = scope!(bubble, {
        let futures = [scoped(log.clone(), "slow", 1000).boxed(), plain(log.clone(), "fast", 5).boxed()];
        let first = token.first_of(futures).await.unwrap();
        sleep(10).await;
        first
    });
    assert_eq!(value.unwrap(), "fast");
    assert_eq!(log.ms(), 45);
}

#[tokio::test(start_paused = true)]
async fn b1_a_scope_inside_that_bubbles_ends_first_of() {
    let token = CancelToken::new("token-a");
    let bubbling = scope!(bubble, {
        let inner = async { drop(scope!(timeout = 10ms, { pending::<()>().await })) };
        token.first_of([inner]).await.map_err(|why| why.to_string())
    });
    assert!(matches!(bubbling.unwrap_err().cause(), Cause::Bubble(_)));
}

// --- tokio-util -----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_token_of_tokio_util_and_ours_are_one_switch() {
    // Made there, triggered there.
    let theirs = CancellationToken::new();
    let ours = CancelToken::from(&theirs);
    assert_eq!(ours.name(), "tokio");
    let mut waiting = pin!(ours.wait());
    assert!(!ours.is_triggered() && poll_once(&mut waiting).await.is_pending());
    theirs.cancel();
    assert!(ours.is_triggered() && poll_once(&mut waiting).await.is_ready());
    assert_eq!(ours.check().unwrap_err().to_string(), "cancellation requested by tokio token");

    // Made there, triggered here.
    let theirs = CancellationToken::new();
    let ours = CancelToken::from_tokio("shutdown", theirs.clone());
    ours.trigger();
    assert!(theirs.is_cancelled());
    assert_eq!(fired_name(&ours), "shutdown");

    // Made here, triggered there.
    let ours = CancelToken::new("ours");
    let theirs = CancellationToken::from(&ours);
    assert!(!theirs.is_cancelled());
    theirs.cancel();
    assert!(ours.is_triggered());

    // Made here, triggered here.
    let ours = CancelToken::new("ours");
    let theirs = CancellationToken::from(ours.clone());
    ours.trigger();
    assert!(theirs.is_cancelled());
}

#[test]
fn a_token_that_fired_before_it_was_converted_is_cancelled_there() {
    let [a, b] = ["a", "b"].map(CancelToken::new);
    let chained = a.chain(&b);
    b.trigger();
    assert!(CancellationToken::from(&b).is_cancelled());
    assert!(CancellationToken::from(&chained).is_cancelled());
    assert!(CancellationToken::from(chained).is_cancelled());
    assert!(CancelToken::from(CancellationToken::from(b)).is_triggered());
}

#[test]
fn a_child_token_of_tokio_util_is_a_token_too() {
    let parent = CancellationToken::new();
    let (child, sibling) = (CancelToken::from(parent.child_token()), CancelToken::from(parent.child_token()));
    child.trigger();
    assert!(!parent.is_cancelled() && !sibling.is_triggered());
    parent.cancel();
    assert!(sibling.is_triggered());
}

#[tokio::test(start_paused = true)]
async fn a_chain_may_have_sources_of_tokio_util() {
    let (log, theirs) = (Log::new(), CancellationToken::new());
    let chained = CancelToken::new("ours").chain(&theirs).chain(CancellationToken::new());
    assert_eq!(chained.name(), "ours:tokio:tokio");
    let switch = theirs.clone();
    outside(async move {
        sleep(10).await;
        switch.cancel();
    });
    let stopped = chained.run(pending::<()>()).await.unwrap_err();
    assert_eq!((stopped.to_string().as_str(), log.ms()), ("cancellation requested by tokio token", 10));
}

#[tokio::test(start_paused = true)]
async fn a_source_of_tokio_util_that_somebody_saw_first_stays_the_one_that_fired() {
    let (theirs, ours) = (CancellationToken::new(), CancelToken::new("ours"));
    let chained = ours.chain(CancelToken::from_tokio("theirs", theirs.clone()));
    theirs.cancel();
    chained.wait().await;
    ours.trigger();
    assert_eq!(fired_name(&chained), "theirs");
}

#[tokio::test(start_paused = true)]
async fn a_chain_in_tokio_utils_hands_is_cancelled_by_each_of_its_sources_at_once() {
    let others = CancellationToken::new();
    type Trigger = fn(&CancelToken, &CancelToken, &CancellationToken);
    let triggers: [(Trigger, &str); 3] = [
        (|a, _, _| a.trigger(), "a"),
        (|_, b, _| b.trigger(), "b"),
        (|_, _, others| others.cancel(), "tokio"),
    ];
    for (trigger, name) in triggers {
        let [a, b] = ["a", "b"].map(CancelToken::new);
        let chained = a.chain(b.chain(&others));
        let kept = CancellationToken::from(&chained);
        let given = CancellationToken::from(a.chain(b.chain(&others)));
        assert!(!kept.is_cancelled() && !given.is_cancelled());
        trigger(&a, &b, &others);
        assert!(kept.is_cancelled() && given.is_cancelled(), "{name}");
        assert_eq!(fired_name(&chained), name, "not the chain, through which tokio-util learned of it");
        kept.cancelled().await;
        given.cancelled().await;
    }
}

#[test]
fn a_chain_in_tokio_utils_hands_can_be_cancelled_there() {
    let [a, b] = ["a", "b"].map(CancelToken::new);
    let chained = a.chain(&b);
    let theirs = CancellationToken::from(&chained);
    assert_eq!(theirs, CancellationToken::from(&chained), "it is the same at every conversion");
    theirs.cancel();
    assert_eq!(fired_name(&chained), "a:b");
    assert_eq!([a.is_triggered(), b.is_triggered()], [false, false]);
}

#[test]
fn a_chain_that_was_given_away_is_cancelled_from_other_threads() {
    for _ in 0..200 {
        let [a, b] = ["a", "b"].map(CancelToken::new);
        let theirs = std::thread::scope(|threads| {
            threads.spawn(|| a.trigger());
            threads.spawn(|| b.trigger());
            CancellationToken::from(a.chain(&b))
        });
        assert!(theirs.is_cancelled());
    }
}

// --- what it takes, and what is left behind -------------------------------------------------------------------------

/// A waker that says by its count how often it is held.
fn counted() -> (Arc<Wakes>, Waker) {
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    (wakes, waker)
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> bool {
    future.poll(&mut Context::from_waker(waker)).is_ready()
}

#[test]
fn a_waiter_that_is_dropped_is_forgotten() {
    let [a, b] = ["a", "b"].map(CancelToken::new);
    let chained = a.chain(&b);
    let (wakes, waker) = counted();
    for token in [&a, &chained] {
        let before = Arc::strong_count(&wakes);
        let mut waiting = Box::pin(token.wait());
        is_send(&waiting);
        assert!(!poll_with(waiting.as_mut(), &waker));
        assert!(Arc::strong_count(&wakes) > before);
        drop(waiting);
        assert_eq!(Arc::strong_count(&wakes), before);
    }
    chained.trigger();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
}

#[test]
fn a_wait_owns_its_token_and_the_chain_its_sources() {
    let a = CancelToken::new("a");
    let waiting: TokenWait = a.chain(CancelToken::new("b")).wait();
    let mut waiting = pin!(waiting);
    let (wakes, waker) = counted();
    assert!(!poll_with(waiting.as_mut(), &waker));
    on_a_thread(|| a.trigger());
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert!(poll_with(waiting.as_mut(), &waker));
    assert!(poll_with(waiting, &waker), "it may be polled again");
}

#[test]
fn a_token_that_is_chained_with_itself_is_one_source() {
    let a = CancelToken::new("a");
    let chained = a.chain(&a).chain(&a);
    let (wakes, waker) = counted();
    let before = Arc::strong_count(&wakes);
    let mut waiting = pin!(chained.wait());
    assert!(!poll_with(waiting.as_mut(), &waker));
    // The token, and the two chains themselves.
    assert_eq!(Arc::strong_count(&wakes) - before, 3);
    a.trigger();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
}
