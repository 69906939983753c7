//! What crosses `scope!` and `shield!`: `?`, `return`, `break`, `continue`, a child's failure; and what every way out
//! does to the children (rule U4).

#![expect(clippy::never_loop, reason = "loops that are left at once are what is tested")]

use std::error::Error;
use std::future::pending;
use std::io;
use std::num::ParseIntError;

use scope_runtime::{Cancelled, Task, cancel_scope, current, defer, scope, shield, spawn};
use scope_tests::probe::{Guard, Log, sleep};

type BoxError = Box<dyn Error + Send + Sync>;

fn assert_send<T: Send>(value: T) -> T {
    value
}

/// A child that says whether it came to its end.
async fn worker(log: Log, name: &'static str, takes: u64) {
    struct Cut(Option<(Log, &'static str)>);
    impl Drop for Cut {
        fn drop(&mut self) {
            if let Some((log, name)) = self.0.take() {
                log.say(format!("{name} cut"));
            }
        }
    }
    let mut cut = Cut(Some((log, name)));
    sleep(takes).await;
    if let Some((log, name)) = cut.0.take() {
        log.say(format!("{name} done"));
    }
}

async fn fail_after(takes: u64) -> io::Result<()> {
    sleep(takes).await;
    Err(io::Error::other(format!("failed at {takes}")))
}

// --- `return` and `?` -------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn return_leaves_the_block_and_the_function() {
    async fn find(log: &Log, wanted: u32) -> u32 {
        for row in 0..3 {
            scope!(timeout = 1s, {
                let _end = log.guard(format!("body {row} gone"));
                sleep(10).await;
                if row == wanted {
                    return row;
                }
            })
            .unwrap();
        }
        99
    }
    let log = Log::new();
    assert_eq!(assert_send(find(&log, 1)).await, 1);
    log.say("found");
    assert_eq!(find(&log, 9).await, 99);
    log.expect(&[
        "10 body 0 gone",
        "20 body 1 gone",
        "20 found",
        "30 body 0 gone",
        "40 body 1 gone",
        "50 body 2 gone",
    ]);
}

#[tokio::test(start_paused = true)]
async fn return_without_a_value_leaves_a_function_that_returns_nothing() {
    async fn until_second(seen: &mut Vec<u32>) {
        for n in 0..3 {
            shield!({
                scope!({
                    if n == 1 {
                        return;
                    }
                    seen.push(n);
                })
                .unwrap();
            });
        }
        unreachable!("it returns in the second round");
    }
    let mut seen = vec![];
    until_second(&mut seen).await;
    assert_eq!(seen, [0]);
}

#[tokio::test(start_paused = true)]
async fn the_question_mark_converts_errors_of_several_types() {
    #[derive(Debug, thiserror::Error)]
    enum JobError {
        #[error(transparent)]
        Io(#[from] io::Error),
        #[error(transparent)]
        Number(#[from] ParseIntError),
        #[error(transparent)]
        Cancelled(#[from] Cancelled),
    }

    async fn job(input: &str, takes: u64) -> Result<u32, JobError> {
        let number = scope!(timeout = 50ms, {
            let number = shield!({ input.parse::<u32>()? });
            fail_after(takes).await.or_else(|error| if takes == 10 { Ok(()) } else { Err(error) })?;
            number
        })?;
        Ok(number)
    }
    assert_eq!(job("7", 10).await.unwrap(), 7);
    assert!(matches!(job("x", 10).await, Err(JobError::Number(_))));
    assert!(matches!(job("7", 20).await, Err(JobError::Io(_))));
    assert!(matches!(job("7", 70).await, Err(JobError::Cancelled(cancelled)) if cancelled.is_timeout()));
}

#[tokio::test(start_paused = true)]
async fn the_question_mark_works_on_options() {
    async fn second(rows: &[u32]) -> Option<u32> {
        scope!({
            let row = shield!({ *rows.get(1)? });
            row + 1
        })
        .ok()
    }
    assert_eq!(second(&[1, 2]).await, Some(3));
    assert_eq!(second(&[1]).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_question_mark_and_bail_work_with_anyhow() {
    async fn job(input: &str) -> anyhow::Result<u32> {
        use anyhow::Context as _;
        let number = scope!(timeout = 1s, {
            anyhow::ensure!(!input.is_empty(), "empty");
            if input == "0" {
                anyhow::bail!("zero");
            }
            input.parse::<u32>().context("bad number")?
        })?;
        Ok(number)
    }
    assert_eq!(job("7").await.unwrap(), 7);
    assert_eq!(job("").await.unwrap_err().to_string(), "empty");
    assert_eq!(job("0").await.unwrap_err().to_string(), "zero");
    assert!(job("x").await.unwrap_err().root_cause().is::<ParseIntError>());
}

#[tokio::test(start_paused = true)]
async fn what_is_returned_may_borrow() {
    async fn first<'a>(rows: &'a mut [u32], other: &'a u32) -> Result<&'a u32, Cancelled> {
        let row = scope!({
            if rows.is_empty() {
                return Ok(other);
            }
            rows[0] += 1;
            &rows[0]
        })?;
        Ok(row)
    }
    assert_eq!(first(&mut [], &5).await.unwrap(), &5);
    assert_eq!(first(&mut [1], &5).await.unwrap(), &2);
}

// --- `break` and `continue` -------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn continue_leaves_the_block_and_goes_on_with_the_loop() {
    let log = Log::new();
    for n in 0..3 {
        scope!(timeout = 1s, {
            let _end = log.guard(format!("body {n} gone"));
            sleep(10).await;
            if n == 1 {
                continue;
            }
            log.say(format!("{n} inside"));
        })
        .unwrap();
        log.say(format!("{n} behind"));
    }
    log.expect(&[
        "10 0 inside",
        "10 body 0 gone",
        "10 0 behind",
        "20 body 1 gone",
        "30 2 inside",
        "30 body 2 gone",
        "30 2 behind",
    ]);
}

#[tokio::test(start_paused = true)]
async fn break_leaves_the_block_and_the_loop() {
    let log = Log::new();
    let mut n = 0;
    while n < 5 {
        n += 1;
        shield!({
            let _end = log.guard(format!("body {n} gone"));
            sleep(10).await;
            if n == 2 {
                break;
            }
        });
    }
    log.say("behind the loop");
    log.expect(&["10 body 1 gone", "20 body 2 gone", "20 behind the loop"]);
}

#[tokio::test(start_paused = true)]
async fn labels_say_which_loop_is_left() {
    async fn walk() -> Vec<(u32, u32)> {
        let mut seen = vec![];
        'rows: for row in 0..9 {
            for column in 0..9 {
                scope!({
                    sleep(1).await;
                    match (row, column) {
                        (1, 1) => continue 'rows,
                        (_, 2) => break,
                        (3, 1) => break 'rows,
                        (2, 0) => continue,
                        _ => seen.push((row, column)),
                    }
                })
                .unwrap();
            }
            seen.push((row, 100));
        }
        seen
    }
    assert_eq!(assert_send(walk()).await, [(0, 0), (0, 1), (0, 100), (1, 0), (2, 1), (2, 100), (3, 0)]);
}

#[tokio::test(start_paused = true)]
async fn everything_crosses_three_blocks_at_once() {
    async fn walk(log: &Log, limit: u32) -> Result<u32, BoxError> {
        let mut sum = 0;
        'outer: for i in 0..limit {
            for j in 0..10 {
                let value = scope!(timeout = 1s, {
                    let _outer = log.guard("outer gone");
                    shield!({
                        let _shield = log.guard("shield gone");
                        let inner = scope!({
                            let _inner = log.guard("inner gone");
                            match (i, j) {
                                (1, _) => continue 'outer,
                                (2, 1) => break,
                                (3, _) => break 'outer,
                                (0, 1) => continue,
                                (0, 2) => return Err("no such row".into()),
                                _ => {}
                            }
                            sleep(1).await;
                            "1".parse::<u32>()?
                        });
                        inner?
                    })
                })?;
                sum += value;
                if i == 0 && limit != 1 {
                    break;
                }
            }
        }
        Ok(sum)
    }
    let three = |at: u32| ["inner", "shield", "outer"].map(|name| format!("{at} {name} gone"));
    let log = Log::new();
    assert_eq!(assert_send(walk(&log, 9)).await.unwrap(), 2);
    // (0, 0) falls off, (1, 0) continues, (2, 0) falls off, (2, 1) breaks, (3, 0) breaks the outer loop.
    assert_eq!(log.take(), [three(1), three(1), three(2), three(2), three(2)].concat());
    assert_eq!(walk(&log, 1).await.unwrap_err().to_string(), "no such row");
    assert_eq!(log.take(), [three(3), three(3), three(3)].concat());
}

#[tokio::test(start_paused = true)]
async fn jumps_out_of_different_depths_each_go_where_they_point() {
    async fn walk() -> Result<Vec<u32>, Cancelled> {
        let mut seen = vec![];
        let mut i = 0;
        'all: loop {
            i += 1;
            seen.push(i);
            let done: Result<(), Cancelled> = scope! {
                if i == 1 { continue; }
                scope!(name = "inner", {
                    shield!({ if i < 4 { continue 'all } else if i == 6 { break 'all } })
                })?;
                sleep(1).await;
                if i > 20 { break }
            };
            done?;
            seen.push(100 + i);
        }
        Ok(seen)
    }
    assert_eq!(walk().await.unwrap(), [1, 2, 3, 4, 104, 5, 105, 6]);
}

#[tokio::test(start_paused = true)]
async fn jumps_stand_in_match_if_let_let_else_and_conditions() {
    async fn walk(inputs: &[Option<u32>]) -> u32 {
        let mut sum = 0;
        for input in inputs {
            sum += scope!({
                let Some(number) = *input else { continue };
                if let 100 = number {
                    break;
                }
                match number {
                    1 if { if sum > 1000 { break } else { true } } => continue,
                    2 => return 2,
                    3 => {
                        let three = if sum == 0 { continue } else { 3 };
                        three + sum - sum
                    }
                    other => other,
                }
            })
            .unwrap();
        }
        sum
    }
    assert_eq!(walk(&[None, Some(10), Some(1), Some(3), Some(100), Some(50)]).await, 13);
    assert_eq!(walk(&[Some(3), Some(10), Some(2)]).await, 2);
}

#[tokio::test(start_paused = true)]
async fn loops_inside_the_body_keep_their_own_breaks() {
    let mut rounds = 0;
    for _ in 0..2 {
        rounds += 1;
        let found = scope!({
            let mut last = 0;
            for n in 0..10 {
                if n % 2 == 0 {
                    continue;
                }
                last = n;
                if n == 5 {
                    break;
                }
            }
            let value = loop {
                break last + 1;
            };
            let mut left = 3;
            'own: while left > 0 {
                loop {
                    left -= 1;
                    continue 'own;
                }
            }
            value + left
        });
        assert_eq!(found.unwrap(), 6);
    }
    assert_eq!(rounds, 2);
}

#[tokio::test(start_paused = true)]
async fn labelled_blocks_are_left_with_break() {
    async fn choose(n: u32) -> u32 {
        'whole: {
            let half = scope!({
                let inside = 'inside: {
                    if n == 1 {
                        break 'inside 10;
                    }
                    if n == 2 {
                        break 'whole;
                    }
                    'whole: loop {
                        break 'whole;
                    }
                    20
                };
                inside + 1
            });
            return half.unwrap();
        }
        99
    }
    assert_eq!(choose(1).await, 11);
    assert_eq!(choose(2).await, 99);
    assert_eq!(choose(3).await, 21);
}

#[tokio::test(start_paused = true)]
async fn a_condition_may_be_a_block_that_leaves() {
    async fn count(limit: u32) -> u32 {
        let mut n = 0;
        while scope!({
            n += 1;
            if n == 77 {
                return n;
            }
            n < limit
        })
        .unwrap()
        {}
        n
    }
    assert_eq!(count(5).await, 5);
    assert_eq!(count(100).await, 77);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_always_leaves_is_no_value() {
    async fn returned() -> u32 {
        let _never: Result<(), Cancelled> = scope!({ return 5 });
        unreachable!("the block returns");
    }
    async fn looped() -> u32 {
        loop {
            let _never: Result<(), Cancelled> = scope!({
                loop {
                    sleep(1).await;
                    return 3;
                }
            });
        }
    }
    async fn cut() -> bool {
        let stopped: Result<(), Cancelled> = scope!(timeout = 10ms, {
            loop {
                sleep(3).await;
            }
        });
        stopped.is_err()
    }
    assert_eq!((returned().await, looped().await, cut().await), (5, 3, true));
}

// --- Closures and async blocks ----------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn return_and_jumps_in_a_closure_are_the_closures() {
    async fn collect(rows: &[u32]) -> Result<Vec<u32>, BoxError> {
        let kept = scope!({
            let kept = rows.iter().map(|&row| {
                for step in 0..3 {
                    if step == 0 {
                        continue;
                    }
                    break;
                }
                if row == 2 {
                    return 20;
                }
                row
            });
            let parse = |text: &str| -> Result<u32, ParseIntError> { Ok(text.parse::<u32>()? + 1) };
            let parsed = parse("1")?;
            kept.chain([parsed]).collect()
        })?;
        Ok(kept)
    }
    assert_eq!(collect(&[1, 2, 3]).await.unwrap(), [1, 20, 3, 2]);
}

#[tokio::test(start_paused = true)]
async fn return_and_jumps_in_an_async_block_are_the_blocks() {
    async fn collect() -> u32 {
        let mut sum = 0;
        for round in 0..3 {
            sum += scope!({
                let early = async {
                    if round == 1 {
                        return 10;
                    }
                    loop {
                        sleep(1).await;
                        break 1;
                    }
                };
                let failed: Result<u32, BoxError> = async { Ok("x".parse::<u32>()?) }.await;
                assert!(failed.is_err());
                early.await
            })
            .unwrap();
        }
        sum
    }
    assert_eq!(assert_send(collect()).await, 12);
}

#[tokio::test(start_paused = true)]
async fn return_in_an_async_closure_leaves_the_closure() {
    let double = async |n: u32| -> Result<u32, Cancelled> {
        let value = scope!({
            if n == 0 {
                return Ok(1000);
            }
            n
        })?;
        Ok(value * 2)
    };
    assert_eq!(double(0).await.unwrap(), 1000);
    assert_eq!(double(2).await.unwrap(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_block_in_an_unannotated_async_block_leaves_that_block() {
    let value = async { scope!({ 1 }).ok() };
    assert_eq!(assert_send(value).await, Some(1));

    let question_mark = async {
        let one = scope!({ "1".parse::<u32>()? });
        Ok::<_, BoxError>(one.unwrap())
    };
    assert_eq!(assert_send(question_mark).await.unwrap(), 1);

    let mut seen = vec![];
    let jumps = async {
        for n in 0..3 {
            scope!({
                if n == 1 {
                    continue;
                }
                seen.push(n);
            })
            .unwrap();
        }
    };
    assert_send(jumps).await;
    assert_eq!(seen, [0, 2]);

    let unit = async {
        scope!({
            spawn!(async {});
            scope!({
                spawn!(async { sleep(1).await });
            })
            .unwrap();
        })
        .unwrap();
    };
    tokio::spawn(unit).await.unwrap();

    let anyhow: anyhow::Result<u32> = async {
        let task = scope!({
            let child = spawn!(async move {
                let seven = scope!(timeout = 1s, { "7".parse::<u32>()? })?;
                Ok::<_, anyhow::Error>(seven)
            });
            child.await?
        });
        Ok(task?)
    }
    .await;
    assert_eq!(anyhow.unwrap(), 7);
}

// --- `select!` and other macros ---------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn jumps_and_returns_stand_in_the_arms_of_select() {
    async fn run(log: &Log) -> u32 {
        let mut n = 0;
        loop {
            let value = scope!({
                let _end = log.guard("body gone");
                tokio::select! {
                    biased;
                    () = sleep(10), if n < 2 => {
                        n += 1;
                        continue;
                    }
                    () = sleep(20), if n < 4 => {
                        n += 1;
                        if n == 4 { break }
                        n
                    }
                    Some(_never) = async { None::<u32> } => return 99,
                    else => unreachable!("the loop ends before"),
                }
            });
            log.say(format!("value {}", value.unwrap()));
        }
        n
    }
    let log = Log::new();
    assert_eq!(assert_send(run(&log)).await, 4);
    log.expect(&["10 body gone", "20 body gone", "40 body gone", "40 value 3", "60 body gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_scope_in_the_arm_of_select_leaves_the_loop_around_it() {
    async fn run() -> Result<u32, BoxError> {
        let mut n = 0;
        loop {
            tokio::select! {
                () = sleep(5) => {
                    scope!(timeout = 1s, {
                        n += 1;
                        if n < 3 { continue }
                        break;
                    })?;
                }
                () = pending() => unreachable!("it never comes"),
            }
        }
        Ok(n)
    }
    assert_eq!(run().await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn select_keeps_its_branches_and_conditions() {
    async fn run(n: u32) -> u32 {
        scope!({
            let mut first = Box::pin(async {
                sleep(10).await;
                1
            });
            let second = async {
                loop {
                    sleep(5).await;
                    break 2;
                }
            };
            tokio::select! {
                x = &mut first => x,
                y = second, if n == 3 => { if y == 2 { return 4 } y }
                else => 7,
            }
        })
        .unwrap()
    }
    assert_eq!((run(1).await, run(3).await), (1, 4));
}

#[tokio::test(start_paused = true)]
async fn jumps_and_returns_stand_in_the_arguments_of_readable_macros() {
    async fn run(inputs: &[u32]) -> Result<Vec<String>, BoxError> {
        let mut lines = vec![];
        for &input in inputs {
            let line = scope!({
                assert!(input > 0, "{}", if input == 0 { break } else { 1 });
                assert_eq!(if input == 1 { continue } else { 2 }, 2);
                debug_assert!(matches!(if input == 2 { continue } else { input }, 3..));
                let list = vec![if input == 3 { break } else { 1 }, "2".parse::<u32>()?];
                let same = vec![if input == 4 { continue } else { 1 }; 2];
                format!(
                    "{list:?} {same:?} {}",
                    match input {
                        5 => return Ok(vec![]),
                        other => other,
                    }
                )
            })?;
            lines.push(line);
            println!("{}", lines.len());
        }
        lines.push("end".to_owned());
        Ok(lines)
    }
    assert_eq!(run(&[6, 1, 2, 4, 7]).await.unwrap(), ["[1, 2] [1, 1] 6", "[1, 2] [1, 1] 7", "end"]);
    assert_eq!(run(&[6, 3, 7]).await.unwrap(), ["[1, 2] [1, 1] 6", "end"]);
    assert_eq!(run(&[6, 5, 7]).await.unwrap(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn spawn_stands_in_the_arguments_of_readable_macros() {
    let log = Log::new();
    let sum: u32 = scope!({
        let both = vec![
            spawn!(async {
                sleep(10).await;
                1
            }),
            spawn!(name = format!("child {}", 2), async {
                sleep(20).await;
                2
            }),
        ];
        let (first, second) = tokio::join!(spawn!(async { 3 }), async { 4 });
        let mut sum = first.unwrap() + second;
        for task in both {
            sum += task.await.unwrap();
        }
        sum
    })
    .unwrap();
    log.say(sum);
    log.expect(&["20 10"]);
}

#[tokio::test(start_paused = true)]
async fn the_question_mark_stands_behind_try_join() {
    async fn run(second: &str) -> Result<u32, BoxError> {
        let sum = scope!({
            let (one, two) = tokio::try_join!(async { Ok::<_, BoxError>(1) }, async {
                second.parse::<u32>().map_err(BoxError::from)
            })?;
            one + two
        })?;
        Ok(sum)
    }
    assert_eq!(run("2").await.unwrap(), 3);
    assert!(run("x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn blocks_made_by_macro_rules_let_jumps_cross() {
    macro_rules! briefly {
        ($body:expr) => {
            scope!(timeout = 10ms, { $body })
        };
    }
    macro_rules! annotated {
        ($($name:ident $limit:literal)*) => {$(
            #[cancel_scope(timeout = $limit)]
            async fn $name() -> Result<u32, Cancelled> {
                for _ in 0..1 {
                    shield!({ continue });
                }
                sleep(100).await;
                Ok(1)
            }
        )*};
    }
    annotated!(by_text "20ms" by_token 30ms);

    let mut rounds = 0;
    let value = loop {
        rounds += 1;
        let cut = briefly!({
            if rounds == 1 {
                continue;
            }
            sleep(100).await;
        });
        assert!(cut.is_err());
        break briefly!(rounds);
    };
    assert_eq!(value.unwrap(), 2);

    let log = Log::new();
    assert!(by_text().await.is_err());
    log.say("by text");
    assert!(by_token().await.is_err());
    log.say("by token");
    log.expect(&["20 by text", "50 by token"]);
}

#[tokio::test(start_paused = true)]
async fn a_macro_that_cannot_see_the_block_spawns_into_a_named_scope() {
    macro_rules! spawn_into {
        ($scope:expr, $value:expr) => {
            spawn!(in $scope, async { sleep(10).await; $value })
        };
    }
    let value = scope!(|s| { spawn_into!(s, 1).await.unwrap() + spawn_into!(s, 2).await.unwrap() });
    assert_eq!(value.unwrap(), 3);
}

// --- Forms of the block -----------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn braces_hold_statements_and_a_value() {
    let mut seen = vec![];
    let sum = scope! {
        let one = 1;
        seen.push(one);
        sleep(1).await;
        one + 1
    };
    let statements = scope! { seen.push(2); seen.push(3); };
    let shielded = shield! { seen.push(4); 3 };
    assert_eq!((sum.unwrap(), statements.unwrap(), shielded), (2, (), 3));
    assert_eq!(seen, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_block_may_name_its_scope_or_not() {
    let named = scope!(name = "named", |s| { s.name() });
    let nameless = scope!(timeout = 1s, |_| { current().name() });
    let unnamed = scope!(name = "unnamed", { current().name() });
    assert_eq!(named.unwrap(), "named");
    assert_eq!(nameless.unwrap(), "scope");
    assert_eq!(unnamed.unwrap(), "unnamed");
    let cancelled = scope!(|s| {
        s.cancel_with("enough");
        pending::<()>().await;
    });
    assert!(cancelled.unwrap_err().to_string().contains("enough"));
}

#[tokio::test(start_paused = true)]
async fn a_value_takes_the_type_that_is_expected_of_it() {
    async fn coerced(list: &[u8; 3]) -> usize {
        let slice: &[u8] = shield!({ list });
        let boxed: Box<dyn Fn() -> usize> = scope!(fallback = Box::new(|| 3), { Box::new(|| 4) });
        let function: fn(usize) -> usize = shield!({ |x| x + 1 });
        let collected: Vec<u64> = shield!({ [1, 2].into_iter().collect() });
        slice.len() + boxed() + function(collected.len())
    }
    assert_eq!(coerced(&[0; 3]).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_body_moves_in_what_it_consumes_and_borrows_the_rest() {
    let consumed = vec![1];
    let mut borrowed = vec![2];
    let kept = scope!({
        borrowed.push(consumed.len());
        consumed
    })
    .unwrap();
    scope!({ drop(kept) }).unwrap();
    assert_eq!(borrowed, [2, 1]);
}

// --- Fallbacks --------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn a_fallback_may_continue() {
    let log = Log::new();
    for takes in [5, 50, 6] {
        let value = scope!(timeout = 10ms, fallback = continue, {
            sleep(takes).await;
            takes
        });
        log.say(value);
    }
    log.say("behind the loop");
    log.expect(&["5 5", "21 6", "21 behind the loop"]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_may_break_with_a_value() {
    let log = Log::new();
    let value = 'search: loop {
        let found: u32 = scope!(timeout = 10ms, fallback = break 'search 5, { pending().await });
        unreachable!("{found}");
    };
    assert_eq!(value, 5);
    log.say("broken");
    log.expect(&["10 broken"]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_may_return_or_use_the_question_mark() {
    async fn returns() -> u32 {
        scope!(timeout = 10ms, fallback = return 7, { pending().await })
    }
    async fn fails() -> Result<u32, BoxError> {
        Ok(scope!(timeout = 10ms, fallback = |cancelled| Err(cancelled)?, { pending().await }))
    }
    assert_eq!(returns().await, 7);
    assert!(fails().await.unwrap_err().is::<Cancelled>());
}

#[tokio::test(start_paused = true)]
async fn a_fallback_crosses_the_blocks_around_its_own() {
    let log = Log::new();
    let mut seen = vec![];
    for n in 0..3_u64 {
        scope!({
            let _end = log.guard(format!("outer {n} gone"));
            shield!({
                scope!(timeout = 10ms, fallback = continue, { sleep(n * 8).await });
                seen.push(n);
            });
        })
        .unwrap();
    }
    assert_eq!(seen, [0, 1]);
    log.expect(&["0 outer 0 gone", "8 outer 1 gone", "18 outer 2 gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_evaluated_behind_the_boundary() {
    let log = Log::new();
    let value = scope!(
        timeout = 10ms,
        fallback = |_| {
            log.say("fallback");
            0
        },
        {
            let late = log.clone();
            defer(async move {
                sleep(5).await;
                late.say("cleanup done");
            });
            let _end = log.guard("body gone");
            spawn!(worker(log.clone(), "child", 100));
            sleep(100).await;
            1
        }
    );
    assert_eq!(value, 0);
    log.expect(&["10 body gone", "10 child cut", "15 cleanup done", "15 fallback"]);
}

// --- U4: what the ways out do to the children -------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn u4_falling_off_the_end_waits_for_the_children() {
    let log = Log::new();
    let value = scope!({
        let _end = log.guard("body gone");
        spawn!(worker(log.clone(), "child", 30));
        sleep(10).await;
        1
    });
    assert_eq!(value.unwrap(), 1);
    log.say("left");
    log.expect(&["10 body gone", "30 child done", "30 left"]);
}

#[tokio::test(start_paused = true)]
async fn u4_an_error_that_is_the_value_of_a_block_is_a_value() {
    let log = Log::new();
    let value = scope!({
        spawn!(worker(log.clone(), "child", 30));
        "x".parse::<u32>()
    });
    assert!(value.unwrap().is_err());
    log.expect(&["30 child done"]);
}

#[tokio::test(start_paused = true)]
async fn u4_returning_a_value_waits_for_the_children() {
    async fn early(log: &Log) -> Result<u32, BoxError> {
        scope!({
            let _end = log.guard("body gone");
            spawn!(worker(log.clone(), "child", 30));
            sleep(10).await;
            if log.ms() == 10 {
                return Ok(1);
            }
        })?;
        Ok(2)
    }
    let log = Log::new();
    assert_eq!(early(&log).await.unwrap(), 1);
    log.say("left");
    log.expect(&["10 body gone", "30 child done", "30 left"]);
}

#[tokio::test(start_paused = true)]
async fn u4_returning_none_waits_for_the_children() {
    async fn early(log: &Log) -> Option<u32> {
        scope!({
            spawn!(worker(log.clone(), "child", 30));
            None?
        })
        .ok()
    }
    let log = Log::new();
    assert_eq!(early(&log).await, None);
    log.expect(&["30 child done"]);
}

#[tokio::test(start_paused = true)]
async fn u4_returning_an_error_cancels_the_children_first() {
    async fn early(log: &Log) -> Result<u32, BoxError> {
        scope!({
            let _end = log.guard("body gone");
            spawn!(worker(log.clone(), "child", 30));
            sleep(10).await;
            if log.ms() == 10 {
                return Err("no".into());
            }
        })?;
        Ok(2)
    }
    let log = Log::new();
    assert_eq!(early(&log).await.unwrap_err().to_string(), "no");
    log.say("left");
    log.expect(&["10 body gone", "10 child cut", "10 left"]);
}

#[tokio::test(start_paused = true)]
async fn u4_the_question_mark_cancels_the_children_first() {
    async fn early(log: &Log) -> io::Result<()> {
        scope!({
            let _end = log.guard("body gone");
            spawn!(worker(log.clone(), "child", 30));
            fail_after(10).await?;
        })?;
        Ok(())
    }
    let log = Log::new();
    assert_eq!(early(&log).await.unwrap_err().to_string(), "failed at 10");
    log.say("left");
    log.expect(&["10 body gone", "10 child cut", "10 left"]);
}

#[tokio::test(start_paused = true)]
async fn u4_break_waits_for_the_children() {
    let log = Log::new();
    loop {
        scope!({
            let _end = log.guard("body gone");
            spawn!(worker(log.clone(), "child", 30));
            sleep(10).await;
            if log.ms() == 10 {
                break;
            }
        })
        .unwrap();
    }
    log.say("left");
    log.expect(&["10 body gone", "30 child done", "30 left"]);
}

#[tokio::test(start_paused = true)]
async fn u4_continue_waits_for_the_children() {
    let log = Log::new();
    for n in 0..2 {
        log.say(format!("round {n}"));
        scope!({
            let _end = log.guard("body gone");
            spawn!(worker(log.clone(), "child", 30));
            if n == 0 {
                continue;
            }
        })
        .unwrap();
    }
    log.say("left");
    log.expect(&[
        "0 round 0",
        "0 body gone",
        "30 child done",
        "30 round 1",
        "30 body gone",
        "60 child done",
        "60 left",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u4_a_function_waits_for_the_children_after_a_value_and_cancels_them_after_an_error() {
    #[cancel_scope]
    async fn job(log: &Log, input: &str) -> Result<u32, BoxError> {
        spawn!(worker(log.clone(), "child", 30));
        let number = input.parse::<u32>()?;
        sleep(10).await;
        if number == 0 { Err("zero".into()) } else { Ok(number) }
    }
    let log = Log::new();
    assert_eq!(job(&log, "1").await.unwrap(), 1);
    log.say("value");
    assert!(job(&log, "x").await.is_err());
    log.say("question mark");
    assert!(job(&log, "0").await.is_err());
    log.say("error at the end");
    log.expect(&[
        "30 child done",
        "30 value",
        "30 child cut",
        "30 question mark",
        "40 child cut",
        "40 error at the end",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u4_a_panic_cancels_the_children_first() {
    let log = Log::new();
    let inside = log.clone();
    let panicked = tokio::spawn(async move {
        scope!({
            let _end = inside.guard("body gone");
            spawn!(worker(inside.clone(), "child", 30));
            sleep(10).await;
            std::panic::panic_any("enough");
        })
    });
    let payload = panicked.await.unwrap_err().into_panic();
    assert_eq!(payload.downcast_ref(), Some(&"enough"));
    log.expect(&["10 body gone", "10 child cut"]);
}

#[tokio::test(start_paused = true)]
async fn u4_a_way_out_of_nested_blocks_ends_the_inner_children_first() {
    async fn leave(log: &Log, fails: bool) -> Result<(), BoxError> {
        loop {
            scope!({
                let _outer = log.guard("outer body gone");
                spawn!(worker(log.clone(), "outer child", 30));
                shield!({
                    spawn!(worker(log.clone(), "shield's child", 20));
                    scope!({
                        let _inner = log.guard("inner body gone");
                        spawn!(worker(log.clone(), "inner child", 10));
                        sleep(5).await;
                        if fails {
                            return Err("no".into());
                        }
                        break;
                    })?
                });
            })?;
        }
        Ok(())
    }
    let log = Log::new();
    leave(&log, false).await.unwrap();
    log.say("left");
    log.expect(&[
        "5 inner body gone",
        "10 inner child done",
        "20 shield's child done",
        "20 outer body gone",
        "30 outer child done",
        "30 left",
    ]);
    log.take();
    assert!(leave(&log, true).await.is_err());
    log.say("left");
    log.expect(&[
        "35 inner body gone",
        "35 inner child cut",
        "35 shield's child cut",
        "35 outer body gone",
        "35 outer child cut",
        "35 left",
    ]);
}

#[tokio::test(start_paused = true)]
async fn u4_a_way_out_runs_the_cleanup_before_it_goes_on() {
    let log = Log::new();
    for n in 0..2 {
        scope!({
            let cleanup = log.clone();
            defer(async move {
                sleep(5).await;
                cleanup.say(format!("cleanup {n}"));
            });
            spawn!(worker(log.clone(), "child", 10));
            if n == 0 {
                continue;
            }
            break;
        })
        .unwrap();
    }
    log.say("left");
    log.expect(&["10 child done", "15 cleanup 0", "25 child done", "30 cleanup 1", "30 left"]);
}

// --- A child's failure crosses blocks ---------------------------------------------------------------------------

/// The outer blocks have no `?` of their own: they are told by the runtime that what passes is a failure.
#[tokio::test(start_paused = true)]
async fn failure_passes_an_outer_block() {
    async fn passing(log: &Log) -> io::Result<()> {
        scope!({
            let _outer = log.guard("outer body gone");
            spawn!(worker(log.clone(), "outer child", 1000));
            scope!({
                spawn!(fail_after(10));
                sleep(1000).await;
            })
            .unwrap();
            unreachable!("a failure leaves the function");
        })
        .unwrap();
        Ok(())
    }
    let log = Log::new();
    assert_eq!(passing(&log).await.unwrap_err().to_string(), "failed at 10");
    log.say("left");
    log.expect(&["10 outer body gone", "10 outer child cut", "10 left"]);
}

#[tokio::test(start_paused = true)]
async fn failure_passes_two_outer_blocks() {
    async fn passing(log: &Log) -> io::Result<()> {
        scope!({
            spawn!(worker(log.clone(), "outer child", 1000));
            scope!({
                spawn!(worker(log.clone(), "middle child", 1000));
                scope!({
                    spawn!(fail_after(10));
                })
                .unwrap();
            })
            .unwrap();
        })
        .unwrap();
        Ok(())
    }
    let log = Log::new();
    assert_eq!(passing(&log).await.unwrap_err().to_string(), "failed at 10");
    log.expect(&["10 middle child cut", "10 outer child cut"]);
}

#[tokio::test(start_paused = true)]
async fn failure_passes_shields() {
    async fn passing(log: &Log) -> Result<(), BoxError> {
        shield!({
            spawn!(worker(log.clone(), "outer shield's child", 1000));
            scope!({
                spawn!(worker(log.clone(), "scope's child", 1000));
                shield!({
                    spawn!(worker(log.clone(), "inner shield's child", 1000));
                    spawn!(fail_after(10));
                });
            })
            .unwrap();
        });
        Ok(())
    }
    let log = Log::new();
    assert_eq!(passing(&log).await.unwrap_err().to_string(), "failed at 10");
    log.expect(&["10 inner shield's child cut", "10 scope's child cut", "10 outer shield's child cut"]);
}

#[tokio::test(start_paused = true)]
async fn failure_passes_outer_blocks_that_have_ways_out_of_their_own() {
    async fn passing(log: &Log) -> io::Result<u32> {
        loop {
            scope!(timeout = 1s, |s| {
                spawn!(in s, worker(log.clone(), "outer child", 1000));
                if log.ms() > 1000 {
                    break;
                }
                let fallback = scope!(timeout = 500ms, fallback = continue, {
                    spawn!(fail_after(10));
                    sleep(1000).await;
                    1
                });
                if fallback == 2 {
                    return Ok(2);
                }
            })?;
        }
        Ok(0)
    }
    let log = Log::new();
    assert_eq!(passing(&log).await.unwrap_err().to_string(), "failed at 10");
    log.expect(&["10 outer child cut"]);
}

#[tokio::test(start_paused = true)]
async fn failure_passes_blocks_in_an_unannotated_async_block() {
    let log = Log::new();
    let children = log.clone();
    let passing = async move {
        scope!({
            spawn!(worker(children.clone(), "outer child", 1000));
            scope!({
                spawn!(fail_after(10));
            })
            .unwrap();
        })
        .unwrap();
        Ok::<_, io::Error>(())
    };
    assert_eq!(tokio::spawn(passing).await.unwrap().unwrap_err().to_string(), "failed at 10");
    log.expect(&["10 outer child cut"]);
}

#[tokio::test(start_paused = true)]
async fn failure_passes_a_block_and_leaves_the_annotated_function() {
    #[cancel_scope(timeout = 1s)]
    async fn passing(log: &Log) -> io::Result<()> {
        spawn!(worker(log.clone(), "function's child", 1000));
        scope!({
            spawn!(fail_after(10));
        })
        .unwrap();
        Ok(())
    }
    let log = Log::new();
    assert_eq!(passing(&log).await.unwrap_err().to_string(), "failed at 10");
    log.expect(&["10 function's child cut"]);
}

#[tokio::test(start_paused = true)]
async fn failure_ends_at_the_edge_of_an_inner_async_block() {
    async fn outer(log: &Log) -> io::Result<()> {
        scope!({
            spawn!(worker(log.clone(), "outer child", 30));
            let inner = async {
                scope!({
                    spawn!(worker(log.clone(), "inner child", 1000));
                    spawn!(fail_after(10));
                })
                .unwrap();
                Ok::<_, io::Error>(())
            };
            let failed = inner.await;
            log.say(failed.unwrap_err());
        })
        .unwrap();
        log.say("behind");
        Ok(())
    }
    let log = Log::new();
    outer(&log).await.unwrap();
    log.expect(&["10 inner child cut", "10 failed at 10", "30 outer child done", "30 behind"]);
}

#[tokio::test(start_paused = true)]
async fn failure_ends_at_the_edge_of_a_called_function() {
    async fn inner() -> io::Result<()> {
        scope!({
            spawn!(fail_after(10));
        })
        .unwrap();
        Ok(())
    }
    let log = Log::new();
    scope!({
        spawn!(worker(log.clone(), "outer child", 30));
        log.say(inner().await.unwrap_err());
        sleep(10).await;
        log.say("body went on");
    })
    .unwrap();
    log.expect(&["10 failed at 10", "20 body went on", "30 outer child done"]);
}

/// One that passes is no failure of the scope around the block whose error it becomes: the value is looked at there.
#[tokio::test(start_paused = true)]
async fn failure_that_was_caught_does_not_taint_a_later_return() {
    async fn outer(log: &Log) -> io::Result<u32> {
        scope!({
            spawn!(worker(log.clone(), "outer child", 30));
            let caught: io::Result<()> = async {
                scope!({
                    scope!({
                        spawn!(fail_after(10));
                    })
                    .unwrap();
                })
                .unwrap();
                Ok(())
            }
            .await;
            assert!(caught.is_err());
            return Ok(1);
        })
        .unwrap()
    }
    let log = Log::new();
    assert_eq!(outer(&log).await.unwrap(), 1);
    log.expect(&["30 outer child done"]);
}

// --- What a way out carries -------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn locals_are_dropped_before_the_children_are_waited_for_and_temporaries_too() {
    fn look(_: &Guard) -> u32 {
        1
    }
    let log = Log::new();
    loop {
        scope!({
            let task: Task<()> = spawn!(worker(log.clone(), "child", 20));
            let _end = log.guard("local gone");
            sleep(5).await;
            if look(&log.guard("temporary gone")) == 1 {
                drop(task);
                break;
            }
        })
        .unwrap();
    }
    log.expect(&["5 temporary gone", "5 local gone", "20 child done"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_while_a_way_out_waits_for_children_cuts_them_and_is_the_value() {
    let log = Log::new();
    let mut rounds = 0;
    let value = loop {
        rounds += 1;
        let value = scope!(timeout = 20ms, {
            spawn!(worker(log.clone(), "child", 1000));
            if rounds == 1 {
                continue;
            }
            rounds
        });
        break value;
    };
    // The scope lost a child to its own deadline, so it counts as cancelled (D6): its value is an `Err`, and the jump
    // is not made.
    assert!(value.unwrap_err().is_timeout());
    assert_eq!(rounds, 1);
    log.expect(&["20 child cut"]);
}

#[tokio::test(start_paused = true)]
async fn a_return_out_of_a_cancelled_scope_is_made() {
    async fn outer() -> u32 {
        scope!(|s| {
            s.cancel();
            return 1;
        })
        .map_or(2, |()| 3)
    }
    assert_eq!(outer().await, 1);
    assert_eq!(shield!({ outer().await }), 1);
}
