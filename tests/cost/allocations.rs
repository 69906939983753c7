//! A childless scope makes no heap allocation, but for the first one of a thread that waits under a deadline: that one
//! makes a timer, which the thread keeps. Scopes with children give back what they took.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use scope_runtime::{cancel_scope, fail_after, fork, move_on_after, race, scope, shield, spawn, try_join};
use tokio::runtime::{Builder, Runtime};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
}

/// How many allocations it takes to run `make`'s future from its first poll to its drop. `polls` is asserted, so that
/// a future that was meant to suspend did.
#[track_caller]
fn allocations<F: Future>(make: impl FnOnce() -> F, polls: u32) -> u64 {
    let mut polled = 0;
    let counted = allocation_counter::measure(|| {
        let mut future = pin!(make());
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            polled += 1;
            match future.as_mut().poll(&mut cx) {
                Poll::Ready(value) => break drop(black_box(value)),
                Poll::Pending => assert!(polled < 100, "it never ends"),
            }
        }
    });
    assert_eq!(polled, polls, "it was to be ready at poll {polls}");
    counted.count_total
}

/// Is pending `n` times.
async fn suspend(n: u32) {
    let mut left = n;
    poll_fn(|_| match left {
        0 => Poll::Ready(()),
        _ => {
            left -= 1;
            Poll::Pending
        }
    })
    .await;
}

/// Runs `test` on a thread that never saw a scope, on the context of both kinds of runtime.
fn on_a_new_thread(test: impl Fn() + Send + Sync) {
    for runtime in [current_thread(), multi_thread()] {
        thread::scope(|threads| {
            threads.spawn(|| {
                let _context = runtime.enter();
                test();
            });
        });
    }
}

/// The same on a thread on which a scope has waited under a deadline: it keeps the timer for the next one.
fn on_a_used_thread(test: impl Fn() + Send + Sync) {
    on_a_new_thread(|| {
        let spent = allocations(wait_under_a_deadline, 2);
        assert!(spent <= 2, "a timer, and room to keep it: {spent}");
        test();
    });
}

async fn wait_under_a_deadline() {
    scope!(timeout = 1s, { suspend(1).await }).unwrap();
}

#[test]
fn the_counter_counts() {
    // Without this one the others could pass because nothing is ever counted.
    on_a_new_thread(|| {
        assert_eq!(allocations(|| async { black_box(Box::new(1)) }, 1), 1);
        assert!(
            allocations(|| async { scope!({ drop(scope_runtime::current()) }) }, 1) > 0,
            "a handle is shared"
        );
    });
}

#[test]
fn a_childless_scope_allocates_nothing_when_it_does_not_suspend() {
    on_a_new_thread(|| {
        for use_of_the_thread in ["first", "second", "third"] {
            assert_eq!(allocations(|| async { scope!({ 1 }) }, 1), 0, "{use_of_the_thread} use");
        }
    });
}

#[test]
fn a_childless_scope_with_a_timeout_allocates_nothing_when_it_does_not_suspend() {
    on_a_new_thread(|| {
        for use_of_the_thread in ["first", "second", "third"] {
            assert_eq!(
                allocations(|| async { scope!(timeout = 1s, { 1 }) }, 1),
                0,
                "{use_of_the_thread} use"
            );
        }
    });
}

#[test]
fn a_childless_scope_allocates_nothing_when_it_suspends() {
    on_a_new_thread(|| {
        for use_of_the_thread in ["first", "second", "third"] {
            assert_eq!(
                allocations(|| async { scope!({ suspend(3).await }) }, 4),
                0,
                "{use_of_the_thread} use"
            );
        }
    });
}

#[test]
fn a_childless_scope_with_a_timeout_allocates_nothing_when_it_suspends() {
    on_a_used_thread(|| {
        for use_of_the_thread in ["first", "second", "third"] {
            assert_eq!(
                allocations(|| async { scope!(timeout = 1s, { suspend(3).await }) }, 4),
                0,
                "{use_of_the_thread} use"
            );
        }
    });
}

#[test]
fn a_childless_scope_allocates_nothing_when_its_deadline_cuts_it() {
    on_a_new_thread(|| {
        let spent = allocations(
            || async {
                let cut = scope!(timeout = 0s, fallback = "cut", {
                    suspend(3).await;
                    "not cut"
                });
                assert_eq!(cut, "cut");
            },
            1,
        );
        // The `Cancelled` is one shared value, and it is made only then.
        assert!(spent <= 1, "{spent} allocations for one error");
    });
}

#[test]
fn an_annotated_function_allocates_nothing() {
    #[cancel_scope]
    async fn plain() {
        suspend(2).await;
    }
    #[cancel_scope(timeout = "1m")]
    async fn bounded(n: u32) -> Result<u32, scope_runtime::Cancelled> {
        suspend(n).await;
        Ok(n)
    }
    on_a_used_thread(|| {
        for _ in 0..2 {
            assert_eq!(allocations(plain, 3), 0);
            assert_eq!(allocations(|| bounded(0), 1), 0);
            assert_eq!(allocations(|| bounded(2), 3), 0);
        }
    });
}

#[test]
fn a_shield_outside_of_scopes_allocates_nothing() {
    on_a_new_thread(|| {
        assert_eq!(allocations(|| async { shield!({ suspend(2).await }) }, 3), 0);
    });
}

#[test]
fn move_on_after_and_fail_after_allocate_nothing_once_their_place_is_known() {
    let moved = || move_on_after(Duration::from_secs(1), suspend(2));
    let failed = || fail_after(Duration::from_secs(1), suspend(2));
    // The first call at a place in the source remembers that place, once per process.
    on_a_used_thread(|| {
        assert!(allocations(moved, 3) + allocations(failed, 3) <= 4, "two each: the place, and its entry");
    });
    on_a_used_thread(|| {
        assert_eq!(allocations(moved, 3), 0);
        assert_eq!(allocations(failed, 3), 0);
    });
}

#[test]
fn asking_for_the_budget_allocates_nothing() {
    on_a_used_thread(|| {
        let spent = allocations(
            || async {
                scope!(timeout = 1s, {
                    suspend(1).await;
                    assert!(scope_runtime::check().is_ok());
                    assert!(!scope_runtime::is_cancelled());
                    assert!(scope_runtime::remaining().is_some());
                    assert!(scope_runtime::effective_deadline().is_some());
                })
            },
            2,
        );
        assert_eq!(spent, 0);
    });
}

/// Scopes in scopes around an expression.
macro_rules! nested {
    ([$($options:tt)*] $body:expr;) => { $body };
    ([$($options:tt)*] $body:expr; _ $($levels:tt)*) => {
        scope!($($options)* { nested!([$($options)*] $body; $($levels)*) })
    };
}

#[test]
fn scopes_nested_one_to_eight_levels_deep_allocate_nothing() {
    macro_rules! all {
        ($([$($level:tt)*])*) => {$(
            assert_eq!(allocations(|| async { nested!([] 1; $($level)*) }, 1), 0);
            assert_eq!(allocations(|| async { nested!([] suspend(2).await; $($level)*) }, 3), 0);
            assert_eq!(allocations(|| async { nested!([timeout = 1s,] 1; $($level)*) }, 1), 0);
            assert_eq!(allocations(|| async { nested!([timeout = 1s,] suspend(2).await; $($level)*) }, 3), 0);
        )*};
    }
    on_a_used_thread(|| {
        for _ in 0..2 {
            all!([_] [_ _] [_ _ _] [_ _ _ _] [_ _ _ _ _] [_ _ _ _ _ _] [_ _ _ _ _ _ _] [_ _ _ _ _ _ _ _]);
        }
    });
}

#[test]
fn an_inner_deadline_before_the_outer_one_allocates_nothing() {
    on_a_used_thread(|| {
        let spent = allocations(
            || async {
                scope!(timeout = 3s, { scope!(timeout = 2s, { scope!(timeout = 1s, { suspend(2).await }) }) })
            },
            3,
        );
        assert_eq!(spent, 0);
    });
}

#[test]
fn a_scope_allocates_nothing_on_the_threads_of_a_running_runtime() {
    for runtime in [current_thread(), multi_thread()] {
        let spent = runtime.block_on(async {
            let counted = || {
                allocations(wait_under_a_deadline, 2);
                let free = allocations(|| async { scope!({ suspend(2).await }) }, 3);
                free + allocations(|| async { scope!(timeout = 1s, { suspend(2).await }) }, 3)
            };
            tokio::spawn(async move { counted() }).await.unwrap()
        });
        assert_eq!(spent, 0);
    }
}

#[test]
fn ten_thousand_children_one_after_the_other_leave_no_memory_behind() {
    const CHILDREN: u64 = 10_000;
    let counted = allocation_counter::measure(|| {
        current_thread().block_on(async {
            let ended = scope!({
                let mut ended = 0;
                for _ in 0..CHILDREN {
                    let task = spawn!(async { black_box([0u8; 64]) });
                    black_box(task.await.unwrap());
                    ended += 1;
                }
                ended
            });
            assert_eq!(ended.unwrap(), CHILDREN);
        });
    });
    assert!(counted.count_total > CHILDREN, "each child allocates: {counted:?}");
    assert!(counted.count_max < 1_000, "the most allocations that were alive at a time: {counted:?}");
    assert!(counted.bytes_max < 256 * 1024, "the most memory that was held at a time: {counted:?}");
}

/// Its destructor panics, without a word to the hook that would remember it.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new("destructor"));
    }
}

/// What is still allocated when a future has panicked, the second time: the first one may leave what threads keep.
#[track_caller]
fn left_by_a_panic<F: Future>(make: impl Fn() -> F) -> i64 {
    let run = || {
        allocation_counter::measure(|| {
            let panicked = catch_unwind(AssertUnwindSafe(|| current_thread().block_on(make())));
            assert!(panicked.is_err(), "the destructor panics");
        })
    };
    run();
    run().count_current
}

#[test]
fn u5_a_fork_whose_destructor_panics_leaves_no_memory_behind() {
    let left = left_by_a_panic(|| async {
        let _ = tokio::time::timeout(Duration::from_millis(10), async {
            let _ = scope!({
                fork!(async {
                    let _bomb = Bomb;
                    std::future::pending::<()>().await;
                });
            });
        })
        .await;
    });
    assert_eq!(left, 0);
}

#[test]
fn f2_a_failure_beside_a_value_whose_destructor_panics_leaves_no_memory_behind() {
    #[cancel_scope]
    async fn fails() -> std::io::Result<Bomb> {
        spawn!(async { Err::<(), _>(std::io::Error::other("disk full")) });
        Ok(Bomb)
    }
    let left = left_by_a_panic(|| async {
        let _ = fails().await;
    });
    assert_eq!(left, 0);
}

#[test]
fn ten_thousand_childless_scopes_in_one_long_scope_leave_no_memory_behind() {
    let counted = allocation_counter::measure(|| {
        current_thread().block_on(async {
            let done = scope!({
                for _ in 0..10_000 {
                    // A handle gives the inner scope a shared part, which hangs under that of the outer one.
                    scope!({ drop(scope_runtime::current()) }).unwrap();
                }
            });
            done.unwrap();
        });
    });
    assert!(counted.count_total > 10_000, "each scope allocates: {counted:?}");
    assert!(counted.count_max < 1_000, "the most allocations that were alive at a time: {counted:?}");
}

#[test]
fn a_fork_costs_a_handful_of_allocations_and_no_task() {
    on_a_new_thread(|| {
        let forks = |n: u32| {
            allocations(
                || async move {
                    scope!({
                        for _ in 0..n {
                            fork!(async { black_box(1) });
                        }
                    })
                },
                1,
            )
        };
        let (none, one, hundred) = (forks(0), forks(1), forks(100));
        assert!(none <= 5, "{none} allocations for the scope alone");
        // Its node, its handle, its place among the forks; the lists and the place of the error are there once.
        assert!(one <= none + 9, "{none} allocations without a fork, {one} with one");
        assert!(hundred <= one + 99 * 4 + 12, "{one} allocations with one fork, {hundred} with a hundred");
    });
}

#[test]
fn a_race_of_two_costs_eighteen_allocations_at_most() {
    on_a_new_thread(|| {
        let won = allocations(|| async { race!(suspend(1), suspend(2)) }, 2);
        // Its node, what the arms share, the list of arms; a node and a handle for each arm; lists for the cancel.
        assert!(won <= 18, "{won} allocations for a race");
        let joined = allocations(
            || async {
                try_join!(
                    async {
                        suspend(1).await;
                        Ok::<_, u8>(())
                    },
                    async {
                        suspend(2).await;
                        Ok(())
                    }
                )
            },
            3,
        );
        assert!(joined <= 18, "{joined} allocations for a join");
    });
}

#[test]
fn ten_thousand_forks_one_after_the_other_leave_no_memory_behind() {
    const FORKS: u64 = 10_000;
    let counted = allocation_counter::measure(|| {
        current_thread().block_on(async {
            let ended = scope!({
                let mut ended = 0;
                for _ in 0..FORKS {
                    let task = fork!(async { black_box([0u8; 64]) });
                    black_box(task.await.unwrap());
                    ended += 1;
                }
                ended
            });
            assert_eq!(ended.unwrap(), FORKS);
        });
    });
    assert!(counted.count_total > FORKS, "each fork allocates: {counted:?}");
    assert!(counted.count_max < 1_000, "the most allocations that were alive at a time: {counted:?}");
    assert!(counted.bytes_max < 256 * 1024, "the most memory that was held at a time: {counted:?}");
}

#[test]
fn ten_thousand_races_in_one_long_scope_leave_no_memory_behind() {
    let counted = allocation_counter::measure(|| {
        current_thread().block_on(async {
            let done = scope!({
                for n in 0..10_000 {
                    assert_eq!(race!(std::future::pending(), async { n }), n);
                }
            });
            done.unwrap();
        });
    });
    assert!(counted.count_total > 10_000, "each race allocates: {counted:?}");
    assert!(counted.count_max < 1_000, "the most allocations that were alive at a time: {counted:?}");
}
