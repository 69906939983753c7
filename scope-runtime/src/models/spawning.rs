//! Spawning from outside against cancels and against the end: refused or served, never lost (rules F6, F7).

use std::future::pending;

use loom::future::block_on;

use super::{Ledger, check, check_with, pause, thread};
use crate::{scope, spawn};

#[test]
fn a_child_is_refused_or_awaited_by_a_scope_that_is_about_to_be_left() {
    check(|| {
        let children = Ledger::default();
        block_on(async {
            let child = children.make();
            let mut outsider = None;
            let left = scope!(|s| {
                let spawner = s.spawner();
                outsider = Some(thread(move || {
                    let spawned = spawner.spawn(async move {
                        pause().await;
                        drop(child);
                    });
                    spawned.is_ok()
                }));
            });
            left.unwrap();
            let alive = children.alive();
            let was_spawned = outsider.unwrap().join();
            assert!(!was_spawned || alive == 0, "it is alive behind the boundary");
            assert_eq!(children.alive(), 0);
        });
    });
}

#[test]
fn a_child_that_is_spawned_during_a_cancel_sees_it() {
    check_with(1, || {
        block_on(async {
            let mut outsider = None;
            let left = scope!(|s| {
                let (spawner, handle) = (s.spawner(), s.handle());
                outsider = Some(thread(move || drop(spawner.spawn(pending::<()>()))));
                thread(move || handle.cancel());
                pending::<()>().await;
            });
            assert!(left.is_err());
            outsider.unwrap().join();
        });
    });
}

#[test]
fn a_child_that_waits_for_its_turn_gets_it_when_the_other_ends() {
    check(|| {
        let ran = Ledger::default();
        let left = block_on(async {
            scope!(limit = 1, {
                for _ in 0..2 {
                    let ran = ran.clone();
                    spawn!(async move {
                        let alive = ran.make();
                        assert_eq!(ran.alive(), 1, "one at a time");
                        drop(alive);
                    });
                }
            })
        });
        left.unwrap();
        assert_eq!(ran.made(), 2);
    });
}

#[test]
fn a_child_that_waits_for_its_turn_starts_or_hears_of_the_cancel() {
    check_with(1, || {
        block_on(async {
            let left = scope!(limit = 1, |s| {
                let handle = s.handle();
                spawn!(async {});
                spawn!(async {
                    pause().await;
                });
                thread(move || handle.cancel());
            });
            drop(left);
        });
    });
}
