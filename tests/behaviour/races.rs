//! `race!` and `try_join!`: some futures at once, in a scope of their own. F2, F3: what wins and what fails; D1, D2, D4:
//! cancels; U1, U5: how losers end.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, ready};
use std::io;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use scope_runtime::{
    Cancelled, Kind, ScopeHandle, cancel_scope, check, current, defer, fail_after, fork, is_cancelled, race,
    remaining, root, scope, shield, spawn, try_current, try_join,
};
use scope_tests::probe::{Log, ms, outside, poll_once, sleep};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::report::Events;

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("oops: {0}")]
struct Oops(&'static str);

/// An arm that says when it is done or dropped.
async fn arm<T>(log: &Log, name: &str, n: u64, value: T) -> T {
    let _gone = log.guard(format!("{name} gone"));
    sleep(n).await;
    log.say(format_args!("{name} done"));
    value
}

/// An arm whose cleanup takes a while.
async fn with_cleanup<T>(log: &Log, name: &'static str, n: u64, cleanup: u64, value: T) -> T {
    let said = log.clone();
    defer(async move {
        sleep(cleanup).await;
        said.say(format_args!("{name} cleaned up"));
    });
    arm(log, name, n, value).await
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

// --- who wins ----------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f3_the_first_arm_that_is_ready_wins() {
    let log = Log::new();
    let won = race!(arm(&log, "a", 30, "a"), arm(&log, "b", 10, "b"), arm(&log, "c", 20, "c"));
    log.say(format_args!("{won} won"));
    log.expect_unordered(&["10 b done", "10 b gone", "10 a gone", "10 c gone", "10 b won"]);
}

#[tokio::test(start_paused = true)]
async fn f3_losers_are_cancelled_and_awaited_cleanup_included() {
    let log = Log::new();
    let won = race!(
        with_cleanup(&log, "slow", 1000, 30, 1),
        async {
            let _ = scope!({
                let said = log.clone();
                spawn!(async move {
                    defer(async move {
                        sleep(20).await;
                        said.say("child of the loser cleaned up");
                    });
                    pending::<()>().await;
                });
            });
            2
        },
        arm(&log, "quick", 10, 3),
    );
    log.say(format_args!("{won} won"));
    log.expect(&[
        "10 quick done",
        "10 quick gone",
        "10 slow gone",
        "30 child of the loser cleaned up",
        "40 slow cleaned up",
        "40 3 won",
    ]);
}

#[tokio::test(start_paused = true)]
async fn f3_a_race_is_won_before_the_cleanup_of_the_winner() {
    let log = Log::new();
    let won = race!(with_cleanup(&log, "winner", 10, 50, 1), arm(&log, "loser", 30, 2));
    log.say(format_args!("{won} won"));
    log.expect(&["10 winner done", "10 winner gone", "10 loser gone", "60 winner cleaned up", "60 1 won"]);
}

#[tokio::test(start_paused = true)]
async fn f3_the_first_ok_wins_and_an_error_loses() {
    let won: Result<u8, Oops> = race!(
        async {
            sleep(10).await;
            Err(Oops("early"))
        },
        async {
            sleep(20).await;
            Ok(7)
        },
        pending(),
    );
    assert_eq!(won, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn f3_if_all_fail_the_last_error_is_the_value() {
    let log = Log::new();
    let fail = async |n, what| {
        sleep(n).await;
        Err::<(), _>(Oops(what))
    };
    assert_eq!(race!(fail(10, "a"), fail(30, "b"), fail(20, "c")), Err(Oops("b")));
    assert_eq!(log.ms(), 30);
}

#[tokio::test(start_paused = true)]
async fn f3_arms_that_are_ready_together_win_in_the_order_written() {
    assert_eq!(race!(ready(1), ready(2)), 1);
    let log = Log::new();
    let won = race!(arm(&log, "a", 10, "a"), arm(&log, "b", 10, "b"));
    assert_eq!((won, log.ms()), ("a", 10));
}

#[tokio::test(start_paused = true)]
async fn f3_an_option_is_a_plain_value() {
    assert_eq!(race!(ready(None), ready(Some(1))), None);
}

#[tokio::test(start_paused = true)]
async fn f3_one_arm_is_a_race_too() {
    assert_eq!(race!(ready(1)), 1);
    assert_eq!(try_join!(ready(Ok::<_, Oops>(1))), Ok((1,)));
}

// --- where it can stand, and what arms may hold ------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn t1_a_race_opens_no_cancel_switch() {
    assert!(race!(async { try_current().is_none() }), "there is no scope around");
    let name = scope!(name = "outer", timeout = 1s, {
        race!(
            async {
                sleep(10).await;
                let nested = race!(async { current().name() }, spawn!(async { current().name() }));
                let shielded = shield!({ current().name() });
                assert_eq!((&*nested, &*shielded), ("outer", "outer"));
                assert_eq!(remaining(), Some(ms(990)));
                current().name()
            },
            pending()
        )
    });
    assert_eq!(name.unwrap(), "outer");
}

#[tokio::test(start_paused = true)]
async fn f1_arms_borrow_and_a_race_in_a_loop_gives_it_back() {
    let (tx, mut rx) = mpsc::channel(1);
    let mut log = Vec::new();
    let mut ticks = 0;
    outside(async move {
        for n in 0..3 {
            sleep(25).await;
            tx.send(n).await.unwrap();
        }
    });
    loop {
        let received = race!(async { rx.recv().await.ok_or("closed") }, async {
            sleep(10).await;
            ticks += 1;
            Err("tick")
        });
        match received {
            Ok(n) => log.push(n),
            Err("tick") => {}
            Err(_) => break,
        }
        if log.len() == 3 {
            break;
        }
        rx.close();
        ticks += 100;
        if ticks > 1000 {
            break;
        }
    }
    assert_eq!(log, [0]);
}

#[tokio::test(start_paused = true)]
async fn f1_arms_may_hold_what_is_not_send_and_values_may_borrow() {
    let text = String::from("one two");
    let shared = Rc::new(Cell::new(0));
    let word: &str = race!(
        async {
            let shared = Rc::clone(&shared);
            sleep(10).await;
            shared.set(1);
            &text[..3]
        },
        async {
            sleep(5).await;
            shared.set(shared.get() + 10);
            &text[4..]
        },
    );
    assert_eq!((word, shared.get()), ("two", 10));
    let cell = RefCell::new(0);
    let both: Result<_, Oops> = try_join!(async { Ok(cell.borrow_mut()) }, async { Ok(Rc::clone(&shared)) });
    drop(both.unwrap());
}

#[tokio::test(start_paused = true)]
async fn f1_a_race_is_send_if_its_arms_are() {
    let text = String::from("text");
    let raced = assert_send(async {
        let won = race!(
            async {
                sleep(10).await;
                text.len()
            },
            spawn!(async { pending().await }),
        );
        let both = try_join!(
            async {
                sleep(10).await;
                Ok::<_, io::Error>(&text)
            },
            spawn!(async { Ok(2) }),
        );
        (won, both.unwrap())
    });
    assert_eq!(raced.await, (4, (&text, 2)));
}

#[tokio::test(start_paused = true)]
async fn control_flow_in_the_arms_is_that_of_the_code_around() {
    async fn connect(to: &str) -> Result<impl Future<Output = usize>, Oops> {
        if to.is_empty() { Err(Oops("no address")) } else { Ok(ready(to.len())) }
    }
    async fn first(a: &str, b: &str) -> Result<usize, Oops> {
        Ok(race!(connect(a).await?, connect(b).await?))
    }
    assert_eq!(first("aa", "b").await, Ok(2));
    assert_eq!(first("aa", "").await, Err(Oops("no address")));

    async fn in_a_scope(b: &str) -> Result<usize, Oops> {
        let mut rounds = 0;
        loop {
            let won = scope!(timeout = 1s, {
                rounds += 1;
                race!(
                    if rounds == 1 { continue } else { connect("aa").await? },
                    match b {
                        "return" => return Ok(100),
                        "break" => break,
                        _ => connect(b).await?,
                    }
                )
            });
            if let Ok(won) = won {
                return Ok(won + rounds);
            }
        }
        Ok(1000)
    }
    assert_eq!(in_a_scope("b").await, Ok(4));
    assert_eq!(in_a_scope("").await, Err(Oops("no address")));
    assert_eq!(in_a_scope("return").await, Ok(100));
    assert_eq!(in_a_scope("break").await, Ok(1000));
}

#[tokio::test(start_paused = true)]
async fn temporaries_of_the_arms_live_until_the_race_is_over() {
    async fn len(text: &str) -> usize {
        sleep(1).await;
        text.len()
    }
    assert_eq!(race!(len(&format!("{}", 123)), len(&String::from("long, but later"))), 3);
}

#[test]
fn f1_a_race_needs_no_runtime_and_no_second_poll() {
    let mut cx = Context::from_waker(Waker::noop());
    let mut once = pin!(async { race!(pending(), ready(2), async { 3 }) });
    assert_eq!(once.as_mut().poll(&mut cx), Poll::Ready(2));
    let mut joined = pin!(async { try_join!(ready(Ok::<_, Oops>(1)), ready(Ok(2))) });
    assert_eq!(joined.as_mut().poll(&mut cx), Poll::Ready(Ok((1, 2))));
    let mut failed =
        pin!(async { try_join!(pending(), ready(Err::<u8, _>(Oops("x"))), pending::<Result<u8, _>>()) });
    let failed = failed.as_mut().poll(&mut cx).map(|joined: Result<(u8, u8, u8), _>| joined);
    assert_eq!(failed, Poll::Ready(Err(Oops("x"))));
}

#[tokio::test(start_paused = true)]
async fn tokios_try_join_is_left_alone() {
    async fn both() -> Result<(u8, u8), Cancelled> {
        let both = scope!({ tokio::try_join!(spawn!(async { 1 }), spawn!(async { 2 })) });
        both?
    }
    assert_eq!(both().await.unwrap(), (1, 2));
}

// --- spawn! as an arm --------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f3_an_arm_that_is_a_spawn_runs_in_parallel() {
    let log = Log::new();
    let (a, b) = (log.clone(), log.clone());
    let won = race!(
        spawn!(async move { with_cleanup(&a, "a", 30, 20, "a").await }),
        spawn!(name = "second", async move { arm(&b, "b", 10, "b").await }),
        arm(&log, "here", 20, "here"),
    );
    log.say(format_args!("{won} won"));
    log.expect_unordered(&[
        "10 b done",
        "10 b gone",
        "10 a gone",
        "10 here gone",
        "30 a cleaned up",
        "30 b won",
    ]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn f3_spawned_arms_are_fallible_as_any() {
    let won: Result<u8, Oops> = race!(
        spawn!(async { Err(Oops("a")) }),
        spawn!(async {
            sleep(10).await;
            Ok(1)
        })
    );
    assert_eq!(won, Ok(1));
    let lost = race!(spawn!(async { Err::<u8, _>(Oops("a")) }), spawn!(async { Err(Oops("b")) }));
    assert!(lost.is_err());
}

#[test]
fn f3_spawned_arms_run_at_the_same_time() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    // Each waits, on its thread, for the other to arrive.
    let met = std::sync::Arc::new(std::sync::Barrier::new(2));
    let other = std::sync::Arc::clone(&met);
    let joined = runtime.block_on(async {
        try_join!(
            spawn!(async move {
                met.wait();
                Ok::<_, Oops>(1)
            }),
            spawn!(async move {
                other.wait();
                Ok(2)
            }),
        )
    });
    assert_eq!(joined, Ok((1, 2)));
}

#[tokio::test(start_paused = true)]
async fn t2_a_spawned_arm_belongs_to_the_race_inside_of_scopes_too() {
    let log = Log::new();
    let (a, b) = (log.clone(), log.clone());
    #[cancel_scope]
    async fn both(a: Log, b: Log) -> Result<u8, Cancelled> {
        let won = race!(
            spawn!(async move { arm(&a, "a", 10, 1).await }),
            spawn!(async move { arm(&b, "b", 100, 2).await })
        );
        a_moment().await;
        Ok(won)
    }
    async fn a_moment() {
        sleep(5).await;
    }
    assert_eq!(both(a, b).await.unwrap(), 1);
    log.expect(&["10 a done", "10 a gone", "10 b gone"]);

    let log = Log::new();
    let b = log.clone();
    scope!({
        let task = spawn!(async {
            // Also in a child, which has no scope of its own.
            race!(spawn!(async { 1 }), spawn!(async move { arm(&b, "b", 100, 2).await }))
        });
        assert_eq!(task.await.unwrap(), 1);
    })
    .unwrap();
    log.expect(&["0 b gone"]);
}

// --- cancels -----------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn d4_a_foreign_cancel_unwinds_all_arms_and_no_code_behind_runs() {
    let log = Log::new();
    let c = log.clone();
    let cut = scope!(name = "outer", timeout = 10ms, {
        race!(
            with_cleanup(&log, "a", 100, 30, ()),
            arm(&log, "b", 100, ()),
            spawn!(async move { with_cleanup(&c, "c", 100, 20, ()).await }),
        );
        log.say("never");
    });
    assert_eq!(cut.unwrap_err().scope_name(), "outer");
    log.expect_unordered(&["10 a gone", "10 b gone", "10 c gone", "30 c cleaned up", "40 a cleaned up"]);
    assert_eq!(log.ms(), 40);
}

#[tokio::test(start_paused = true)]
async fn d4_the_same_for_a_join() {
    let log = Log::new();
    let cut = scope!(name = "outer", timeout = 10ms, {
        let _: Result<_, Oops> =
            try_join!(async { Ok(arm(&log, "a", 5, 1).await) }, async { Ok(arm(&log, "b", 100, 2).await) });
        log.say("never");
    });
    assert!(cut.is_err());
    log.expect(&["5 a done", "5 a gone", "10 b gone"]);
}

#[tokio::test(start_paused = true)]
async fn d1_arms_of_a_cancelled_scope_run_to_their_first_suspension() {
    let log = Log::new();
    let cut = scope!({
        current().cancel();
        race!(
            async {
                log.say(format_args!("a runs, cancelled: {}", is_cancelled()));
                sleep(1).await;
            },
            async {
                log.say("b runs");
                sleep(1).await;
            },
        );
        log.say("never");
    });
    assert!(cut.is_err());
    log.expect(&["0 a runs, cancelled: true", "0 b runs"]);
}

#[tokio::test(start_paused = true)]
async fn d2_a_race_that_is_won_at_once_suspends_nobody() {
    let won = scope!(timeout = 0s, { race!(pending(), async { check().is_err() }) });
    assert!(won.unwrap(), "completion wins");
    let joined = scope!(timeout = 0s, { try_join!(async { Ok::<_, Oops>(1) }, async { Ok(2) }) });
    assert_eq!(joined.unwrap(), Ok((1, 2)));
}

#[tokio::test(start_paused = true)]
async fn d2_completion_wins_over_a_deadline_at_the_same_instant() {
    let won = scope!(timeout = 10ms, { race!(sleep(10), sleep(20)) });
    assert!(won.is_ok());
    let joined = scope!(timeout = 10ms, {
        try_join!(async { Ok::<_, Oops>(arm(&Log::new(), "a", 5, 1).await) }, async {
            Ok(arm(&Log::new(), "b", 10, 2).await)
        })
    });
    assert_eq!(joined.unwrap(), Ok((1, 2)));
}

#[tokio::test(start_paused = true)]
async fn d2_a_value_is_kept_if_the_cancel_comes_while_the_losers_unwind() {
    let log = Log::new();
    let cut = scope!(timeout = 20ms, {
        let won = race!(arm(&log, "winner", 10, 1), with_cleanup(&log, "loser", 100, 30, 2));
        // Waiting at a boundary is no delivery point, as for every scope.
        log.say(format_args!("{won} won, cancelled: {}", is_cancelled()));
        sleep(1).await;
        log.say("never");
    });
    assert!(cut.is_err());
    log.expect(&[
        "10 winner done",
        "10 winner gone",
        "10 loser gone",
        "40 loser cleaned up",
        "40 1 won, cancelled: true",
    ]);
}

#[tokio::test(start_paused = true)]
async fn d7_a_cancel_reaches_arms_inside_a_sub_executor_and_from_other_tasks() {
    let log = Log::new();
    let (tell, told) = oneshot::channel::<ScopeHandle>();
    outside(async move {
        let scope = told.await.unwrap();
        sleep(10).await;
        scope.cancel();
    });
    let cut = scope!({
        tell.send(current()).unwrap();
        let mut inner = FuturesUnordered::new();
        inner.push(async { race!(arm(&log, "a", 100, ()), arm(&log, "b", 100, ())) });
        inner.next().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 a gone", "10 b gone"]);
}

#[tokio::test(start_paused = true)]
async fn d4_a_race_is_cut_if_no_arm_is_left_to_win_it() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let _: Result<u8, Oops> = race!(
            async {
                shield!({ sleep(30).await });
                Err(Oops("the last one, but not of all"))
            },
            async { Ok(arm(&log, "plain", 100, 1).await) },
        );
        log.say("never");
    });
    assert!(cut.is_err());
    log.expect(&["10 plain gone"]);
    assert_eq!(log.ms(), 30);
}

#[tokio::test(start_paused = true)]
async fn s1_a_shield_protects_a_race_and_an_arm() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let won = shield!({ race!(arm(&log, "a", 30, 1), arm(&log, "b", 50, 2)) });
        log.say(format_args!("{won} won"));
        // The cancel cuts one arm, and does not take the value of the other with it.
        race!(async { shield!({ arm(&log, "shielded", 30, ()).await }) }, arm(&log, "plain", 100, ()));
        log.say("behind");
        sleep(1).await;
        log.say("never");
    });
    assert!(cut.is_err());
    log.expect(&[
        "30 a done",
        "30 a gone",
        "30 b gone",
        "30 1 won",
        "30 plain gone",
        "60 shielded done",
        "60 shielded gone",
        "60 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn l5_timers_of_scopes_inside_arms_work() {
    let log = Log::new();
    let won = scope!(timeout = 1s, {
        race!(
            async { fail_after(ms(30), pending::<()>()).await.map_err(|_| "first") },
            async { scope!(timeout = 10ms, { pending::<()>().await }).map_err(|_| "second") },
            async {
                scope!(timeout = std::time::Duration::from_secs(60), { pending::<()>().await })
                    .map_err(|_| "third")
            },
        )
    });
    // All but one have failed by the time the deadline cuts the race.
    assert!(won.unwrap_err().is_timeout());
    assert_eq!(log.ms(), 1000);
}

#[tokio::test(start_paused = true)]
async fn t4_once_an_arm_is_cut_the_race_counts_as_cancelled() {
    let log = Log::new();
    let outer = scope!(name = "outer", |outer| {
        let shielded = scope!(shield, name = "shielded", |shielded| {
            let shielded = shielded.handle();
            race!(
                async {
                    let _gone = log.guard("a gone");
                    pending::<()>().await;
                },
                async {
                    let _gone = log.guard("b gone");
                    sleep(10).await;
                    outer.cancel();
                    // The arm in front has seen the cancel when this one hides it again.
                    shielded.set_shield(false);
                    tokio::task::yield_now().await;
                    shielded.set_shield(true);
                    pending::<()>().await;
                },
            );
            log.say("never");
        });
        drop(shielded);
        log.say("never");
    });
    assert!(outer.is_err());
    assert_eq!(log.entries().len(), 2);
    assert_eq!(log.ms(), 10);
}

// --- failures ----------------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f2_a_panic_of_an_arm_leaves_the_race_once_all_have_ended() {
    let log = Log::new();
    for spawned in [false, true] {
        let thrown = payload(async {
            let bomb = async {
                sleep(10).await;
                resume_unwind(Box::new(42))
            };
            if spawned {
                race!(with_cleanup(&log, "other", 100, 30, ()), spawn!(bomb))
            } else {
                race!(with_cleanup(&log, "other", 100, 30, ()), bomb)
            }
        });
        assert_eq!(thrown.await.downcast_ref(), Some(&42));
        assert_eq!(log.take().len(), 2);
    }
    assert_eq!(log.ms(), 80);
}

#[tokio::test(start_paused = true)]
async fn f2_a_loser_that_panics_as_it_unwinds_takes_the_value_with_it() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("destructor");
        }
    }
    let thrown = payload(async {
        race!(ready(1), async {
            let _bomb = Bomb;
            pending().await
        })
    });
    assert_eq!(thrown.await.downcast_ref(), Some(&"destructor"));
}

#[tokio::test(start_paused = true)]
async fn f2_try_join_gives_all_values_or_the_first_error() {
    let log = Log::new();
    let all: Result<_, Oops> =
        try_join!(async { Ok(arm(&log, "a", 20, 1).await) }, spawn!(async { Ok("two") }), async {
            Ok(arm(&log, "c", 10, [3.0]).await)
        },);
    assert_eq!(all, Ok((1, "two", [3.0])));
    assert_eq!(log.ms(), 20);

    let log = Log::new();
    let failed: Result<(u8, u8), Oops> =
        try_join!(async { Ok(with_cleanup(&log, "a", 100, 30, 1).await) }, async {
            sleep(10).await;
            Err(Oops("b"))
        },);
    assert_eq!(failed, Err(Oops("b")));
    log.expect(&["10 a gone", "40 a cleaned up"]);
    assert_eq!(log.ms(), 40);
}

#[tokio::test(start_paused = true)]
async fn f2_the_error_of_a_spawned_arm_is_the_value_too() {
    let log = Log::new();
    let a = log.clone();
    let failed = try_join!(
        spawn!(async move { Ok(arm(&a, "a", 100, 1).await) }),
        spawn!(async {
            sleep(10).await;
            Err::<u8, _>(Oops("spawned"))
        }),
        async { Ok(arm(&log, "here", 100, 1).await) },
    );
    assert_eq!(failed, Err(Oops("spawned")));
    log.expect_unordered(&["10 a gone", "10 here gone"]);
}

#[tokio::test(start_paused = true)]
async fn f2_later_errors_of_a_join_are_reported() {
    let events = Events::record();
    let failed: Result<((), ()), Oops> = try_join!(
        async {
            shield!({ sleep(20).await });
            Err(Oops("late"))
        },
        async {
            sleep(10).await;
            Err(Oops("early"))
        },
    );
    assert_eq!(failed, Err(Oops("early")));
    let reported = events.warnings();
    assert_eq!(reported.len(), 1);
    assert!(reported[0].contains("arm 1 failed: oops: late"), "{reported:?}");
}

#[tokio::test(start_paused = true)]
async fn f2_a_failure_takes_precedence_over_a_cancel() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let failed: Result<((),), Oops> = try_join!(async {
            shield!({ sleep(20).await });
            Err(Oops("late"))
        });
        log.say(format_args!("{failed:?}"));
        sleep(1).await;
        log.say("never");
    });
    assert!(cut.is_err());
    log.expect(&[r#"20 Err(Oops("late"))"#]);
}

#[tokio::test(start_paused = true)]
async fn f2_try_join_borrows_its_errors() {
    let words = ["1", "x"].map(String::from);
    let parse = async |word: &'_ String| word.parse::<u8>().map_err(|_| &words[1][..]);
    let parsed: Result<(u8, u8), &str> = try_join!(parse(&words[0]), parse(&words[1]));
    assert_eq!(parsed, Err("x"));
}

// --- dropped from outside, given up ------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn u5_a_race_that_is_dropped_leaves_its_work_to_the_scope_around() {
    let log = Log::new();
    let b = log.clone();
    scope!({
        let dropped = timeout(ms(10), async {
            race!(
                with_cleanup(&log, "a", 100, 30, ()),
                spawn!(async move { with_cleanup(&b, "b", 100, 40, ()).await }),
            );
        });
        assert!(dropped.await.is_err());
        log.say("dropped");
    })
    .unwrap();
    log.expect(&["10 a gone", "10 dropped", "10 b gone", "40 a cleaned up", "50 b cleaned up"]);
    assert_eq!(root::count(), 0);
}

#[tokio::test(start_paused = true)]
async fn u5_a_race_that_is_never_polled_starts_nothing() {
    let log = Log::new();
    let a = log.clone();
    let mut raced = Box::pin(async {
        race!(spawn!(async move { arm(&a, "a", 1, ()).await }), arm(&log, "b", 1, ()));
    });
    assert!(poll_once(&mut raced).await.is_pending());
    drop(raced);
    sleep(10).await;
    assert_eq!(root::count(), 0);
    log.expect_unordered(&["0 a gone", "0 b gone"]);
}

#[tokio::test(start_paused = true)]
async fn u1_what_an_arm_owes_holds_back_the_body_around() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let _body = log.guard("body gone");
        race!(async {
            let _ = scope!({
                let said = log.clone();
                defer(async move {
                    sleep(20).await;
                    said.say("cleaned up");
                });
                pending::<()>().await;
            });
        });
    });
    assert!(cut.is_err());
    log.expect(&["30 cleaned up", "30 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn w1_errors_name_the_arm_and_its_race() {
    let told = Cell::new(None);
    let cut = scope!(name = "outer", timeout = 10ms, {
        race!(ready_never(), async {
            let _ = scope!(name = "inner", {
                let task = fork!(name = "fork", pending::<()>());
                let watch = async {
                    let cancelled = task.await.unwrap_err();
                    told.set(Some(cancelled));
                };
                shield!({ watch.await });
            });
        },);
    });
    assert!(cut.is_err());
    let text = told.take().unwrap().to_string();
    let place = file!();
    for part in [
        format!("fork ({place}:"),
        format!("cancelled: parent inner ({place}:"),
        format!("parent arm 2 ({place}:"),
        format!("parent race ({place}:"),
        format!("parent outer ({place}:"),
    ] {
        assert!(text.contains(&part), "{text}");
    }
    assert_eq!(Kind::Race, Kind::Race);
}

async fn ready_never() {
    pending().await
}

#[tokio::test(start_paused = true)]
async fn races_nest() {
    let log = Log::new();
    let won = race!(
        async { race!(arm(&log, "a", 30, 1), arm(&log, "b", 40, 2)) },
        async { race!(arm(&log, "c", 20, 3), spawn!(pending())) },
        async {
            let both: Result<_, Oops> = try_join!(async { Ok(1) }, async { Ok(arm(&log, "d", 90, 2).await) });
            both.map_or(0, |(a, b)| a + b)
        },
    );
    assert_eq!((won, log.ms()), (3, 20));
    log.expect_unordered(&["20 c done", "20 c gone", "20 a gone", "20 b gone", "20 d gone"]);
}

// --- G1: arms that ask ------------------------------------------------------------------------------------------------

#[derive(Debug, thiserror::Error)]
#[error("stopped")]
struct Stopped(#[from] Cancelled);

#[tokio::test(start_paused = true)]
async fn g1_an_arm_that_asks_unwinds_its_join_softly() {
    async fn run(log: &Log) -> Result<(), Stopped> {
        let cut = scope!(cooperative, timeout = 10ms, {
            let _: ((), u8) = try_join!(
                async {
                    sleep(20).await;
                    Ok(check()?)
                },
                async {
                    // It does not ask, and is not dropped.
                    arm(log, "the other", 50, Ok::<_, Stopped>(7)).await
                },
            )?;
            unreachable!("one value is missing");
        });
        log.say("behind");
        assert!(cut.unwrap_err().is_timeout());
        Ok(())
    }
    let log = Log::new();
    run(&log).await.unwrap();
    log.expect(&["50 the other done", "50 the other gone", "50 behind"]);
}

#[tokio::test(start_paused = true)]
async fn g1_a_spawned_arm_that_asks_does_so_too() {
    let cut = async {
        let cut = scope!(cooperative, |s| {
            s.cancel();
            let both = try_join!(spawn!(async { Ok::<_, Stopped>(check()?) }), async { Ok::<_, Stopped>(7) });
            drop(both);
            unreachable!("one value is missing");
        });
        Ok::<_, Stopped>(cut.is_err())
    };
    assert!(cut.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn g1_in_a_race_an_arm_that_asks_has_lost() {
    let cut = scope!(cooperative, |s| {
        s.cancel();
        let won = race!(async { Ok::<_, Stopped>(check().map(|()| 1)?) }, async {
            sleep(10).await;
            Ok(2)
        });
        won.unwrap()
    });
    assert_eq!(cut.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_race_that_nobody_polls_has_as_long_as_the_shield_in_its_arm() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let mut race = pin!(async {
            race!(async { shield!({ arm(&log, "shielded", 60_000, ()).await }) }, pending());
        });
        let _ = timeout(ms(5), race.as_mut()).await;
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["5010 shielded gone"]);
}

#[tokio::test(start_paused = true)]
async fn u1a_a_race_that_nobody_polls_is_given_up_at_once_if_nothing_in_it_is_shielded() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, {
        let mut race = pin!(async { race!(arm(&log, "plain", 60_000, ()), pending()) });
        let _ = timeout(ms(5), race.as_mut()).await;
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 plain gone"]);
}

/// Polls a future with a `spawn!` in it on this thread, while the runtime of that shuts down; gives what it says.
fn while_the_runtime_shuts_down<F>(
    future: impl FnOnce(std::sync::mpsc::Sender<()>) -> F + Send + 'static,
) -> String
where
    F: Future<Output = String>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let handle = runtime.handle().clone();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (tell, told) = std::sync::mpsc::channel();
    let polls = std::thread::spawn(move || tell.send(handle.block_on(future(begun))).unwrap());
    has_begun.recv().unwrap();
    runtime.shutdown_background();
    let said = told.recv_timeout(ms(10_000)).expect("it hangs, or has panicked");
    polls.join().unwrap();
    said
}

#[test]
fn d4_a_join_whose_arm_is_lost_with_the_runtime_unwinds_the_scope_around() {
    let told = while_the_runtime_shuts_down(async |begun| {
        let cut = scope!(name = "around", {
            let arm = async move {
                begun.send(()).unwrap();
                pending::<Result<(), Oops>>().await
            };
            let _ = try_join!(spawn!(arm), ready(Ok::<_, Oops>(())));
            unreachable!("it has no value");
        });
        format!("{cut:?}")
    });
    assert!(told.contains("around"), "{told}");
}

#[test]
fn d4_a_race_whose_arm_is_lost_with_the_runtime_unwinds_the_scope_around() {
    let told = while_the_runtime_shuts_down(async |begun| {
        let cut = scope!(name = "around", {
            let arm = async move {
                begun.send(()).unwrap();
                pending::<()>().await;
            };
            race!(spawn!(arm), pending());
            unreachable!("nobody has won");
        });
        format!("{cut:?}")
    });
    assert!(told.contains("around"), "{told}");
}
