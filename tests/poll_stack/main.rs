//! What the unsafe module does, on some threads at once, for valgrind: without a test harness and without a runtime, whose
//! locks valgrind knows nothing of. Threads are started and joined, and wait for each other in no other way.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::thread;

use scope_runtime::{current, scope, shield, try_current};

const THREADS: usize = 4;
const ROUNDS: usize = 50;

fn main() {
    run(THREADS);
    println!("{THREADS} threads, {ROUNDS} rounds each: the stack was as it should be");
}

/// Each thread starts the next and joins it: so they run side by side, but begin and end one after the other. What std
/// does there is guarded by a lock of its own, too.
fn run(threads: usize) {
    let next = (threads > 1).then(|| thread::spawn(move || run(threads - 1)));
    (0..ROUNDS).for_each(|_| round());
    if let Some(next) = next {
        next.join().unwrap();
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn name() -> Option<String> {
    try_current().map(|scope| scope.name().into_owned())
}

async fn pause() {
    let mut paused = false;
    poll_fn(|_| if std::mem::replace(&mut paused, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

fn round() {
    nests();
    is_cancelled_from_inside();
    panics();
    is_watched_from_outside();
    is_dropped_in_the_middle();
    assert_eq!(name(), None);
}

/// Frames come and go with every poll.
fn nests() {
    let mut nest = pin!(async {
        scope!(name = "outer", {
            assert_eq!(name().unwrap(), "outer");
            let inner = scope!(name = "inner", {
                pause().await;
                shield!({
                    assert_eq!(name().unwrap(), "inner");
                    pause().await;
                });
                1
            });
            assert_eq!(name().unwrap(), "outer");
            inner.unwrap()
        })
    });
    for _ in 0..2 {
        assert!(poll(nest.as_mut()).is_pending());
        assert_eq!(name(), None);
    }
    assert!(matches!(poll(nest), Poll::Ready(Ok(1))));
}

/// Nodes are made, linked and let go.
fn is_cancelled_from_inside() {
    let cut = pin!(async {
        scope!(name = "outer", |outer| {
            let inner = scope!({
                outer.cancel();
                pending::<()>().await;
            });
            drop(inner);
        })
    });
    assert!(matches!(poll(cut), Poll::Ready(Err(_))));
}

/// A panic goes through frames.
fn panics() {
    let panics = pin!(async {
        scope!(name = "outer", {
            let caught = poll_fn(|cx| {
                let inner = pin!(async { scope!(name = "inner", { resume_unwind(Box::new("on purpose")) }) });
                let polled = catch_unwind(AssertUnwindSafe(|| inner.poll(cx).map(|_: Result<(), _>| ())));
                Poll::Ready(polled.is_err())
            });
            assert!(caught.await);
            assert_eq!(name().unwrap(), "outer");
        })
    });
    assert!(matches!(poll(panics), Poll::Ready(Ok(()))));
}

/// What a scope watches runs outside of it.
fn is_watched_from_outside() {
    let watch = poll_fn(|_| {
        assert_eq!(name().unwrap(), "outer");
        Poll::Ready(())
    });
    let watched = pin!(async {
        scope!(name = "outer", {
            let inner = scope!(name = "inner", cancel_on = watch, { pending::<()>().await });
            assert!(inner.is_err());
        })
    });
    assert!(matches!(poll(watched), Poll::Ready(Ok(()))));
}

/// Destructors run in the frame that they are dropped with.
fn is_dropped_in_the_middle() {
    struct Gone;
    impl Drop for Gone {
        fn drop(&mut self) {
            assert_eq!(current().name(), "outer");
        }
    }
    let mut dropped = Box::pin(async {
        scope!(name = "outer", {
            let _gone = Gone;
            pending::<()>().await;
        })
    });
    assert!(poll(dropped.as_mut()).is_pending());
    drop(dropped);
}
