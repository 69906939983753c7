//! Counting what is allocated, on one thread.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

pub(crate) use allocation_counter::AllocationInfo as Counted;
use allocation_counter::measure;
use tokio::runtime::{Builder, Runtime};

/// A runtime whose tasks all run, and allocate, on the thread that counts. `queued` is how many tasks will be ready at
/// once: it has room for them beforehand, since its queue is no part of what a task takes.
pub(crate) fn countable(queued: usize) -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(async {
        let tasks: Vec<_> = (0..queued).map(|_| tokio::spawn(async {})).collect();
        for task in tasks {
            task.await.expect("it does not panic");
        }
    });
    runtime
}

/// Drives `going` until `point` is reached, or `going` ends; `going` can go on later. Counts what the way there left
/// allocated.
pub(crate) fn left_until<F: Future>(
    runtime: &Runtime,
    mut going: Pin<&mut F>,
    point: impl Future,
) -> Counted {
    let mut point = pin!(point);
    measure(|| {
        runtime.block_on(poll_fn(|cx| {
            let ended = going.as_mut().poll(cx).is_ready();
            if ended || point.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { Poll::Pending }
        }));
    })
}

/// How many allocations it takes to run a future that is polled by nobody but this.
pub(crate) fn allocations_of<F: Future>(make: impl FnOnce() -> F) -> u64 {
    measure(|| {
        let mut future = pin!(make());
        let mut cx = Context::from_waker(Waker::noop());
        while future.as_mut().poll(&mut cx).is_pending() {}
    })
    .count_total
}

/// A count by `n`, to two digits: what is allocated once for all `n` does not count.
pub(crate) fn each(count: i64, n: usize) -> f64 {
    (count as f64 / n as f64 * 100.0).round() / 100.0
}
