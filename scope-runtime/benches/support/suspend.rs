//! Suspensions: without a scheduler, so that what is measured is the code between the task and the await, or with it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Is pending `n` times. It wakes nobody: [`spin`] polls again anyway.
pub(crate) async fn suspend(n: usize) {
    let mut left = n;
    poll_fn(|_| match left {
        0 => Poll::Ready(()),
        _ => {
            left -= 1;
            Poll::Pending
        }
    })
    .await;
}

/// Is pending `n` times, and wakes its task at once: every suspension is a turn of the scheduler.
pub(crate) async fn rescheduled(n: usize) {
    let mut left = n;
    poll_fn(|cx| match left {
        0 => Poll::Ready(()),
        _ => {
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Polls a future until it is ready, as the task around it would: every suspension goes all the way up to here, and at
/// once back, with the waker of the task.
pub(crate) async fn spin<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(value);
            }
        }
    })
    .await
}
