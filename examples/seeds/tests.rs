//! Runs every program, and compares what it prints with what its document says: exactly. The names carry the rows of
//! `docs/seed-rows.md`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use scope_runtime::testing::{self, SyncClock};
use tokio::time::Instant;

use super::*;

/// Keeps the lines that a program prints.
#[derive(Clone, Default)]
struct Printed(Arc<Mutex<Vec<String>>>);

impl Printed {
    fn out(&self) -> Out {
        let lines = Arc::clone(&self.0);
        Out::new(move |line| lines.lock().unwrap().push(line))
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// What an async program prints, and the time that it takes.
async fn printed(program: impl AsyncFnOnce(&Out)) -> (Vec<String>, Duration) {
    let (printed, started) = (Printed::default(), Instant::now());
    program(&printed.out()).await;
    (printed.lines(), started.elapsed())
}

/// What a sync program prints, and the time that it takes.
fn printed_on_threads(program: impl FnOnce(&Out)) -> (Vec<String>, Duration) {
    let (printed, clock) = (Printed::default(), SyncClock::new());
    clock.run(|| program(&printed.out()));
    (printed.lines(), clock.elapsed())
}

const ZERO: Duration = Duration::ZERO;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[tokio::test(start_paused = true)]
async fn row_1_and_9_a_group_is_cancelled_at_once_and_without_an_error() {
    let (lines, time) = printed(s1a_group_cancel::run).await;
    assert_eq!(lines, ["with a scope: cancelled = True, after 0.0", "by hand: after 0.0"]);
    assert_eq!(time, ZERO);
}

#[tokio::test(start_paused = true)]
async fn row_3_a_group_is_cancelled_by_naming_it() {
    let (lines, time) = printed(s1b_group_cancel::run).await;
    let expected =
        ["with a scope: cancelled = True, after 0.0", "again, when it is over: false", "by hand: after 0.0"];
    assert_eq!(lines, expected);
    assert_eq!(time, ZERO);
}

#[tokio::test(start_paused = true)]
async fn row_4_a_linked_group_is_cancelled_too() {
    let (lines, time) = printed(s1b_linked_groups::run).await;
    let expected = ["outer was cancelled: linked to inner", "with a link: after 0.0", "by hand: after 0.0"];
    assert_eq!(lines, expected);
    assert_eq!(time, ZERO);
}

#[test]
fn row_31_shielded_work_outlives_the_deadline() {
    let (lines, time) = printed_on_threads(s2_example_1::run);
    let expected =
        ["timeout: 3.0", "timeout: 1.0", "elapsed: 2.0", "timeout: 0", "elapsed: 4.0", "work1 cancelled!"];
    assert_eq!(lines, expected);
    assert_eq!(time, secs(5), "the last work1 ends at its first check, a second after it began");
}

#[test]
fn row_32_a_cancel_by_hand_is_told_in_the_childs_words() {
    let (lines, time) = printed_on_threads(s2_example_2::run);
    let expected =
        ["timeout: inf", "timeout: 0", "elapsed: 2.0", "timeout: 0", "elapsed: 4.0", "work3 cancelled!"];
    assert_eq!(lines, expected);
    assert_eq!(time, secs(5));
}

#[tokio::test(start_paused = true)]
async fn row_36_a_cancel_bubbles_up_and_down_again() {
    let (lines, time) = printed(s2_example_3::run).await;
    let expected = [
        "work6 cancelled=False",
        "work5-parent cancelled=False",
        "work5-child cancelled=False",
        "cancel work5-child",
        "work5-child cancelled=True",
        "work5-parent cancelled=True",
        "work6 cancelled=True",
        "main cancelled=True",
    ];
    assert_eq!(lines, expected);
    assert_eq!(time, ZERO);
}

/// Threads and tasks: real time, and only the order counts.
#[tokio::test]
async fn row_38_a_cancel_on_a_thread_bubbles_into_async_code() {
    let (mut lines, _) = printed(s2_example_4::run).await;
    lines[1..3].sort(); // the two threads start in any order
    let expected = [
        "async_work started",
        "sync_work1 started",
        "sync_work2 started",
        "sync_work1 cancelled manually",
        "sync_work2 cancelled=True",
        "async_work cancelled!",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test(start_paused = true)]
async fn row_51_a_timeout_leaves_its_block_early() {
    let (lines, time) = printed(s3_timeout::run).await;
    assert_eq!(lines, ["Starting sleep", "Exited cancel scope, cancelled = True"]);
    assert_eq!(time, secs(1));
}

#[tokio::test(start_paused = true)]
async fn row_53_a_shielded_block_ends_and_a_late_child_starts() {
    let (lines, time) = printed(s3_shield::run).await;
    let expected = [
        "Started sleeping in the host task",
        "Started sleeping in the external task",
        "Finished sleeping in the host task",
    ];
    assert_eq!(lines, expected);
    assert_eq!(time, secs(1));
}

#[tokio::test(start_paused = true)]
async fn row_61_to_65_cleanup_runs_to_its_end_and_what_came_goes_on() {
    let (lines, time) = printed(s3_cleanup::run).await;
    let expected = [
        "cleanup after whatever came",
        "then it failed: disk full",
        "cleanup after a cancel of on_a_cancel_only",
        "then it was cancelled, by its timeout: True",
        "cleaned up in a second",
        "then it was cancelled, by its timeout: True, after 2.0",
    ];
    assert_eq!(lines, expected);
    assert_eq!(time, ms(1200 + 2000));
}

#[tokio::test(start_paused = true)]
async fn row_72_and_74_what_was_set_up_last_is_taken_down_first() {
    let (lines, time) = printed(s3_context_manager::run).await;
    let expected = [
        "database opened",
        "queue opened",
        "from queue to database",
        "queue closed",
        "database closed",
        "job cancelled = True",
    ];
    assert_eq!(lines, expected);
    assert_eq!(time, secs(1));
}

#[test]
fn row_76_a_token_shows_its_name() {
    assert_eq!(printed_on_threads(s4_creation::run).0, ["<CancelToken: demo>"]);
}

#[tokio::test(start_paused = true)]
async fn row_80_a_task_waits_for_a_token() {
    let (lines, time) = printed(s4_quick_start::run).await;
    assert_eq!(lines, ["started task", "task cancelled"]);
    assert_eq!(time, ms(10));
}

#[tokio::test(start_paused = true)]
async fn row_81_and_82_loops_end_by_their_condition_and_by_an_error() {
    let (lines, time) = printed(s4_loop_exits::run).await;
    assert_eq!(lines, ["left after 3 rounds", "cancellation requested by worker token"]);
    assert_eq!(time, ms(30));
}

#[tokio::test(start_paused = true)]
async fn row_83_main_waits_for_a_signal() {
    let (lines, time) = printed(s4_external_signal::run).await;
    assert_eq!(lines, ["work is done", "main goes on"]);
    assert_eq!(time, ms(20));
}

#[test]
fn row_84_a_chain_triggers_with_its_source() {
    assert_eq!(printed_on_threads(s4_chaining::run).0, ["False", "False", "True", "True"]);
}

#[tokio::test(start_paused = true)]
async fn row_93_a_timeout_ends_what_knows_nothing_of_tokens() {
    let (lines, time) = printed(s4_third_party::run).await;
    assert_eq!(lines, ["TimeoutError"]);
    assert_eq!(time, ms(100));
}

/// Cancels an async program at each of its awaits; `check` looks at what it has printed by then.
fn cancelled_at_every_await(program: impl AsyncFn(&Out), check: fn(&[String])) {
    testing::every_await(|| async {
        let printed = Printed::default();
        let lines = printed.clone();
        testing::finally(move || check(&lines.lines()));
        program(&printed.out()).await;
    });
}

fn anything(_: &[String]) {}

/// All of them but those without an await, and `s2-example-4`, whose threads wait on the real clock.
#[test]
fn programs_can_be_cancelled_at_every_await() {
    cancelled_at_every_await(s1a_group_cancel::run, anything);
    cancelled_at_every_await(s1b_group_cancel::run, anything);
    cancelled_at_every_await(s1b_linked_groups::run, anything);
    cancelled_at_every_await(s2_example_3::run, anything);
    cancelled_at_every_await(s3_timeout::run, |lines| {
        assert!(!lines.iter().any(|line| line == "This should never be printed"));
    });
    cancelled_at_every_await(s3_shield::run, |lines| {
        let began = |what: &str| lines.iter().any(|line| line.starts_with(what));
        assert_eq!(began("Started sleeping in the host"), began("Finished sleeping in the host"));
        assert!(!began("This line should never be seen"));
    });
    cancelled_at_every_await(s3_cleanup::run, |lines| {
        let failed = lines.iter().filter(|line| line.starts_with("then it failed")).count();
        assert!(failed <= lines.iter().filter(|line| *line == "cleanup after whatever came").count());
    });
    cancelled_at_every_await(s4_quick_start::run, anything);
    cancelled_at_every_await(s4_loop_exits::run, anything);
    cancelled_at_every_await(s4_external_signal::run, |lines| {
        let went_on = lines.iter().position(|line| line == "main goes on");
        assert!(went_on.is_none_or(|at| lines[..at].contains(&"work is done".to_owned())));
    });
    cancelled_at_every_await(s4_third_party::run, anything);
}

#[test]
fn what_was_set_up_is_taken_down_wherever_the_cancel_comes() {
    cancelled_at_every_await(s3_context_manager::run, |lines| {
        let of = |done: &str| -> Vec<String> {
            lines.iter().filter_map(|line| line.strip_suffix(done)).map(str::to_owned).collect()
        };
        let mut opened = of(" opened");
        opened.reverse();
        assert_eq!(of(" closed"), opened);
    });
}
