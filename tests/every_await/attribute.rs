//! The attribute: what it makes of a function, and of what that returns.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use scope_runtime::{fork, spawn, testing, try_current};
use tokio::time::{Instant, sleep};

thread_local!(static RUNS: Cell<u32> = const { Cell::new(0) });

#[scope_runtime::test]
async fn it_is_run_on_paused_time_in_a_scope() {
    let began = Instant::now();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(3600));
    assert!(try_current().is_some());
}

#[scope_runtime::test(every_await)]
async fn children_can_be_started() {
    let task = spawn!(async {
        sleep(Duration::from_secs(1)).await;
        7
    });
    let forked = fork!(async { sleep(Duration::from_secs(2)).await });
    if let (Ok(value), Ok(())) = (task.await, forked.await) {
        assert_eq!(value, 7);
    }
}

#[scope_runtime::test(every_await)]
async fn it_may_return_a_result_with_any_error() -> Result<(), fmt_only::Error> {
    fails_not().await?;
    Ok(())
}

async fn fails_not() -> Result<(), fmt_only::Error> {
    sleep(Duration::from_secs(1)).await;
    Ok(())
}

mod fmt_only {
    /// It can't be made of a `Cancelled`.
    #[derive(Debug)]
    pub(super) struct Error;
}

#[scope_runtime::test(every_await)]
async fn a_failed_child_leaves_the_test() -> io::Result<()> {
    spawn!(async { io::Result::Ok(()) }).await?;
    Ok(())
}

#[scope_runtime::test]
#[should_panic = "the test returned an error"]
async fn an_error_fails_the_test() -> io::Result<()> {
    Err(io::Error::other("on purpose"))
}

#[scope_runtime::test(every_await)]
#[should_panic = "cancelled at suspension 2 of 2, at tests/every_await/attribute.rs:69: `sleep(Duration::from_secs(2))`: what holds"]
async fn the_message_names_the_await() {
    let torn = std::rc::Rc::new(Cell::new(false));
    let seen = torn.clone();
    testing::finally(move || assert!(!seen.get()));
    sleep(Duration::from_secs(1)).await;
    torn.set(true);
    sleep(Duration::from_secs(2)).await;
    torn.set(false);
}

#[scope_runtime::test]
#[should_panic = "the test cancelled its own scope"]
async fn a_test_that_cancels_itself_fails() -> Result<(), fmt_only::Error> {
    scope_runtime::current().cancel();
    std::future::pending().await
}

#[scope_runtime::test]
#[ignore = "attributes go to the function that the harness calls"]
async fn it_may_be_ignored() {
    panic!("it was run");
}

#[scope_runtime::test(every_await, crate = ::scope_runtime)]
async fn it_is_run_for_each_suspension() {
    RUNS.set(RUNS.get() + 1);
    let (runs, began) = (RUNS.get(), Instant::now());
    testing::finally(move || {
        // Twice each hour; the first run is not cancelled.
        let hours = if runs == 1 { 2 } else { u64::from(runs) - 2 };
        assert_eq!(began.elapsed().as_secs() / 3600, hours);
    });
    sleep(Duration::from_secs(3600)).await;
    sleep(Duration::from_secs(3600)).await;
}
