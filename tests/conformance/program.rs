//! The programs: from JSON to a tree in which nothing can be misspelt.
//!
//! A scope is found by its position instead of by its name: the parser resolves every reference against
//! the scopes that are visible at that place, so that the interpreter needs no table of names and a
//! reference to nothing is a parse error.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

/// The code of task `main`.
#[derive(Debug)]
pub struct Program {
    /// What `main` does.
    pub body: Block,
}

/// Statements that run one after the other; shared, since tasks and cleanups own the block that they run.
pub type Block = Arc<[Statement]>;

/// One step of a task.
#[derive(Debug)]
pub enum Statement {
    /// Leaves a line in the trace; doesn't suspend.
    Log(String),
    /// Suspends for so long, which is never zero.
    Sleep(Duration),
    /// A cancel scope around a body.
    Scope(Scope),
    /// A scope that tasks can be spawned into.
    Nursery(Nursery),
    /// Starts a task in a nursery; doesn't suspend.
    Spawn {
        /// Where the task lives, wherever it is spawned from.
        nursery: Visible,
        /// Its name.
        task: Arc<str>,
        /// What it does.
        body: Block,
    },
    /// Cancels a scope or a nursery.
    Cancel(Visible),
    /// Replaces a deadline.
    SetDeadline {
        /// Whose deadline.
        scope: Visible,
        /// Counted from now; `None` takes the deadline away.
        from_now: Option<Duration>,
    },
    /// Turns a shield on or off.
    SetShield {
        /// Whose shield.
        scope: Visible,
        /// On or off.
        shield: bool,
    },
    /// Fails with an error of this name.
    Raise(String),
    /// Runs the handler if an error leaves the body; never for a cancel.
    Try {
        /// What may fail.
        body: Block,
        /// What runs then.
        handler: Block,
    },
    /// A body with a drop guard that logs these lines on every way out.
    Finally {
        /// What the guard outlives.
        body: Block,
        /// The lines.
        cleanup: Vec<String>,
    },
    /// A body with a cleanup that may suspend, run shielded on every way out.
    FinallyAsync {
        /// What the cleanup follows.
        body: Block,
        /// The cleanup.
        cleanup: Block,
    },
    /// Traces whether a scope was cancelled and whether it is active.
    LogState(Visible),
    /// Traces the effective deadline.
    LogDeadline,
    /// Sets a one-shot event.
    EventSet(String),
    /// Waits for one; doesn't suspend if it is set.
    EventWait(String),
}

/// A cancel scope.
#[derive(Debug)]
pub struct Scope {
    /// Its name in the trace.
    pub id: Arc<str>,
    /// Counted from entry; zero means cancelled at entry.
    pub timeout: Option<Duration>,
    /// Whether outer cancels are hidden from it.
    pub shield: bool,
    /// What it does when it has absorbed its own cancel.
    pub mode: Mode,
    /// Whether a statement names it, so that it needs a handle.
    pub named: bool,
    /// What runs in it.
    pub body: Block,
}

/// What follows when a scope has absorbed its own cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The code behind it goes on.
    MoveOn,
    /// The error `timeout:<id>` leaves it, if the cancel was its deadline.
    Fail,
}

/// A task group with a cancel scope of its own.
#[derive(Debug)]
pub struct Nursery {
    /// Its name in the trace.
    pub id: Arc<str>,
    /// Whether a statement other than `spawn` names it, so that it needs a handle.
    pub named: bool,
    /// What the host runs in it.
    pub body: Block,
}

/// A scope or nursery as seen from a statement: its position among the visible ones, outermost first.
#[derive(Clone, Copy, Debug)]
pub struct Visible(pub(super) usize);

/// Why a program can't be parsed.
#[derive(Debug)]
pub struct Malformed(pub(super) String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl Program {
    /// Parses `{"body": […]}`.
    ///
    /// # Errors
    ///
    /// A statement is unknown or lacks a field, or it names a scope that isn't visible there.
    pub fn parse(program: &Value) -> Result<Self, Malformed> {
        let body = Parser { visible: Vec::new() }.block(program, "body")?;
        Ok(Self { body })
    }
}

/// Holds the scopes around the statement that is being parsed, outermost first.
struct Parser {
    visible: Vec<Binding>,
}

struct Binding {
    id: Arc<str>,
    nursery: bool,
    named: bool,
}

impl Parser {
    fn block(&mut self, parent: &Value, key: &str) -> Result<Block, Malformed> {
        list(parent, key)?.iter().map(|statement| self.statement(statement)).collect()
    }

    fn statement(&mut self, s: &Value) -> Result<Statement, Malformed> {
        Ok(match text(s, "op")? {
            "log" => Statement::Log(text(s, "m")?.into()),
            "sleep" => {
                Statement::Sleep(millis(s, "ms")?.filter(|d| !d.is_zero()).ok_or_else(|| lacks(s, "ms"))?)
            }
            "scope" => self.scope(s)?,
            "nursery" => self.nursery(s)?,
            "spawn" => Statement::Spawn {
                nursery: self.find_nursery(s)?,
                task: text(s, "task")?.into(),
                body: self.block(s, "body")?,
            },
            "cancel" => Statement::Cancel(self.find(s)?),
            "set_deadline" => {
                Statement::SetDeadline { scope: self.find(s)?, from_now: millis(s, "ms_from_now")? }
            }
            "set_shield" => Statement::SetShield { scope: self.find(s)?, shield: flag(s, "value")? },
            "raise" => Statement::Raise(text(s, "e")?.into()),
            "try" => Statement::Try { body: self.block(s, "body")?, handler: self.block(s, "handler")? },
            "finally" => Statement::Finally { body: self.block(s, "body")?, cleanup: lines(s, "cleanup")? },
            "finally_async" => {
                Statement::FinallyAsync { body: self.block(s, "body")?, cleanup: self.block(s, "cleanup")? }
            }
            "log_state" => Statement::LogState(self.find(s)?),
            "log_deadline" => Statement::LogDeadline,
            "event_set" => Statement::EventSet(text(s, "name")?.into()),
            "event_wait" => Statement::EventWait(text(s, "name")?.into()),
            other => return Err(Malformed(format!("unknown statement `{other}`"))),
        })
    }

    fn scope(&mut self, s: &Value) -> Result<Statement, Malformed> {
        let (Binding { id, named, .. }, body) = self.inside(s, false)?;
        Ok(Statement::Scope(Scope {
            id,
            timeout: millis(s, "timeout_ms")?,
            shield: s.get("shield").is_some() && flag(s, "shield")?,
            mode: match s.get("mode").map(Value::as_str) {
                None | Some(Some("move_on")) => Mode::MoveOn,
                Some(Some("fail")) => Mode::Fail,
                Some(_) => return Err(lacks(s, "mode")),
            },
            named,
            body,
        }))
    }

    fn nursery(&mut self, s: &Value) -> Result<Statement, Malformed> {
        let (Binding { id, named, .. }, body) = self.inside(s, true)?;
        Ok(Statement::Nursery(Nursery { id, named, body }))
    }

    /// Parses the body of a scope, in which that scope is visible.
    fn inside(&mut self, s: &Value, nursery: bool) -> Result<(Binding, Block), Malformed> {
        self.visible.push(Binding { id: text(s, "id")?.into(), nursery, named: false });
        let body = self.block(s, "body")?;
        let binding = self.visible.pop().expect("what was pushed before the body");
        Ok((binding, body))
    }

    /// Resolves the scope in `id`, which will need a handle.
    fn find(&mut self, s: &Value) -> Result<Visible, Malformed> {
        let found = self.position(text(s, "id")?)?;
        self.visible[found.0].named = true;
        Ok(found)
    }

    /// Resolves the nursery in `in`.
    fn find_nursery(&self, s: &Value) -> Result<Visible, Malformed> {
        let id = text(s, "in")?;
        let found = self.position(id)?;
        if !self.visible[found.0].nursery {
            return Err(Malformed(format!("`{id}` is no nursery")));
        }
        Ok(found)
    }

    fn position(&self, id: &str) -> Result<Visible, Malformed> {
        let found = self.visible.iter().rposition(|binding| *binding.id == *id);
        found.map(Visible).ok_or_else(|| Malformed(format!("no scope `{id}` is visible here")))
    }
}

fn list<'a>(s: &'a Value, key: &str) -> Result<&'a [Value], Malformed> {
    s[key].as_array().map(Vec::as_slice).ok_or_else(|| lacks(s, key))
}

fn text<'a>(s: &'a Value, key: &str) -> Result<&'a str, Malformed> {
    s[key].as_str().ok_or_else(|| lacks(s, key))
}

fn flag(s: &Value, key: &str) -> Result<bool, Malformed> {
    s[key].as_bool().ok_or_else(|| lacks(s, key))
}

/// A duration, or `None` where it is null or left out.
fn millis(s: &Value, key: &str) -> Result<Option<Duration>, Malformed> {
    match &s[key] {
        Value::Null => Ok(None),
        value => value.as_u64().map(|ms| Some(Duration::from_millis(ms))).ok_or_else(|| lacks(s, key)),
    }
}

/// A block that may hold nothing but `log`.
fn lines(s: &Value, key: &str) -> Result<Vec<String>, Malformed> {
    let line = |cleanup: &Value| match text(cleanup, "op")? {
        "log" => Ok(text(cleanup, "m")?.into()),
        other => Err(Malformed(format!("`{other}` in the cleanup of a `finally`, which may only log"))),
    };
    list(s, key)?.iter().map(line).collect()
}

fn lacks(s: &Value, key: &str) -> Malformed {
    let what = s["op"].as_str().unwrap_or("program");
    Malformed(format!("`{what}` without a proper `{key}`"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mistake(body: Value) -> String {
        Program::parse(&json!({ "body": body })).unwrap_err().to_string()
    }

    #[test]
    fn scope_is_named_only_if_a_statement_needs_its_handle() {
        let program = json!({ "body": [{ "op": "nursery", "id": "n", "body": [
            { "op": "scope", "id": "s", "body": [{ "op": "spawn", "in": "n", "task": "t", "body": [
                { "op": "cancel", "id": "s" },
            ] }] },
        ] }] });
        let program = Program::parse(&program).unwrap();
        let Statement::Nursery(nursery) = &program.body[0] else { panic!("{program:?}") };
        let Statement::Scope(scope) = &nursery.body[0] else { panic!("{program:?}") };
        assert!(scope.named && !nursery.named);
    }

    #[test]
    fn reference_to_what_is_not_visible_is_a_mistake() {
        let scope = json!({ "op": "scope", "id": "s", "body": [] });
        assert_eq!(mistake(json!([scope, { "op": "cancel", "id": "s" }])), "no scope `s` is visible here");
        let spawn = json!({ "op": "spawn", "in": "s", "task": "t", "body": [] });
        assert_eq!(mistake(json!([{ "op": "scope", "id": "s", "body": [spawn] }])), "`s` is no nursery");
    }

    #[test]
    fn field_of_a_wrong_type_is_a_mistake() {
        assert_eq!(mistake(json!([{ "op": "sleep", "ms": 0 }])), "`sleep` without a proper `ms`");
        assert_eq!(mistake(json!([{ "op": "try", "body": [] }])), "`try` without a proper `handler`");
        let cleanup = json!([{ "op": "sleep", "ms": 5 }]);
        let mistake = mistake(json!([{ "op": "finally", "body": [], "cleanup": cleanup }]));
        assert_eq!(mistake, "`sleep` in the cleanup of a `finally`, which may only log");
    }
}
