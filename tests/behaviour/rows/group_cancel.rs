//! S1, `asyncio_cancel_scope`: groups of tasks that are cancelled as a whole.

use std::future::pending;
use std::io;

use scope_runtime::{Cause, ScopeHandle, cancel_scope, check, current, scope, spawn, try_current};
use scope_tests::probe::{Log, outside, sleep};

/// A child that takes its time.
async fn child(log: Log, seconds: u64) {
    let _end = log.guard(format!("{seconds} s gone"));
    sleep(seconds * 1000).await;
    log.say(format_args!("{seconds} s slept"));
}

#[tokio::test(start_paused = true)]
async fn row_1_cancelling_a_group_ends_all_its_children_at_once_and_without_an_error() {
    let log = Log::new();
    let group = scope!(|group| {
        let tasks = [1, 2, 3, 4].map(|seconds| spawn!(child(log.clone(), seconds)));
        group.cancel();
        tasks
    });
    assert!(matches!(group.unwrap_err().cause(), Cause::Explicit { .. }));
    log.expect_unordered(&["0 1 s gone", "0 2 s gone", "0 3 s gone", "0 4 s gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_2_the_cancel_is_a_value_that_can_be_passed_on() {
    let log = Log::new();
    let group = scope!(|group| {
        spawn!(child(log.clone(), 60));
        let cancel = {
            let group = group.handle();
            move || group.cancel()
        };
        drop(outside(async move {
            sleep(10).await;
            assert!(cancel());
        }));
    });
    assert!(group.is_err());
    log.expect(&["10 60 s gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_3_a_group_is_cancelled_by_naming_it() {
    fn cancel_group(group: &ScopeHandle) {
        group.cancel();
    }
    let log = Log::new();
    let group = scope!(|group| {
        spawn!(child(log.clone(), 60));
        cancel_group(group);
    });
    assert!(group.is_err());
    log.expect(&["0 60 s gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_4_an_inner_cancel_ends_the_linked_outer_group() {
    async fn inner(log: Log, parent: ScopeHandle) {
        let _end = log.guard("inner gone");
        let _ = scope!(link = parent, |inner| {
            inner.cancel();
        });
        log.say("inner left");
        pending::<()>().await;
    }
    let log = Log::new();
    let outer = scope!(|outer| {
        let forever = log.clone();
        spawn!(async move {
            let _end = forever.guard("forever gone");
            pending::<()>().await;
        });
        spawn!(inner(log.clone(), outer.handle()));
    });
    assert!(matches!(outer.unwrap_err().cause(), Cause::Link(_)));
    log.expect_unordered(&["0 inner left", "0 inner gone", "0 forever gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_5_a_group_that_is_not_linked_lives_on() {
    let log = Log::new();
    let outer = scope!(|outer| {
        spawn!(child(log.clone(), 1));
        let inner = scope!(|inner| {
            spawn!(child(log.clone(), 2));
            inner.cancel();
        });
        assert!(inner.is_err());
        assert!(!outer.is_cancelled());
    });
    outer.unwrap();
    log.expect(&["0 2 s gone", "1000 1 s slept", "1000 1 s gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_6_links_chain() {
    let log = Log::new();
    let first = scope!(name = "first", |first| {
        spawn!(child(log.clone(), 1));
        let second = scope!(link = first, name = "second", |second| {
            spawn!(child(log.clone(), 2));
            let third = scope!(link = second, name = "third", |third| {
                spawn!(child(log.clone(), 3));
                third.cancel();
            });
            unreachable!("{third:?}");
        });
        unreachable!("{second:?}");
    });
    let cancelled = first.unwrap_err();
    let Cause::Link(second) = cancelled.cause() else { panic!("{cancelled}") };
    let Cause::Link(third) = second.cause() else { panic!("{second}") };
    assert_eq!((second.scope_name(), third.scope_name()), ("second", "third"));
    log.expect_unordered(&["0 1 s gone", "0 2 s gone", "0 3 s gone"]);
}

#[tokio::test(start_paused = true)]
async fn row_7_a_link_to_a_group_that_is_over_is_an_error_value_and_no_panic() {
    let over = scope!(|group| { group.handle() }).unwrap();
    let refused = scope!(link = over, { unreachable!("its body does not run") });
    let refused: Result<(), _> = refused;
    assert!(matches!(refused.unwrap_err().cause(), Cause::LinkClosed));
}

#[tokio::test(start_paused = true)]
async fn row_8_cancelling_a_group_that_is_over_says_false_and_where_none_is_there_is_none() {
    let over = scope!(|group| { group.handle() }).unwrap();
    assert!(!over.cancel());
    assert!(over.is_closed());
    assert!(try_current().is_none());
}

#[tokio::test(start_paused = true)]
async fn row_10_an_error_of_the_body_cancels_the_children_and_leaves() {
    async fn run(log: &Log) -> Result<(), io::Error> {
        let _ = scope!({
            spawn!(child(log.clone(), 60));
            sleep(10).await;
            Err::<(), _>(io::Error::other("bad input"))?;
        });
        unreachable!("the error leaves the function");
    }
    let log = Log::new();
    assert_eq!(run(&log).await.unwrap_err().to_string(), "bad input");
    log.expect(&["10 60 s gone"]);
}

/// Bug to avoid: a private signal that shows up beside the real error.
#[tokio::test(start_paused = true)]
async fn row_11_the_groups_own_signal_never_appears_among_the_errors() {
    async fn run(seen: &mut Option<ScopeHandle>) -> Result<(), io::Error> {
        let _ = scope!(|group| {
            *seen = Some(group.handle());
            spawn!(async { Err::<(), _>(io::Error::other("x")) });
            spawn!(async {
                // It passes the group's cancel on as an error of its own.
                current().cancelled().await;
                check()?;
                Ok::<_, io::Error>(())
            });
            tokio::task::yield_now().await; // both have run
            group.cancel();
            check()?;
        });
        unreachable!("the error leaves the function");
    }
    let mut group = None;
    assert_eq!(run(&mut group).await.unwrap_err().to_string(), "x");
    assert!(group.unwrap().suppressed().is_empty());
}

/// There it is a task of its own that runs the group, and that has to be waited for.
#[tokio::test(start_paused = true)]
async fn row_12_the_group_is_entered_before_its_body_runs_and_in_the_same_task() {
    let host = tokio::spawn(async {
        let outside = tokio::task::id();
        let group = scope!(name = "group", {
            assert_eq!(tokio::task::id(), outside);
            current().name()
        });
        group.unwrap()
    });
    assert_eq!(host.await.unwrap(), "group");
}

/// Bug to avoid: the cancel of a group whose body waits leaked out of it, and stayed with the task.
#[tokio::test(start_paused = true)]
async fn row_14_no_cancel_leaks_out_of_a_group_whose_body_waits() {
    let log = Log::new();
    let host = outside({
        let log = log.clone();
        async move {
            let group = scope!(|group| {
                let _end = log.guard("body gone");
                group.cancel();
                pending::<()>().await;
            });
            assert!(group.is_err());
            assert!(check().is_ok());
            sleep(10).await;
            log.say("went on");
            scope!({ sleep(10).await }).is_ok()
        }
    });
    assert!(host.await.unwrap());
    log.expect(&["0 body gone", "10 went on"]);
}

/// Bug to avoid: the body was not cancelled when a child failed, and the child's error was lost.
#[tokio::test(start_paused = true)]
async fn row_14_a_childs_error_cancels_the_body_and_is_not_lost() {
    #[cancel_scope]
    async fn group(log: Log) -> Result<(), io::Error> {
        let _end = log.guard("body gone");
        spawn!(async {
            sleep(10).await;
            Err::<(), _>(io::Error::other("disk full"))
        });
        pending().await
    }
    let log = Log::new();
    assert_eq!(group(log.clone()).await.unwrap_err().to_string(), "disk full");
    log.expect(&["10 body gone"]);
}
