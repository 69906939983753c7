//! What is found behind a run: each fault by itself, and the message that it gets.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use scope_runtime::{cancel_scope, current, defer, detach, guard, scope, spawn, testing};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::{told_by, told_of};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_program_that_cleans_up_passes() {
    let told = told_of(|| async {
        let (log, mut lines) = mpsc::unbounded_channel();
        testing::finally(move || {
            let mut closed = Vec::new();
            while let Ok(line) = lines.try_recv() {
                closed.push(line);
            }
            assert_eq!(closed, ["child", "connection", "body"]);
        });
        let of = log.clone();
        defer(async move { of.send("body").unwrap() });
        let connection = guard(log.clone(), |log| async move {
            sleep(SECOND).await;
            log.send("connection").unwrap();
        });
        let _ = scope!({
            let of = log.clone();
            spawn!(async move {
                defer(async move {
                    sleep(SECOND).await;
                    of.send("child").unwrap();
                });
                sleep(SECOND).await;
            });
            sleep(5 * SECOND).await;
        });
        drop(connection);
        // Dropped while the body goes on, it is a child of its own: let it end in front of the body's cleanup.
        sleep(2 * SECOND).await;
    });
    assert_eq!(told, None);
}

#[test]
fn a_task_that_lives_on_is_found() {
    let told = told_of(|| async {
        detach!(pending::<()>());
    });
    assert_eq!(told.unwrap(), "run without a cancel: tasks that no scope waits for are still alive: 1");
}

#[test]
fn a_task_that_lives_on_after_a_cancel_only_is_found() {
    let told = told_of(|| async {
        let task = tokio::spawn(sleep(10 * SECOND));
        sleep(SECOND).await;
        task.abort();
        let _ = task.await;
    });
    let told = told.unwrap();
    assert_eq!(told, "cancelled at suspension 1 of 2: tasks that no scope waits for are still alive: 1");
}

#[test]
fn work_that_was_left_to_the_root_is_found() {
    let told = told_of(|| async {
        detach!(async {
            // No scope: what it drops has only the root to go to.
            let dropped = async {
                scope!({
                    defer(sleep(3600 * SECOND));
                    pending::<()>().await
                })
            };
            assert!(timeout(SECOND, dropped).await.is_err());
        });
        sleep(2 * SECOND).await;
    });
    let told = told.unwrap();
    assert!(
        told.starts_with(
            "run without a cancel: work that was left to the root is not done: 1; a cleanup of "
        ),
        "{told}"
    );
}

#[test]
fn a_cleanup_that_is_forgotten_is_found() {
    let told = told_of(|| async {
        let mut scoped = Box::pin(async {
            scope!(name = "leaky", {
                defer(async {});
                pending::<()>().await
            })
        });
        let _ = futures_util::poll!(&mut scoped);
        std::mem::forget(scoped);
    });
    let told = told.unwrap();
    assert!(
        told.starts_with("run without a cancel: a cleanup of leaky (tests/every_await/found.rs:"),
        "{told}"
    );
    assert!(told.ends_with(") did not run to its end"), "{told}");
}

#[test]
fn a_cleanup_that_its_time_is_too_short_for_is_found() {
    let told = told_of(|| async {
        let _ = scope!(name = "hasty", cleanup_timeout = 1s, {
            let ended = Arc::new(AtomicBool::new(false));
            let quick = ended.clone();
            defer(async move {
                sleep(if quick.load(Relaxed) { SECOND / 2 } else { 5 * SECOND }).await;
            });
            sleep(SECOND).await;
            ended.store(true, Relaxed);
        });
    });
    let told = told.unwrap();
    assert!(told.starts_with("cancelled at suspension 1 of 2"), "{told}");
    assert!(told.contains(": a cleanup of hasty (") && told.ends_with("did not run to its end"), "{told}");
}

/// Two awaits, and a value that is lost at the second only.
#[cancel_scope]
async fn moves(from: &RefCell<Vec<u8>>, to: &RefCell<Vec<u8>>) {
    yield_now().await;
    let moved = from.borrow_mut().pop();
    sleep(SECOND).await;
    to.borrow_mut().extend(moved);
}

#[test]
fn what_is_lost_at_the_second_suspension_only_is_found_and_named() {
    let told = told_of(|| async {
        let (from, to) = (Rc::new(RefCell::new(vec![7])), Rc::new(RefCell::new(Vec::new())));
        let both = (from.clone(), to.clone());
        testing::finally(move || assert_eq!(both.0.borrow().len() + both.1.borrow().len(), 1, "one is lost"));
        moves(&from, &to).await;
    });
    let line = line!() - 12;
    let told = told.unwrap();
    let at = format!(
        "cancelled at suspension 2 of 2, at {}:{line}: `sleep(SECOND)`: what holds finally does not: ",
        file!()
    );
    assert!(told.starts_with(&at), "{told}\n{at}");
    assert!(told.contains("one is lost"), "{told}");
}

#[test]
fn a_suspension_of_a_child_is_named_with_the_child() {
    let told = told_of(|| async {
        let torn = Arc::new(AtomicBool::new(false));
        let seen = torn.clone();
        testing::finally(move || assert!(!seen.load(Relaxed), "torn"));
        let _ = scope!({
            spawn!(name = "tearing", async move {
                sleep(SECOND).await;
                torn.store(true, Relaxed);
                let inner = scope!({ sleep(2 * SECOND).await });
                torn.store(false, Relaxed);
                inner.unwrap();
            });
        });
    });
    // 1 is that of the body, which waits for the child, and 2 is in front of what is torn.
    let told = told.unwrap();
    assert!(
        told.starts_with("cancelled at suspension 3 of 3, of the child tearing (tests/every_await/found.rs:"),
        "{told}"
    );
    assert!(told.contains("`sleep(2*SECOND)`: what holds finally does not: torn"), "{told}");
}

#[test]
fn a_panic_after_a_cancel_is_found() {
    let told = told_of(|| async {
        struct Bomb(bool);
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(self.0, "dropped too early");
            }
        }
        let mut bomb = Bomb(false);
        yield_now().await;
        bomb.0 = true;
        yield_now().await;
    });
    assert_eq!(told.unwrap(), "cancelled at suspension 1 of 2: it panicked: dropped too early");
}

#[test]
fn a_failure_without_a_cancel_is_found() {
    assert_eq!(
        told_of(|| async { panic!("at once") }).unwrap(),
        "run without a cancel: it panicked: at once"
    );
    let told = told_by(|| testing::every_await(|| async { Err::<(), _>("no luck") }));
    assert_eq!(told.unwrap(), "run without a cancel: the test returned an error");
    let told = told_by(|| testing::once(|| async { Err::<(), _>("no luck") }));
    assert_eq!(told.unwrap(), "the test returned an error");
}

#[test]
fn an_error_that_comes_of_the_cancel_is_none_of_the_test() {
    let told = told_by(|| {
        testing::every_await(|| async {
            let task = current();
            let ended = scope_runtime::shield!({
                sleep(SECOND).await;
                task.is_cancelled()
            });
            if ended { Err("cancelled") } else { Ok(()) }
        });
    });
    assert_eq!(told, None);
}

#[test]
fn a_test_that_waits_for_ever_is_found() {
    let told = told_of(|| async {
        let (sender, mut receiver) = mpsc::unbounded_channel::<()>();
        let _ = scope!(name = "patient", {
            defer(async move {
                let _ = receiver.recv().await;
            });
            sleep(SECOND).await;
            let _ = sender.send(());
            // Only a cancel keeps it from being sent.
        });
        drop(sender);
    });
    // The sender is alive in the outer body until the inner scope is left, which waits for it.
    let told = told.unwrap();
    assert!(told.starts_with("cancelled at suspension 1 of "), "{told}");
    assert!(told.contains("it waits for ever; what for:\n") && told.contains("patient"), "{told}");
}

#[test]
fn a_test_that_cancels_itself_has_no_result() {
    let told = told_by(|| {
        testing::once(|| async {
            current().cancel_with("enough");
            pending::<()>().await;
        });
    });
    let told = told.unwrap();
    assert!(told.starts_with("the test cancelled its own scope, so it has no result: test ("), "{told}");
    assert!(told.ends_with("; open a scope in it with `scope!`"), "{told}");
}

#[test]
fn checks_are_made_in_order_and_the_first_that_fails_is_told() {
    let told = told_of(|| async {
        testing::finally(|| ());
        testing::finally(|| panic!("the second"));
        testing::finally(|| panic!("the third"));
    });
    assert_eq!(told.unwrap(), "run without a cancel: what holds finally does not: the second");
}

#[test]
#[should_panic = "there is no test here to check something at the end of"]
fn outside_of_a_test_nothing_can_be_checked_finally() {
    testing::finally(|| ());
}
