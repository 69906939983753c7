//! Thousands of random programs on two threads: whatever is mixed, nothing is left running and nothing is lost.
//!
//! A program is a [`Plan`], made from a seed; it is run in tasks of its own, while others cancel its scopes and trigger
//! its tokens from outside. The [`Books`] of a program say what was begun and what became of it. A program that breaks a
//! promise is named by its number: run it alone with `MIX=<number>`. Other programs come from `MIX_SEED=<number>`.
//!
//! To add a kind of child, or something to do: a variant of [`Step`](plan::Step), a line in `Step::random` that makes it,
//! and an arm in `do_step` (or `sync_step`) that does it. To add an option of scopes: a field of [`Options`], and its
//! name where scopes are opened.

mod books;
mod plan;
mod tasks;
mod threads;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use scope_runtime::root;
use scope_tests::probe::outside;
use tokio::time::{Instant, sleep, timeout};

use books::{Books, Kind, Place};
use plan::{Chance, Options, Plan};

const SEED: u64 = 0x5eed_0f5c_09e5;
const PROGRAMS: u64 = 10_000;
/// So many run side by side.
const AT_ONCE: usize = 64;
/// A program takes some milliseconds. One that takes so long hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A number given by hand.
fn given(name: &str) -> Option<u64> {
    let given = std::env::var(name).ok()?;
    Some(given.parse().unwrap_or_else(|_| panic!("`{name}` is to be a number")))
}

/// A program, and what happens to it.
#[derive(Debug, Clone)]
struct Program {
    options: Options,
    plan: Plan,
    chance: Chance,
}

impl Program {
    fn of(number: u64) -> Self {
        let mut chance = Chance(given("MIX_SEED").unwrap_or(SEED) ^ number.wrapping_mul(0x9e37_79b9));
        let foreign = chance.one_in(3);
        let plan = Plan::random(&mut chance, 4, foreign);
        let options = Options::random(&mut chance);
        Self { options, plan, chance }
    }

    /// Runs it, and gives back its books when it has ended; the root may still have work of it.
    async fn run(self) -> Arc<Books> {
        let Self { options, plan, chance } = self;
        let books = Arc::new(Books::new());
        let mut place = Place::new(&books, chance);
        let over = Arc::new(AtomicBool::new(false));
        let troublemaker = outside(make_trouble(place.other(), Arc::clone(&over)));
        let program =
            outside(
                async move { AssertUnwindSafe(tasks::open(options, plan, &mut place)).catch_unwind().await },
            );
        let ended = timeout(PATIENCE, program).await;
        over.store(true, SeqCst);
        troublemaker.await.unwrap();
        if ended.is_err() {
            books.break_promise("it did not end".to_owned());
        }
        books
    }
}

/// Cancels scopes from a task that is in none of them, moves their deadlines and their shields, triggers tokens.
async fn make_trouble(mut place: Place, over: Arc<AtomicBool>) {
    for _ in 0..place.chance.below(4) {
        sleep(place.chance.time()).await;
        if over.load(SeqCst) {
            return;
        }
        let Some(scope) = place.any_scope() else { continue };
        match place.chance.below(6) {
            0 => drop(scope.cancel_now()),
            1 => scope.set_deadline(Instant::now() + place.chance.time()),
            2 => scope.set_shield(place.chance.one_in(2)),
            3 => place.any_token().trigger(),
            _ => drop(scope.cancel()),
        }
    }
}

#[test]
fn whatever_is_mixed_nothing_is_left_running_and_nothing_is_lost() {
    // A blocking child that waits for another one must not keep it from its thread.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).max_blocking_threads(4_096).enable_all().build().unwrap();
    let alone = given("MIX");
    let numbers = alone.map_or(0..PROGRAMS, |number| number..number + 1);
    let begun = std::time::Instant::now();
    let programs = runtime.block_on(async {
        let next = Arc::new(Mutex::new(numbers));
        let lanes = (0..AT_ONCE).map(|_| {
            let next = Arc::clone(&next);
            outside(async move {
                let mut programs = Vec::new();
                while let Some(number) = { next.lock().unwrap().next() } {
                    programs.push((number, Program::of(number).run().await));
                }
                programs
            })
        });
        let mut programs = Vec::new();
        for lane in lanes.collect::<Vec<_>>() {
            programs.extend(lane.await.unwrap());
        }
        root::wait_idle().await;
        assert_eq!(root::count(), 0);
        programs
    });

    let mut broken = Vec::new();
    let mut total = Kind::ALL.map(|kind| (kind, 0));
    for (number, books) in &programs {
        broken.extend(books.judge().into_iter().map(|what| format!("program {number}: {what}")));
        for (kind, total) in &mut total {
            *total += books.counts[*kind as usize].begun.load(SeqCst);
        }
    }
    assert!(broken.is_empty(), "{} promises were broken:\n{}", broken.len(), broken.join("\n"));
    if alone.is_none() {
        // Else it would show nothing.
        assert!(total.iter().all(|(_, n)| *n as u64 > PROGRAMS / 4), "too little happened: {total:?}");
        assert!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    }
}
