//! Random programs.

use std::sync::Arc;

use super::chance::Chance;
use super::program::{Body, EVER, How, Line, Ms, Options, Program, Special, Step};

/// What may be in a program.
#[derive(Debug, Clone, Copy)]
pub struct Features {
    /// `grace`, `cooperative`, `cancel_now()`
    pub grace: bool,
    /// `bubble`, `link`
    pub bubble: bool,
    /// `supervise`
    pub supervise: bool,
    /// `limit`
    pub limit: bool,
    /// `fork!`
    pub fork: bool,
    /// `race!`, `try_join!`
    pub race: bool,
    /// `token`, `cancel_on`, `token.run(…)`
    pub tokens: bool,
    /// `cleanup_timeout`
    pub cleanup_timeout: bool,
    /// Futures that are dropped, aborted, forgotten or moved.
    pub foreign: bool,
    /// `in_scope`
    pub guests: bool,
}

impl Features {
    /// All of them.
    pub const ALL: Self = Self {
        grace: true,
        bubble: true,
        supervise: true,
        limit: true,
        fork: true,
        race: true,
        tokens: true,
        cleanup_timeout: true,
        foreign: true,
        guests: true,
    };
    /// The core.
    pub const NONE: Self = Self {
        grace: false,
        bubble: false,
        supervise: false,
        limit: false,
        fork: false,
        race: false,
        tokens: false,
        cleanup_timeout: false,
        foreign: false,
        guests: false,
    };
}

/// The program of a seed.
pub fn generate(seed: u64, features: Features) -> Program {
    let mut chance = Chance(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5eed);
    // Mostly all moments are apart; sometimes many things happen at once.
    let ties = chance.one_in(4);
    let lines = 5 + chance.below(21) as u32;
    let mut maker =
        Maker { chance, features, ties, left: lines, next: 1, scopes: Vec::new(), tasks: Vec::new() };
    let main = maker.body(4, &Around { open: Vec::new(), block: None });
    Program { main }
}

struct Maker {
    chance: Chance,
    features: Features,
    ties: bool,
    left: u32,
    next: u32,
    scopes: Vec<u32>,
    tasks: Vec<u32>,
}

/// What a line sees around it.
#[derive(Clone)]
struct Around {
    /// The scopes around it, the innermost last.
    open: Vec<u32>,
    /// The scope whose block it stands in.
    block: Option<u32>,
}

impl Maker {
    fn ms(&mut self) -> Ms {
        if self.ties { 10 * (1 + self.chance.below(4)) } else { 1 + self.chance.below(199) }
    }

    fn body(&mut self, deep: u64, around: &Around) -> Body {
        let most = 1 + self.chance.below(if deep == 4 { 6 } else { 5 }) + u64::from(deep > 1);
        let mut lines = Vec::new();
        while self.left > 0 && (lines.len() as u64) < most {
            self.left -= 1;
            let n = self.next;
            self.next += 1;
            let step = self.step(n, deep, around);
            let last = matches!(step, Step::Fail | Step::Panic);
            lines.push(Line { n, step });
            if last {
                break;
            }
        }
        Arc::new(lines)
    }

    fn inside(&mut self, deep: u64, around: &Around) -> Body {
        self.body(deep - 1, &Around { block: None, ..around.clone() })
    }

    /// A scope around, or, seldom, any.
    fn scope(&mut self, around: &Around) -> Option<u32> {
        let any = self.chance.one_in(5);
        let of = if any { self.scopes.clone() } else { around.open.clone() };
        self.chance.pick(&of)
    }

    fn step(&mut self, n: u32, deep: u64, around: &Around) -> Step {
        let simple = deep == 0 || self.left == 0;
        let kind = match self.chance.below(100) {
            // What is in no scope is of little interest.
            _ if !simple && around.open.is_empty() && self.chance.one_in(2) => 44,
            kind if simple => kind * 44 / 100,
            kind => kind,
        };
        match kind {
            0..13 => Step::Sleep(self.ms()),
            13..16 => Step::Look,
            16..19 => Step::Check,
            19..27 => match self.scope(around) {
                Some(scope) => Step::Cancel { scope, now: self.features.grace && self.chance.one_in(4) },
                None => Step::Sleep(self.ms()),
            },
            27..30 => match self.scope(around) {
                Some(scope) if self.chance.one_in(4) => Step::Deadline(scope, None),
                Some(scope) => Step::Deadline(scope, Some(self.ms() - u64::from(self.ties) * 10)),
                None => Step::Sleep(self.ms()),
            },
            30..33 => match self.scope(around) {
                Some(scope) => Step::SetShield(scope, self.chance.one_in(2)),
                None => Step::Guard,
            },
            33..35 => Step::Fail,
            35..36 => Step::Panic,
            36..38 => Step::Guard,
            38..41 => match self.chance.pick(&self.tasks.clone()) {
                Some(task) => Step::Join(task),
                None => Step::Sleep(self.ms()),
            },
            41..42 => match self.chance.pick(&self.tasks.clone()) {
                Some(task) => Step::CancelTask(task),
                None => Step::Look,
            },
            42..44 if self.features.tokens => Step::Trigger(self.chance.below(3) as u8),
            42..44 => Step::Sleep(self.ms()),
            44..62 => {
                let options = self.options();
                self.scopes.push(n);
                let mut around = around.clone();
                around.open.push(n);
                around.block = Some(n);
                Step::Scope(options, self.body(deep - 1, &around))
            }
            62..67 => Step::Shield(self.inside(deep, around)),
            67..71 => Step::Catch(self.inside(deep, around)),
            71..84 => {
                let Some(scope) = self.scope(around) else { return Step::Sleep(self.ms()) };
                let how = if around.block == Some(scope) { self.how() } else { How::Plain };
                let step = Step::Spawn { scope, how, body: self.inside(deep, around) };
                self.tasks.push(n);
                step
            }
            84..90 => Step::Defer(self.inside(deep, around)),
            90..94 if self.features.race => Step::Race {
                all: self.chance.one_in(2),
                parallel: self.chance.one_in(3),
                arms: vec![self.inside(deep, around), self.inside(deep, around)],
            },
            94..98 if self.features.foreign => match self.chance.below(8) {
                0..3 => Step::Timeout(self.ms(), self.inside(deep, around)),
                3 => Step::Forget(self.ms(), self.inside(deep, around)),
                4..6 => Step::Move(self.ms(), self.inside(deep, around)),
                _ => Step::Abort(self.ms(), self.inside(deep, around)),
            },
            98 if self.features.guests => match self.scope(around) {
                Some(scope) => Step::Guest(scope, self.inside(deep, around)),
                None => Step::Sleep(self.ms()),
            },
            99 if self.features.tokens => Step::Run(self.chance.below(3) as u8, self.inside(deep, around)),
            _ => Step::Sleep(self.ms()),
        }
    }

    fn how(&mut self) -> How {
        match self.chance.below(10) {
            0 => How::Background,
            1 => How::Skip,
            2..5 if self.features.fork => How::Fork,
            5 if self.features.fork => How::BackgroundFork,
            _ => How::Plain,
        }
    }

    fn options(&mut self) -> Options {
        let mut options = Options::default();
        if self.chance.one_in(3) {
            // D1: zero means cancelled from the start.
            options.timeout = Some(if self.chance.one_in(12) { 0 } else { self.ms() });
        }
        options.shield = self.chance.one_in(7);
        if self.features.grace && self.chance.one_in(5) {
            options.grace = Some(if self.chance.one_in(3) { EVER } else { self.ms() });
        }
        options.supervise = self.features.supervise && self.chance.one_in(5);
        if self.features.limit && self.chance.one_in(5) {
            options.limit = Some(1 + self.chance.below(2) as usize);
        }
        if self.features.bubble && self.chance.one_in(6) {
            options.link = self.chance.pick(&self.scopes.clone());
        }
        let special = self.chance.below(16);
        options.special = match special {
            0..3 if self.features.bubble => Some(Special::Bubble(special < 2)),
            3 if self.features.tokens => Some(Special::Token(self.chance.below(3) as u8)),
            4 if self.features.tokens => Some(Special::CancelOn(self.ms())),
            5..7 if self.features.cleanup_timeout => Some(Special::CleanupTimeout(self.ms())),
            _ => None,
        };
        options
    }
}
