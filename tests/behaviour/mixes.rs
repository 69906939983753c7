//! Thousands of random programs on two threads: whatever is mixed, nothing is left running and nothing is lost.
//!
//! A program is a [`Plan`], made from a seed; it is run in tasks of its own, while others cancel its scopes from outside.
//! The [`Books`] of a program say what was begun and what became of it. A program that breaks a promise is named by its
//! number: run it alone with `MIX=<number>`.
//!
//! To add a kind of child, or something to do: a variant of [`Step`], a line in [`Plan::step`] that makes it, and an arm
//! in [`steps`] that does it. To add an option of scopes: a field of [`Options`], and its name in `open!`.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use scope_runtime::{
    Cancelled, FromFailure, Scope, ScopeHandle, Supervise, Task, check, defer, guard, root, scope, shield,
    spawn,
};
use scope_tests::probe::{outside, poll_once};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};

const SEED: u64 = 0x5eed_0f5c_09e5;
const PROGRAMS: u64 = 10_000;
/// So many run side by side.
const AT_ONCE: usize = 64;

#[derive(Debug, Clone, thiserror::Error)]
enum Oops {
    #[error("a step failed")]
    Failed,
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

// --- chance -----------------------------------------------------------------------------------------------------------

/// Splitmix64: the same numbers everywhere, from one word.
#[derive(Clone)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Mostly a few microseconds: much shorter than a timer's step, and seldom longer than two.
    fn time(&mut self) -> Duration {
        Duration::from_micros(if self.one_in(8) { self.below(2_000) } else { self.below(50) })
    }
}

// --- plans ------------------------------------------------------------------------------------------------------------

/// What a body does, one step after the other.
#[derive(Debug, Clone)]
struct Plan(Vec<Step>);

#[derive(Debug, Clone)]
enum Step {
    Yield,
    Sleep(Duration),
    /// `check()?`
    Check,
    /// Leaves with an error, or with a panic.
    Fail,
    Panic,
    Spawn(How, Plan),
    Scope(Options, Plan),
    Shield(Plan),
    Defer(Plan),
    Guard(Plan),
    /// Cancels a scope of this program, or a task of this body.
    Cancel,
    CancelTask,
    /// Awaits a task of this body.
    Join,
    /// Runs a plan for a while, and drops its future.
    DropAfter(Duration, Plan),
    /// Polls a plan once, and gives it to the outermost scope.
    HandOver(Plan),
    // Here: forks, blocking children, a race, a token.
}

/// How a child is spawned.
#[derive(Debug, Clone, Copy)]
enum How {
    Plain,
    Background,
    SkipIfCancelled,
}

/// The options of a scope.
#[derive(Debug, Clone, Default)]
struct Options {
    timeout: Option<Duration>,
    shield: bool,
    limit: Option<usize>,
    supervise: bool,
    grace: Option<Duration>,
    // Here: bubble, links.
}

impl Plan {
    /// `deep` is how many levels may be inside; `foreign` allows what no scope can hold against: dropped futures.
    fn random(chance: &mut Chance, deep: u64, foreign: bool) -> Self {
        let steps = 1 + chance.below(if deep == 0 { 2 } else { 7 });
        Self((0..steps).map(|_| Self::step(chance, deep, foreign)).collect())
    }

    fn step(chance: &mut Chance, deep: u64, foreign: bool) -> Step {
        let kinds = if deep == 0 { 5 } else { 18 };
        let kind = chance.below(kinds);
        let inner = |chance: &mut Chance| Self::random(chance, deep - 1, foreign);
        match kind {
            0 | 1 => Step::Yield,
            2 => Step::Sleep(chance.time()),
            3 => Step::Check,
            4 => match chance.below(12) {
                0 => Step::Fail,
                1 => Step::Panic,
                2 | 3 => Step::Cancel,
                _ => Step::Yield,
            },
            5..=8 => {
                let how = match chance.below(6) {
                    0 => How::Background,
                    1 => How::SkipIfCancelled,
                    _ => How::Plain,
                };
                Step::Spawn(how, inner(chance))
            }
            9 | 10 => Step::Scope(Options::random(chance), inner(chance)),
            11 => Step::Shield(inner(chance)),
            12 => Step::Defer(inner(chance)),
            13 => Step::Guard(inner(chance)),
            14 => Step::CancelTask,
            15 => Step::Join,
            16 if foreign => Step::DropAfter(chance.time(), inner(chance)),
            17 if foreign => Step::HandOver(inner(chance)),
            _ => Step::Cancel,
        }
    }
}

impl Options {
    fn random(chance: &mut Chance) -> Self {
        Self {
            timeout: chance.one_in(3).then(|| chance.time() * 4),
            shield: chance.one_in(6),
            limit: chance.one_in(3).then(|| 1 + chance.below(3) as usize),
            supervise: chance.one_in(3),
            grace: chance.one_in(6).then(|| chance.time()),
        }
    }
}

// --- books ------------------------------------------------------------------------------------------------------------

/// What a program began, and what became of it.
#[derive(Default)]
struct Books {
    children: Count,
    cleanups: Count,
    shields: Count,
    /// A future was dropped or handed over: then a shield may be torn, and work may end later than its own scope.
    foreign: AtomicBool,
    broken: Mutex<Vec<String>>,
    scopes: Mutex<Vec<ScopeHandle>>,
}

/// How many were begun, how many are gone, and how many of these came to their end.
#[derive(Default)]
struct Count {
    begun: AtomicUsize,
    gone: AtomicUsize,
    done: AtomicUsize,
}

/// Where code of a program runs: with the counters of all scopes around it.
#[derive(Clone)]
struct Place {
    books: Arc<Books>,
    levels: Vec<Arc<AtomicUsize>>,
    chance: Chance,
}

#[derive(Clone, Copy)]
enum Kind {
    Child,
    Cleanup,
    Shield,
}

impl Place {
    fn count(&self, kind: Kind) -> &Count {
        match kind {
            Kind::Child => &self.books.children,
            Kind::Cleanup => &self.books.cleanups,
            Kind::Shield => &self.books.shields,
        }
    }

    /// For code that is started from here: the same place, other luck.
    fn other(&mut self) -> Self {
        Self { chance: Chance(self.chance.next()), ..self.clone() }
    }

    /// Inside of a scope that is about to be opened here.
    fn inside(&mut self) -> Self {
        let mut inside = self.other();
        inside.levels.push(Arc::default());
        inside
    }

    fn begin(&self, kind: Kind) -> Work {
        self.count(kind).begun.fetch_add(1, SeqCst);
        for level in &self.levels {
            level.fetch_add(1, SeqCst);
        }
        Work { place: self.clone(), kind, done: false }
    }

    fn any_scope(&mut self) -> Option<ScopeHandle> {
        let scopes = self.books.scopes.lock().unwrap();
        let at = self.chance.0 as usize % scopes.len().max(1);
        self.chance.next();
        scopes.get(at).cloned()
    }
}

/// Something that was begun; it is gone when this is dropped.
struct Work {
    place: Place,
    kind: Kind,
    done: bool,
}

impl Work {
    fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let count = self.place.count(self.kind);
        count.done.fetch_add(self.done.into(), SeqCst);
        count.gone.fetch_add(1, SeqCst);
        for level in &self.place.levels {
            level.fetch_sub(1, SeqCst);
        }
    }
}

/// Looks whether a scope was left with something in it still alive. Stands outside of the scope, so that it is dropped
/// behind the boundary, on whatever way.
struct Boundary(Place);

impl Drop for Boundary {
    fn drop(&mut self) {
        let Self(inside) = self;
        let alive = inside.levels.last().expect("there is one per scope").load(SeqCst);
        if alive > 0 && !inside.books.foreign.load(SeqCst) {
            inside.books.broken.lock().unwrap().push(format!("{alive} alive behind a boundary"));
        }
    }
}

// --- running ----------------------------------------------------------------------------------------------------------

/// A scope of either policy, as a body spawns into it.
trait Host: Sync {
    fn spawn(&self, how: How, child: Boxed<Result<(), Oops>>) -> Child;
}

enum Child {
    Fallible(Task<()>),
    Supervised(Task<Result<(), Oops>>),
}

impl Child {
    fn cancel(&self) {
        match self {
            Self::Fallible(task) => task.cancel(),
            Self::Supervised(task) => task.cancel(),
        };
    }

    async fn join(self) {
        match self {
            Self::Fallible(task) => drop(task.await),
            Self::Supervised(task) => {
                if let Err(cancelled) = task.await {
                    drop(cancelled.take_panic());
                }
            }
        }
    }
}

macro_rules! spawn_each_way {
    ($scope:expr, $how:expr, $child:expr) => {
        match $how {
            How::Plain => spawn!(in $scope, $child),
            How::Background => spawn!(in $scope, background, $child),
            How::SkipIfCancelled => spawn!(in $scope, skip_if_cancelled, $child),
        }
    };
}

impl<R: FromFailure<Oops>> Host for Scope<R> {
    fn spawn(&self, how: How, child: Boxed<Result<(), Oops>>) -> Child {
        Child::Fallible(spawn_each_way!(self, how, child))
    }
}

impl<R> Host for Scope<R, Supervise> {
    fn spawn(&self, how: How, child: Boxed<Result<(), Oops>>) -> Child {
        Child::Supervised(spawn_each_way!(self, how, child))
    }
}

/// Opens a scope, of which only the policy is part of the type.
macro_rules! open {
    ([$($policy:tt)*] $options:expr, $plan:expr, $place:expr) => {{
        let (Options { timeout, shield, limit, grace, supervise: _ }, mut place) = ($options, $place);
        scope!($($policy)* timeout = timeout, shield = shield, limit = limit, grace = grace, |s| {
            place.books.scopes.lock().unwrap().push(s.handle());
            steps($plan, &mut place, s).await?;
        })
    }};
}

async fn open(options: Options, plan: Plan, place: &mut Place) -> Result<(), Oops> {
    let inside = place.inside();
    let _boundary = Boundary(inside.clone());
    // A cancelled scope is left like a finished one.
    let _: Result<(), Cancelled> = match options.supervise {
        true => open!([supervise,] options, plan, inside),
        false => open!([] options, plan, inside),
    };
    Ok(())
}

/// A body, or a child, that has no scope to spawn into: it opens one.
fn alone(plan: Plan, mut place: Place) -> Boxed<Result<(), Oops>> {
    Box::pin(async move { open(Options::default(), plan, &mut place).await })
}

async fn steps(plan: Plan, place: &mut Place, host: &dyn Host) -> Result<(), Oops> {
    let mut children = Vec::new();
    for step in plan.0 {
        match step {
            Step::Yield => yield_now().await,
            Step::Sleep(time) => sleep(time).await,
            Step::Check => check()?,
            Step::Fail => return Err(Oops::Failed),
            // Without the hook, which would print ten thousand times.
            Step::Panic => resume_unwind(Box::new("a step panicked")),
            Step::Spawn(how, plan) => {
                let (work, own) = (place.begin(Kind::Child), place.other());
                let child = Box::pin(async move {
                    let ended = alone(plan, own).await;
                    work.done();
                    ended
                });
                children.push(host.spawn(how, child));
            }
            Step::Scope(options, plan) => Box::pin(open(options, plan, place)).await?,
            Step::Shield(plan) => {
                let own = place.other();
                shield!({
                    let work = place.begin(Kind::Shield);
                    let ended = AssertUnwindSafe(alone(plan, own)).catch_unwind().await;
                    work.done();
                    ended.unwrap_or_else(|payload| resume_unwind(payload))?;
                });
            }
            Step::Defer(plan) => defer(cleanup(plan, place)),
            Step::Guard(plan) => {
                let cleanup = cleanup(plan, place);
                let held = guard(cleanup, |cleanup| cleanup);
                if place.chance.one_in(3) {
                    held.close().await;
                }
            }
            Step::Cancel => drop(place.any_scope().map(|scope| scope.cancel())),
            Step::CancelTask => children.last().map_or((), Child::cancel),
            Step::Join => {
                if let Some(child) = children.pop() {
                    child.join().await;
                }
            }
            Step::DropAfter(time, plan) => {
                place.books.foreign.store(true, SeqCst);
                let own = place.other();
                let _ = timeout(time, alone(plan, own)).await;
            }
            Step::HandOver(plan) => {
                place.books.foreign.store(true, SeqCst);
                let own = place.other();
                let mut future: Boxed<()> = Box::pin(alone(plan, own).map(drop));
                let outermost = place.books.scopes.lock().unwrap()[0].clone();
                // One that panics is not to be polled again.
                let polled = AssertUnwindSafe(poll_once(&mut future)).catch_unwind().await;
                if polled.is_ok_and(|polled| polled.is_pending()) {
                    outermost.adopt(future);
                }
            }
        }
    }
    Ok(())
}

/// A cleanup, which counts as registered from now on.
fn cleanup(plan: Plan, place: &mut Place) -> Boxed<()> {
    let (work, own) = (place.begin(Kind::Cleanup), place.other());
    Box::pin(async move {
        // Whatever it does inside, even a panic, is no way out for the cleanup.
        let _ = AssertUnwindSafe(alone(plan, own)).catch_unwind().await;
        work.done();
    })
}

/// Runs one program, and gives back its books when it has ended; the root may still have work of it.
async fn run(number: u64) -> Arc<Books> {
    let mut chance = Chance(SEED ^ number.wrapping_mul(0x9e37_79b9));
    let foreign = chance.one_in(3);
    let plan = Plan::random(&mut chance, 4, foreign);
    let options = Options { supervise: chance.one_in(2), ..Options::random(&mut chance) };
    let books = Arc::new(Books::default());
    let mut place = Place { books: Arc::clone(&books), levels: Vec::new(), chance };

    let over = Arc::new(AtomicBool::new(false));
    let troublemaker = outside(make_trouble(place.other(), Arc::clone(&over)));
    let program =
        outside(async move { AssertUnwindSafe(open(options, plan, &mut place)).catch_unwind().await });
    let ended = timeout(Duration::from_secs(60), program).await;
    over.store(true, SeqCst);
    troublemaker.await.unwrap();
    if ended.is_err() {
        books.broken.lock().unwrap().push("it did not end".to_owned());
    }
    books
}

/// Cancels scopes from a task that is in none of them, moves their deadlines and their shields.
async fn make_trouble(mut place: Place, over: Arc<AtomicBool>) {
    for _ in 0..place.chance.below(4) {
        sleep(place.chance.time()).await;
        if over.load(SeqCst) {
            return;
        }
        let Some(scope) = place.any_scope() else { continue };
        match place.chance.below(5) {
            0 => drop(scope.cancel_now()),
            1 => scope.set_deadline(Instant::now() + place.chance.time()),
            2 => scope.set_shield(place.chance.one_in(2)),
            _ => drop(scope.cancel()),
        }
    }
}

impl Books {
    /// The promises, once the program has ended and the root is idle.
    fn judge(&self) -> Vec<String> {
        let mut broken = std::mem::take(&mut *self.broken.lock().unwrap());
        let mut equal = |what: &str, a: &AtomicUsize, b: &AtomicUsize| {
            let (a, b) = (a.load(SeqCst), b.load(SeqCst));
            if a != b {
                broken.push(format!("{what}: {a} and {b}"));
            }
        };
        equal("children begun and gone", &self.children.begun, &self.children.gone);
        equal("cleanups registered and gone", &self.cleanups.begun, &self.cleanups.gone);
        equal("cleanups registered and run", &self.cleanups.begun, &self.cleanups.done);
        equal("shields begun and gone", &self.shields.begun, &self.shields.gone);
        if !self.foreign.load(SeqCst) {
            equal("shields begun and finished", &self.shields.begun, &self.shields.done);
        }
        if self.scopes.lock().unwrap().iter().any(|scope| !scope.is_closed()) {
            broken.push("a scope is open".to_owned());
        }
        broken
    }
}

#[test]
fn whatever_is_mixed_nothing_is_left_running_and_nothing_is_lost() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let alone: Option<u64> =
        std::env::var("MIX").ok().map(|number| number.parse().expect("a program's number"));
    let numbers = alone.map_or(0..PROGRAMS, |number| number..number + 1);
    let begun = std::time::Instant::now();
    let programs = runtime.block_on(async {
        let next = Arc::new(Mutex::new(numbers));
        let lanes = (0..AT_ONCE).map(|_| {
            let next = Arc::clone(&next);
            outside(async move {
                let mut programs = Vec::new();
                while let Some(number) = { next.lock().unwrap().next() } {
                    programs.push((number, run(number).await));
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
    let mut total = [0; 3];
    for (number, books) in &programs {
        broken.extend(books.judge().into_iter().map(|what| format!("program {number}: {what}")));
        for (total, count) in total.iter_mut().zip([&books.children, &books.cleanups, &books.shields]) {
            *total += count.begun.load(SeqCst);
        }
    }
    assert!(broken.is_empty(), "{} promises were broken:\n{}", broken.len(), broken.join("\n"));
    if alone.is_none() {
        // Else it would show nothing.
        assert!(total.iter().all(|count| *count as u64 > PROGRAMS / 4), "too little happened: {total:?}");
        assert!(begun.elapsed() < Duration::from_secs(60), "it took {:?}", begun.elapsed());
    }
}
