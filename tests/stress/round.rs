//! A round: some programs side by side, and the judgement at the end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use scope_runtime::{root, testing::live_nodes};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Outcome;
use super::books::{Books, Place};
use super::failures;
use super::plan::{Chance, Options, Plan};
use super::tasks;
use super::trouble::{Troublemakers, Victim};
use super::watchdog::Watchdog;

#[derive(Debug, Clone, Copy)]
pub(super) enum Flavor {
    MultiThread,
    CurrentThread,
}

impl Flavor {
    pub(super) fn runtime(self) -> Runtime {
        let mut builder = match self {
            Self::MultiThread => Builder::new_multi_thread(),
            Self::CurrentThread => Builder::new_current_thread(),
        };
        // More workers than most machines have cores to spare: the system takes them away at any place. A blocking child
        // that waits for another one must not keep it from its thread.
        builder
            .worker_threads(4)
            .max_blocking_threads(4_096)
            .enable_all()
            .build()
            .expect("a runtime can be built")
    }
}

/// So many programs run side by side.
const AT_ONCE: usize = 24;

/// What has ended may take a moment to be gone.
const A_MOMENT: Duration = Duration::from_secs(5);

struct Program {
    books: Arc<Books>,
    task: JoinHandle<()>,
}

/// Starts the programs of a round.
fn start(runtime: &Runtime, chance: &mut Chance, outcome: &mut Outcome, shuts_down: bool) -> Vec<Program> {
    let programs = (0..AT_ONCE).map(|_| {
        outcome.programs += 1;
        let mut chance = Chance(chance.next());
        let foreign = chance.one_in(3);
        let plan = Plan::random(&mut chance, 4, foreign);
        let options = Options::random(&mut chance, foreign);
        let books = Arc::new(Books::new(shuts_down));
        let mut place = Place::new(&books, chance);
        let task = runtime.spawn(async move {
            let books = Arc::clone(&place.books);
            let ended = AssertUnwindSafe(tasks::open(options, plan, &mut place)).catch_unwind().await;
            books.settle(ended);
            books.ended.store(true, SeqCst);
        });
        Program { books, task }
    });
    programs.collect()
}

fn make_trouble(programs: &[Program], chance: &mut Chance) -> Troublemakers {
    let victims = programs.iter().map(|program| {
        let abort = chance.one_in(10).then(|| {
            program.books.foreign.store(true, SeqCst);
            program.task.abort_handle()
        });
        Victim { place: Place::new(&program.books, Chance(chance.next())), abort }
    });
    Troublemakers::start(victims.collect(), chance)
}

/// Runs the programs to their ends.
pub(super) fn run(
    flavor: Flavor,
    runtime: &Runtime,
    chance: &mut Chance,
    watchdog: &Watchdog,
    outcome: &mut Outcome,
) {
    outcome.rounds += 1;
    let name = format!("round {} ({flavor:?})", outcome.rounds);
    let programs = start(runtime, chance, outcome, false);
    let books: Vec<_> = programs.iter().map(|program| Arc::clone(&program.books)).collect();
    watchdog.watch(&name, &books);
    let trouble = make_trouble(&programs, chance);
    let mut findings = Vec::new();
    runtime.block_on(async {
        for program in programs {
            if let Err(error) = program.task.await
                && error.is_panic()
            {
                findings.push(format!("a program panicked: {error}"));
            }
        }
    });
    trouble.end();
    runtime.block_on(async {
        root::wait_idle().await;
        until(|| books.iter().all(|books| books.are_balanced())).await;
        // A task that was aborted, and that nobody awaits, may have left something behind meanwhile.
        root::wait_idle().await;
        if root::count() > 0 {
            findings.push("the root is not idle".to_owned());
        }
    });
    findings.extend(judge(&books, outcome));
    drop(books);
    watchdog.forget();
    runtime.block_on(until(|| live_nodes() == 0));
    findings.extend(judge_all());
    outcome.findings.extend(findings.into_iter().map(|what| tell(&name, &what)));
}

/// Runs the programs for a while, and shuts their runtime down: then nothing need come to its end, but all must be gone.
pub(super) fn run_and_shut_down(
    flavor: Flavor,
    chance: &mut Chance,
    watchdog: &Watchdog,
    outcome: &mut Outcome,
) {
    outcome.rounds += 1;
    let name = format!("round {} ({flavor:?}, shut down)", outcome.rounds);
    let runtime = flavor.runtime();
    let programs = start(&runtime, chance, outcome, true);
    let books: Vec<_> = programs.iter().map(|program| Arc::clone(&program.books)).collect();
    watchdog.watch(&name, &books);
    let trouble = make_trouble(&programs, chance);
    let after = chance.time();
    runtime.block_on(async { sleep(after).await });
    // Waits for the blocking threads that have begun.
    drop(runtime);
    drop(programs);
    trouble.end();
    wait(|| books.iter().all(|books| books.are_balanced()));
    let mut findings = judge(&books, outcome);
    drop(books);
    watchdog.forget();
    wait(|| live_nodes() == 0);
    findings.extend(judge_all());
    outcome.findings.extend(findings.into_iter().map(|what| tell(&name, &what)));
}

fn tell(round: &str, what: &str) -> String {
    let finding = format!("{round}: {what}");
    println!("{finding}");
    finding
}

fn judge(books: &[Arc<Books>], outcome: &mut Outcome) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, books) in books.iter().enumerate() {
        findings.extend(books.judge().into_iter().map(|what| format!("program {number}: {what}")));
        outcome.begun += books.counts.iter().map(|count| count.begun.load(SeqCst) as u64).sum::<u64>();
    }
    findings
}

/// What concerns all programs of a round.
fn judge_all() -> Vec<String> {
    let mut findings = failures::judge();
    if live_nodes() > 0 {
        findings.push(format!("{} nodes are left", live_nodes()));
    }
    findings
}

/// Waits a moment for something that ought to come by itself.
async fn until(there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !there() && begun.elapsed() < A_MOMENT {
        sleep(Duration::from_micros(100)).await;
    }
}

/// The same where there is no runtime.
fn wait(there: impl Fn() -> bool) {
    let begun = Instant::now();
    while !there() && begun.elapsed() < A_MOMENT {
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Whether a panic is that of tokio's timers in a runtime that shuts down.
pub(super) fn is_of_a_shutdown(text: &str) -> bool {
    text.contains("is being shutdown") || text.contains("was shutting down")
}
