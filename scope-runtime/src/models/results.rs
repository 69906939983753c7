//! Results and failures: each reaches one who has it, once (rules F2, F3, F5).

use loom::future::block_on;

use super::{Ledger, check, check_with, poll_once, thread};
use crate::{scope, spawn, spawn_blocking};

#[test]
fn a_result_reaches_who_awaits_it() {
    check(|| {
        let values = Ledger::default();
        let made = values.clone();
        let left = block_on(async {
            scope!({
                let task = spawn!(async move { made.make() });
                drop(task.await.unwrap());
            })
        });
        left.unwrap();
        assert_eq!((values.made(), values.alive()), (1, 0));
    });
}

#[test]
fn a_result_that_nobody_wants_is_gone_when_the_scope_is_left() {
    check(|| {
        let values = Ledger::default();
        let made = values.clone();
        let left = block_on(async {
            scope!({
                let task = spawn!(async move { made.make() });
                thread(move || drop(task)).join();
            })
        });
        left.unwrap();
        assert_eq!((values.made(), values.alive()), (1, 0));
    });
}

#[test]
fn a_handle_that_was_polled_and_is_dropped_leaves_no_result_behind() {
    check(|| {
        let values = Ledger::default();
        let made = values.clone();
        let left = block_on(async {
            scope!({
                let task = spawn!(async move { made.make() });
                poll_once(task).await;
            })
        });
        left.unwrap();
        assert_eq!((values.made(), values.alive()), (1, 0));
    });
}

#[test]
fn a_result_of_a_thread_reaches_who_awaits_it() {
    check(|| {
        let values = Ledger::default();
        let made = values.clone();
        let left = block_on(async {
            scope!({
                let task = spawn_blocking!(move || made.make());
                drop(task.await.unwrap());
            })
        });
        left.unwrap();
        assert_eq!((values.made(), values.alive()), (1, 0));
    });
}

#[test]
fn a_result_of_a_thread_that_nobody_wants_is_gone_when_the_scope_is_left() {
    check(|| {
        let values = Ledger::default();
        let made = values.clone();
        let left = block_on(async {
            scope!({
                let task = spawn_blocking!(move || made.make());
                drop(task);
            })
        });
        left.unwrap();
        assert_eq!((values.made(), values.alive()), (1, 0));
    });
}

#[derive(Debug)]
struct Oops(u8);

impl From<crate::Cancelled> for Oops {
    fn from(_: crate::Cancelled) -> Self {
        Self(0)
    }
}

impl std::fmt::Display for Oops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "oops {}", self.0)
    }
}

impl std::error::Error for Oops {}

#[test]
fn of_two_failures_one_leaves_the_scope_and_the_other_is_kept() {
    check(|| {
        block_on(async {
            let mut handle = None;
            let failed: Result<(), Oops> = async {
                scope!(|s| {
                    handle = Some(s.handle());
                    spawn!(async { Err::<(), _>(Oops(1)) });
                    spawn!(async { Err::<(), _>(Oops(2)) });
                })?;
                Ok(())
            }
            .await;
            let Err(Oops(first)) = failed else { panic!("a failure leaves the scope") };
            let kept: Vec<_> = handle.unwrap().suppressed().iter().map(ToString::to_string).collect();
            assert!(first == 1 || first == 2);
            assert_eq!(kept.len(), 1, "{kept:?}");
            assert!(kept[0].contains(&format!("oops {}", 3 - first)), "{kept:?}");
        });
    });
}

#[test]
fn a_supervised_failure_is_taken_or_reported() {
    check(|| {
        block_on(async {
            let mut handle = None;
            let mut taker = None;
            let left = scope!(supervise, |s| {
                handle = Some(s.handle());
                let task = spawn!(async { Err::<(), _>(Oops(1)) });
                // Who takes it may come behind the boundary, or never.
                taker = Some(thread(move || block_on(task)));
            });
            left.unwrap();
            let reported = handle.unwrap().suppressed().len();
            let taken = taker.unwrap().join();
            assert!(matches!(taken, Ok(Err(Oops(1)))));
            assert!(reported <= 1);
        });
    });
}

#[test]
fn a_failure_and_a_cancel_agree_on_the_cause() {
    check_with(1, || {
        block_on(async {
            let mut scope = None;
            let failed: Result<(), Oops> = async {
                scope!(|s| {
                    let handle = s.handle();
                    thread(move || handle.cancel());
                    scope = Some(s.handle());
                    spawn!(async { Err::<(), _>(Oops(1)) });
                })?;
                Ok(())
            }
            .await;
            // The failure leaves it, unless the child was cut before it had one.
            assert!(matches!(failed, Err(Oops(0 | 1))), "{failed:?}");
            assert!(scope.unwrap().is_closed());
        });
    });
}
