//! Deadlines and graces: who sees the clock first, and who hands its timer to whom (rules L3, L5, L6, G1).

use std::future::pending;
use std::time::Duration;

use loom::future::block_on;

use super::{check, check_with, thread};
use crate::sync::time::{advance, now};
use crate::{Cause, scope, spawn};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_deadline_that_passes_reaches_a_body_that_is_about_to_suspend() {
    check(|| {
        let left = block_on(async {
            scope!(timeout = SECOND, {
                thread(|| advance(SECOND));
                pending::<()>().await;
            })
        });
        assert!(left.unwrap_err().is_timeout());
    });
}

#[test]
fn a_deadline_and_a_cancel_agree_on_who_was_first() {
    check_with(1, || {
        let left = block_on(async {
            scope!(timeout = SECOND, |s| {
                let handle = s.handle();
                thread(|| advance(SECOND));
                thread(move || handle.cancel());
                pending::<()>().await;
            })
        });
        assert!(matches!(left.unwrap_err().cause(), Cause::Deadline { .. } | Cause::Explicit { .. }));
    });
}

#[test]
fn a_deadline_that_is_moved_is_watched_by_who_waits() {
    check(|| {
        let left = block_on(async {
            scope!(|s| {
                let handle = s.handle();
                thread(move || {
                    handle.set_deadline(now().after(SECOND).instant());
                    advance(SECOND);
                });
                pending::<()>().await;
            })
        });
        assert!(left.unwrap_err().is_timeout());
    });
}

#[test]
fn a_deadline_that_is_moved_is_watched_for_the_children() {
    check_with(0, || {
        let left = block_on(async {
            scope!(|s| {
                let handle = s.handle();
                spawn!(pending::<()>());
                thread(move || {
                    handle.set_deadline(now().after(SECOND).instant());
                    advance(SECOND);
                });
            })
        });
        assert!(left.unwrap_err().is_timeout());
    });
}

#[test]
fn an_inner_deadline_is_watched_when_the_outer_one_goes_away() {
    check(|| {
        block_on(async {
            let left = scope!(timeout = SECOND, |outer| {
                let handle = outer.handle();
                let inner = scope!(timeout = 2 * SECOND, {
                    thread(move || {
                        // Until now the outer one came first, and the inner one had no timer.
                        handle.set_deadline(None);
                        advance(2 * SECOND);
                    });
                    pending::<()>().await;
                });
                assert!(inner.unwrap_err().is_timeout());
            });
            left.unwrap();
        });
    });
}

#[test]
fn the_end_of_a_grace_reaches_who_was_spared() {
    check(|| {
        let left = block_on(async {
            scope!(grace = SECOND, |s| {
                let handle = s.handle();
                thread(move || {
                    handle.cancel();
                    advance(SECOND);
                });
                pending::<()>().await;
            })
        });
        assert!(left.is_err());
    });
}

#[test]
fn the_end_of_a_grace_reaches_the_children() {
    check_with(0, || {
        let left = block_on(async {
            scope!(grace = SECOND, |s| {
                let handle = s.handle();
                spawn!(pending::<()>());
                thread(move || {
                    handle.cancel();
                    advance(SECOND);
                });
            })
        });
        assert!(left.is_err());
    });
}
