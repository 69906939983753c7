//! Stress on real threads: random programs with real clocks and deadlines of microseconds, whose scopes are cancelled from
//! other threads at random moments. Whatever is mixed, nothing is left running and nothing is lost.
//!
//! A program is a `Plan`, made from a seed. Some of them make a round: they run side by side, while
//! `Troublemakers` cancel their scopes, move their deadlines and shields, trigger their tokens, and abort some. The
//! `Books` of a program say what was begun and what became of it, and are judged at the end of the
//! round: no child alive behind its boundary, every result received or dropped, every error and panic taken or reported,
//! once (`failures`), every cleanup run once, no scope open, no node left. Some rounds shut the runtime down in the middle.
//! Over the rounds memory must not grow. If a round does not end, a `Watchdog` says which scopes wait, and for what.
//!
//! Threads are not repeatable: a seed gives the same programs, not the same moments.
//!
//! To add a kind of child, or something to do: a variant of `Step`, a line in `Step::random` that makes it,
//! and an arm in `do_step` (or `sync_step`) that does it. To add an option of scopes: a field of
//! `Options`, and its name where scopes are opened.

mod books;
mod failures;
mod plan;
mod round;
mod tasks;
mod threads;
mod trouble;
mod watchdog;

use std::time::{Duration, Instant};

use scope_runtime::testing::count_nodes;

use plan::Chance;
use round::Flavor;
use watchdog::Watchdog;

/// What to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// What programs are made from.
    pub seed: u64,
    /// How long.
    pub time: Duration,
    /// On tokio's multi-thread runtime.
    pub multi_thread: bool,
    /// On its current-thread runtime.
    pub current_thread: bool,
    /// A round that takes so long hangs.
    pub patience: Duration,
    /// How many blocks of memory are allocated right now.
    pub live_blocks: fn() -> usize,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The rounds that were run.
    pub rounds: u64,
    /// The programs in them.
    pub programs: u64,
    /// The children, cleanups and shields in those.
    pub begun: u64,
    /// What is wrong.
    pub findings: Vec<String>,
}

/// So many rounds have one runtime.
const ROUNDS_PER_RUNTIME: u64 = 40;

/// So many blocks more at the end than at the beginning may be chance: threads end when they like.
const SLACK: usize = 300;

/// Runs rounds until the time is over, or too much is wrong.
///
/// # Panics
///
/// If there is no runtime to run them on.
pub fn run(config: &Config) -> Outcome {
    failures::listen();
    count_nodes();
    quiet_panics();
    let watchdog = Watchdog::start(config.patience);
    let begun = Instant::now();
    let mut chance = Chance(config.seed);
    let mut outcome = Outcome::default();
    let mut memory = Vec::new();
    let flavors: Vec<_> = [
        config.multi_thread.then_some(Flavor::MultiThread),
        config.current_thread.then_some(Flavor::CurrentThread),
    ]
    .into_iter()
    .flatten()
    .collect();
    while begun.elapsed() < config.time && outcome.findings.len() < 20 {
        for flavor in &flavors {
            let runtime = flavor.runtime();
            for _ in 0..ROUNDS_PER_RUNTIME {
                round::run(*flavor, &runtime, &mut chance, &watchdog, &mut outcome);
                if begun.elapsed() >= config.time {
                    break;
                }
            }
            drop(runtime);
            round::run_and_shut_down(*flavor, &mut chance, &watchdog, &mut outcome);
        }
        memory.push((config.live_blocks)());
    }
    outcome.findings.extend(growth(&memory));
    outcome
}

/// Whether more memory is in use at the end than at the beginning, without any runtime. What is made once is there after
/// the first tenth.
fn growth(memory: &[usize]) -> Option<String> {
    let tenth = memory.len() / 10;
    if tenth == 0 {
        return None;
    }
    let least = |part: &[usize]| part.iter().min().copied().unwrap_or(0);
    let (first, last) = (least(&memory[tenth..2 * tenth]), least(&memory[memory.len() - tenth..]));
    (last > first + SLACK).then(|| format!("memory: {first} blocks at the beginning, {last} at the end"))
}

/// What a runtime that shuts down does to those who still use it is no news.
fn quiet_panics() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or_default();
        if !round::is_of_a_shutdown(text) {
            others(info);
        }
    }));
}
