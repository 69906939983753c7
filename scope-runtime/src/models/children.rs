//! Children, from their first poll to the boundary that waits for them (rules F1, F3, F7, F8).

use std::future::pending;

use loom::future::block_on;

use super::{Ledger, check, check_with, pause, thread};
use crate::{Cause, current, defer, scope, spawn};

#[test]
fn a_boundary_that_begins_to_wait_hears_of_its_last_child() {
    check_with(1, || {
        let children = Ledger::default();
        let left = block_on(async {
            scope!({
                for _ in 0..2 {
                    let child = children.make();
                    spawn!(async move {
                        pause().await;
                        drop(child);
                    });
                }
            })
        });
        left.unwrap();
        assert_eq!((children.made(), children.alive()), (2, 0));
    });
}

#[test]
fn a_cancel_reaches_a_child_that_is_polled_for_the_first_time() {
    check_with(1, || {
        let children = Ledger::default();
        let left = block_on(async {
            scope!(|s| {
                let (handle, child) = (s.handle(), children.make());
                spawn!(async move {
                    let _alive = child;
                    pending::<()>().await;
                });
                thread(move || handle.cancel());
            })
        });
        assert!(left.is_err());
        assert_eq!(children.alive(), 0);
    });
}

#[test]
fn a_child_that_was_woken_registers_again_for_the_next_time() {
    check_with(0, || {
        let left = block_on(async {
            scope!(|s| {
                let handle = s.handle();
                spawn!(pending::<()>());
                thread(move || {
                    // It is woken, and its waker is used up.
                    handle.set_shield(false);
                    handle.cancel();
                });
            })
        });
        assert!(left.is_err());
    });
}

#[test]
fn a_child_that_gets_a_node_from_outside_looks_there() {
    check(|| {
        let left = block_on(async {
            scope!({
                let task = spawn!(pending::<()>());
                let canceller = thread(move || {
                    assert!(task.cancel());
                    task
                });
                let cancelled = canceller.join().await.unwrap_err();
                assert!(matches!(cancelled.cause(), Cause::Task { .. }));
            })
        });
        left.unwrap();
    });
}

#[test]
fn a_cancel_reaches_a_child_that_makes_its_node_late() {
    check_with(1, || {
        let cleanups = Ledger::default();
        let left = block_on(async {
            scope!(|s| {
                let (handle, cleanup) = (s.handle(), cleanups.make());
                spawn!(async move {
                    pause().await;
                    defer(async move { drop(cleanup) });
                    pending::<()>().await;
                });
                thread(move || handle.cancel());
            })
        });
        assert!(left.is_err());
        assert_eq!(cleanups.alive(), 0);
    });
}

#[test]
fn a_cancel_reaches_a_scope_inside_of_a_child() {
    check_with(1, || {
        let left = block_on(async {
            scope!(|s| {
                let handle = s.handle();
                spawn!(async move {
                    let inner = scope!(|inner| {
                        drop(inner.handle());
                        pending::<()>().await;
                    });
                    drop(inner);
                });
                thread(move || handle.cancel());
            })
        });
        assert!(left.is_err());
    });
}

#[test]
fn a_child_that_takes_the_place_of_another_is_not_cancelled_for_it() {
    check_with(1, || {
        let left = block_on(async {
            scope!({
                let first = spawn!(async {});
                let canceller = thread(move || first.cancel());
                let second = spawn!(async {
                    pause().await;
                    2
                });
                assert_eq!(second.await.unwrap(), 2);
                canceller.join();
            })
        });
        left.unwrap();
    });
}

#[test]
fn a_background_child_is_dismissed_by_the_last_other_child() {
    check_with(1, || {
        let children = Ledger::default();
        let left = block_on(async {
            scope!({
                let (ticker, worker) = (children.make(), children.make());
                spawn!(background, async move {
                    let _alive = ticker;
                    pending::<()>().await;
                });
                spawn!(async move { drop(worker) });
            })
        });
        left.unwrap();
        assert_eq!(children.alive(), 0);
    });
}

#[test]
fn a_child_that_another_spawns_late_is_awaited_beside_a_background_child() {
    check_with(1, || {
        let left = block_on(async {
            scope!(|s| {
                let spawner = s.spawner();
                spawn!(async move {
                    // The boundary may have looked already, and found nobody else to wait for.
                    let late = spawner.spawn(async { pause().await });
                    drop(late);
                });
                spawn!(background, pending::<()>());
            })
        });
        left.unwrap();
    });
}

#[test]
fn a_child_that_keeps_a_handle_of_its_scope_does_not_keep_the_scope() {
    check(|| {
        let mut handle = None;
        let left = block_on(async {
            scope!(|s| {
                handle = Some(s.handle());
                spawn!(async { drop(current()) });
            })
        });
        left.unwrap();
        assert!(handle.unwrap().is_closed());
    });
}
