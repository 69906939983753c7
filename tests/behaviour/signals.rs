//! A cancel that comes back as an error (rule W3), and what it is told as (rule W2).

use std::error::Error as StdError;
use std::fmt;
use std::future::pending;
use std::io;

use anyhow::Context as _;
use scope_runtime::{Cancelled, Cause, ScopeHandle, cancel_scope, check, current, scope, spawn};
use scope_tests::probe::{Log, sleep};

#[derive(Debug, thiserror::Error)]
enum Wrapped {
    #[error("stopped")]
    Stopped(#[from] Cancelled),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("other")]
    Other,
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Transparent(#[from] Cancelled);

/// Keeps nothing of what it is made of.
#[derive(Debug, PartialEq)]
struct Forgetful;

impl From<Cancelled> for Forgetful {
    fn from(_: Cancelled) -> Self {
        Self
    }
}

impl fmt::Display for Forgetful {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("forgetful")
    }
}

impl StdError for Forgetful {}

/// The same scope in functions with different errors: does the block absorb its own cancel?
macro_rules! absorbs {
    ($error:ty, $check:expr) => {{
        async fn run() -> Result<bool, $error> {
            let stopped: Result<(), Cancelled> = scope!(|s| {
                s.cancel();
                #[allow(clippy::question_mark_used)]
                $check?;
                unreachable!();
            });
            Ok(stopped.is_err())
        }
        run().await.is_ok_and(|absorbed| absorbed)
    }};
}

#[tokio::test]
async fn w3_a_block_recognises_its_own_cancel_in_other_errors() {
    assert!(absorbs!(Cancelled, check()));
    assert!(absorbs!(Wrapped, check()));
    assert!(absorbs!(Transparent, check()));
    assert!(absorbs!(io::Error, check()));
    assert!(absorbs!(Box<dyn StdError>, check()));
    assert!(absorbs!(Box<dyn StdError + Send + Sync>, check()));
    assert!(absorbs!(anyhow::Error, check()));
    assert!(absorbs!(anyhow::Error, check().context("while indexing").context("again")));
    assert!(absorbs!(Wrapped, check().map_err(io::Error::from)));
    assert!(absorbs!(io::Error, check().map_err(|c| io::Error::other(Wrapped::from(c)))));
    assert!(!absorbs!(Forgetful, check()));
}

#[tokio::test]
async fn w3_a_block_in_an_unannotated_async_block_recognises_it_as_well() {
    let run = async {
        let stopped: Result<(), Cancelled> = scope!(|s| {
            s.cancel();
            check().context("context")?;
        });
        assert!(stopped.is_err());
        Ok::<_, anyhow::Error>(7)
    };
    assert_eq!(run.await.unwrap(), 7);
}

#[tokio::test]
async fn w3_a_function_returns_the_error_with_the_context_that_it_gathered() {
    #[cancel_scope]
    async fn index() -> anyhow::Result<()> {
        current().cancel_with("no longer needed");
        check().context("while indexing")
    }
    let error = index().await.unwrap_err();
    assert_eq!(error.to_string(), "while indexing");
    assert!(format!("{error:#}").contains("no longer needed"));

    #[cancel_scope]
    async fn wrapped() -> Result<(), Wrapped> {
        current().cancel();
        check().map_err(io::Error::from)?;
        Ok(())
    }
    assert!(matches!(wrapped().await, Err(Wrapped::Io(_))));
}

#[tokio::test]
async fn w3_a_fallback_stands_for_every_cancel() {
    #[cancel_scope(fallback = |cancelled| Ok(cancelled.to_string()))]
    async fn index() -> anyhow::Result<String> {
        current().cancel_with("no longer needed");
        check().context("while indexing")?;
        unreachable!();
    }
    assert!(index().await.unwrap().contains("no longer needed"));
}

#[tokio::test]
async fn w3_an_own_cancel_that_comes_back_is_no_failure() {
    async fn run(handle: &mut Option<ScopeHandle>) -> Result<(), Wrapped> {
        let stopped = scope!(|s| {
            *handle = Some(s.handle());
            spawn!(async { check().map_err(Wrapped::from) });
            s.cancel();
            check()?;
        });
        assert!(matches!(stopped.unwrap_err().cause(), Cause::Explicit { .. }));
        Ok(())
    }
    let mut handle = None;
    run(&mut handle).await.unwrap();
    assert!(handle.unwrap().suppressed().is_empty());
}

#[tokio::test]
async fn w3_an_error_that_keeps_no_source_is_a_failure() {
    #[cancel_scope]
    async fn run() -> Result<(), Forgetful> {
        let task = spawn!(pending::<()>());
        current().cancel();
        let error = check().map_err(Forgetful::from);
        drop(task);
        error
    }
    assert_eq!(run().await, Err(Forgetful));
}

#[tokio::test(start_paused = true)]
async fn w3_a_child_that_returns_its_scopes_cancel_is_cancelled_and_has_not_failed() {
    let log = Log::new();
    async fn run(log: &Log) -> Result<(), io::Error> {
        let stopped = scope!(cooperative, timeout = 10ms, {
            let task = spawn!(async {
                sleep(20).await;
                check()?;
                Ok::<_, io::Error>(7)
            });
            let cancelled = task.await.unwrap_err();
            assert!(cancelled.is_timeout() && matches!(cancelled.cause(), Cause::Parent(_)));
            log.say("the body goes on");
        });
        assert!(stopped.unwrap_err().is_timeout());
        Ok(())
    }
    run(&log).await.unwrap();
    log.expect(&["20 the body goes on"]);
}

#[tokio::test(start_paused = true)]
async fn w3_a_child_that_returns_its_own_cancel_loses_nothing_but_its_value() {
    async fn run() -> Result<&'static str, io::Error> {
        let value = scope!({
            let task = spawn!(async {
                // Completion wins over the cancel (rule D2), and then it is told of it.
                tokio::task::yield_now().await;
                check()?;
                Ok::<_, io::Error>(7)
            });
            task.cancel();
            task.await.map_err(|cancelled| matches!(cancelled.cause(), Cause::Task { .. }))
        });
        assert_eq!(value?, Err(true));
        Ok("the scope was not cancelled")
    }
    run().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn w3_an_inner_scope_that_gets_the_outer_ones_cancel_unwinds_for_it() {
    let log = Log::new();
    async fn run(log: &Log) -> Result<&'static str, io::Error> {
        let outer = scope!(cooperative, |outer| {
            let _end = log.guard("outer gone");
            outer.cancel();
            let _ = scope!({
                let _end = log.guard("inner gone");
                check()?;
            });
            log.say("not reached");
        });
        assert!(outer.is_err());
        Ok("on")
    }
    assert_eq!(run(&log).await.unwrap(), "on");
    log.expect(&["0 inner gone", "0 outer gone"]);
}

#[tokio::test(start_paused = true)]
async fn w3_the_cancel_of_an_inner_scope_that_was_left_is_a_failure_outside() {
    async fn run() -> Result<(), Cancelled> {
        let outer: Result<(), Cancelled> = scope!({
            scope!(timeout = 10ms, { pending::<()>().await })?;
        });
        unreachable!("`?` is Trio's fail_after: {outer:?}");
    }
    assert!(run().await.unwrap_err().is_timeout());
}

#[tokio::test]
async fn w3_other_errors_in_a_cancelled_scope_are_failures() {
    async fn run() -> Result<(), Wrapped> {
        let _: Result<(), Cancelled> = scope!(|s| {
            s.cancel();
            Err(Wrapped::Other)?;
        });
        unreachable!();
    }
    assert!(matches!(run().await, Err(Wrapped::Other)));
}

#[tokio::test]
async fn w3_the_errors_of_a_spawner_are_recognised() {
    async fn run() -> Result<(), io::Error> {
        let stopped = scope!(cooperative, |s| {
            s.cancel();
            let task = s.spawner().spawn(async { check().map_err(io::Error::from) }).unwrap();
            assert!(task.await.is_err());
        });
        assert!(stopped.is_err());
        Ok(())
    }
    run().await.unwrap();
}

// --- W2 ----------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn w2_a_scopes_error_is_what_its_cancel_is_told_as() {
    let cut = scope!(timeout = 10ms, error = Wrapped::Other, { pending::<()>().await });
    let cancelled = cut.unwrap_err();
    assert_eq!(cancelled.to_string(), "other");
    assert!(cancelled.error().unwrap().downcast_ref::<Wrapped>().is_some());
    assert!(cancelled.source().unwrap().to_string().contains("deadline of 10ms passed"));
    assert!(cancelled.is_timeout());
}

#[tokio::test]
async fn w2_the_nearest_error_up_the_tree_counts() {
    let told = scope!(error = "outer", |outer| {
        outer.cancel();
        let inherited = scope!({ check().unwrap_err().to_string() }).unwrap();
        let own = scope!(error = "inner", { check().unwrap_err().to_string() }).unwrap();
        let task = spawn!(async { check().unwrap_err().to_string() });
        (inherited, own, check().unwrap_err().to_string(), task)
    });
    let (inherited, own, here, task) = told.unwrap();
    assert_eq!([inherited, own, here].map(|s| s.to_string()), ["outer", "inner", "outer"]);
    assert_eq!(task.await.unwrap(), "outer");
}

#[tokio::test]
async fn w2_a_told_error_is_recognised() {
    #[cancel_scope(error = "stopped by hand")]
    async fn run() -> anyhow::Result<()> {
        current().cancel();
        check().context("context")?;
        Ok(())
    }
    assert_eq!(format!("{:#}", run().await.unwrap_err()).split(": ").nth(1), Some("stopped by hand"));
}

#[tokio::test(start_paused = true)]
async fn w2_the_handle_of_a_child_that_was_cut_tells_the_error_of_its_scope() {
    let mut task = None;
    let cut = scope!(timeout = 5ms, error = Wrapped::Other, {
        task = Some(spawn!(pending::<()>()));
        pending::<()>().await;
    });
    assert_eq!(cut.unwrap_err().to_string(), "other");
    let cancelled = task.unwrap().await.unwrap_err();
    assert_eq!(cancelled.to_string(), "other");
    assert!(cancelled.is_timeout() && matches!(cancelled.cause(), Cause::Parent(_)));
}

#[tokio::test(start_paused = true)]
async fn w2_an_inner_scope_tells_the_nearest_error_whether_or_not_it_has_a_handle() {
    let outer = scope!(error = Wrapped::Other, {
        let with_handle = scope!(timeout = 1ms, |s| {
            assert!(!s.is_cancelled());
            pending::<()>().await;
        });
        let without = scope!(timeout = 1ms, { scope!({ pending::<()>().await }) });
        [with_handle.unwrap_err(), without.unwrap_err()].map(|cancelled| cancelled.to_string())
    });
    assert_eq!(outer.unwrap(), ["other", "other"]);
}

/// Its `source` panics.
#[derive(Debug, PartialEq)]
struct Rude;

impl fmt::Display for Rude {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rude")
    }
}

impl StdError for Rude {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        panic!("nobody asks for my source")
    }
}

impl From<Cancelled> for Rude {
    fn from(_: Cancelled) -> Self {
        Self
    }
}

#[tokio::test]
async fn w3_f2_an_error_whose_source_panics_is_a_failure_like_any_other() {
    #[cancel_scope]
    async fn of_a_body() -> Result<(), Rude> {
        current();
        Err(Rude)
    }
    #[cancel_scope]
    async fn of_a_child() -> Result<(), Rude> {
        spawn!(async { Err::<(), _>(Rude) });
        pending().await
    }
    assert_eq!((of_a_body().await, of_a_child().await), (Err(Rude), Err(Rude)));
}

/// The error can only be asked what it writes of itself, and that may be more than one.
#[tokio::test(start_paused = true)]
async fn w3_the_first_cancel_that_an_error_writes_is_what_it_passes_on() {
    #[derive(Debug)]
    #[expect(dead_code, reason = "they are written")]
    struct Both(Cancelled, Cancelled);

    let other = scope!(timeout = 1ms, { pending::<()>().await }).unwrap_err();
    let went_on: Result<bool, Both> = async {
        let cut = scope!(|s| {
            s.cancel();
            return Err(Both(check().unwrap_err(), other.clone()));
        });
        Ok(cut.map(|(): ()| ()).is_err())
    }
    .await;
    assert!(went_on.unwrap());
}
