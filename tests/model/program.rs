//! Programs: what the model and the library both run, as data, and the notation in which they are printed.

use std::fmt;
use std::sync::Arc;

/// Virtual milliseconds.
pub type Ms = u64;

/// For ever: the grace of a `cooperative` scope.
pub const EVER: Ms = u64::MAX;

/// A list of lines, shared with whoever runs it.
pub type Body = Arc<Vec<Line>>;

/// A statement with its number, which is unique in the program: scopes, tasks and cleanups are named by it.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its number.
    pub n: u32,
    /// What it does.
    pub step: Step,
}

/// A statement.
///
/// Those that name a scope or a task look it up when they run; one that is not there (yet) is passed over. So a program
/// stays one whatever is taken out of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Suspends.
    Sleep(Ms),
    /// Notes whether a cancel is visible, and the effective deadline.
    Look,
    /// `check()?`
    Check,
    /// Cancels a scope: `cancel()`, or `cancel_now()`.
    Cancel {
        /// Which.
        scope: u32,
        /// Without grace.
        now: bool,
    },
    /// Moves the deadline of a scope to so far from now, or takes it away.
    Deadline(u32, Option<Ms>),
    /// Turns the shield of a scope on or off.
    SetShield(u32, bool),
    /// Leaves with an error.
    Fail,
    /// Panics.
    Panic,
    /// A local that notes its drop, at the end of the body that the line stands in.
    Guard,
    /// `scope!`
    Scope(Options, Body),
    /// `shield!`
    Shield(Body),
    /// Catches the errors and panics that leave the body.
    Catch(Body),
    /// Starts a child of a scope.
    Spawn {
        /// Of which.
        scope: u32,
        /// How.
        how: How,
        /// What it does.
        body: Body,
    },
    /// Awaits a child, by the line that started it.
    Join(u32),
    /// Cancels a child.
    CancelTask(u32),
    /// Registers a cleanup with the innermost frame.
    Defer(Body),
    /// `race!`, or `try_join!`.
    Race {
        /// `try_join!`
        all: bool,
        /// Whether the last arm is a `spawn!`.
        parallel: bool,
        /// The arms: two.
        arms: Vec<Body>,
    },
    /// Runs the body for so long, and drops its future then: `tokio::time::timeout`.
    Timeout(Ms, Body),
    /// Runs the body for so long, and keeps its future then, unpolled, as a local of the body that the line stands in.
    Forget(Ms, Body),
    /// Runs the body for so long, and goes on with it in a scope of its own.
    Move(Ms, Body),
    /// Runs the body in a task of no scope, which is aborted after so long.
    Abort(Ms, Body),
    /// Runs the body as a guest of a scope: `in_scope`.
    Guest(u32, Body),
    /// Triggers one of the program's tokens.
    Trigger(u8),
    /// Runs the body under a token: `token.run(…)`.
    Run(u8, Body),
}

/// How a child is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// `spawn!`, or, away from the block of the scope, its spawner.
    Plain,
    /// `spawn!(background, …)`, in the block of the scope.
    Background,
    /// `spawn!(skip_if_cancelled, …)`, in the block of the scope.
    Skip,
    /// `fork!`, in the block of the scope.
    Fork,
    /// `fork!(background, …)`, in the block of the scope.
    BackgroundFork,
}

/// The options of a scope.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// `timeout`
    pub timeout: Option<Ms>,
    /// `shield`
    pub shield: bool,
    /// `grace`, or `cooperative` if it is for [`EVER`].
    pub grace: Option<Ms>,
    /// `supervise`
    pub supervise: bool,
    /// `limit`
    pub limit: Option<usize>,
    /// `link`: to another scope, if that was entered.
    pub link: Option<u32>,
    /// The options that need a form of their own, one at most.
    pub special: Option<Special>,
}

/// Options that a scope has or hasn't, whatever their value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// `bubble`
    Bubble(bool),
    /// `token`
    Token(u8),
    /// `cancel_on`: a future that is ready after so long.
    CancelOn(Ms),
    /// `cleanup_timeout`
    CleanupTimeout(Ms),
}

/// So many tokens a program has; the last one is a chain of the others.
pub const TOKENS: u8 = 3;

/// A program: the body of its main task.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// What it does.
    pub main: Body,
}

impl Step {
    /// The bodies inside of it.
    pub fn bodies(&self) -> Vec<&Body> {
        match self {
            Self::Scope(_, body)
            | Self::Shield(body)
            | Self::Catch(body)
            | Self::Spawn { body, .. }
            | Self::Defer(body)
            | Self::Timeout(_, body)
            | Self::Forget(_, body)
            | Self::Move(_, body)
            | Self::Abort(_, body)
            | Self::Guest(_, body)
            | Self::Run(_, body) => vec![body],
            Self::Race { arms, .. } => arms.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// The same, to be changed.
    pub fn bodies_mut(&mut self) -> Vec<&mut Body> {
        match self {
            Self::Scope(_, body)
            | Self::Shield(body)
            | Self::Catch(body)
            | Self::Spawn { body, .. }
            | Self::Defer(body)
            | Self::Timeout(_, body)
            | Self::Forget(_, body)
            | Self::Move(_, body)
            | Self::Abort(_, body)
            | Self::Guest(_, body)
            | Self::Run(_, body) => vec![body],
            Self::Race { arms, .. } => arms.iter_mut().collect(),
            _ => Vec::new(),
        }
    }

    /// The scope that a handle is needed of.
    fn names(&self) -> Option<u32> {
        match self {
            Self::Cancel { scope, .. }
            | Self::Deadline(scope, _)
            | Self::SetShield(scope, _)
            | Self::Guest(scope, _)
            | Self::Spawn { scope, .. } => Some(*scope),
            Self::Scope(options, _) => options.link,
            _ => None,
        }
    }
}

impl Program {
    /// Whether anything but its body names this scope. One that nothing names has no handle, and perhaps no node.
    pub fn names(&self, scope: u32) -> bool {
        fn in_body(body: &Body, scope: u32) -> bool {
            body.iter().any(|line| {
                line.step.names() == Some(scope)
                    || line.step.bodies().into_iter().any(|body| in_body(body, scope))
            })
        }
        in_body(&self.main, scope)
    }

    /// How many lines it has.
    pub fn size(&self) -> usize {
        fn of(body: &Body) -> usize {
            body.iter().map(|line| 1 + line.step.bodies().into_iter().map(of).sum::<usize>()).sum()
        }
        of(&self.main)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_body(f, &self.main, 1)
    }
}

fn write_body(f: &mut fmt::Formatter<'_>, body: &Body, deep: usize) -> fmt::Result {
    for line in &**body {
        write!(f, "{:>4}{:indent$}{}", line.n, "", line.step, indent = 2 * deep)?;
        let bodies = line.step.bodies();
        for (at, body) in bodies.iter().enumerate() {
            f.write_str(if at == 0 { " {\n" } else { "}, {\n" })?;
            write_body(f, body, deep + 1)?;
            write!(f, "    {:indent$}", "", indent = 2 * deep)?;
        }
        f.write_str(if bodies.is_empty() { "\n" } else { "}\n" })?;
    }
    Ok(())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sleep(ms) => write!(f, "sleep {ms}"),
            Self::Look => write!(f, "look"),
            Self::Check => write!(f, "check()?"),
            Self::Cancel { scope, now } => write!(f, "s{scope}.cancel{}()", if *now { "_now" } else { "" }),
            Self::Deadline(scope, Some(ms)) => write!(f, "s{scope}.set_deadline(now + {ms})"),
            Self::Deadline(scope, None) => write!(f, "s{scope}.set_deadline(None)"),
            Self::SetShield(scope, on) => write!(f, "s{scope}.set_shield({on})"),
            Self::Fail => write!(f, "fail"),
            Self::Panic => write!(f, "panic"),
            Self::Guard => write!(f, "guard"),
            Self::Scope(options, _) => write!(f, "scope{options}"),
            Self::Shield(_) => write!(f, "shield"),
            Self::Catch(_) => write!(f, "catch"),
            Self::Spawn { scope, how, .. } => write!(f, "{how} in s{scope}"),
            Self::Join(task) => write!(f, "t{task}.await"),
            Self::CancelTask(task) => write!(f, "t{task}.cancel()"),
            Self::Defer(_) => write!(f, "defer"),
            Self::Race { all, parallel, .. } => {
                let name = if *all { "try_join" } else { "race" };
                write!(f, "{name}{}", if *parallel { " (the last one spawned)" } else { "" })
            }
            Self::Timeout(ms, _) => write!(f, "dropped after {ms}"),
            Self::Forget(ms, _) => write!(f, "forgotten after {ms}"),
            Self::Move(ms, _) => write!(f, "moved into a scope after {ms}"),
            Self::Abort(ms, _) => write!(f, "detached, aborted after {ms}"),
            Self::Guest(scope, _) => write!(f, "in_scope s{scope}"),
            Self::Trigger(token) => write!(f, "trigger token {token}"),
            Self::Run(token, _) => write!(f, "run under token {token}"),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "spawn",
            Self::Background => "spawn background",
            Self::Skip => "spawn skip_if_cancelled",
            Self::Fork => "fork",
            Self::BackgroundFork => "fork background",
        })
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut given = Vec::new();
        given.extend(self.timeout.map(|ms| format!("timeout = {ms}")));
        given.extend(self.shield.then(|| "shield".to_owned()));
        given.extend(self.grace.map(|ms| match ms {
            EVER => "cooperative".to_owned(),
            ms => format!("grace = {ms}"),
        }));
        given.extend(self.supervise.then(|| "supervise".to_owned()));
        given.extend(self.limit.map(|n| format!("limit = {n}")));
        given.extend(self.link.map(|scope| format!("link = s{scope}")));
        given.extend(self.special.map(|special| match special {
            Special::Bubble(bubble) => format!("bubble = {bubble}"),
            Special::Token(token) => format!("token = {token}"),
            Special::CancelOn(ms) => format!("cancel_on = sleep {ms}"),
            Special::CleanupTimeout(ms) => format!("cleanup_timeout = {ms}"),
        }));
        if given.is_empty() { Ok(()) } else { write!(f, " ({})", given.join(", ")) }
    }
}
