//! What a `Cancelled` says: which scope, why and where (rule W1), and what it becomes (rule W2).
//!
//! Texts are compared as a whole. `line!() + 1` is the line of the statement below.

use std::error::Error;
use std::future::pending;
use std::io;
use std::sync::mpsc;

use scope_runtime::{
    Cancelled, Cause, InScope, Task, cancel_scope, check, current, defer, fail_after, scope, shield, spawn,
};
use scope_tests::probe::{Log, ms, outside, sleep};

/// A place in this file, as errors show it.
fn place(line: u32) -> String {
    format!("{}:{line}", file!())
}

/// The texts of an error and of all its sources.
fn chain(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    texts
}

// --- W1: own causes ----------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn w1_a_timeout_names_the_scope_its_place_and_the_time_it_had() {
    let line = line!() + 1;
    let cut = scope!(timeout = 3s, name = "fetch", { pending::<()>().await });
    let cancelled = cut.unwrap_err();
    assert_eq!(cancelled.to_string(), format!("fetch ({}) cancelled: deadline of 3s passed", place(line)));
    assert_eq!(cancelled.scope_name(), "fetch");
    assert_eq!((cancelled.site().file(), cancelled.site().line()), (file!(), line));
    assert!(matches!(cancelled.cause(), Cause::Deadline { after: Some(after), .. } if *after == ms(3000)));
}

#[tokio::test(start_paused = true)]
async fn w1_a_deadline_that_is_an_instant_has_no_length() {
    let log = Log::new();
    let line = line!() + 1;
    let cut = scope!(deadline = log.at(10), { pending::<()>().await });
    let text = format!("scope ({}) cancelled: deadline passed", place(line));
    assert_eq!(cut.unwrap_err().to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn w1_a_cancel_without_a_reason_says_where_it_was_called() {
    let line = line!() + 1;
    let cut = scope!(|s| {
        s.cancel();
        pending::<()>().await;
    });
    let cancelled = cut.unwrap_err();
    let text = format!("scope ({}) cancelled: requested (at {})", place(line), place(line + 1));
    assert_eq!(cancelled.to_string(), text);
    let Cause::Explicit { reason, at, .. } = cancelled.cause() else { panic!("{cancelled}") };
    assert_eq!((reason.as_deref(), at.file(), at.line()), (None, file!(), line + 1));
}

#[tokio::test(start_paused = true)]
async fn w1_cancel_now_says_where_it_was_called() {
    let line = line!() + 1;
    let cut = scope!(|s| {
        s.cancel_now();
        pending::<()>().await;
    });
    let text = format!("scope ({}) cancelled: requested (at {})", place(line), place(line + 1));
    assert_eq!(cut.unwrap_err().to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn w1_a_cancel_with_a_reason_says_it_and_where_it_was_called() {
    let line = line!() + 1;
    let cut = scope!(name = "fetch", |s| {
        s.cancel_with(format!("{} is enough", 7));
        pending::<()>().await;
    });
    let cancelled = cut.unwrap_err();
    let text = format!("fetch ({}) cancelled: 7 is enough (at {})", place(line), place(line + 1));
    assert_eq!(cancelled.to_string(), text);
    let Cause::Explicit { reason, .. } = cancelled.cause() else { panic!("{cancelled}") };
    assert_eq!(reason.as_deref(), Some("7 is enough"));
}

#[tokio::test(start_paused = true)]
async fn w1_a_cancel_from_elsewhere_says_where_that_is() {
    let scope_line = line!() + 1;
    let cut = scope!({
        let handle = current();
        let call_line = line!() + 1;
        outside(async move { handle.cancel_with(call_line.to_string()) });
        pending::<()>().await;
    });
    let call = place(scope_line + 3);
    let text = format!("scope ({}) cancelled: {} (at {call})", place(scope_line), scope_line + 3);
    assert_eq!(cut.unwrap_err().to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn w1_a_function_is_named_after_itself() {
    #[cancel_scope(timeout = "10ms")]
    async fn fetch() -> Result<(), Cancelled> {
        pending().await
    }
    let line = line!() - 3;
    let text = format!("fetch ({}) cancelled: deadline of 10ms passed", place(line));
    assert_eq!(fetch().await.unwrap_err().to_string(), text);
}

#[tokio::test(start_paused = true)]
async fn w1_a_name_may_be_computed() {
    let mut names = Vec::new();
    for n in 1..=2 {
        let cut = scope!(timeout = 10ms, name = format!("job {n}"), { pending::<()>().await });
        names.push(cut.unwrap_err().scope_name().to_owned());
    }
    assert_eq!(names, ["job 1", "job 2"]);
}

#[tokio::test(start_paused = true)]
async fn w1_fail_after_says_where_it_was_called() {
    let line = line!() + 1;
    let cut = fail_after(ms(10), pending::<()>()).await;
    let text = format!("fail_after ({}) cancelled: deadline of 10ms passed", place(line));
    assert_eq!(cut.unwrap_err().to_string(), text);
}

// --- W1: chains --------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn w1_a_child_names_the_scope_whose_deadline_passed() {
    let mut task: Option<Task<()>> = None;
    let line = line!() + 1;
    let cut = scope!(timeout = 3s, name = "ingest", {
        task = Some(spawn!(name = "fetch", pending::<()>()));
        pending::<()>().await;
    });
    let parent = format!("parent ingest ({}) passed its deadline of 3s", place(line));
    let cancelled = task.unwrap().await.unwrap_err();
    assert_eq!(cancelled.to_string(), format!("fetch ({}) cancelled: {parent}", place(line + 1)));
    assert!(cancelled.is_timeout());
    assert!(matches!(cancelled.root_cause(), Cause::Deadline { .. }));
    let Cause::Parent(parent) = cancelled.cause() else { panic!("{cancelled}") };
    assert_eq!(parent.to_string(), cut.unwrap_err().to_string());
}

#[tokio::test(start_paused = true)]
async fn w1_a_child_names_the_call_that_cancelled_its_scope() {
    let mut task: Option<Task<()>> = None;
    let line = line!() + 1;
    let cut = scope!(name = "ingest", |s| {
        task = Some(spawn!(name = "fetch", pending::<()>()));
        s.cancel_with("disk full");
        pending::<()>().await;
    });
    assert!(cut.is_err());
    let parent = format!("parent ingest ({}) was cancelled at {}: disk full", place(line), place(line + 2));
    let cancelled = task.unwrap().await.unwrap_err();
    assert_eq!(cancelled.to_string(), format!("fetch ({}) cancelled: {parent}", place(line + 1)));
    assert!(!cancelled.is_timeout());
}

#[tokio::test(start_paused = true)]
async fn w1_a_chain_goes_over_nested_scopes_and_child_tasks_to_the_root_cause() {
    let (tx, rx) = mpsc::channel::<Task<()>>();
    let line = line!() + 1;
    let cut = scope!(timeout = 3s, name = "outer", {
        spawn!(name = "worker", async move {
            let _ = scope!(name = "inner", {
                tx.send(spawn!(name = "leaf", pending::<()>())).unwrap();
                pending::<()>().await;
            });
        });
        pending::<()>().await;
    });
    assert!(cut.is_err());
    let cancelled = rx.recv().unwrap().await.unwrap_err();
    let [outer, worker, inner, leaf] = [0, 1, 2, 3].map(|n| place(line + n));
    assert_eq!(
        cancelled.to_string(),
        format!(
            "leaf ({leaf}) cancelled: parent inner ({inner}), parent worker ({worker}), \
             parent outer ({outer}) passed its deadline of 3s"
        )
    );
    assert_eq!(
        chain(&cancelled)[1..],
        [
            format!(
                "parent inner ({inner}), parent worker ({worker}), parent outer ({outer}) \
                 passed its deadline of 3s"
            ),
            format!("parent worker ({worker}), parent outer ({outer}) passed its deadline of 3s"),
            format!("parent outer ({outer}) passed its deadline of 3s"),
            "deadline of 3s passed".to_owned(),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn w1_the_source_of_a_cancelled_is_its_cause_and_the_last_one_the_root_cause() {
    let cut = scope!(|s| {
        s.cancel_with("enough");
        scope!(name = "inner", { check().unwrap_err() }).unwrap()
    });
    let cancelled = cut.unwrap();
    let first = cancelled.source().unwrap().downcast_ref::<Cause>().unwrap();
    assert!(matches!(first, Cause::Parent(parent) if parent.scope_name() == "scope"));
    let last = first.source().unwrap().downcast_ref::<Cause>().unwrap();
    assert!(matches!(last, Cause::Explicit { reason: Some(reason), .. } if reason == "enough"));
    assert!(last.source().is_none());
    assert!(matches!(cancelled.root_cause(), Cause::Explicit { .. }));
}

#[tokio::test(start_paused = true)]
async fn w1_check_names_the_innermost_scope_and_the_way_up() {
    let line = line!() + 1;
    let seen = scope!(timeout = 0s, name = "outer", {
        let inner = scope!(name = "inner", { check().unwrap_err() });
        inner.unwrap()
    });
    let parent = format!("parent outer ({}) passed its deadline of 0ns", place(line));
    assert_eq!(seen.unwrap().to_string(), format!("inner ({}) cancelled: {parent}", place(line + 1)));
}

#[tokio::test(start_paused = true)]
async fn w1_the_nearest_cancelled_scope_is_the_cause() {
    let seen = scope!(name = "outer", |outer| {
        scope!(name = "middle", |middle| {
            scope!(name = "inner", {
                outer.cancel_with("outer reason");
                middle.cancel_with("middle reason");
                check().unwrap_err()
            })
            .unwrap()
        })
        .unwrap()
    });
    let text = seen.unwrap().to_string();
    assert!(text.contains("middle reason") && !text.contains("outer"), "{text}");
}

async fn boom(n: u8) {
    panic!("boom {n}");
}

async fn boom_without_a_text() {
    std::panic::panic_any(7_u8);
}

// --- W1: every cause ---------------------------------------------------------------------------------------

/// What the tasks of a scope say in which one named "culprit" fails after 10 ms.
#[derive(Default)]
struct Failed {
    culprit: Option<Cancelled>,
    sibling: Option<Cancelled>,
    line: u32,
}

async fn fail_in(failed: &mut Failed) -> Result<(), String> {
    let (tx, rx) = mpsc::channel();
    failed.line = line!() + 1;
    let left: Result<(), Cancelled> = scope!(name = "jobs", {
        let culprit = spawn!(name = "culprit", async {
            sleep(10).await;
            Err::<(), _>("broken".to_owned())
        });
        let sibling = spawn!(name = "sibling", pending::<()>());
        shield!({
            failed.culprit = Some(culprit.await.unwrap_err());
            failed.sibling = Some(sibling.await.unwrap_err());
        });
        tx.send("behind the shield").unwrap();
        sleep(1).await;
        tx.send("not reached").unwrap();
    });
    drop(left);
    drop(rx);
    unreachable!("the failure leaves the function");
}

#[tokio::test(start_paused = true)]
async fn w1_task_failed_is_the_cause_of_the_failed_task_and_of_its_siblings() {
    let mut failed = Failed::default();
    assert_eq!(fail_in(&mut failed).await.unwrap_err(), "broken");
    let (culprit, sibling) = (failed.culprit.unwrap(), failed.sibling.unwrap());
    let line = failed.line;
    let text = format!("culprit ({}) cancelled: culprit failed: broken", place(line + 1));
    assert_eq!(culprit.to_string(), text);
    let Cause::TaskFailed { task, text, .. } = culprit.cause() else { panic!("{culprit}") };
    assert_eq!((&**task, &**text), ("culprit", "broken"));
    let parent = format!("parent jobs ({}) failed: culprit: broken", place(line));
    assert_eq!(sibling.to_string(), format!("sibling ({}) cancelled: {parent}", place(line + 5)));
    assert!(matches!(sibling.root_cause(), Cause::TaskFailed { .. }));
    assert!(!sibling.is_timeout());
}

#[tokio::test(start_paused = true)]
async fn w1_task_panicked_is_the_cause_of_the_panicked_task_and_of_its_siblings() {
    let (tx, rx) = mpsc::channel();
    let host = outside(async move {
        let _ = scope!(name = "jobs", {
            let culprit = spawn!(name = "culprit", boom(7));
            let sibling = spawn!(name = "sibling", pending::<()>());
            shield!({
                tx.send(culprit.await.unwrap_err()).unwrap();
                tx.send(sibling.await.unwrap_err()).unwrap();
            });
        });
    });
    let payload = host.await.unwrap_err().into_panic();
    assert_eq!(payload.downcast_ref::<String>().unwrap(), "boom 7");
    let (culprit, sibling): (Cancelled, Cancelled) = (rx.recv().unwrap(), rx.recv().unwrap());
    assert!(matches!(culprit.cause(), Cause::TaskPanicked { .. }));
    assert!(culprit.to_string().ends_with(" cancelled: culprit panicked: boom 7"), "{culprit}");
    assert!(matches!(sibling.root_cause(), Cause::TaskPanicked { task, .. } if task == "culprit"));
    assert!(sibling.to_string().ends_with(" panicked: culprit: boom 7"), "{sibling}");
}

#[tokio::test(start_paused = true)]
async fn w1_a_panic_whose_payload_is_no_text_is_a_cause_all_the_same() {
    let (tx, rx) = mpsc::channel();
    let host = outside(async move {
        let _ = scope!({
            spawn!(name = "culprit", boom_without_a_text());
            let sibling = spawn!(pending::<()>());
            shield!({ tx.send(sibling.await.unwrap_err()).unwrap() });
        });
    });
    let payload = host.await.unwrap_err().into_panic();
    assert_eq!(payload.downcast_ref::<u8>(), Some(&7));
    let sibling: Cancelled = rx.recv().unwrap();
    assert!(sibling.to_string().ends_with(" panicked: culprit: a payload that is no text"), "{sibling}");
}

#[tokio::test(start_paused = true)]
async fn w1_a_function_that_fails_is_the_cause_for_its_children() {
    #[cancel_scope(fallback = unreachable!("nobody cancels it"))]
    async fn fails(task: &mut Option<Task<()>>) -> Result<(), String> {
        *task = Some(spawn!(name = "child", pending::<()>()));
        tokio::task::yield_now().await;
        Err("broken".to_owned())
    }
    let mut task = None;
    assert_eq!(fails(&mut task).await.unwrap_err(), "broken");
    let cancelled = task.unwrap().await.unwrap_err();
    let Cause::TaskFailed { task, text, .. } = cancelled.root_cause() else { panic!("{cancelled}") };
    assert_eq!((&**task, &**text), ("fails", "broken"));
    assert!(cancelled.to_string().ends_with(" failed: fails: broken"), "{cancelled}");
}

#[tokio::test(start_paused = true)]
async fn w1_a_block_that_fails_is_the_cause_for_its_children_with_what_its_error_shows() {
    async fn fails(task: &mut Option<Task<()>>) -> Result<(), String> {
        let left: Result<(), Cancelled> = scope!(name = "body", {
            *task = Some(spawn!(name = "child", pending::<()>()));
            tokio::task::yield_now().await;
            Err::<(), _>("broken".to_owned())?;
        });
        unreachable!("{left:?}");
    }
    let mut task = None;
    assert_eq!(fails(&mut task).await.unwrap_err(), "broken");
    let cancelled = task.unwrap().await.unwrap_err();
    let Cause::TaskFailed { task, text, .. } = cancelled.root_cause() else { panic!("{cancelled}") };
    // The type of the error may not be known yet where a block is compiled, so it is asked what all can be asked.
    assert_eq!((&**task, &**text), ("body", "\"broken\""));
}

#[tokio::test(start_paused = true)]
async fn w1_task_is_the_cause_of_task_cancel_and_says_where_it_was_called() {
    let cut = scope!({
        let line = line!() + 1;
        let task = spawn!(name = "fetch", pending::<()>());
        task.cancel();
        (line, task.await.unwrap_err())
    });
    let (line, cancelled) = cut.unwrap();
    let text = format!("fetch ({}) cancelled: through its handle (at {})", place(line), place(line + 1));
    assert_eq!(cancelled.to_string(), text);
    let Cause::Task { at: Some(at), .. } = cancelled.cause() else { panic!("{cancelled}") };
    assert_eq!(at.line(), line + 1);
}

#[tokio::test(start_paused = true)]
async fn w1_task_is_the_cause_in_the_children_of_a_cancelled_task() {
    let (tx, rx) = mpsc::channel::<Task<()>>();
    let line = scope!({
        let task = spawn!(name = "worker", async move {
            let _ = scope!(name = "inner", {
                tx.send(spawn!(name = "leaf", pending::<()>())).unwrap();
                pending::<()>().await;
            });
        });
        tokio::task::yield_now().await;
        let line = line!() + 1;
        task.cancel();
        line
    });
    let cancelled = rx.recv().unwrap().await.unwrap_err();
    let end = format!(" was cancelled through its handle at {}", place(line.unwrap()));
    assert!(cancelled.to_string().ends_with(&end), "{cancelled}");
    assert!(matches!(cancelled.root_cause(), Cause::Task { .. }));
}

#[tokio::test(start_paused = true)]
async fn w1_task_is_the_cause_of_a_background_task_at_the_end_of_its_scope() {
    let line = line!() + 1;
    let task = scope!({ spawn!(background, name = "ticker", pending::<()>()) });
    let cancelled = task.unwrap().await.unwrap_err();
    let text = format!("ticker ({}) cancelled: background task at the end of its scope", place(line));
    assert_eq!(cancelled.to_string(), text);
    assert!(matches!(cancelled.cause(), Cause::Task { .. }));
}

#[tokio::test(start_paused = true)]
async fn w1_closed_is_the_cause_of_a_guest_whose_scope_was_left() {
    let handle = scope!({ current() }).unwrap();
    let line = line!() + 1;
    let guest = pending::<()>().in_scope(handle);
    let cancelled = guest.await.unwrap_err();
    assert!(matches!(cancelled.cause(), Cause::Closed), "{cancelled}");
    assert_eq!(cancelled.to_string(), format!("guest ({}) cancelled: its scope was left", place(line)));
}

#[tokio::test(start_paused = true)]
async fn w1_dropped_is_the_cause_for_the_children_of_a_scope_that_was_dropped_from_outside() {
    let mut task: Option<Task<()>> = None;
    let line = line!() + 2;
    let future = async {
        let _ = scope!(name = "dropped", {
            task = Some(spawn!(name = "child", pending::<()>()));
            pending::<()>().await;
        });
    };
    assert!(tokio::time::timeout(ms(10), future).await.is_err());
    let cancelled = task.unwrap().await.unwrap_err();
    assert!(matches!(cancelled.root_cause(), Cause::Dropped), "{cancelled}");
    let parent = format!("parent dropped ({}) was dropped", place(line));
    assert_eq!(cancelled.to_string(), format!("child ({}) cancelled: {parent}", place(line + 1)));
    scope_runtime::root::wait_idle().await;
}

#[test]
fn w1_runtime_is_the_cause_of_a_task_whose_runtime_shut_down() {
    let (tx, rx) = mpsc::channel::<(u32, Task<()>)>();
    let gone = tokio::runtime::Builder::new_current_thread().build().unwrap();
    gone.block_on(async {
        outside(async move {
            let _ = scope!({
                let line = line!() + 1;
                tx.send((line, spawn!(name = "child", pending::<()>()))).unwrap();
                pending::<()>().await;
            });
        });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    });
    drop(gone);
    let (line, task) = rx.recv().unwrap();
    let cancelled =
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(task).unwrap_err();
    assert!(matches!(cancelled.root_cause(), Cause::Runtime), "{cancelled}");
    assert_eq!(cancelled.to_string(), format!("child ({}) cancelled: the runtime shut down", place(line)));
}

#[tokio::test(start_paused = true)]
async fn w1_a_child_of_a_spawner_says_where_it_was_spawned() {
    let mut task = None;
    let mut line = 0;
    let cut = scope!(timeout = 10ms, |s| {
        line = line!() + 1;
        task = Some(s.spawner().spawn(pending::<()>()).unwrap());
        pending::<()>().await;
    });
    assert!(cut.is_err());
    let cancelled = task.unwrap().await.unwrap_err();
    assert!(cancelled.to_string().starts_with(&format!("task ({}) cancelled: ", place(line))), "{cancelled}");
}

#[tokio::test(start_paused = true)]
async fn w1_a_cause_stays_as_it_was_for_clones_and_later_readers() {
    let log = Log::new();
    let cut = scope!(|s| {
        let log = log.clone();
        defer(async move {
            sleep(10).await;
            log.say("cleanup done");
        });
        s.cancel_with("first");
        assert_eq!(check().unwrap_err().to_string(), check().unwrap_err().clone().to_string());
        s.cancel_with("second");
        pending::<()>().await;
    });
    let cancelled = cut.unwrap_err();
    assert_eq!(cancelled.to_string(), cancelled.clone().to_string());
    assert!(cancelled.to_string().contains(": first (at "), "{cancelled}");
    assert!(format!("{cancelled:?}").contains("first"));
    log.expect(&["10 cleanup done"]);
}

// --- W2 ----------------------------------------------------------------------------------------------------

async fn late() -> Cancelled {
    scope!(timeout = 10ms, { pending::<()>().await }).unwrap_err()
}

async fn stopped() -> Cancelled {
    let cut = scope!(|s| {
        s.cancel_with("enough");
        pending::<()>().await;
    });
    cut.unwrap_err()
}

/// Cut by a timeout of an outer scope.
async fn late_inside() -> Cancelled {
    let mut task: Option<Task<()>> = None;
    let cut = scope!(timeout = 10ms, {
        task = Some(spawn!(pending::<()>()));
        pending::<()>().await;
    });
    assert!(cut.is_err());
    task.unwrap().await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn w2_is_timeout_asks_for_the_root_cause() {
    assert!(late().await.is_timeout());
    assert!(late_inside().await.is_timeout());
    assert!(!stopped().await.is_timeout());
}

#[tokio::test(start_paused = true)]
async fn w2_a_deadline_becomes_an_io_error_of_kind_timed_out() {
    for cancelled in [late().await, late_inside().await] {
        let text = cancelled.to_string();
        let error = io::Error::from(cancelled);
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), text);
        assert!(error.get_ref().unwrap().downcast_ref::<Cancelled>().unwrap().is_timeout());
    }
}

#[tokio::test(start_paused = true)]
async fn w2_another_cancel_becomes_an_io_error_of_kind_interrupted() {
    let error = io::Error::from(stopped().await);
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    assert!(error.to_string().contains("enough"));
}

#[tokio::test(start_paused = true)]
async fn w2_the_question_mark_makes_an_io_error() {
    async fn read() -> io::Result<u8> {
        let n = scope!(timeout = 10ms, {
            sleep(100).await;
            7
        })?;
        Ok(n)
    }
    assert_eq!(read().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn w2_an_annotated_function_returns_an_io_error() {
    #[cancel_scope(timeout = "10ms")]
    async fn read() -> io::Result<u8> {
        sleep(100).await;
        Ok(7)
    }
    assert_eq!(read().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn w2_the_question_mark_makes_an_anyhow_error() {
    async fn read() -> anyhow::Result<u8> {
        let n = scope!(timeout = 10ms, name = "read", {
            sleep(100).await;
            7
        })?;
        Ok(n)
    }
    let error = read().await.unwrap_err();
    assert_eq!(error.downcast_ref::<Cancelled>().unwrap().scope_name(), "read");
    let root = error.root_cause().downcast_ref::<Cause>().unwrap();
    assert!(matches!(root, Cause::Deadline { .. }));
}

#[tokio::test(start_paused = true)]
async fn w2_the_question_mark_makes_a_boxed_error() {
    async fn read() -> Result<u8, Box<dyn Error + Send + Sync>> {
        let n = scope!(timeout = 10ms, {
            sleep(100).await;
            7
        })?;
        Ok(n)
    }
    let error = read().await.unwrap_err();
    assert!(error.downcast_ref::<Cancelled>().unwrap().is_timeout());
}

#[tokio::test(start_paused = true)]
async fn w2_the_question_mark_makes_an_error_of_ones_own() {
    #[derive(Debug, thiserror::Error)]
    enum ReadError {
        #[error("read: {0}")]
        Stopped(#[from] Cancelled),
    }
    #[cancel_scope(timeout = "10ms")]
    async fn read() -> Result<u8, ReadError> {
        sleep(100).await;
        Ok(7)
    }
    let error = read().await.unwrap_err();
    assert!(error.to_string().starts_with("read: read ("), "{error}");
    assert!(error.source().unwrap().downcast_ref::<Cancelled>().unwrap().is_timeout());
}

#[test]
fn w2_a_cancelled_can_be_sent_and_kept() {
    fn can_be_sent_and_kept<T: Error + Clone + Send + Sync + 'static>() {}
    can_be_sent_and_kept::<Cancelled>();
}
