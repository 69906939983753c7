//! Handles, spawners and watchers: what can be done to a scope from elsewhere, and when it is too late.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use scope_runtime::{
    Cancelled, Cause, Closed, InScope, ScopeHandle, Spawner, cancel_scope, cancelled, current, defer,
    is_cancelled, scope, shield, spawn, try_current,
};
use scope_tests::probe::{Log, ms, on_a_thread, outside, sleep};

fn can_be_shared_and_kept<T: Clone + Send + Sync + 'static>() {}

// --- handles from anywhere ---------------------------------------------------------------------------------

#[test]
fn handles_and_spawners_can_be_shared_and_kept() {
    can_be_shared_and_kept::<ScopeHandle>();
    can_be_shared_and_kept::<Spawner<Infallible>>();
    can_be_shared_and_kept::<Spawner<std::rc::Rc<()>>>();
}

#[tokio::test(start_paused = true)]
async fn a_handle_cancels_from_the_body_a_task_and_a_thread() {
    let log = Log::new();
    for from in ["body", "child", "task", "thread"] {
        let cut = scope!(|s| {
            let _end = log.guard(format!("cut from {from}"));
            let handle = s.handle();
            match from {
                "body" => drop(handle.cancel_with(from)),
                "child" => drop(spawn!(async move { handle.cancel_with(from) })),
                "task" => drop(outside(async move { handle.cancel_with(from) })),
                _ => drop(on_a_thread(move || handle.cancel_with(from))),
            }
            pending::<()>().await;
        });
        assert!(cut.unwrap_err().to_string().contains(from));
    }
    log.expect(&["0 cut from body", "0 cut from child", "0 cut from task", "0 cut from thread"]);
}

#[tokio::test(start_paused = true)]
async fn a_clone_is_a_handle_of_the_same_scope() {
    let cut = scope!(|s| {
        let clone = s.handle().clone();
        assert!(clone.cancel());
        assert!(s.is_cancelled() && current().is_cancelled());
        pending::<()>().await;
    });
    assert!(cut.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_handle_knows_name_and_place_of_its_scope() {
    let line = line!() + 1;
    let handle = scope!(name = "fetch", { current() }).unwrap();
    assert_eq!(handle.name(), "fetch");
    assert_eq!((handle.site().file(), handle.site().line()), (file!(), line));
    assert!(format!("{handle:?}").contains("fetch"));
}

#[tokio::test(start_paused = true)]
async fn a_handle_keeps_nothing_running() {
    let log = Log::new();
    let handle = scope!(|s| {
        let child = log.clone();
        spawn!(async move {
            sleep(10).await;
            child.say("child done");
        });
        s.handle()
    });
    log.say("left");
    drop(handle);
    log.expect(&["10 child done", "10 left"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_can_be_used_by_many_threads_at_once() {
    for _ in 0..50 {
        let barrier = Arc::new(Barrier::new(4));
        let (done, ended) = mpsc::channel();
        let cut = scope!(|s| {
            for n in 0..4 {
                let (handle, barrier, done) = (s.handle(), Arc::clone(&barrier), done.clone());
                let worker = move || {
                    barrier.wait();
                    let cancelled = match n {
                        0 | 1 => handle.cancel_with(n.to_string()),
                        2 => {
                            handle.set_shield(true);
                            handle.set_shield(false);
                            true
                        }
                        _ => {
                            handle.set_deadline(None);
                            handle.is_cancelled() || !handle.is_closed()
                        }
                    };
                    done.send((n, cancelled)).unwrap();
                };
                spawn_thread(worker);
            }
            pending::<()>().await;
        });
        drop(done);
        let text = cut.unwrap_err().to_string();
        let mut answers: Vec<_> = ended.into_iter().collect();
        answers.sort_unstable();
        assert_eq!(answers.len(), 4);
        // The scope may have been left before the second call: then exactly that one is told so.
        let first = usize::from(text.contains("cancelled: 1 (at "));
        assert!(answers[first].1, "{text}: {answers:?}");
    }
}

fn spawn_thread(f: impl FnOnce() + Send + 'static) {
    drop(std::thread::spawn(f));
}

// --- F7: what cancel() returns -----------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f7_cancel_returns_true_if_the_scope_is_cancelled_by_this_or_an_earlier_call() {
    let cut = scope!(|s| {
        assert!(s.cancel());
        assert!(s.cancel());
        assert!(s.cancel_with("again"));
        assert!(s.cancel_now());
        pending::<()>().await;
    });
    assert!(cut.is_err());
}

#[tokio::test(start_paused = true)]
async fn f7_cancel_returns_true_if_the_deadline_had_passed() {
    let cut = scope!(timeout = 10ms, |s| {
        shield!({ sleep(20).await });
        assert!(s.cancel());
        pending::<()>().await;
    });
    assert!(cut.unwrap_err().is_timeout());
}

#[tokio::test(start_paused = true)]
async fn f7_cancel_returns_true_while_the_boundary_waits() {
    let log = Log::new();
    let value = scope!(|s| {
        let handle = s.handle();
        let log = log.clone();
        defer(async move {
            sleep(10).await;
            log.say(format_args!("cancelled: {}", handle.cancel()));
            sleep(10).await;
            log.say("cleanup done");
        });
        7
    });
    assert_eq!(value.unwrap(), 7, "nothing was unwound by it");
    log.expect(&["10 cancelled: true", "20 cleanup done"]);
}

#[tokio::test(start_paused = true)]
async fn f7_cancel_returns_false_if_the_scope_had_been_left() {
    let handle = scope!({ current() }).unwrap();
    assert!(handle.is_closed() && !handle.cancel_called());
    assert!(!handle.cancel());
    assert!(!handle.cancel_with("too late"));
    assert!(!handle.cancel_now());
}

#[tokio::test(start_paused = true)]
async fn f7_cancel_returns_false_if_a_cancelled_scope_had_been_left() {
    let mut handle = None;
    let cut = scope!(|s| {
        handle = Some(s.handle());
        s.cancel();
        pending::<()>().await;
    });
    assert!(cut.is_err());
    assert!(!handle.unwrap().cancel());
}

#[tokio::test(start_paused = true)]
async fn f7_cancelling_a_scope_that_was_left_sets_its_flag_and_does_nothing_else() {
    let log = Log::new();
    scope!(name = "outer", {
        let inner = scope!(name = "inner", { current() }).unwrap();
        assert!(!inner.is_cancelled());
        assert!(!inner.cancel());
        assert!(inner.cancel_called() && inner.is_cancelled());
        assert!(!is_cancelled() && !current().is_cancelled());
        sleep(10).await;
        log.say("the outer scope went on");
    })
    .unwrap();
    log.expect(&["10 the outer scope went on"]);
}

// --- F7: spawning ------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f7_spawning_into_a_cancelled_scope_is_allowed_and_the_child_runs_to_its_first_suspension() {
    let log = Log::new();
    let cut = scope!(|s| {
        s.cancel();
        let child = log.clone();
        let task = s.spawner().spawn(async move {
            child.say("started");
            let _end = child.guard("child gone");
            sleep(10).await;
            child.say("not reached");
        });
        assert!(task.is_ok());
        shield!({ assert!(task.unwrap().await.is_err()) });
    });
    assert!(cut.is_err());
    log.expect(&["0 started", "0 child gone"]);
}

#[tokio::test(start_paused = true)]
async fn f7_a_spawner_reaches_a_scope_whose_body_is_gone_until_it_is_left() {
    let log = Log::new();
    let value = scope!(|s| {
        let (spawner, cleanup) = (s.spawner(), log.clone());
        defer(async move {
            let child = cleanup.clone();
            let task = spawner.spawn(async move {
                sleep(10).await;
                child.say("child done");
            });
            assert!(task.is_ok());
            cleanup.say("cleanup done");
        });
        7
    });
    assert_eq!(value.unwrap(), 7);
    log.say("left");
    log.expect(&["0 cleanup done", "10 child done", "10 left"]);
}

#[tokio::test(start_paused = true)]
async fn f7_spawning_into_a_scope_that_was_left_gives_the_future_back() {
    let log = Log::new();
    let spawner = scope!(|s| { s.spawner() }).unwrap();
    let future = {
        let log = log.clone();
        async move {
            log.say("ran");
            7
        }
    };
    let closed = spawner.spawn(future).unwrap_err();
    assert_eq!(closed.to_string(), "the scope was left; nothing can be spawned into it");
    sleep(10).await;
    log.expect(&[]);
    assert_eq!(closed.into_inner().await, 7);
    log.expect(&["10 ran"]);
}

#[tokio::test(start_paused = true)]
async fn f7_closed_is_an_error_that_can_be_passed_on() {
    fn spawn_late(spawner: &Spawner<Infallible>) -> Result<(), Box<dyn std::error::Error>> {
        let _task = spawner.spawn(std::future::ready(7_u8))?;
        Ok(())
    }
    let spawner = scope!(|s| { s.spawner() }).unwrap();
    let error = spawn_late(&spawner).unwrap_err();
    assert!(error.downcast_ref::<Closed<std::future::Ready<u8>>>().is_some());
}

// --- spawners ----------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_spawner_spawns_from_a_thread_and_from_a_task_outside() {
    let log = Log::new();
    scope!(name = "host", |s| {
        let (from_thread, from_task) = (s.spawner(), s.spawner().clone());
        let child = log.clone();
        on_a_thread(move || {
            let child = async move {
                sleep(10).await;
                child.say(format_args!("from a thread, in {}", current().name()));
            };
            assert!(from_thread.spawn(child).is_ok());
        });
        let child = log.clone();
        outside(async move {
            let child = async move {
                sleep(20).await;
                child.say(format_args!("from a task, in {}", current().name()));
            };
            assert!(from_task.spawn(child).is_ok());
        });
        tokio::task::yield_now().await;
    })
    .unwrap();
    log.say("left");
    log.expect(&["10 from a thread, in host", "20 from a task, in host", "20 left"]);
}

#[tokio::test(start_paused = true)]
async fn a_spawners_fallible_child_fails_the_scope_with_the_functions_error() {
    #[derive(Debug)]
    struct AppError(String);
    impl From<std::num::ParseIntError> for AppError {
        fn from(error: std::num::ParseIntError) -> Self {
            Self(format!("parse: {error}"))
        }
    }
    impl From<Cancelled> for AppError {
        fn from(cancelled: Cancelled) -> Self {
            Self(cancelled.to_string())
        }
    }

    #[cancel_scope(scope = s)]
    async fn parse(log: &Log) -> Result<(), AppError> {
        let spawner: Spawner<AppError> = s.spawner();
        let good = spawner.spawn(async { "7".parse::<u8>() }).unwrap();
        assert_eq!(good.await?, 7);
        let _bad = spawner.spawn(async {
            sleep(10).await;
            "seven".parse::<u8>()
        });
        let _end = log.guard("body gone");
        pending().await
    }
    let log = Log::new();
    assert_eq!(parse(&log).await.unwrap_err().0, "parse: invalid digit found in string");
    log.expect(&["10 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_spawner_names_its_children() {
    scope!(|s| {
        let task = s.spawner().spawn_named(format!("worker {}", 1), async { 7 }).unwrap();
        assert_eq!(task.name(), "worker 1");
        assert_eq!(task.await.unwrap(), 7);
        assert_eq!(s.spawner().spawn(async {}).unwrap().name(), "task");
        assert_eq!(s.spawner().handle().name(), current().name());
    })
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn spawn_in_reaches_a_scope_from_a_helper_function() {
    fn helper<R>(s: &scope_runtime::Scope<R>, log: &Log) -> scope_runtime::Task<u8> {
        let child = log.clone();
        spawn!(in s, async move {
            sleep(10).await;
            child.say(format_args!("in {}", current().name()));
            7
        })
    }
    let log = Log::new();
    let value = scope!(name = "host", |s| { helper(s, &log).await.unwrap() });
    assert_eq!(value.unwrap(), 7);
    log.expect(&["10 in host"]);
}

// --- the first reason --------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn l6_the_first_reason_wins_whoever_gives_the_second() {
    let cut = scope!(|s| {
        let handle = s.handle();
        on_a_thread(move || handle.cancel_with("first"));
        s.cancel_with("second");
        s.cancel_now();
        pending::<()>().await;
    });
    let cancelled = cut.unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Explicit { reason: Some(reason), .. } if reason == "first"));
}

#[tokio::test(start_paused = true)]
async fn l6_a_cancel_without_a_reason_that_was_first_stays_without_one() {
    let cut = scope!(|s| {
        s.cancel();
        s.cancel_with("second");
        pending::<()>().await;
    });
    assert!(matches!(cut.unwrap_err().cause(), Cause::Explicit { reason: None, .. }));
}

// --- watchers ----------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn cancelled_of_a_handle_resolves_at_the_own_cancel() {
    let log = Log::new();
    let cut = scope!(|s| {
        let (handle, watcher) = (s.handle(), log.clone());
        outside(async move {
            handle.cancelled().await;
            watcher.say("seen");
        });
        sleep(10).await;
        s.cancel();
        shield!({ sleep(10).await });
        log.say("behind the shield");
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 seen", "20 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_of_a_handle_resolves_at_the_own_deadline() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, |s| {
        let (handle, watcher) = (s.handle(), log.clone());
        outside(async move {
            handle.cancelled().await;
            watcher.say("seen");
        });
        shield!({ sleep(30).await });
        log.say("behind the shield");
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 seen", "30 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_of_a_handle_resolves_at_the_cancel_of_an_outer_scope() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let _ = scope!(|inner| {
            let (handle, watcher) = (inner.handle(), log.clone());
            outside(async move {
                handle.cancelled().await;
                watcher.say("seen");
            });
            shield!({ sleep(30).await });
            log.say("behind the shield");
            pending::<()>().await;
        });
    });
    assert!(outer.is_err());
    log.expect(&["10 seen", "30 behind the shield"]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_of_a_shielded_scope_does_not_resolve_at_an_outer_cancel_but_when_the_shield_is_turned_off()
{
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        let _ = scope!(shield, |inner| {
            let (handle, watcher) = (inner.handle(), log.clone());
            outside(async move {
                handle.cancelled().await;
                watcher.say("seen");
            });
            sleep(20).await;
            log.say("shield off");
            inner.set_shield(false);
            shield!({ sleep(10).await });
            pending::<()>().await;
        });
    });
    assert!(outer.is_err());
    log.expect(&["20 shield off", "20 seen"]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_of_a_handle_resolves_when_the_scope_is_left() {
    let log = Log::new();
    let watcher = scope!(|s| {
        let (handle, watcher) = (s.handle(), log.clone());
        let watcher = outside(async move {
            handle.cancelled().await;
            watcher.say(format_args!("seen, cancelled: {}", handle.is_cancelled()));
        });
        sleep(10).await;
        watcher
    });
    log.say("left");
    watcher.unwrap().await.unwrap();
    log.expect(&["10 left", "10 seen, cancelled: false"]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_of_a_handle_of_a_scope_that_was_left_is_ready() {
    let handle = scope!({ current() }).unwrap();
    handle.cancelled().await;
    handle.delivered().await;
}

#[tokio::test(start_paused = true)]
async fn many_watchers_are_all_woken() {
    let log = Log::new();
    let cut = scope!(|s| {
        for n in 0..3 {
            let (handle, watcher) = (s.handle(), log.clone());
            outside(async move {
                handle.cancelled().await;
                watcher.say(format_args!("watcher {n}"));
            });
        }
        sleep(10).await;
        s.cancel();
        pending::<()>().await;
    });
    assert!(cut.is_err());
    tokio::task::yield_now().await;
    log.expect(&["10 watcher 0", "10 watcher 1", "10 watcher 2"]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_in_the_body_completes_and_wins_over_the_delivery() {
    let log = Log::new();
    let value = scope!(timeout = 10ms, {
        cancelled().await;
        log.say("seen");
        7
    });
    assert_eq!(value.unwrap(), 7);
    log.expect(&["10 seen"]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_in_a_child_completes_and_wins_over_the_delivery() {
    let log = Log::new();
    let value = scope!(timeout = 10ms, {
        let child = log.clone();
        let task = spawn!(async move {
            cancelled().await;
            child.say("seen");
            7
        });
        shield!({ task.await.unwrap() })
    });
    assert_eq!(value.unwrap(), 7);
    log.expect(&["10 seen"]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_inside_a_shield_does_not_see_the_outer_cancel() {
    let log = Log::new();
    let outer = scope!(timeout = 10ms, {
        shield!({
            tokio::select! {
                () = cancelled() => log.say("not reached"),
                () = sleep(30) => log.say("slept"),
            }
        });
    });
    assert!(outer.is_ok());
    log.expect(&["30 slept"]);
}

#[tokio::test(start_paused = true)]
async fn cancelled_outside_of_every_scope_never_resolves() {
    let log = Log::new();
    tokio::select! {
        () = cancelled() => log.say("not reached"),
        () = sleep(10) => log.say("slept"),
    }
    log.expect(&["10 slept"]);
}

#[tokio::test(start_paused = true)]
async fn delivered_resolves_when_the_body_is_gone_while_cleanup_still_runs() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, |s| {
        let (handle, watcher) = (s.handle(), log.clone());
        outside(async move {
            handle.delivered().await;
            watcher.say(format_args!("delivered, closed: {}", handle.is_closed()));
        });
        let cleanup = log.clone();
        defer(async move {
            sleep(20).await;
            cleanup.say("cleanup done");
        });
        let _end = log.guard("body gone");
        pending::<()>().await;
    });
    log.say("left");
    assert!(cut.is_err());
    log.expect(&["10 body gone", "10 delivered, closed: false", "30 cleanup done", "30 left"]);
}

#[tokio::test(start_paused = true)]
async fn delivered_resolves_when_the_body_ended_while_children_still_run() {
    let log = Log::new();
    scope!(|s| {
        let (handle, watcher) = (s.handle(), log.clone());
        outside(async move {
            handle.delivered().await;
            watcher.say(format_args!("delivered, closed: {}", handle.is_closed()));
        });
        let child = log.clone();
        spawn!(async move {
            sleep(30).await;
            child.say("child done");
        });
        sleep(10).await;
    })
    .unwrap();
    log.say("left");
    log.expect(&["10 delivered, closed: false", "30 child done", "30 left"]);
}

#[tokio::test(start_paused = true)]
async fn delivered_does_not_resolve_while_a_shield_holds_the_body() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, |s| {
        let (handle, watcher) = (s.handle(), log.clone());
        outside(async move {
            handle.delivered().await;
            watcher.say("delivered");
        });
        shield!({ sleep(30).await });
        log.say("behind the shield");
        pending::<()>().await;
    });
    assert!(cut.is_err());
    tokio::task::yield_now().await;
    log.expect(&["30 behind the shield", "30 delivered"]);
}

/// A waker that uses the library as it wakes.
struct Meddler {
    handle: ScopeHandle,
    woken: AtomicUsize,
}

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        if self.woken.fetch_add(1, Ordering::Relaxed) > 0 {
            return; // what it does below wakes it again
        }
        assert!(self.handle.is_cancelled());
        assert!(self.handle.cancel());
        self.handle.set_shield(true);
        self.handle.set_deadline(None);
        assert_eq!((self.handle.remaining(), self.handle.suppressed()), (Some(ms(0)), Vec::new()));
        let _ = (try_current(), is_cancelled());
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_may_use_the_library() {
    let (tx, rx) = mpsc::channel();
    let mut body = Box::pin(async move {
        scope!(|s| {
            tx.send(s.handle()).unwrap();
            cancelled().await;
            pending::<()>().await;
        })
    });
    assert!(body.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let handle: ScopeHandle = rx.recv().unwrap();
    let meddler = Arc::new(Meddler { handle: handle.clone(), woken: AtomicUsize::new(0) });
    let waker = Waker::from(Arc::clone(&meddler));
    let mut watcher = Box::pin({
        let handle = handle.clone();
        async move { handle.cancelled().await }
    });
    assert!(body.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(watcher.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(handle.cancel());
    assert!(meddler.woken.load(Ordering::Relaxed) >= 1);
    assert!(watcher.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
    let Poll::Ready(cut) = body.as_mut().poll(&mut Context::from_waker(&waker)) else { panic!("it was cut") };
    assert!(cut.is_err());
}

// --- current -----------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn current_is_the_innermost_scope() {
    let names = scope!(name = "outer", {
        let inner = scope!(name = "inner", { current().name() }).unwrap();
        [inner, current().name()]
    });
    assert_eq!(names.unwrap(), ["inner", "outer"]);
}

#[tokio::test(start_paused = true)]
async fn current_in_a_child_task_is_the_scope_that_it_was_spawned_into() {
    let name = scope!(name = "host", {
        let task = spawn!(name = "worker", async { current().name().into_owned() });
        task.await.unwrap()
    });
    assert_eq!(name.unwrap(), "host");
}

#[tokio::test(start_paused = true)]
async fn cancelling_current_in_a_child_task_cancels_its_scope() {
    let log = Log::new();
    let cut = scope!({
        let sibling = log.clone();
        spawn!(async move {
            let _end = sibling.guard("sibling gone");
            pending::<()>().await;
        });
        spawn!(async {
            sleep(10).await;
            assert!(current().cancel());
        });
        let _end = log.guard("body gone");
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect_unordered(&["10 body gone", "10 sibling gone"]);
}

#[tokio::test(start_paused = true)]
async fn current_in_a_shield_is_the_enclosing_scope() {
    let names = scope!(name = "outer", {
        shield!({
            let in_shield = current().name();
            let task = spawn!(async { current().name().into_owned() });
            (in_shield, task.await.unwrap())
        })
    });
    let (in_shield, in_child) = names.unwrap();
    assert_eq!((&*in_shield, &*in_child), ("outer", "outer"));
}

#[tokio::test(start_paused = true)]
async fn a_child_in_a_shield_cancels_the_enclosing_scope() {
    let log = Log::new();
    let cut = scope!(name = "outer", {
        shield!({
            spawn!(async { assert!(current().cancel()) });
            sleep(10).await;
            log.say("shield done");
        });
        sleep(1).await;
        log.say("not reached");
    });
    assert_eq!(cut.unwrap_err().scope_name(), "outer");
    log.expect(&["10 shield done"]);
}

#[tokio::test(start_paused = true)]
async fn current_in_a_cleanup_is_the_scope_that_it_runs_for() {
    let log = Log::new();
    let cut = scope!(timeout = 10ms, name = "host", {
        let cleanup = log.clone();
        defer(async move {
            cleanup.say(format_args!("cleanup of {}", current().name()));
            assert!(current().is_cancelled(), "the scope is");
            assert!(!is_cancelled(), "its cleanup is shielded");
            let inner = scope!(name = "in cleanup", { current().name() });
            cleanup.say(inner.unwrap());
        });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&["10 cleanup of host", "10 in cleanup"]);
}

#[tokio::test(start_paused = true)]
async fn current_in_a_guest_is_the_scope_that_it_was_put_under() {
    let name = scope!(name = "host", |s| {
        let guest = async { current().name().into_owned() }.in_scope(s.handle());
        scope!(name = "other", { guest.await.unwrap() }).unwrap()
    });
    assert_eq!(name.unwrap(), "host");
}

#[tokio::test(start_paused = true)]
async fn current_in_the_drop_of_a_body_is_its_scope() {
    struct AsksAtDrop(Log);
    impl Drop for AsksAtDrop {
        fn drop(&mut self) {
            let name = try_current().map(|handle| handle.name().into_owned());
            self.0.say(format_args!("dropped in {name:?}"));
        }
    }
    let log = Log::new();
    let cut = scope!(timeout = 10ms, name = "host", {
        let _asks = AsksAtDrop(log.clone());
        pending::<()>().await;
    });
    assert!(cut.is_err());
    log.expect(&[r#"10 dropped in Some("host")"#]);
}

#[tokio::test(start_paused = true)]
async fn outside_of_every_scope_there_is_no_current_one() {
    assert!(try_current().is_none());
    scope!({ assert!(try_current().is_some()) }).unwrap();
    assert!(try_current().is_none());
}

#[test]
fn current_outside_of_every_scope_panics_at_the_callers_place() {
    const THREAD: &str = "without a scope";
    let (tx, rx) = mpsc::channel();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Other tests of this process panic on threads of their own.
        if std::thread::current().name() == Some(THREAD) {
            let at = info.location().expect("every panic has a place");
            tx.send((at.file().to_owned(), at.line())).unwrap();
        } else {
            before(info);
        }
    }));
    let line = line!() + 1;
    let thread = std::thread::Builder::new().name(THREAD.into()).spawn(|| drop(current())).unwrap();
    let payload = thread.join().unwrap_err();
    assert!(payload.downcast_ref::<&str>().unwrap().contains("there is no cancel scope here"));
    assert_eq!(rx.recv().unwrap(), (file!().to_owned(), line));
}

// --- after leaving -----------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn l3_a_deadline_that_is_moved_after_leaving_changes_nothing() {
    let log = Log::new();
    let handle = scope!(timeout = 50ms, { current() }).unwrap();
    handle.set_deadline(log.at(10));
    sleep(20).await;
    assert!(!handle.is_cancelled() && !handle.cancel_called());
    handle.set_deadline(None);
    handle.set_shield(true);
    assert!(handle.is_closed() && !handle.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn l1_a_deadline_that_passes_after_leaving_is_no_cancel() {
    let handle = scope!(timeout = 50ms, { current() }).unwrap();
    sleep(100).await;
    assert!(!handle.is_cancelled() && !handle.cancel_called());
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_was_cancelled_says_so_after_leaving() {
    let mut handle = None;
    let cut = scope!(timeout = 10ms, |s| {
        handle = Some(s.handle());
        pending::<()>().await;
    });
    assert!(cut.is_err());
    let handle = handle.unwrap();
    assert!(handle.is_closed() && handle.is_cancelled() && handle.cancel_called());
    assert_eq!(handle.remaining(), Some(ms(0)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_no_call_for_cancel() {
    async fn fails(handle: &mut Option<ScopeHandle>) -> Result<(), String> {
        let left: Result<(), Cancelled> = scope!(|s| {
            *handle = Some(s.handle());
            spawn!(async { Err::<(), _>("broken".to_owned()) });
            pending::<()>().await;
        });
        unreachable!("{left:?}");
    }
    let mut handle = None;
    assert_eq!(fails(&mut handle).await.unwrap_err(), "broken");
    assert!(!handle.unwrap().cancel_called());
}

// --- F2: later failures ------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn f2_later_failures_can_be_read_from_the_handle() {
    async fn fails(handle: &mut Option<ScopeHandle>) -> Result<(), anyhow::Error> {
        let left: Result<(), Cancelled> = scope!(|s| {
            *handle = Some(s.handle());
            spawn!(name = "first", async {
                sleep(10).await;
                Err::<(), _>(std::io::Error::other("the first one"))
            });
            spawn!(name = "second", async {
                shield!({ sleep(20).await });
                Err::<(), _>("seven".parse::<u8>().unwrap_err())
            });
            spawn!(name = "third", async {
                shield!({ sleep(30).await });
                boom(7).await;
            });
            pending::<()>().await;
        });
        unreachable!("{left:?}");
    }
    async fn boom(n: u8) {
        panic!("boom {n}");
    }
    let log = Log::new();
    let mut handle = None;
    let error = fails(&mut handle).await.unwrap_err();
    log.say(error);
    let later: Vec<_> = handle.unwrap().suppressed().iter().map(|f| (f.to_string(), f.is_panic())).collect();
    let second = "second failed: invalid digit found in string".to_owned();
    assert_eq!(later, [(second, false), ("third panicked: boom 7".to_owned(), true)]);
    log.expect(&["30 the first one"]);
}

#[tokio::test(start_paused = true)]
async fn f2_nothing_is_suppressed_where_nothing_failed_twice() {
    let handle = scope!({
        spawn!(async {});
        current()
    });
    assert_eq!(handle.unwrap().suppressed(), []);
}
