//! Where a cancel landed (rule W4).

use std::future::pending;

use futures_util::future::join_all;
use scope_runtime::{AwaitSite, Cancelled, cancel_scope, check, defer, fail_after, scope, shield, spawn};
use scope_tests::probe::{ms, sleep};

fn told(cancelled: &Cancelled) -> Option<&'static str> {
    cancelled.landed_at().map(AwaitSite::expression)
}

#[tokio::test(start_paused = true)]
async fn w4_a_cancel_names_the_await_that_the_body_started_last() {
    let line = line!() + 3;
    let late = scope!(timeout = 25ms, {
        sleep(10).await;
        sleep(60).await;
        sleep(20).await;
    });
    let cancelled = late.unwrap_err();
    let at = cancelled.landed_at().unwrap();
    assert_eq!((at.file(), at.line(), at.column(), at.expression()), (file!(), line, 9, "sleep(60)"));
    assert_eq!(at.to_string(), format!("{}:{line}: sleep(60)", file!()));
}

#[tokio::test(start_paused = true)]
async fn w4_a_function_names_its_own_await_and_not_that_of_what_it_calls() {
    #[cancel_scope]
    async fn inner() -> Result<(), Cancelled> {
        sleep(1).await;
        pending::<()>().await;
        Ok(())
    }
    async fn plain() -> Result<(), Cancelled> {
        sleep(1).await;
        inner().await
    }
    #[cancel_scope(timeout = "1s")]
    async fn outer() -> Result<(), Cancelled> {
        sleep(1).await;
        plain().await?;
        Ok(())
    }
    assert_eq!(told(&outer().await.unwrap_err()), Some("plain()"));
}

#[tokio::test(start_paused = true)]
async fn w4_the_place_survives_that_others_are_polled() {
    let late = scope!(timeout = 50ms, {
        let inner = scope!({
            sleep(10).await;
            "inner"
        });
        assert_eq!(inner.unwrap(), "inner");
        let others = (0..3).map(|n| async move {
            let _ = scope!({ sleep(n).await });
        });
        join_all(others).await;
        shield!({ sleep(5).await });
        pending::<u8>().await
    });
    assert_eq!(told(&late.unwrap_err()), Some("pending::<u8>()"));
}

#[tokio::test(start_paused = true)]
async fn w4_a_nested_await_is_started_before_the_one_around_it() {
    async fn id(n: u64) -> u64 {
        n
    }
    let late = scope!(timeout = 5ms, { sleep(id(10).await).await });
    assert_eq!(told(&late.unwrap_err()), Some("sleep(id(10).await)"));
    let late = scope!(timeout = 5ms, { id(pending::<u64>().await).await });
    assert_eq!(told(&late.unwrap_err()), Some("pending::<u64>()"));
}

#[tokio::test(start_paused = true)]
async fn w4_a_child_names_its_own_await() {
    let mut task = None;
    let late = scope!(timeout = 5ms, {
        task = Some(spawn!(async {
            sleep(1).await;
            pending::<u8>().await
        }));
        sleep(7).await;
    });
    assert_eq!(told(&late.unwrap_err()), Some("sleep(7)"));
    assert_eq!(told(&task.unwrap().await.unwrap_err()), Some("pending::<u8>()"));
}

#[tokio::test(start_paused = true)]
async fn w4_cleanup_and_destructors_leave_the_place_alone() {
    let late = scope!(timeout = 5ms, {
        defer(async {
            let _ = scope!({ sleep(3).await });
            sleep(3).await;
        });
        sleep(50).await;
    });
    assert_eq!(told(&late.unwrap_err()), Some("sleep(50)"));
}

#[tokio::test(start_paused = true)]
async fn w4_what_was_not_dropped_at_an_await_has_no_place() {
    // The body had ended; a child was cut.
    let late = scope!(timeout = 5ms, {
        sleep(1).await;
        spawn!(pending::<()>());
    });
    assert_eq!(told(&late.unwrap_err()), None);
    // It was told by `check()`.
    async fn checks() -> Result<Option<&'static str>, Cancelled> {
        let stopped = scope!(|s| {
            sleep(1).await;
            s.cancel();
            check()?;
        });
        Ok(told(&stopped.unwrap_err()))
    }
    assert_eq!(checks().await.unwrap(), None);
    // Its await is written elsewhere.
    assert_eq!(told(&fail_after(ms(1), sleep(5)).await.unwrap_err()), None);
}

#[tokio::test(start_paused = true)]
async fn w4_temporaries_of_the_awaited_expression_live_as_long_as_without() {
    struct Text(String);
    impl Text {
        async fn get(&self) -> usize {
            sleep(1).await;
            self.0.len()
        }
    }
    let length = scope!({ Text("borrowed until the end".to_owned()).get().await });
    assert_eq!(length.unwrap(), 22);
}
