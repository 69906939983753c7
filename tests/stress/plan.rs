//! Random programs, as data.

use std::time::Duration;

/// Splitmix64: the same numbers everywhere, from one word.
#[derive(Debug, Clone)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Mostly a few microseconds: much shorter than a timer's step, and seldom longer than two.
    pub(super) fn time(&mut self) -> Duration {
        Duration::from_micros(if self.one_in(8) { self.below(2_000) } else { self.below(50) })
    }
}

/// What a body does, one step after the other.
#[derive(Debug, Clone)]
pub(super) struct Plan(pub(super) Vec<Step>);

#[derive(Debug, Clone)]
pub(super) enum Step {
    Yield,
    Sleep(Duration),
    /// `check()?`
    Check,
    /// Leaves with an error, or with a panic.
    Fail,
    Panic,
    Child(Home, How, Plan),
    Scope(Options, Plan),
    Shield(Plan),
    Defer(Plan),
    Guard(Plan),
    /// Cancels a scope of this program, or a task of this body.
    Cancel,
    CancelTask,
    /// Awaits a task of this body.
    Join,
    /// Two arms, the second of which may be a task.
    Race {
        all: bool,
        parallel: bool,
        arms: Box<(Plan, Plan)>,
    },
    /// Triggers a token of this program.
    Trigger,
    /// Runs a plan under a token, or the first of two under one, for a while.
    UnderToken(Plan),
    FirstOf(Duration, Box<(Plan, Plan)>),
    /// Runs a plan for a while, and drops its future.
    DropAfter(Duration, Plan),
    /// Polls a plan once, and gives it to the outermost scope.
    HandOver(Plan),
    /// Runs a plan here, in another scope of this program.
    Elsewhere(Plan),
    /// Runs a plan in a task that no scope knows of, and aborts that after a while.
    AbortAfter(Duration, Plan),
    /// Runs a plan in a nested `block_on`.
    BlockOn(Plan),
}

/// Who runs a child. In sync code it is always a thread.
#[derive(Debug, Clone, Copy)]
pub(super) enum Home {
    Task,
    Fork,
    Thread,
}

/// How a child is spawned; what its kind does not know is plain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Plain,
    Background,
    SkipIfCancelled,
    Abandon,
}

/// The options of a scope.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) form: Form,
    pub(super) timeout: Option<Duration>,
    pub(super) shield: bool,
    pub(super) limit: Option<usize>,
    pub(super) grace: Option<Duration>,
    /// Only a watched scope has these two.
    pub(super) bubble: bool,
    pub(super) cancel_on: Option<Duration>,
    /// Linked to another scope of this program.
    pub(super) link: bool,
    /// Only a plain one has this.
    pub(super) cleanup_timeout: Option<Duration>,
}

/// Options that are part of a scope's type, or can't be computed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Form {
    #[default]
    Plain,
    Supervise,
    /// `token`, `cancel_on`, and `bubble` or not.
    Watched,
    /// `supervise`, `bubble`, `cooperative` and a `token`.
    Cooperative,
}

impl Plan {
    /// `deep` is how many levels may be inside; `foreign` allows what no scope can hold against: dropped futures.
    pub(super) fn random(chance: &mut Chance, deep: u64, foreign: bool) -> Self {
        let steps = 1 + chance.below(if deep == 0 { 2 } else { 7 });
        Self((0..steps).map(|_| Step::random(chance, deep, foreign)).collect())
    }
}

impl Step {
    fn random(chance: &mut Chance, deep: u64, foreign: bool) -> Self {
        let kind = chance.below(if deep == 0 { 5 } else { 26 });
        let inner = |chance: &mut Chance| Plan::random(chance, deep - 1, foreign);
        let two = |chance: &mut Chance| Box::new((inner(chance), inner(chance)));
        match kind {
            0 | 1 => Self::Yield,
            2 => Self::Sleep(chance.time()),
            3 => Self::Check,
            4 => match chance.below(12) {
                0 => Self::Fail,
                1 => Self::Panic,
                2 | 3 => Self::Cancel,
                4 => Self::Trigger,
                _ => Self::Yield,
            },
            5..=9 => Self::Child(Home::random(chance), How::random(chance), inner(chance)),
            10 | 11 => Self::Scope(Options::random(chance, foreign), inner(chance)),
            12 => Self::Shield(inner(chance)),
            13 => Self::Defer(inner(chance)),
            14 => Self::Guard(inner(chance)),
            15 => Self::CancelTask,
            16 | 17 => Self::Join,
            18 => {
                let (all, parallel) = (chance.one_in(2), chance.one_in(2));
                Self::Race { all, parallel, arms: two(chance) }
            }
            19 => match chance.below(3) {
                0 => Self::UnderToken(inner(chance)),
                1 => Self::FirstOf(chance.time(), two(chance)),
                _ => Self::Trigger,
            },
            20 if foreign => Self::DropAfter(chance.time(), inner(chance)),
            21 if foreign => Self::HandOver(inner(chance)),
            22 if foreign => Self::Elsewhere(inner(chance)),
            23 if foreign => Self::AbortAfter(chance.time(), inner(chance)),
            24 if chance.one_in(4) => Self::BlockOn(inner(chance)),
            _ => Self::Cancel,
        }
    }
}

impl Home {
    fn random(chance: &mut Chance) -> Self {
        match chance.below(8) {
            0..=3 => Self::Task,
            4..=6 => Self::Fork,
            _ => Self::Thread,
        }
    }
}

impl How {
    fn random(chance: &mut Chance) -> Self {
        match chance.below(8) {
            0 => Self::Background,
            1 => Self::SkipIfCancelled,
            2 => Self::Abandon,
            _ => Self::Plain,
        }
    }
}

impl Options {
    pub(super) fn random(chance: &mut Chance, foreign: bool) -> Self {
        Self {
            form: match chance.below(6) {
                0 | 1 => Form::Plain,
                2 | 3 => Form::Supervise,
                4 => Form::Watched,
                _ => Form::Cooperative,
            },
            timeout: chance.one_in(3).then(|| chance.time() * 4),
            shield: chance.one_in(6),
            limit: chance.one_in(3).then(|| 1 + chance.below(3) as usize),
            grace: chance.one_in(6).then(|| chance.time()),
            bubble: chance.one_in(2),
            cancel_on: chance.one_in(2).then(|| chance.time()),
            link: chance.one_in(8),
            cleanup_timeout: (foreign && chance.one_in(12)).then(|| chance.time()),
        }
    }
}
