//! Guests of a scope, and scopes that are dropped from outside (rules T6, U5).

use std::future::pending;
use std::task::Poll;

use loom::future::block_on;

use super::{Ledger, check, check_with, poll_once, thread};
use crate::{Cause, InScope as _, root, scope, spawn};

#[test]
fn a_guest_of_a_scope_that_is_left_is_cancelled() {
    check(|| {
        block_on(async {
            let mut guest = None;
            let left = scope!(|s| {
                let handle = s.handle();
                guest = Some(thread(move || block_on(pending::<()>().in_scope(handle))));
            });
            left.unwrap();
            let cancelled = guest.unwrap().join().unwrap_err();
            assert!(matches!(cancelled.cause(), Cause::Closed), "{cancelled}");
        });
    });
}

#[test]
fn what_is_dropped_from_outside_leaves_its_child_to_the_root() {
    check_with(1, || {
        let children = Ledger::default();
        let child = children.make();
        block_on(async {
            poll_once(async {
                let left = scope!({
                    spawn!(async move {
                        let _alive = child;
                        pending::<()>().await;
                    });
                    pending::<()>().await;
                });
                drop(left);
            })
            .await;
            root::wait_idle().await;
        });
        assert_eq!(children.alive(), 0);
    });
}

#[test]
fn what_is_dropped_from_outside_leaves_its_child_to_the_scope_around() {
    check_with(1, || {
        let children = Ledger::default();
        let child = children.make();
        let left = block_on(async {
            scope!({
                let mut inner = Box::pin(async {
                    let left = scope!({
                        spawn!(async move {
                            let _alive = child;
                            pending::<()>().await;
                        });
                        pending::<()>().await;
                    });
                    drop(left);
                });
                std::future::poll_fn(|cx| {
                    assert!(inner.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
                drop(inner);
            })
        });
        left.unwrap();
        assert_eq!(children.alive(), 0);
    });
}
