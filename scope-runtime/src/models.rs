//! Models for loom: each runs a few threads that meet in one lock-free or lock-ordered step, in every order in which they
//! can meet, with every value that an atomic may give them. A wake-up that is lost is a deadlock, which loom reports.
//!
//! ```text
//! RUSTFLAGS="--cfg scope_loom" cargo test -p scope-runtime --release --lib -- --nocapture
//! ```
//!
//! Tasks are threads here (see `sync::runtime`). At most [`PREEMPTIONS`] times a thread is interrupted where it could have
//! gone on; `LOOM_MAX_PREEMPTIONS` changes that. What two threads do wrong, they mostly do with two.
//!
//! A model can't hold a panic that is being unwound: loom's threads share one count of panics.

mod cancel;
mod children;
mod guests;
mod links;
mod results;
mod spawning;
mod time;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use crate::sync::thread::{Thread, join_all, spawn};

/// See the module's documentation.
const PREEMPTIONS: usize = 2;

/// Runs a model in all interleavings, and says how many these were.
#[track_caller]
fn check(model: impl Fn() + Send + Sync + 'static) {
    check_with(PREEMPTIONS, model);
}

/// The same for a model with so many steps that it must be interrupted less often.
#[track_caller]
fn check_with(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let (runs, model) = (Arc::new(AtomicUsize::new(0)), Arc::new(model));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 100_000;
    let counted = Arc::clone(&runs);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let model = Arc::clone(&model);
        // In a thread of its own for the sake of its stack.
        thread(move || model()).join();
        join_all();
    });
    let name = std::thread::current().name().unwrap_or("a model").to_owned();
    println!("{name}: {} interleavings", runs.load(Ordering::Relaxed));
}

/// Its handle may be dropped: the model ends when all threads have.
fn thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Thread<T> {
    spawn(run)
}

/// Suspends once, and is woken at once.
async fn pause() {
    let mut paused = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Polls a future once, with the waker of the task around.
async fn poll_once<F: Future>(future: F) {
    let mut future = pin!(future);
    std::future::poll_fn(|cx: &mut Context<'_>| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

/// Counts what was made, and what was dropped. Plain numbers of std's: no thread is interrupted at them.
#[derive(Clone, Default)]
struct Ledger(Arc<[AtomicUsize; 2]>);

impl Ledger {
    fn make(&self) -> Entry {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        Entry(self.clone())
    }

    fn made(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    fn alive(&self) -> usize {
        self.made() - self.0[1].load(Ordering::Relaxed)
    }
}

struct Entry(Ledger);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.0[1].fetch_add(1, Ordering::Relaxed);
    }
}
