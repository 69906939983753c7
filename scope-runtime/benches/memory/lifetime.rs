//! A long life, in which many short children come and go: what stays allocated?

use std::future::Future;
use std::pin::pin;
use std::time::Instant;

use scope_runtime::{scope, spawn};
use tokio::task::{JoinSet, yield_now};
use tokio_util::task::TaskTracker;

use crate::counting::{countable, left_until};
use crate::support::progress::{reach, reset, until_reached};
use crate::support::row::{Row, Unit};

/// So many children live at a time.
const AT_ONCE: usize = 100;

/// Live bytes, and times per child, after each tenth of `total` children.
pub(crate) fn rows(total: usize) -> [Vec<Row>; 2] {
    let mut all = [Vec::new(), Vec::new()];
    let mut add = |[bytes, times]: [Vec<Row>; 2]| {
        all[0].extend(bytes);
        all[1].extend(times);
    };
    add(life("scope!", total, in_scope(total)));
    add(life("TaskTracker", total, in_tracker(total)));
    add(life("JoinSet that is reaped", total, in_reaped_set(total)));
    // It keeps 200 bytes for each child: not for all.
    let few = total.min(100_000);
    add(life("JoinSet that is not", few, in_set(few)));
    all
}

fn life(case: &str, total: usize, living: impl Future) -> [Vec<Row>; 2] {
    reset();
    let runtime = countable(AT_ONCE);
    let mut living = pin!(living);
    let mut live = 0;
    let (mut bytes, mut times) = (Vec::new(), Vec::new());
    for tenth in 1..=10 {
        let n = total / 10 * tenth;
        let begun = Instant::now();
        live += left_until(&runtime, living.as_mut(), until_reached(n)).bytes_current;
        let each = begun.elapsed().as_secs_f64() * 1e9 / (total / 10) as f64;
        if [1, 5, 10].contains(&tenth) {
            let row = |unit, value| Row { n: Some(n), ..Row::count("long", case, unit, value) };
            bytes.push(row(Unit::Bytes, live as f64));
            times.push(row(Unit::Nanoseconds, each));
        }
    }
    [bytes, times]
}

/// `$total` times `$spawn`, never more than a few at once, and `$between` these few; then for ever nothing.
macro_rules! a_few_at_a_time {
    ($total:expr, $spawn:expr $(, $between:expr)?) => {
        for batch in 1..=$total / AT_ONCE {
            for _ in 0..AT_ONCE {
                $spawn;
            }
            until_reached(batch * AT_ONCE).await;
            $($between;)?
            yield_now().await; // a moment without children, in which memory is looked at
        }
        std::future::pending::<()>().await
    };
}

async fn in_scope(total: usize) {
    scope!({
        a_few_at_a_time!(total, spawn!(async { reach() }));
    })
    .expect("nobody cancels");
}

async fn in_tracker(total: usize) {
    let tasks = TaskTracker::new();
    a_few_at_a_time!(total, tasks.spawn(async { reach() }));
}

async fn in_reaped_set(total: usize) {
    let mut tasks = JoinSet::new();
    a_few_at_a_time!(total, tasks.spawn(async { reach() }), while tasks.join_next().await.is_some() {});
}

async fn in_set(total: usize) {
    let mut tasks = JoinSet::new();
    a_few_at_a_time!(total, tasks.spawn(async { reach() }));
}
