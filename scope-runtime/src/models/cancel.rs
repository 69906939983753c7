//! Cancels against those who are about to wait for them (rules D7, L6; invariant 3 of the tree).

use std::future::pending;

use loom::future::block_on;

use super::{Ledger, check, check_with, pause, thread};
use crate::{Cause, defer, scope, shield};

#[test]
fn a_cancel_reaches_a_body_that_is_about_to_suspend() {
    check(|| {
        let left = block_on(async {
            scope!(|s| {
                let handle = s.handle();
                thread(move || assert!(handle.cancel()));
                pending::<()>().await;
            })
        });
        assert!(matches!(left.unwrap_err().cause(), Cause::Explicit { .. }));
    });
}

#[test]
fn a_cancel_reaches_a_scope_that_links_itself_below() {
    check(|| {
        let left = block_on(async {
            scope!(|outer| {
                let handle = outer.handle();
                thread(move || handle.cancel());
                let inner = scope!(|inner| {
                    // It has a node from here on, and an entry in the list of the outer one.
                    drop(inner.handle());
                    pending::<()>().await;
                });
                drop(inner);
                unreachable!("a cancel from outside is not absorbed");
            })
        });
        assert!(left.is_err());
    });
}

#[test]
fn a_cancel_reaches_a_scope_whose_node_is_made_late_in_a_pass() {
    check(|| {
        let cleaned = Ledger::default();
        let entry = cleaned.make();
        let left = block_on(async {
            scope!(|outer| {
                let handle = outer.handle();
                thread(move || handle.cancel());
                let inner = scope!({
                    pause().await;
                    // Only now there is one.
                    defer(async move { drop(entry) });
                    pending::<()>().await;
                });
                drop(inner);
            })
        });
        assert!(left.is_err());
        assert_eq!(cleaned.alive(), 0, "the cleanup ran");
    });
}

#[test]
fn of_two_cancels_one_is_the_cause_and_both_are_heard() {
    check(|| {
        let left = block_on(async {
            scope!(|s| {
                for why in ["a", "b"] {
                    let handle = s.handle();
                    thread(move || {
                        // False if the other one was so quick that the scope was left.
                        handle.cancel_with(why);
                        assert!(handle.cancel_called());
                    });
                }
                pending::<()>().await;
            })
        });
        let error = left.unwrap_err();
        assert!(matches!(error.cause(), Cause::Explicit { reason: Some(_), .. }), "{error}");
    });
}

#[test]
fn a_cancel_and_the_end_of_the_scope_agree_on_who_was_first() {
    check(|| {
        block_on(async {
            let mut canceller = None;
            let left = scope!(|s| {
                let handle = s.handle();
                canceller = Some(thread(move || (handle.cancel(), handle)));
                pause().await;
                7
            });
            let (in_time, handle) = canceller.unwrap().join();
            // Too late is too late; but in time need not have been seen by anybody (rule D6).
            assert!(in_time || left.is_ok());
            assert!(left.is_ok_and(|value| value == 7) || in_time);
            assert!(handle.cancel_called() && handle.is_closed());
        });
    });
}

#[test]
fn who_waits_for_a_cancel_hears_it() {
    check(|| {
        block_on(async {
            let left = scope!(cooperative, |s| {
                let handle = s.handle();
                thread(move || handle.cancel());
                crate::cancelled().await;
                assert!(crate::is_cancelled());
                3
            });
            assert_eq!(left.unwrap(), 3);
        });
    });
}

#[test]
fn who_waits_for_a_delivery_hears_it() {
    check(|| {
        block_on(async {
            let mut watcher = None;
            let left = scope!(|s| {
                let handle = s.handle();
                watcher = Some(thread(move || {
                    handle.cancel();
                    block_on(handle.delivered());
                }));
                pending::<()>().await;
            });
            assert!(left.is_err());
            watcher.unwrap().join();
        });
    });
}

#[test]
fn a_shield_that_ends_lets_the_cancel_in_that_came_meanwhile() {
    check(|| {
        let left = block_on(async {
            scope!(|s| {
                let handle = s.handle();
                thread(move || handle.cancel());
                let mut whole = false;
                shield!({
                    pause().await;
                    whole = true;
                });
                assert!(whole);
                pending::<()>().await;
            })
        });
        assert!(left.is_err());
    });
}

#[test]
fn a_shield_that_is_turned_off_lets_the_cancel_in() {
    check_with(1, || {
        let left = block_on(async {
            scope!(|outer| {
                let canceller = outer.handle();
                thread(move || canceller.cancel());
                let inner = scope!(shield, |inner| {
                    let opener = inner.handle();
                    thread(move || opener.set_shield(false));
                    pending::<()>().await;
                });
                drop(inner);
                pending::<()>().await;
            })
        });
        assert!(left.is_err());
    });
}
