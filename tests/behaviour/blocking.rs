//! Y1-Y3, L4: sync scopes, their delivery points and waits, and the test clock.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, pending, ready};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use scope_runtime::testing::SyncClock;
use scope_runtime::{
    Cancelled, Cause, InScope as _, ScopeHandle, blocking, blocking_scope, cancel_scope, check, current,
    defer, defer_blocking, effective_deadline, guard_blocking, is_cancelled, remaining, scope, shield,
    spawn_blocking, try_current,
};
use scope_tests::probe::{on_a_thread, outside};
use tokio::sync::Notify;

const SECOND: Duration = Duration::from_secs(1);

fn nap(seconds: u32) -> Result<(), Cancelled> {
    blocking::sleep(seconds * SECOND)
}

/// A second of work that knows of no cancel, as `time.sleep(1)` in the documents' programs.
fn work_a_second() {
    let _ = blocking_scope!(shield, { nap(1).unwrap() });
}

#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct Told(&'static str);

// --- S2's own programs ------------------------------------------------------------------------------------------------

/// What they print.
struct Out {
    clock: SyncClock,
    lines: RefCell<Vec<String>>,
}

impl Out {
    fn new() -> Self {
        Self { clock: SyncClock::new(), lines: RefCell::default() }
    }

    fn say(&self, line: impl fmt::Display) {
        self.lines.borrow_mut().push(line.to_string());
    }

    fn timeout(&self) {
        self.say(match remaining() {
            None => "timeout: none".to_owned(),
            Some(left) => format!("timeout: {}", left.as_secs_f64()),
        });
    }

    fn elapsed(&self) {
        self.say(format_args!("elapsed: {}", self.clock.elapsed().as_secs_f64()));
    }
}

fn two_steps() -> Result<(), Cancelled> {
    for _ in 0..2 {
        work_a_second();
        check()?;
    }
    Ok(())
}

#[cancel_scope(timeout = "3s", error = Told("work1 cancelled!"))]
fn work1() -> Result<(), Cancelled> {
    two_steps()
}

#[cancel_scope(shield)]
fn work2() -> Result<(), Cancelled> {
    two_steps()
}

#[cancel_scope(error = Told("work3 cancelled!"))]
fn work3() -> Result<(), Cancelled> {
    two_steps()
}

#[test]
fn row_31_shielded_work_outlives_the_deadline() {
    #[cancel_scope(timeout = "3s", error = Told("Parent scope cancelled!"))]
    fn parent(out: &Out) -> Result<(), Cancelled> {
        out.timeout();
        work1()?;
        out.timeout();
        out.elapsed();
        work2()?;
        out.timeout();
        out.elapsed();
        work1()
    }
    let out = Out::new();
    let result = out.clock.run(|| parent(&out));
    out.say(result.unwrap_err());
    let lines = ["timeout: 3", "timeout: 1", "elapsed: 2", "timeout: 0", "elapsed: 4", "work1 cancelled!"];
    assert_eq!(*out.lines.borrow(), lines);
    assert_eq!(out.clock.elapsed(), 5 * SECOND, "it died at its first check, one second on");
}

#[test]
fn row_32_the_error_is_told_as_that_of_the_scope_that_checks() {
    #[cancel_scope(error = Told("Parent scope cancelled!"), scope = s)]
    fn parent(out: &Out) -> Result<(), Cancelled> {
        out.timeout();
        work1()?;
        assert!(s.cancel());
        out.timeout();
        out.elapsed();
        work2()?;
        out.timeout();
        out.elapsed();
        work3()
    }
    let out = Out::new();
    let result = out.clock.run(|| parent(&out));
    out.say(result.unwrap_err());
    let lines = ["timeout: none", "timeout: 0", "elapsed: 2", "timeout: 0", "elapsed: 4", "work3 cancelled!"];
    assert_eq!(*out.lines.borrow(), lines);
    assert_eq!(out.clock.elapsed(), 5 * SECOND);
}

// --- S2's other rows --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn row_15_the_attribute_is_the_same_on_both() {
    #[cancel_scope(timeout = "0s", fallback = |cancelled| cancelled.scope_name().to_owned())]
    fn blocking_code() -> String {
        check().map_or_else(|cancelled| cancelled.to_string(), |()| "not cancelled".to_owned())
    }
    #[cancel_scope(timeout = "0s", fallback = |cancelled| cancelled.scope_name().to_owned())]
    async fn async_code() -> String {
        pending().await
    }
    // The one swallowed its error, so its value is kept; the other was dropped.
    assert!(blocking_code().contains("blocking_code"));
    assert_eq!(async_code().await, "async_code");
}

#[test]
fn row_16_nested_calls_share_the_time_that_is_left() {
    #[cancel_scope(timeout = "10s")]
    fn outer() -> Result<Option<Duration>, Cancelled> {
        nap(2)?;
        middle()
    }
    fn middle() -> Result<Option<Duration>, Cancelled> {
        nap(3)?;
        inner()
    }
    #[cancel_scope(timeout = "1m")]
    fn inner() -> Result<Option<Duration>, Cancelled> {
        Ok(remaining())
    }
    assert_eq!(SyncClock::new().run(outer).unwrap(), Some(5 * SECOND));
}

#[test]
fn row_17_a_cancel_shows_only_where_it_is_asked_for() {
    let done = blocking_scope!({
        current().cancel();
        let mut steps = 0;
        for _ in 0..10 {
            steps += 1;
        }
        steps
    });
    assert_eq!(done.unwrap(), 10);
}

#[test]
fn row_18_a_cancel_reaches_only_what_is_inside() {
    let seen = blocking_scope!(|parent| {
        let _ = blocking_scope!(|child| {
            child.cancel();
            assert!(blocking_scope!({ is_cancelled() }).unwrap(), "the grandchild");
        });
        let sibling = blocking_scope!({ is_cancelled() });
        (sibling.unwrap(), parent.is_cancelled())
    });
    assert_eq!(seen.unwrap(), (false, false));
}

#[test]
fn row_19_a_cancel_bubbles_up_and_out() {
    let seen = blocking_scope!(bubble, |top| {
        let _ = blocking_scope!(|middle| {
            let _ = blocking_scope!({ current().cancel() });
            assert!(middle.cancel_called());
        });
        (top.cancel_called(), check().is_err())
    });
    assert_eq!(seen.unwrap(), (true, true));
}

#[test]
fn row_20_a_bubble_stops_at_the_outermost_scope_that_has_it() {
    let seen = blocking_scope!(|root| {
        let _ = blocking_scope!(bubble, { blocking_scope!({ current().cancel() }) });
        root.is_cancelled()
    });
    assert!(!seen.unwrap());
}

#[test]
fn row_21_a_shield_keeps_outer_cancels_out_and_own_ones_in() {
    let value = blocking_scope!(|outer| {
        outer.cancel();
        let inside = blocking_scope!(shield, |inner| {
            let before = (is_cancelled(), blocking_scope!({ is_cancelled() }).unwrap());
            inner.cancel();
            (before, is_cancelled())
        });
        inside.unwrap()
    });
    assert_eq!(value.unwrap(), ((false, false), true));
}

#[test]
fn row_22_a_shield_has_no_outer_deadline() {
    let left = blocking_scope!(timeout = 3s, { blocking_scope!(shield, { remaining() }).unwrap() });
    assert_eq!(left.unwrap(), None);
}

#[test]
fn row_23_a_shielded_scope_bubbles_but_is_not_bubbled_into() {
    let seen = blocking_scope!(bubble, |top| {
        let _ = blocking_scope!(shield, { current().cancel() });
        let sibling = blocking_scope!(shield, { is_cancelled() });
        (top.cancel_called(), sibling.unwrap())
    });
    assert_eq!(seen.unwrap(), (true, false));
}

#[test]
fn row_24_to_28_the_time_that_is_left() {
    let clock = SyncClock::new();
    clock.run(|| {
        assert_eq!((remaining(), effective_deadline()), (None, None), "row 26");
        let _ = blocking_scope!(timeout = 3s, |outer| {
            assert_eq!(remaining(), Some(3 * SECOND), "row 25");
            nap(2).unwrap();
            let inner = blocking_scope!(timeout = 3s, { remaining() });
            assert_eq!(inner.unwrap(), Some(SECOND), "row 24: the earlier one counts");
            assert_eq!(effective_deadline(), Some(blocking::now() + SECOND));
            shield!({ nap(5).unwrap() });
            assert_eq!(remaining(), Some(Duration::ZERO), "row 27");
            assert_eq!(blocking_scope!(timeout = 3s, { remaining() }).unwrap(), Some(Duration::ZERO));
            assert!(outer.is_cancelled(), "row 35: nobody had to call check()");
        });
    });
}

#[test]
fn row_29_and_30_the_error_of_the_nearest_scope_is_told() {
    fn told(result: Result<(), Cancelled>) -> String {
        result.unwrap_err().to_string()
    }
    let told = blocking_scope!(error = Told("outer msg"), |outer| {
        outer.cancel();
        let own = blocking_scope!(error = Told("inner msg"), { told(check()) });
        let inherited = blocking_scope!({ told(check()) });
        (own.unwrap(), inherited.unwrap())
    });
    assert_eq!(told.unwrap(), ("inner msg".to_owned(), "outer msg".to_owned()));
}

#[test]
fn row_33_cancel_says_whether_the_scope_is_cancelled_now() {
    let mut left = None;
    let went_on = blocking_scope!(|s| {
        left = Some(s.handle());
        (s.cancel(), s.cancel())
    });
    assert_eq!(went_on.unwrap(), (true, true), "the body goes on until the next check");
    assert!(!left.unwrap().cancel(), "it was left");
}

#[test]
fn row_34_a_scope_opened_in_a_cancelled_one_is_cancelled() {
    let seen = blocking_scope!(|outer| {
        outer.cancel();
        let late = blocking_scope!({ is_cancelled() }).unwrap();
        (late, blocking_scope!(shield, { is_cancelled() }).unwrap())
    });
    assert_eq!(seen.unwrap(), (true, false));
}

#[test]
fn row_39_the_context_travels_with_threads_of_the_scope_and_with_no_others() {
    let seen = blocking_scope!(name = "job", {
        let own = spawn_blocking!(|| current().name());
        let handle = current();
        let carried = on_a_thread(move || handle.run(|| current().name()));
        (own.join().unwrap(), carried, on_a_thread(|| try_current().is_none()))
    });
    assert_eq!(seen.unwrap(), ("job".into(), "job".into(), true));
}

#[test]
fn row_41_to_check_at_entry_is_a_statement() {
    fn entered() -> Result<bool, Cancelled> {
        let entered = Cell::new(false);
        let scope = blocking_scope!(timeout = 0s, {
            check()?;
            entered.set(true);
        });
        assert!(scope.unwrap_err().is_timeout());
        Ok(entered.get())
    }
    assert!(!entered().unwrap());
}

#[test]
fn row_42_an_error_of_the_body_cancels_the_children() {
    let clock = SyncClock::new();
    let result: io::Result<()> = clock.run(|| {
        let _ = blocking_scope!({
            spawn_blocking!(|| nap(60));
            Err::<(), _>(io::Error::other("disk full"))?;
        });
        Ok(())
    });
    assert_eq!(result.unwrap_err().to_string(), "disk full");
    assert_eq!(clock.elapsed(), Duration::ZERO);
}

// --- Y1: delivery -----------------------------------------------------------------------------------------------------

#[test]
fn y1_a_deadline_is_delivered_by_check() {
    let clock = SyncClock::new();
    clock.run(|| {
        #[cancel_scope(timeout = "3s")]
        fn work() -> Result<u32, Cancelled> {
            for step in 0.. {
                check()?;
                shield!({ nap(1).unwrap() });
                assert!(step < 3);
            }
            Ok(1)
        }
        let cancelled = work().unwrap_err();
        assert!(cancelled.is_timeout());
        assert_eq!(cancelled.scope_name(), "work");
    });
    assert_eq!(clock.elapsed(), 3 * SECOND);
}

#[test]
fn y1_a_sleep_ends_with_the_deadline() {
    let clock = SyncClock::new();
    let late = clock.run(|| {
        blocking_scope!(timeout = 3s, {
            nap(60)?;
            Ok::<_, Cancelled>(())
        })
    });
    assert!(late.unwrap_err().is_timeout());
    assert_eq!(clock.elapsed(), 3 * SECOND);
}

#[test]
fn y1_a_cancel_wakes_a_wait_at_once() {
    let (tx, rx) = mpsc::channel::<ScopeHandle>();
    let canceller = std::thread::spawn(move || rx.recv().unwrap().cancel_with("enough"));
    let cut = || -> Result<(), Cancelled> {
        let cut = blocking_scope!(|s| {
            tx.send(s.handle()).unwrap();
            blocking::sleep(Duration::from_secs(3600))?;
        });
        cut
    }();
    assert!(canceller.join().unwrap());
    assert!(cut.unwrap_err().to_string().contains("enough"));
}

#[test]
fn t6_a_stretch_under_a_handle_is_woken_too() {
    let cut = blocking_scope!(|s| {
        let handle = s.handle();
        let stretch = std::thread::scope(|threads| {
            let stretch = threads.spawn(|| handle.run(|| blocking::sleep(Duration::from_secs(3600))));
            s.cancel_with("enough");
            stretch.join().unwrap()
        });
        stretch.unwrap_err().to_string()
    });
    assert!(cut.unwrap().contains("enough"));
}

#[test]
fn y1_an_own_cancel_is_absorbed_and_an_outer_one_goes_on() {
    /// `inner` is left by the outer cancel, with the error of the function.
    fn outer(behind: &Cell<bool>) -> Result<(), Cancelled> {
        let outer = blocking_scope!(name = "outer", |outer| {
            let own = blocking_scope!(|inner| {
                inner.cancel();
                check()?;
            });
            assert_eq!(own.unwrap_err().scope_name(), "scope");
            let _ = blocking_scope!(name = "inner", {
                outer.cancel();
                check()?;
            });
            behind.set(true);
        });
        assert_eq!(outer.unwrap_err().scope_name(), "outer");
        Ok(())
    }
    let behind = Cell::new(false);
    outer(&behind).unwrap();
    assert!(!behind.get(), "no code behind the inner scope runs");
}

#[test]
fn y1_the_error_that_carries_a_cancel_may_be_wrapped() {
    fn wrapped() -> anyhow::Result<u8> {
        use anyhow::Context as _;
        let cut = blocking_scope!(|s| {
            s.cancel();
            check().context("while counting")?;
            1
        });
        assert!(cut.is_err(), "it is the scope's own");
        Ok(2)
    }
    assert_eq!(wrapped().unwrap(), 2);

    #[cancel_scope(scope = s)]
    fn function() -> anyhow::Result<u8> {
        use anyhow::Context as _;
        s.cancel();
        check().context("while counting")?;
        Ok(1)
    }
    let error = function().unwrap_err();
    assert_eq!(error.to_string(), "while counting", "what it gathered is kept");
    assert!(error.downcast_ref::<Cancelled>().is_some());
}

#[test]
fn y1_a_check_that_is_swallowed_leaves_the_value_alone() {
    let value = blocking_scope!(timeout = 0s, {
        assert!(check().is_err());
        assert!(nap(1).is_err());
        7
    });
    assert_eq!(value.unwrap(), 7);
}

#[test]
fn y1_an_error_of_another_kind_is_a_failure() {
    fn fails() -> io::Result<()> {
        let _ = blocking_scope!(timeout = 0s, {
            let _ = check();
            Err::<(), _>(io::Error::other("disk full"))?;
        });
        unreachable!("the error left the function");
    }
    assert_eq!(fails().unwrap_err().to_string(), "disk full");
}

#[test]
fn y1_what_outer_code_took_over_is_told_as_its_own() {
    #[cancel_scope(scope = outer)]
    fn function() -> Result<(), Cancelled> {
        let inner = blocking_scope!(name = "inner", |inner| {
            inner.cancel();
            let error = check();
            outer.cancel();
            error?;
        });
        let cancelled = inner.unwrap_err();
        assert!(matches!(cancelled.cause(), Cause::Parent(parent) if parent.scope_name() == "function"));
        check()?;
        unreachable!();
    }
    assert_eq!(function().unwrap_err().scope_name(), "function");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn y1_a_sync_scope_hangs_below_the_async_one() {
    let seen = scope!(name = "async", timeout = 1h, {
        let task = spawn_blocking!(|| {
            let inside = blocking_scope!(name = "sync", |s| {
                assert!(remaining().unwrap() <= Duration::from_secs(3600));
                (s.name(), is_cancelled())
            });
            (current().name(), inside.unwrap())
        });
        task.await.unwrap()
    });
    assert_eq!(seen.unwrap(), ("async".into(), ("sync".into(), false)));
}

#[tokio::test]
async fn y1_sync_code_in_async_code_hangs_below_it_and_is_not_dropped() {
    #[cancel_scope]
    fn sync() -> Result<(), Cancelled> {
        current().name();
        check()
    }
    let mut carried = None;
    let cut = scope!(name = "async", |s| {
        s.cancel();
        carried = Some(sync());
        tokio::task::yield_now().await;
        unreachable!("the async body is dropped");
    });
    assert!(cut.is_err());
    let error = carried.unwrap().unwrap_err();
    assert!(matches!(error.cause(), Cause::Parent(parent) if parent.scope_name() == "async"));
}

/// Runs sync code on a thread of its own, with a runtime, and gives what it says: it may hang for good.
fn in_time(code: impl FnOnce(&tokio::runtime::Runtime) -> String + Send + 'static) -> String {
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _ = tx.send(code(&runtime));
    });
    rx.recv_timeout(10 * SECOND).expect("it hangs")
}

#[test]
fn y1_t1_a_sync_deadline_cuts_the_async_scopes_that_it_blocks_on() {
    let told = in_time(|runtime| {
        let outer = blocking_scope!(timeout = 20ms, name = "sync", {
            let cut = runtime.block_on(async { scope!(timeout = 1h, { pending::<()>().await }) });
            cut.unwrap_err().to_string()
        });
        outer.unwrap()
    });
    assert!(told.contains("parent sync") && told.contains("passed its deadline of 20ms"), "{told}");
}

#[test]
fn y1_t6_a_sync_deadline_cuts_a_guest_that_it_blocks_on() {
    let told = in_time(|runtime| {
        let outer = blocking_scope!(timeout = 20ms, name = "sync", {
            runtime.block_on(pending::<()>().in_scope(current())).unwrap_err().to_string()
        });
        outer.unwrap()
    });
    assert!(told.contains("parent sync") && told.contains("passed its deadline of 20ms"), "{told}");
}

#[test]
fn y1_d7_a_cancel_of_a_sync_scope_reaches_the_async_scopes_that_it_blocks_on() {
    let told = in_time(|runtime| {
        let outer = blocking_scope!(name = "sync", |sync| {
            let handle = sync.handle();
            let cut = runtime.block_on(async {
                outside(async move {
                    scope_tests::probe::sleep(10).await;
                    handle.cancel();
                });
                scope!({ pending::<()>().await })
            });
            cut.unwrap_err().to_string()
        });
        outer.unwrap()
    });
    assert!(told.contains("parent sync") && told.contains("was cancelled"), "{told}");
}

#[test]
fn y1_y3_a_thread_of_a_sync_scope_that_does_not_look_is_cut_where_it_blocks_on_a_scope() {
    let told = in_time(|runtime| {
        let outer = blocking_scope!(timeout = 20ms, name = "sync", {
            let child = spawn_blocking!(|| {
                let cut = runtime.block_on(async { scope!({ pending::<()>().await }) });
                cut.unwrap_err().to_string()
            });
            // Nobody looks at the clock here.
            while !child.is_finished() {
                std::thread::yield_now();
            }
            child.join().unwrap()
        });
        outer.unwrap()
    });
    assert!(told.contains("parent sync") && told.contains("passed its deadline of 20ms"), "{told}");
}

/// Async cleanup where the macro can't see that it is one.
fn register(cleanup: impl Future<Output = ()> + Send + 'static) {
    defer(cleanup);
}

#[test]
fn u3_a_scope_in_async_cleanup_of_sync_code_sees_the_cleanup_timeout() {
    let told = in_time(|runtime| {
        let _entered = runtime.enter();
        let (tx, rx) = mpsc::channel();
        let left = blocking_scope!(cleanup_timeout = 20ms, {
            register(async move {
                let cut = scope!(timeout = 1h, { pending::<()>().await });
                tx.send(cut.unwrap_err().to_string()).unwrap();
            });
        });
        assert!(left.is_ok());
        rx.recv().unwrap()
    });
    assert!(told.ends_with("passed its deadline of 20ms"), "{told}");
}

// --- control flow and values ------------------------------------------------------------------------------------------

#[test]
fn u4_control_flow_crosses_the_block() {
    fn search(rows: &[&str]) -> Result<Option<u32>, std::num::ParseIntError> {
        let mut seen = 0;
        for row in rows {
            let value = blocking_scope!(name = "row", {
                match *row {
                    "skip" => continue,
                    "stop" => break,
                    "none" => return Ok(None),
                    row => row.parse::<u32>()?,
                }
            });
            seen += value.unwrap();
        }
        Ok(Some(seen))
    }
    assert_eq!(search(&["1", "skip", "2"]).unwrap(), Some(3));
    assert_eq!(search(&["1", "stop", "2"]).unwrap(), Some(1));
    assert_eq!(search(&["1", "none", "2"]).unwrap(), None);
    assert!(search(&["1", "x"]).is_err());
}

#[test]
fn u4_control_flow_crosses_nested_blocks() {
    fn first_even(rows: &[u32]) -> Option<u32> {
        'rows: for row in rows {
            let _ = blocking_scope!({
                shield!({
                    if *row == 0 {
                        continue 'rows;
                    }
                    if row % 2 == 0 {
                        return Some(*row);
                    }
                });
            });
        }
        None
    }
    assert_eq!(first_even(&[1, 0, 4]), Some(4));
    assert_eq!(first_even(&[1, 3]), None);
}

#[test]
fn a_fallback_is_the_value_of_a_cancelled_block() {
    fn count() -> Result<u32, Cancelled> {
        let count =
            blocking_scope!(timeout = 0s, fallback = |cancelled| u32::from(cancelled.is_timeout()), {
                check()?;
                7
            });
        Ok(count)
    }
    assert_eq!(count().unwrap(), 1);
}

#[test]
fn functions_of_every_shape_are_served() {
    struct Counter(u32);
    impl Counter {
        #[cancel_scope(fallback = unreachable!())]
        fn next(&mut self) -> &mut u32 {
            self.0 += 1;
            &mut self.0
        }

        #[cancel_scope(fallback = 0)]
        fn into_inner(self) -> u32 {
            self.0
        }
    }
    #[cancel_scope(fallback = None)]
    fn first<'a, T: Clone>(all: &'a [T], _other: &str) -> Option<&'a T> {
        all.first()
    }
    #[cancel_scope(fallback = Vec::new().into_iter())]
    fn each<T: 'static>(all: Vec<T>) -> impl Iterator<Item = T> {
        all.into_iter()
    }
    #[cancel_scope]
    fn fails(n: &str) -> Result<u32, Box<dyn std::error::Error>> {
        Ok(n.parse::<u32>()?)
    }
    trait Job {
        fn run(&mut self, times: u32) -> Result<u32, Cancelled>;
    }
    impl Job for Counter {
        #[cancel_scope(name = format!("job {times}"), scope = s)]
        fn run(&mut self, times: u32) -> Result<u32, Cancelled> {
            if times == 0 {
                assert_eq!(s.name(), "job 0");
                return Ok(self.0);
            }
            self.0 += 1;
            self.run(times - 1)
        }
    }
    let mut counter = Counter(0);
    *counter.next() += 1;
    assert_eq!(counter.run(3).unwrap(), 5);
    assert_eq!(counter.into_inner(), 5);
    assert_eq!(first(&[1, 2], ""), Some(&1));
    assert_eq!(each(vec![1, 2]).sum::<u32>(), 3);
    assert_eq!(fails("3").unwrap(), 3);
    assert!(fails("x").is_err());
}

#[test]
fn f2_a_panic_is_resumed_behind_the_cleanup() {
    let (tx, rx) = mpsc::channel();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = blocking_scope!({
            defer_blocking(move || tx.send("cleaned up").unwrap());
            std::panic::panic_any(7_u8);
        });
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref::<u8>(), Some(&7));
    assert_eq!(rx.try_recv(), Ok("cleaned up"));
}

#[test]
fn b2_a_closed_link_keeps_the_body_from_running() {
    let over = blocking_scope!(|s| { s.handle() }).unwrap();
    let refused = blocking_scope!(link = over, { unreachable!("its link was left") });
    let _: &Result<(), Cancelled> = &refused;
    assert!(matches!(refused.unwrap_err().cause(), Cause::LinkClosed));
}

#[test]
fn an_await_that_no_macro_shows_says_what_to_write() {
    macro_rules! hidden {
        ($future:expr => _) => {
            $future.await
        };
    }
    assert_eq!(blocking_scope!({ hidden!(ready(7) => _) }).unwrap(), 7);
    let panicked = catch_unwind(|| {
        let _ = blocking_scope!({ hidden!(pending::<()>() => _) });
    });
    assert!(panicked.unwrap_err().downcast_ref::<&str>().unwrap().contains("`blocking::wait`"));
}

// --- Y3, L4: waits and the clock --------------------------------------------------------------------------------------

#[test]
fn y3_a_sync_deadline_needs_neither_runtime_nor_timer() {
    let late = on_a_thread(|| {
        let late = || -> Result<(), Cancelled> {
            blocking_scope!(timeout = 5ms, { blocking::sleep(Duration::from_secs(3600))? })
        };
        late()
    });
    assert!(late.unwrap_err().is_timeout());
}

#[test]
fn y3_a_deadline_that_is_moved_counts_at_once() {
    let clock = SyncClock::new();
    let late = clock.run(|| -> Result<(), Cancelled> {
        blocking_scope!(timeout = 1h, |s| {
            spawn_blocking!(|| {
                nap(2)?;
                current().set_deadline(blocking::now() + SECOND);
                Ok::<_, Cancelled>(())
            });
            let _ = s;
            nap(60)?;
        })
    });
    assert!(late.unwrap_err().is_timeout());
    assert_eq!(clock.elapsed(), 3 * SECOND);
}

#[test]
fn y3_completion_wins_over_a_cancel() {
    let value = blocking_scope!(|s| {
        s.cancel();
        (blocking::wait(ready(7)), blocking::sleep(Duration::ZERO))
    });
    let (waited, slept) = value.unwrap();
    assert_eq!(waited.unwrap(), 7);
    slept.unwrap();
}

#[test]
fn y3_a_wait_is_over_when_somebody_notifies_or_the_time_is_up() {
    let clock = SyncClock::new();
    clock.run(|| {
        let (bell, notify) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let ring = Arc::clone(&bell);
        let _ = blocking_scope!(timeout = 10s, {
            spawn_blocking!(move || {
                nap(4).unwrap();
                ring.notify_one();
            });
            blocking::wait(bell.notified()).unwrap();
            assert_eq!(clock.elapsed(), 4 * SECOND);
            assert!(blocking::wait(notify.notified()).unwrap_err().is_timeout());
            assert_eq!(clock.elapsed(), 10 * SECOND);
        });
    });
}

#[test]
fn y3_outside_of_every_scope_nothing_ends_a_wait() {
    let clock = SyncClock::new();
    clock.run(|| nap(3)).unwrap();
    assert_eq!(clock.elapsed(), 3 * SECOND);
    assert_eq!(blocking::wait(async { 7 }).unwrap(), 7);
}

#[test]
fn y3_a_wait_inside_of_a_waits_future_takes_no_wake_up_from_it() {
    let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
    let (inner, outer) = blocking::wait(async {
        tokio::join!(
            async {
                tx.send(1).unwrap();
                let napped = blocking::sleep(Duration::from_millis(1));
                tx.send(2).unwrap();
                napped
            },
            async { (rx.recv().await, rx.recv().await) },
        )
    })
    .unwrap();
    inner.unwrap();
    assert_eq!(outer, (Some(1), Some(2)));
}

#[test]
fn u1_async_scopes_in_a_wait_unwind_before_it_ends() {
    let (tx, rx) = mpsc::channel();
    let (cut, bye) = (tx.clone(), tx.clone());
    let late = || -> Result<(), Cancelled> {
        blocking_scope!(timeout = 5ms, {
            blocking::wait(async move {
                let _ = scope!({
                    defer(async move {
                        tokio::task::yield_now().await;
                        bye.send("inner cleanup").unwrap();
                    });
                    pending::<()>().await
                });
                cut.send("no code behind the inner scope").unwrap();
            })?;
        })
    };
    let late = late();
    tx.send("left").unwrap();
    assert!(late.unwrap_err().is_timeout());
    drop(tx);
    assert_eq!(rx.iter().collect::<Vec<_>>(), ["inner cleanup", "left"]);
}

#[test]
fn g1_a_soft_cancel_ends_a_wait() {
    let clock = SyncClock::new();
    let soft = clock.run(|| -> Result<(), Cancelled> {
        blocking_scope!(grace = 1h, timeout = 2s, {
            nap(60)?;
        })
    });
    assert!(soft.unwrap_err().is_timeout());
    assert_eq!(clock.elapsed(), 2 * SECOND);
}

#[test]
fn l4_the_clock_jumps_only_when_all_its_threads_wait() {
    let clock = SyncClock::new();
    let steps = clock.run(|| {
        let steps = std::sync::Mutex::new(Vec::new());
        let _ = blocking_scope!({
            for (name, seconds) in [("c", 3), ("a", 1), ("b", 2)] {
                let (steps, clock) = (&steps, &clock);
                spawn_blocking!(move || {
                    nap(seconds).unwrap();
                    // Real time passes, but not on this clock.
                    std::thread::sleep(Duration::from_millis(1));
                    steps.lock().unwrap().push((name, clock.elapsed().as_secs()));
                });
            }
        });
        steps.into_inner().unwrap()
    });
    assert_eq!(steps, [("a", 1), ("b", 2), ("c", 3)]);
}

#[test]
fn l4_a_thread_goes_by_a_clock_once() {
    let (clock, other) = (SyncClock::new(), SyncClock::new());
    clock.run(|| {
        clock.run(|| nap(1)).unwrap();
        other.run(|| nap(5)).unwrap();
        nap(1).unwrap();
    });
    assert_eq!((clock.elapsed(), other.elapsed()), (2 * SECOND, 5 * SECOND));
}

#[test]
fn l4_a_thread_without_the_clock_reads_another_one() {
    let clock = SyncClock::new();
    let start = std::time::Instant::now();
    clock.run(|| {
        nap(3600).unwrap();
        let elsewhere = on_a_thread(blocking::now).into_std();
        assert!(elsewhere.duration_since(start) < 3600 * SECOND);
    });
}

#[tokio::test(start_paused = true)]
async fn l4_a_wait_on_a_paused_clock_of_tokios_says_so() {
    let panicked = catch_unwind(|| blocking::sleep(Duration::from_millis(5))).unwrap_err();
    assert!(panicked.downcast_ref::<&str>().unwrap().contains("testing::SyncClock"));
}

// --- U2, U3: cleanup --------------------------------------------------------------------------------------------------

#[test]
fn u3_cleanup_runs_last_first_and_shielded() {
    let (tx, rx) = mpsc::channel();
    let clock = SyncClock::new();
    let late = clock.run(|| -> Result<(), Cancelled> {
        blocking_scope!(timeout = 1s, {
            for step in ["2", "1"] {
                let tx = tx.clone();
                defer_blocking(move || {
                    check().unwrap();
                    nap(5).unwrap();
                    tx.send(step).unwrap();
                });
            }
            nap(60)?;
        })
    });
    assert!(late.is_err());
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(clock.elapsed(), 11 * SECOND);
}

#[test]
fn u3_cleanup_timeout_is_a_deadline_that_cleanup_sees() {
    let clock = SyncClock::new();
    let (tx, rx) = mpsc::channel();
    clock.run(|| {
        blocking_scope!(cleanup_timeout = 2s, {
            defer_blocking(move || tx.send(nap(60).map_err(|late| late.is_timeout())).unwrap());
            nap(1).unwrap();
        })
        .unwrap();
    });
    assert_eq!(rx.try_recv().unwrap(), Err(true));
    assert_eq!(clock.elapsed(), 3 * SECOND);
}

#[test]
fn u3_a_cleanup_that_panics_does_not_keep_the_others_from_running() {
    let (tx, rx) = mpsc::channel();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = blocking_scope!({
            defer_blocking(move || tx.send("the other one").unwrap());
            defer_blocking(|| panic!("in cleanup"));
        });
    }));
    assert_eq!(*panicked.unwrap_err().downcast_ref::<&str>().unwrap(), "in cleanup");
    assert_eq!(rx.try_recv(), Ok("the other one"));
}

#[tokio::test]
async fn u3_blocking_cleanup_of_an_async_scope_runs_on_the_pool() {
    let (tx, rx) = mpsc::channel();
    let here = std::thread::current().id();
    let cut = scope!(|s| {
        let bye = tx.clone();
        defer(async move { bye.send("2 async").unwrap() });
        defer_blocking(move || {
            assert_ne!(std::thread::current().id(), here);
            check().unwrap();
            blocking::sleep(Duration::from_millis(5)).unwrap();
            tx.send("1 blocking").unwrap();
        });
        s.cancel();
        pending::<()>().await
    });
    assert!(cut.is_err());
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), ["1 blocking", "2 async"]);
}

#[test]
fn u3_outside_of_every_scope_cleanup_has_nowhere_to_go() {
    let panicked = catch_unwind(|| defer_blocking(|| ())).unwrap_err();
    assert!(panicked.downcast_ref::<String>().is_none());
    assert!(panicked.downcast_ref::<&str>().unwrap().contains("`defer_blocking` was called outside"));
}

#[test]
fn u3_a_guard_cleans_up_where_it_is_dropped_and_is_shielded() {
    let (clock, log) = (SyncClock::new(), RefCell::new(Vec::new()));
    let say = |what| log.borrow_mut().push((what, clock.elapsed().as_secs()));
    let late = clock.run(|| -> Result<(), Cancelled> {
        blocking_scope!(timeout = 1s, {
            let _conn = guard_blocking("conn", |name| {
                nap(4).unwrap();
                say(name);
            });
            let kept = guard_blocking(1, |_| unreachable!("it was disarmed"));
            assert_eq!(kept.into_inner(), 1);
            nap(60)?;
        })
    });
    say("left");
    assert!(late.is_err());
    assert_eq!(*log.borrow(), [("conn", 5), ("left", 5)]);
}

#[test]
fn u3_a_guard_that_panics_in_a_panic_is_a_later_failure() {
    let mut handle = None;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = blocking_scope!(|s| {
            handle = Some(s.handle());
            let _guard = guard_blocking((), |()| panic!("in the guard"));
            panic!("in the body");
        });
    }));
    let first = *panicked.unwrap_err().downcast_ref::<&str>().unwrap();
    let later = handle.unwrap().suppressed();
    assert_eq!((first, later[0].text()), ("in the body", "in the guard"));
}
