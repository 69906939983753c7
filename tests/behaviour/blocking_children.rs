//! Y1, Y2, F1-F4, F8, F9: children on threads, of sync scopes and of async ones.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::Duration;

use scope_runtime::testing::SyncClock;
use scope_runtime::{
    Cancelled, Cause, Scope, ScopeHandle, Task, blocking, blocking_scope, cancel_scope, check, current,
    defer_blocking, root, scope, shield, spawn, spawn_blocking,
};
use scope_tests::probe::outside;
use tokio::sync::oneshot;

use crate::report::Events;

const SECOND: Duration = Duration::from_secs(1);
const FOR_EVER: Duration = Duration::from_secs(3600);

fn nap(seconds: u32) -> Result<(), Cancelled> {
    blocking::sleep(seconds * SECOND)
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("stopped")]
    Cancelled(#[from] Cancelled),
}

// --- Y2: threads of a sync scope --------------------------------------------------------------------------------------

#[test]
fn y2_child_threads_borrow_from_outside_of_the_scope() {
    let rows = ["a".to_owned(), "bc".to_owned()];
    let mut last = String::new();
    let total = AtomicU32::new(0);
    let lengths = blocking_scope!({
        spawn_blocking!(|| last.push_str(&rows[1]));
        let tasks: Vec<Task<&str>> = rows
            .iter()
            .map(|row| {
                let total = &total;
                spawn_blocking!(move || {
                    total.fetch_add(row.len() as u32, Ordering::Relaxed);
                    row.as_str()
                })
            })
            .collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(lengths.unwrap(), ["a", "bc"]);
    assert_eq!((last.as_str(), total.into_inner()), ("bc", 3));
}

#[test]
fn y2_in_a_function_they_borrow_the_parameters() {
    #[cancel_scope]
    fn sum(rows: Vec<u32>, more: &mut u32) -> Result<u32, Cancelled> {
        let left = spawn_blocking!(|| rows[..rows.len() / 2].iter().sum::<u32>());
        spawn_blocking!(|| *more += 1);
        let right = rows[rows.len() / 2..].iter().sum::<u32>();
        Ok(left.join()? + right)
    }
    let mut more = 0;
    assert_eq!(sum(vec![1, 2, 3, 4], &mut more).unwrap(), 10);
    assert_eq!(more, 1);
}

#[test]
fn f1_a_sync_boundary_joins_its_threads() {
    let clock = SyncClock::new();
    let ended = AtomicBool::new(false);
    clock.run(|| {
        blocking_scope!({
            spawn_blocking!(|| {
                nap(5).unwrap();
                ended.store(true, Ordering::Relaxed);
            });
        })
        .unwrap();
        assert!(ended.load(Ordering::Relaxed));
    });
    assert_eq!(clock.elapsed(), 5 * SECOND);
}

#[test]
fn u2_children_end_before_cleanup_runs() {
    let clock = SyncClock::new();
    let (tx, rx) = mpsc::channel();
    clock.run(|| {
        blocking_scope!({
            let (child, own, outer) = (tx.clone(), tx.clone(), tx.clone());
            defer_blocking(move || outer.send("3 scope").unwrap());
            spawn_blocking!(move || {
                // A child is a frame of its own.
                defer_blocking(move || own.send("2 child").unwrap());
                nap(1).unwrap();
                child.send("1 child ends").unwrap();
            });
        })
        .unwrap();
    });
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), ["1 child ends", "2 child", "3 scope"]);
}

#[test]
fn f2_the_first_failure_leaves_with_its_own_type() {
    let clock = SyncClock::new();
    fn work() -> Result<(), Error> {
        let _ = blocking_scope!(|s| {
            let cut = spawn_blocking!(name = "cut", || nap(60));
            spawn_blocking!(name = "write", || {
                nap(2)?;
                Err::<(), Error>(io::Error::other("disk full").into())
            });
            spawn_blocking!(name = "late", || {
                shield!({ nap(3).unwrap() });
                Err::<(), _>(io::Error::other("too late"))
            });
            let handle = s.handle();
            defer_blocking(move || assert_eq!(handle.suppressed()[0].to_string(), "late failed: too late"));
            cut.join()?; // follows from the failure
        });
        unreachable!("the failure left the function");
    }
    let error = clock.run(work).unwrap_err();
    assert!(matches!(error, Error::Io(ref error) if error.to_string() == "disk full"), "{error}");
    assert_eq!(clock.elapsed(), 3 * SECOND);
}

#[test]
fn f2_a_childs_panic_is_resumed_with_its_payload() {
    let clock = SyncClock::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        clock.run(|| {
            let _ = blocking_scope!({
                spawn_blocking!(|| nap(60).is_err());
                spawn_blocking!(|| -> () {
                    nap(1).unwrap();
                    std::panic::panic_any(7_u8);
                });
            });
        });
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref::<u8>(), Some(&7));
    assert_eq!(clock.elapsed(), SECOND);
}

#[test]
fn f3_a_handle_says_how_its_child_ended() {
    let mut failed = None;
    let result = (|| -> Result<(), io::Error> {
        let _ = blocking_scope!({
            let task = spawn_blocking!(|| Err::<u8, _>(io::Error::other("no")));
            failed = Some(task);
        });
        Ok(())
    })();
    assert_eq!(result.unwrap_err().to_string(), "no");
    assert!(matches!(failed.unwrap().join().unwrap_err().cause(), Cause::TaskFailed { .. }));
}

#[test]
fn f3_one_child_is_cancelled_through_its_handle() {
    let clock = SyncClock::new();
    let value = clock.run(|| -> Result<&str, Cancelled> {
        blocking_scope!({
            let task = spawn_blocking!(|| nap(60));
            assert!(task.cancel());
            assert!(matches!(task.join().unwrap_err().cause(), Cause::Task { .. }));
            "the scope goes on"
        })
    });
    assert_eq!(value.unwrap(), "the scope goes on");
    assert_eq!(clock.elapsed(), Duration::ZERO);
}

#[test]
fn f4_any_other_output_goes_to_the_handle() {
    #[derive(Debug, PartialEq)]
    struct NotStatic<'a>(&'a str);
    let text = "text".to_owned();
    let value = blocking_scope!({
        let plain = spawn_blocking!(|| NotStatic(&text));
        let optional = spawn_blocking!(|| text.parse::<u8>().ok());
        let diverging = spawn_blocking!(background, || {
            loop {
                if check().is_err() {
                    break;
                }
            }
        });
        drop(diverging);
        (plain.join().unwrap(), optional.join().unwrap())
    });
    assert_eq!(value.unwrap(), (NotStatic("text"), None));
}

#[test]
fn f4_a_child_that_says_that_it_was_cancelled_does_not_fail() {
    let clock = SyncClock::new();
    let late = clock.run(|| -> Result<(), Error> {
        let late = blocking_scope!(timeout = 2s, {
            spawn_blocking!(|| -> Result<(), Error> {
                nap(60)?;
                Ok(())
            });
            spawn_blocking!(|| -> io::Result<()> {
                nap(60)?;
                Ok(())
            });
        });
        assert!(late.unwrap_err().is_timeout(), "D6: a child was cut");
        Ok(())
    });
    late.unwrap();
    assert_eq!(clock.elapsed(), 2 * SECOND);
}

#[test]
fn f8_a_background_thread_is_cancelled_at_the_end() {
    let clock = SyncClock::new();
    let beats = AtomicU32::new(0);
    let value = clock.run(|| {
        blocking_scope!({
            spawn_blocking!(background, name = "heartbeat", || {
                while nap(1).is_ok() {
                    beats.fetch_add(1, Ordering::Relaxed);
                }
            });
            blocking::sleep(Duration::from_millis(3500)).unwrap();
            7
        })
    });
    assert_eq!(value.unwrap(), 7, "that is no cancel of the scope");
    assert_eq!(beats.into_inner(), 3);
    assert_eq!(clock.elapsed(), Duration::from_millis(3500));
}

#[test]
fn f7_a_thread_spawned_into_a_scope_that_was_left_never_runs() {
    fn late(s: &Scope<()>, handle: &mut Option<ScopeHandle>) -> Task<()> {
        *handle = Some(s.handle());
        spawn_blocking!(in s, || ())
    }
    let mut handle = None;
    blocking_scope!(|s| { late(s, &mut handle).join().unwrap() }).unwrap();
    assert!(handle.unwrap().is_closed());
}

#[test]
fn a_thread_has_the_name_of_its_child() {
    let name = |task: Task<Option<String>>| task.join().unwrap();
    let names = blocking_scope!({
        let named = spawn_blocking!(name = "worker", || std::thread::current().name().map(str::to_owned));
        let number = 7;
        let computed = spawn_blocking!(name = format!("no. {number}"), || {
            std::thread::current().name().map(str::to_owned)
        });
        (name(named), name(computed))
    });
    assert_eq!(names.unwrap(), (Some("worker".to_owned()), Some("no. 7".to_owned())));
}

#[test]
fn u4_a_return_waits_for_the_threads_and_an_error_cancels_them() {
    fn leave(error: bool) -> Result<u8, Error> {
        let _ = blocking_scope!({
            spawn_blocking!(|| {
                nap(5)?;
                Ok::<_, Error>(())
            });
            if error {
                Err(io::Error::other("no"))?;
            }
            return Ok(1);
        });
        unreachable!();
    }
    let clock = SyncClock::new();
    assert_eq!(clock.run(|| leave(false)).unwrap(), 1);
    assert_eq!(clock.elapsed(), 5 * SECOND);
    assert!(clock.run(|| leave(true)).is_err());
    assert_eq!(clock.elapsed(), 5 * SECOND);
}

#[test]
fn d3_a_wait_for_a_thread_ends_with_the_scope_and_the_boundary_waits_on() {
    let clock = SyncClock::new();
    let late = clock.run(|| -> Result<(), Cancelled> {
        blocking_scope!(timeout = 1s, {
            let slow = spawn_blocking!(|| shield!({ nap(4).unwrap() }));
            let waited = slow.join();
            assert_eq!(clock.elapsed(), SECOND);
            waited?;
        })
    });
    assert!(late.unwrap_err().is_timeout());
    assert_eq!(clock.elapsed(), 4 * SECOND);
}

#[test]
fn a_scope_on_a_thread_may_open_scopes_and_threads_of_its_own() {
    let clock = SyncClock::new();
    let total = clock.run(|| {
        let total = AtomicU32::new(0);
        let late = blocking_scope!(timeout = 5s, {
            for _ in 0..3 {
                let total = &total;
                spawn_blocking!(move || {
                    let _ = blocking_scope!({
                        for _ in 0..3 {
                            spawn_blocking!(|| {
                                while nap(2).is_ok() {
                                    total.fetch_add(1, Ordering::Relaxed);
                                }
                            });
                        }
                    });
                });
            }
        });
        assert!(late.is_ok(), "nobody carried the cancel on");
        total.into_inner()
    });
    assert_eq!((total, clock.elapsed()), (18, 5 * SECOND));
}

// --- Y1: threads of an async scope ------------------------------------------------------------------------------------

#[tokio::test]
async fn y1_an_async_scope_waits_for_its_blocking_children() {
    let (tx, rx) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    scope!({
        let tx = tx.clone();
        spawn_blocking!(move || {
            wait.recv().unwrap();
            tx.send("child").unwrap();
        });
        go.send(()).unwrap();
    })
    .unwrap();
    tx.send("left").unwrap();
    assert_eq!(rx.try_iter().collect::<Vec<_>>(), ["child", "left"]);
}

#[tokio::test]
async fn y1_a_blocking_child_sees_the_async_scopes_cancel() {
    let (started, begun) = oneshot::channel();
    let ended = Arc::new(Mutex::new(None));
    let told = Arc::clone(&ended);
    let cut = async {
        let cut = scope!(name = "outer", |s| {
            spawn_blocking!(name = "child", move || -> Result<(), Error> {
                started.send(()).unwrap();
                let woken = blocking::sleep(FOR_EVER);
                *told.lock().unwrap() = woken.clone().err();
                woken?;
                Ok(())
            });
            begun.await.unwrap();
            s.cancel_with("enough");
            std::future::pending::<()>().await;
        });
        Ok::<_, Error>(cut)
    };
    assert_eq!(cut.await.unwrap().unwrap_err().scope_name(), "outer");
    let cancelled = ended.lock().unwrap().take().unwrap();
    assert_eq!(cancelled.scope_name(), "child");
    assert!(cancelled.to_string().contains("enough"));
}

#[tokio::test]
async fn y1_a_deadline_of_the_async_scope_wakes_its_blocking_children() {
    #[cancel_scope(timeout = "20ms")]
    async fn work() -> Result<(), Error> {
        let task = spawn_blocking!(|| {
            blocking_scope!(timeout = Duration::from_secs(3600), { blocking::sleep(FOR_EVER)? })?;
            Ok::<_, Error>(())
        });
        task.await?;
        Ok(())
    }
    let error = work().await.unwrap_err();
    assert!(matches!(error, Error::Cancelled(cancelled) if cancelled.is_timeout()));
}

#[tokio::test]
async fn f2_a_failure_of_a_blocking_child_leaves_the_async_function() {
    #[cancel_scope]
    async fn work() -> Result<(), Error> {
        spawn_blocking!(|| "x".parse::<u8>().map(drop).map_err(io::Error::other));
        spawn!(std::future::pending::<()>());
        std::future::pending().await
    }
    assert_eq!(work().await.unwrap_err().to_string(), "invalid digit found in string");
}

#[tokio::test]
async fn f2_a_panic_of_a_blocking_child_is_resumed() {
    let job = tokio::spawn(async {
        scope!({
            spawn_blocking!(|| -> () { std::panic::panic_any(7_u8) });
            std::future::pending::<()>().await;
        })
        .unwrap();
    });
    assert_eq!(job.await.unwrap_err().into_panic().downcast_ref::<u8>(), Some(&7));
}

#[tokio::test]
async fn y1_a_blocking_child_waits_for_async_work() {
    let value = scope!({
        let (tx, rx) = oneshot::channel::<u32>();
        let task = spawn_blocking!(move || {
            tokio::runtime::Handle::current(); // it is known here
            blocking::wait(rx).unwrap().unwrap() + 1
        });
        spawn!(async move {
            tokio::task::yield_now().await;
            tx.send(1).unwrap();
        });
        task.await.unwrap()
    });
    assert_eq!(value.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_38_threads_bubble_into_async_code() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let say = {
        let log = Arc::clone(&log);
        move |what: String| log.lock().unwrap().push(what)
    };
    let both = Arc::new(Barrier::new(2));

    let say2 = say.clone();
    let cut = scope!(bubble, name = "async_work", {
        say2("async_work started".to_owned());
        let (say1, first) = (say2.clone(), Arc::clone(&both));
        spawn_blocking!(move || {
            let _ = blocking_scope!(|s| {
                say1("sync_work1 started".to_owned());
                first.wait();
                say1("sync_work1 cancelled manually".to_owned());
                s.cancel();
            });
        });
        let say2 = say2.clone();
        spawn_blocking!(move || {
            let _ = blocking_scope!({
                say2("sync_work2 started".to_owned());
                both.wait();
                let woken = blocking::sleep(FOR_EVER);
                say2(format!("sync_work2 cancelled={}", woken.is_err()));
            });
        });
        std::future::pending::<()>().await;
    });
    assert!(cut.is_err());
    say("async_work cancelled!".to_owned());

    let mut lines = log.lock().unwrap().clone();
    lines[1..3].sort(); // these two may swap
    assert_eq!(
        lines,
        [
            "async_work started",
            "sync_work1 started",
            "sync_work2 started",
            "sync_work1 cancelled manually",
            "sync_work2 cancelled=true",
            "async_work cancelled!",
        ]
    );
}

#[tokio::test]
async fn u5_a_blocking_child_of_a_scope_dropped_from_outside_goes_to_the_root() {
    let (tx, rx) = oneshot::channel();
    let (begun, has_begun) = oneshot::channel();
    let job = tokio::spawn(async move {
        scope!({
            spawn_blocking!(move || {
                begun.send(()).unwrap();
                tx.send(blocking::sleep(FOR_EVER).is_err()).unwrap();
            });
            std::future::pending::<()>().await;
        })
    });
    has_begun.await.unwrap();
    job.abort();
    assert!(job.await.unwrap_err().is_cancelled());
    root::wait_idle().await;
    assert!(rx.await.unwrap());
}

// --- F9: children that never ask --------------------------------------------------------------------------------------

/// Says that it was dropped.
struct Noisy(Arc<AtomicBool>);

impl Drop for Noisy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn row_46_a_thread_can_not_be_killed_so_its_boundary_waits() {
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let ended = Arc::new(AtomicBool::new(false));
    let at_end = Arc::clone(&ended);
    let cut = scope!(|s| {
        spawn_blocking!(move || {
            begun.send(()).unwrap();
            wait.recv().unwrap(); // never asks
            at_end.store(true, Ordering::SeqCst);
        });
        has_begun.await.unwrap();
        s.cancel();
        drop(outside(async move { go.send(()).unwrap() }));
        std::future::pending::<()>().await;
    });
    assert!(cut.is_err() && ended.load(Ordering::SeqCst));
}

#[tokio::test]
async fn f9_an_abandoned_thread_goes_to_the_root() {
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let dropped = Arc::new(AtomicBool::new(false));
    let noisy = Noisy(Arc::clone(&dropped));
    let mut task = None;
    let cut = scope!(name = "outer", |s| {
        task = Some(spawn_blocking!(abandon, name = "stubborn", move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
            noisy
        }));
        has_begun.await.unwrap();
        s.cancel();
        std::future::pending::<()>().await;
    });
    assert_eq!(cut.unwrap_err().scope_name(), "outer"); // it was left, though the thread runs
    let cancelled = task.unwrap().await.err().unwrap();
    assert!(matches!(cancelled.cause(), Cause::Parent(parent) if parent.scope_name() == "outer"));
    assert_eq!(root::count(), 1);
    assert!(!dropped.load(Ordering::SeqCst));
    go.send(()).unwrap();
    root::wait_idle().await;
    assert_eq!(root::count(), 0);
    assert!(dropped.load(Ordering::SeqCst), "its result is dropped");
}

#[tokio::test]
async fn f9_without_a_cancel_it_is_a_child_like_any_other() {
    let value = scope!({
        let task = spawn_blocking!(abandon, || 7);
        task.await.unwrap()
    });
    assert_eq!((value.unwrap(), root::count()), (7, 0));
}

#[tokio::test]
async fn f9_what_an_abandoned_thread_fails_with_fails_nobody() {
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let result = async {
        let cut = scope!(|s| {
            spawn_blocking!(abandon, move || {
                begun.send(()).unwrap();
                wait.recv().unwrap();
                Err::<(), _>(io::Error::other("too late"))
            });
            has_begun.await.unwrap();
            s.cancel();
            std::future::pending::<()>().await;
        });
        Ok::<_, Error>(cut.is_err())
    };
    assert!(result.await.unwrap());
    go.send(()).unwrap();
    root::wait_idle().await;
}

#[test]
fn f9_f2_what_an_abandoned_thread_fails_with_is_reported() {
    // The one thread of the pool keeps what is reported on it.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let events = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&events);
    let warnings = runtime.block_on(async {
        let result = async {
            let cut = scope!(|s| {
                spawn_blocking!(abandon, move || {
                    *kept.lock().unwrap() = Some(Events::record());
                    begun.send(()).unwrap();
                    wait.recv().unwrap();
                    Err::<(), _>(io::Error::other("too late"))
                });
                has_begun.await.unwrap();
                s.cancel();
                std::future::pending::<()>().await;
            });
            Ok::<_, Error>(cut.is_err())
        };
        assert!(result.await.unwrap());
        go.send(()).unwrap();
        root::wait_idle().await;
        let warnings = move || events.lock().unwrap().take().unwrap().warnings();
        tokio::task::spawn_blocking(warnings).await.unwrap()
    });
    let told: Vec<_> = warnings.iter().filter(|text| text.contains("too late")).collect();
    assert_eq!(told.len(), 1, "{warnings:?}");
}

#[tokio::test]
async fn f9_a_soft_cancel_abandons_nobody() {
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let value = scope!(grace = 1h, |s| {
        let task = spawn_blocking!(abandon, move || {
            begun.send(()).unwrap();
            wait.recv().unwrap();
            7
        });
        has_begun.await.unwrap();
        s.cancel();
        assert!(!task.is_finished());
        go.send(()).unwrap();
        task.await.unwrap()
    });
    assert_eq!(value.unwrap(), 7);
}

#[test]
fn f9_a_sync_scope_abandons_too() {
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let cut = (|| -> Result<(), Cancelled> {
        blocking_scope!(timeout = 20ms, {
            let task = spawn_blocking!(abandon, move || {
                begun.send(()).unwrap();
                wait.recv().is_ok()
            });
            has_begun.recv().unwrap();
            task.join()?;
        })
    })();
    assert!(cut.unwrap_err().is_timeout());
    go.send(()).unwrap(); // it still waits
}

#[tokio::test]
async fn f9_a_thread_that_is_spawned_in_a_cancelled_scope_is_let_go_at_once() {
    let (tx, rx) = mpsc::channel::<()>();
    let scope = async {
        scope!(|s| {
            s.cancel();
            let task = spawn_blocking!(abandon, move || rx.recv().unwrap_or_default());
            task.await.unwrap_err()
        })
    };
    let left = tokio::time::timeout(Duration::from_secs(10), scope).await;
    drop(tx);
    assert!(left.expect("the boundary waits for the thread").is_err());
    root::wait_idle().await;
}

#[tokio::test]
async fn f9_what_a_thread_fails_with_after_its_handle_cancelled_it_is_nothing_to_its_scope() {
    let (go, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = oneshot::channel();
    let kept = scope!({
        let task = spawn_blocking!(abandon, move || {
            begun.send(()).unwrap();
            let _ = wait.recv();
            panic!("too late");
        });
        has_begun.await.unwrap();
        task.cancel();
        let cancelled: Cancelled = task.await.map(|(): ()| ()).unwrap_err();
        assert!(matches!(cancelled.cause(), Cause::Task { .. }), "{cancelled}");
        drop(go);
        root::wait_idle().await;
        7
    });
    assert_eq!(kept.unwrap(), 7);
}

// --- shields and mixed code -------------------------------------------------------------------------------------------

#[tokio::test]
async fn s1_a_shield_in_a_blocking_child_is_one_of_sync_code() {
    let saved = Arc::new(AtomicBool::new(false));
    let save = Arc::clone(&saved);
    let cut = scope!(timeout = 5ms, {
        let task = spawn_blocking!(move || {
            shield!({
                check().unwrap();
                blocking::sleep(Duration::from_millis(20)).unwrap();
                save.store(true, Ordering::SeqCst);
            });
            assert!(check().is_err(), "S2: behind it the cancel is seen");
        });
        task.await.unwrap();
    });
    drop(cut);
    assert!(saved.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_closure_in_async_code_is_sync_code() {
    let value = scope!({
        let shielded = |n: u32| shield!({ n + u32::from(check().is_ok()) });
        let scoped = |n: u32| blocking_scope!({ n * 2 }).unwrap();
        let tasks: Vec<_> = (0..2).map(|n| spawn!(async move { n })).collect();
        let mut sum = scoped(shielded(1));
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    });
    assert_eq!(value.unwrap(), 5);
}

#[test]
fn a_body_may_hold_what_is_not_send() {
    let counter = Rc::new(Cell::new(0));
    let value = blocking_scope!({
        let own = Rc::clone(&counter);
        let task = spawn_blocking!(|| 3);
        own.set(task.join().unwrap());
        own.get()
    });
    assert_eq!((value.unwrap(), counter.get()), (3, 3));
}

/// The thread is let go by whoever cancels it, which frees its slot on the spot.
#[tokio::test]
async fn f6_a_background_child_that_waits_at_the_end_does_not_start_when_an_abandoned_one_is_let_go() {
    let (tx, rx) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    scope!(limit = 1, {
        spawn_blocking!(background, abandon, move || rx.recv().unwrap_or_default());
        spawn!(background, async move { started.send(()).unwrap() });
    })
    .unwrap();
    drop(tx);
    root::wait_idle().await;
    assert!(has_started.recv().is_err(), "it was dropped and did not run");
}

#[test]
fn d6_a_child_that_was_cut_takes_the_value_of_a_function_along() {
    #[cancel_scope(timeout = "1s")]
    fn seven() -> Result<u32, Cancelled> {
        spawn_blocking!(|| blocking::sleep(60 * SECOND));
        Ok(7)
    }
    let clock = SyncClock::new();
    assert!(clock.run(seven).unwrap_err().is_timeout());
    assert_eq!(clock.elapsed(), SECOND);
}

#[test]
fn t4_a_body_that_was_told_of_a_cancel_is_a_cancel_for_the_threads_though_a_shield_goes_up() {
    #[cancel_scope]
    fn inner(asked: &Mutex<Option<bool>>) -> Result<(), Cancelled> {
        let own = current();
        spawn_blocking!(move || {
            shield!({ blocking::sleep(SECOND).unwrap() });
            own.set_shield(true);
        });
        spawn_blocking!(|| {
            shield!({ blocking::sleep(2 * SECOND).unwrap() });
            *asked.lock().unwrap() = Some(check().is_err());
        });
        check()
    }
    #[cancel_scope]
    fn outer(asked: &Mutex<Option<bool>>) -> Result<(), Cancelled> {
        current().cancel();
        inner(asked)
    }
    let asked = Mutex::new(None);
    assert!(SyncClock::new().run(|| outer(&asked)).is_err());
    assert_eq!(asked.into_inner().unwrap(), Some(true));
}
