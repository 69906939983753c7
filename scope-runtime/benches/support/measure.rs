//! How time is taken: all cases of a job in short batches, turn by turn, and medians of what each turn says.
//!
//! A machine is never quiet. What disturbs one batch mostly disturbs its neighbours of the same turn too, so a ratio is
//! taken *within* each turn, and the median over many turns is told. The order is another one in each turn.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::task::unconstrained;

use super::row::{Goal, Limit, Row, Unit};
use super::runtime::Flavour;
use super::suspend::spin;

/// One batch under way: the time that its operations took, without what had to be set up for them.
pub(crate) type Batch = Pin<Box<dyn Future<Output = Duration> + Send>>;

/// The time that it takes to do something `$n` times.
macro_rules! timed {
    ($n:expr, $operation:expr) => {{
        let begun = std::time::Instant::now();
        for _ in 0..$n {
            let _ = std::hint::black_box($operation);
        }
        begun.elapsed()
    }};
}
pub(crate) use timed;

/// One way to do a job.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) goals: Vec<Goal>,
    batch: Box<dyn Fn(usize) -> Batch>,
}

impl Case {
    /// A case that runs on the scheduler; `batch(n)` does the job `n` times.
    pub(crate) fn scheduled<F>(name: impl Into<String>, batch: impl Fn(usize) -> F + 'static) -> Self
    where
        F: Future<Output = Duration> + Send + 'static,
    {
        Self { name: name.into(), goals: Vec::new(), batch: Box::new(move |n| Box::pin(batch(n))) }
    }

    /// A case that stays in its task: where it suspends, it is polled again at once. Unconstrained, since a batch is one
    /// long poll of its task, and the timers of tokio refuse to work when such a one has used up its budget.
    pub(crate) fn spinning<F>(name: impl Into<String>, batch: impl Fn(usize) -> F + 'static) -> Self
    where
        F: Future<Output = Duration> + Send + 'static,
    {
        Self::scheduled(name, move |n| unconstrained(spin(batch(n))))
    }

    /// What this case should reach, measured on the case `reference`. It may have several such goals.
    pub(crate) fn goal(mut self, reference: &'static str, limit: Limit) -> Self {
        self.goals.push(Goal { reference, limit: Some(limit) });
        self
    }

    /// Compared with another case than the job's reference, without a goal.
    pub(crate) fn beside(mut self, reference: &'static str) -> Self {
        self.goals.push(Goal { reference, limit: None });
        self
    }

    /// A future that does the job `n` times.
    pub(crate) fn batch(&self, n: usize) -> Batch {
        (self.batch)(n)
    }
}

/// What is to be done, and the ways to do it.
pub(crate) struct Job {
    pub(crate) id: &'static str,
    pub(crate) title: String,
    /// Of how many children, or levels, if that matters.
    pub(crate) n: Option<usize>,
    /// How often a batch does it.
    pub(crate) operations: usize,
    /// The case that those are compared with that don't say otherwise.
    pub(crate) reference: &'static str,
    pub(crate) flavours: Vec<Flavour>,
    pub(crate) cases: Vec<Case>,
}

impl Job {
    /// A job without cases, for both kinds of runtime.
    pub(crate) fn new(
        id: &'static str,
        title: impl Into<String>,
        operations: usize,
        reference: &'static str,
    ) -> Self {
        let flavours = vec![Flavour::Current, Flavour::Multi];
        Self { id, title: title.into(), n: None, operations, reference, flavours, cases: Vec::new() }
    }

    /// With so many children, or levels.
    pub(crate) fn of(mut self, n: usize) -> Self {
        self.n = Some(n);
        self
    }

    /// On other runtimes than both.
    pub(crate) fn on(mut self, flavours: &[Flavour]) -> Self {
        self.flavours = flavours.to_vec();
        self
    }

    /// One more way.
    pub(crate) fn case(mut self, case: Case) -> Self {
        self.cases.push(case);
        self
    }

    fn index(&self, case: &str) -> usize {
        let found = self.cases.iter().position(|other| other.name == case);
        found.unwrap_or_else(|| panic!("job {} has no case `{case}`", self.id))
    }
}

/// How long to measure one job on one runtime.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) time: Duration,
    pub(crate) at_least: usize,
    pub(crate) at_most: usize,
}

impl Effort {
    /// Enough to tell a few per cent apart.
    pub(crate) const FULL: Self = Self { time: Duration::from_secs(6), at_least: 15, at_most: 3001 };
    /// Enough to see what goes wrong.
    pub(crate) const QUICK: Self = Self { time: Duration::from_millis(1200), at_least: 5, at_most: 1001 };
    /// Enough to see that it runs.
    pub(crate) const SMOKE: Self = Self { time: Duration::ZERO, at_least: 1, at_most: 1 };
}

/// Measures a job on one runtime: a row for each case and goal.
pub(crate) fn measure(job: &Job, flavour: Flavour, effort: Effort) -> Vec<Row> {
    let samples = samples(job, flavour, effort);
    let mut rows = Vec::new();
    for (case, own) in job.cases.iter().zip(&samples) {
        let value = Spread::of(own.clone()).median;
        let row = |reference: &'static str, limit: Option<Limit>| {
            let others = &samples[job.index(reference)];
            let paired = own.iter().zip(others);
            Row {
                job: job.id,
                runtime: flavour.name(),
                case: case.name.clone(),
                n: job.n,
                unit: Unit::Nanoseconds,
                value,
                reference: Some(reference),
                ratio: Some(Spread::of(paired.clone().map(|(own, other)| own / other).collect())),
                difference: Some(Spread::of(paired.map(|(own, other)| own - other).collect()).median),
                limit,
            }
        };
        match &case.goals[..] {
            [] => rows.push(row(job.reference, None)),
            goals => rows.extend(goals.iter().map(|goal| row(goal.reference, goal.limit))),
        }
    }
    rows
}

/// Nanoseconds per operation, by case and turn.
fn samples(job: &Job, flavour: Flavour, effort: Effort) -> Vec<Vec<f64>> {
    let bed = flavour.start();
    let operations = if effort.at_most == 1 { job.operations.min(10) } else { job.operations };
    let run = |case: &Case| bed.run(case.batch(operations)).as_secs_f64() * 1e9 / operations as f64;

    let mut samples = vec![Vec::new(); job.cases.len()];
    let mut order: Vec<usize> = (0..job.cases.len()).collect();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for case in &job.cases {
        run(case); // warm
    }
    let begun = Instant::now();
    for turn in 0..effort.at_most {
        if turn >= effort.at_least && begun.elapsed() > effort.time {
            break;
        }
        dice.shuffle(&mut order);
        for &case in &order {
            samples[case].push(run(&job.cases[case]));
        }
    }
    samples
}

/// The median of some numbers, and their quartiles.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// Of at least one number.
    pub(crate) fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |quarter: usize| numbers[(numbers.len() - 1) * quarter / 4];
        Self { low: at(1), median: at(2), high: at(3) }
    }
}

/// A xorshift generator: the order of the cases need not be unpredictable, only different.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }

    fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            order.swap(last, self.below(last + 1));
        }
    }
}
