//! What is a suspension, and in which order they are numbered.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use scope_runtime::{current, fork, is_cancelled, scope, shield, spawn, testing};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use crate::told_of;

const SECOND: Duration = Duration::from_secs(1);

/// Runs a test that says how far it came, and gives that of each run.
fn steps<F: Future<Output = ()>>(test: impl Fn(fn(u32)) -> F) -> Vec<Vec<u32>> {
    thread_local!(static RUNS: RefCell<Vec<Vec<u32>>> = const { RefCell::new(Vec::new()) });
    RUNS.take();
    testing::every_await(|| {
        RUNS.with_borrow_mut(|runs| runs.push(Vec::new()));
        test(|step| RUNS.with_borrow_mut(|runs| runs.last_mut().unwrap().push(step)))
    });
    RUNS.take()
}

#[test]
fn a_test_is_run_once_and_once_for_each_suspension() {
    let runs = steps(|step| async move {
        step(1);
        yield_now().await;
        step(2);
        std::future::ready(()).await; // no suspension
        sleep(SECOND).await;
        step(3);
        yield_now().await;
        step(4);
    });
    assert_eq!(runs, [vec![1, 2, 3, 4], vec![1], vec![1, 2], vec![1, 2, 3]]);
}

#[test]
fn a_test_without_a_suspension_is_run_once() {
    assert_eq!(steps(|step| async move { step(1) }), [[1]]);
}

#[test]
fn time_is_paused_and_begins_anew_in_each_run() {
    let runs = Cell::new(0);
    testing::every_await(|| async {
        let began = Instant::now();
        testing::finally(move || assert_eq!(began.elapsed().as_secs() % 3600, 0, "a minute was never torn"));
        runs.set(runs.get() + 1);
        sleep(3600 * SECOND).await;
        sleep(3600 * SECOND).await;
    });
    assert_eq!(runs.get(), 3);
}

#[test]
fn suspensions_of_child_tasks_are_numbered_where_they_come() {
    let runs = steps(|step| async move {
        let _ = scope!({
            spawn!(async move {
                step(10);
                yield_now().await;
                step(11);
                sleep(SECOND).await;
                step(12);
            });
            yield_now().await;
            step(1);
        });
        step(2);
    });
    let expected: [&[u32]; 5] = [
        &[10, 1, 11, 12, 2],
        &[10],        // at the body's yield: the child begins all the same (rule D1)
        &[10, 1],     // at the child's yield: the body is ready to go on, and comes to its end (rule D2)
        &[10, 1, 11], // where the body waits for the child: that is ready to go on, too
        &[10, 1, 11], // at the child's sleep
    ];
    assert_eq!(runs, expected);
}

#[test]
fn suspensions_of_forks_are_numbered_as_well() {
    let runs = steps(|step| async move {
        let _ = scope!({
            fork!(async move {
                step(10);
                yield_now().await;
                step(11);
            });
            step(1);
            yield_now().await;
            step(2);
        });
        step(3);
    });
    println!("{runs:?}");
    assert_eq!(runs[0], [1, 10, 2, 11, 3]);
    assert_eq!(runs[1], [1, 10], "at the body's yield, and the fork begins all the same (rule D1)");
    assert_eq!(runs.len(), 3);
}

#[test]
fn branches_with_scopes_of_their_own_are_told_apart() {
    let runs = steps(|step| async move {
        let one = async {
            scope!({
                step(1);
                yield_now().await;
                step(2)
            })
        };
        let two = async {
            scope!({
                step(11);
                yield_now().await;
                step(12)
            })
        };
        let _ = tokio::join!(biased; one, two);
    });
    // Cut in the first branch, which is left by then, the second still begins.
    assert_eq!(runs, [vec![1, 11, 2, 12], vec![1, 11], vec![1, 11]]);
}

#[test]
fn a_shield_lets_its_body_end_and_the_cancel_comes_behind_it() {
    let runs = steps(|step| async move {
        shield!({
            yield_now().await;
            step(1);
            yield_now().await;
            step(2);
        });
        step(3);
        yield_now().await;
        step(4);
    });
    assert_eq!(runs, [vec![1, 2, 3, 4], vec![1, 2, 3], vec![1, 2, 3], vec![1, 2, 3]]);
}

#[test]
fn the_test_is_in_a_scope_that_is_not_cancelled_before_its_suspension() {
    testing::every_await(|| async {
        assert!(!is_cancelled());
        yield_now().await;
        assert!(!current().is_cancelled());
    });
}

#[test]
fn so_many_suspensions_that_nobody_would_wait_are_refused_at_once() {
    let told = told_of(|| async {
        loop {
            yield_now().await;
        }
    });
    let message =
        "the test has more than 1000 suspensions, and each would be a run of it; test its parts one by one";
    assert_eq!(told.unwrap(), message);

    let runs = steps(|step| async move {
        for _ in 0..1000 {
            yield_now().await;
        }
        step(1);
    });
    assert_eq!(runs.len(), 1001);
}
