//! h. Two threads that open scopes under one parent.

use std::future::ready;
use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use scope_runtime::{current, scope, spawn};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::by_hand::MINUTE;
use crate::support::measure::{Case, Job, timed};
use crate::support::row::Limit::Times;
use crate::support::runtime::Flavour::Multi;

/// Children of one scope, as many as threads; each runs `$operation` so often. The barrier blocks: so each has a
/// thread of its own. The mean of their times is the value.
macro_rules! in_children {
    ($threads:expr, $n:expr, $operation:expr) => {{
        let (threads, n): (usize, usize) = ($threads, $n);
        let together = Arc::new(Barrier::new(threads));
        scope!({
            let tasks: Vec<_> = (0..threads)
                .map(|_| {
                    let together = together.clone();
                    spawn!(async move {
                        together.wait();
                        timed!(n, $operation)
                    })
                })
                .collect();
            let mut sum = Duration::ZERO;
            for task in tasks {
                sum += task.await.expect("nobody cancels");
            }
            sum / threads as u32
        })
        .expect("nobody cancels")
    }};
}

/// The same without scopes, in tasks that know of one token.
async fn in_tasks<F>(threads: usize, child: impl Fn(CancellationToken) -> F) -> Duration
where
    F: Future<Output = Duration> + Send + 'static,
{
    let (token, together) = (CancellationToken::new(), Arc::new(Barrier::new(threads)));
    let mut tasks = JoinSet::new();
    for _ in 0..threads {
        let (together, child) = (together.clone(), child(token.clone()));
        tasks.spawn(async move {
            together.wait();
            child.await
        });
    }
    tasks.join_all().await.iter().sum::<Duration>() / threads as u32
}

/// Adds an operation on one thread, and on two; the second may take so many times what the first does.
fn on_one_and_two<F>(
    job: Job,
    names: [&'static str; 2],
    limit: Option<f64>,
    batch: impl Fn(usize, usize) -> F + Clone + 'static,
) -> Job
where
    F: Future<Output = Duration> + Send + 'static,
{
    let [one, two] = names;
    let also = batch.clone();
    let on_two = Case::scheduled(two, move |n| also(2, n));
    job.case(Case::scheduled(one, move |n| batch(1, n))).case(match limit {
        Some(limit) => on_two.goal(one, Times(limit)),
        None => on_two.beside(one),
    })
}

/// The job and its cases. A value is the time of one operation on one thread.
pub(crate) fn job() -> Job {
    let job =
        Job::new("h", "open scopes under one parent, per scope of one thread", 20_000, "scope!, 1 thread");
    let job = on_one_and_two(
        job.on(&[Multi]),
        ["tokio timeout, 1 thread", "tokio timeout, 2 threads"],
        None,
        |threads, n| {
            in_tasks(threads, move |_| async move { timed!(n, timeout(MINUTE, ready(black_box(1))).await) })
        },
    );
    let job = on_one_and_two(job, ["child_token, 1 thread", "child_token, 2 threads"], None, |threads, n| {
        in_tasks(threads, move |token| async move {
            timed!(n, token.child_token().run_until_cancelled(ready(black_box(1))).await)
        })
    });
    let job =
        on_one_and_two(job, ["scope!, 1 thread", "scope!, 2 threads"], Some(1.15), |threads, n| async move {
            in_children!(threads, n, scope!({ black_box(1) }))
        });
    let job = on_one_and_two(
        job,
        ["scope!, 60 s, 1 thread", "scope!, 60 s, 2 threads"],
        Some(1.15),
        |threads, n| async move { in_children!(threads, n, scope!(timeout = 60s, { black_box(1) })) },
    );
    on_one_and_two(
        job,
        ["scope! with a handle, 1 thread", "scope! with a handle, 2 threads"],
        None,
        |threads, n| async move { in_children!(threads, n, scope!({ black_box(current()) })) },
    )
}
