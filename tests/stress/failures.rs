//! Errors and panics with a number each: every one must reach somebody, or be reported, and that once.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Write as _};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use scope_runtime::Cancelled;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// How often each failure that was made turned up since, by its number.
static TABLE: Mutex<Table> = Mutex::new(Table { made: 0, seen: BTreeMap::new() });

struct Table {
    made: u64,
    seen: BTreeMap<u64, Seen>,
}

#[derive(Default)]
struct Seen {
    taken: u32,
    /// What was said.
    reports: Vec<String>,
    /// It may be lost: that of a loser of a race.
    excused: bool,
    /// Whether futures of its program were dropped or left alone: a scope that was abandoned and is polled all the same
    /// hands on what was reported meanwhile.
    foreign: Arc<AtomicBool>,
}

/// What stands before the number in the text of a failure.
const MARK: &str = "failure#";

/// The text of an error that passes on a cancel. What comes behind it in a report is why that was, and the failure that it
/// may have been is told elsewhere.
const PASSED_ON: &str = "a cancel is passed on";

fn table() -> MutexGuard<'static, Table> {
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number_of_a_new_one(foreign: &Arc<AtomicBool>) -> u64 {
    let mut table = table();
    table.made += 1;
    let number = table.made;
    table.seen.insert(number, Seen { foreign: Arc::clone(foreign), ..Seen::default() });
    number
}

/// What plans end with.
pub(super) enum Oops {
    Failed(u64),
    Cancelled(Cancelled),
}

impl Oops {
    pub(super) fn new(foreign: &Arc<AtomicBool>) -> Self {
        Self::Failed(number_of_a_new_one(foreign))
    }

    /// It is an output of a race, and lost if another one wins.
    pub(super) fn excuse(&self) {
        if let Self::Failed(number) = self
            && let Some(seen) = table().seen.get_mut(number)
        {
            seen.excused = true;
        }
    }
}

impl From<Cancelled> for Oops {
    fn from(cancelled: Cancelled) -> Self {
        Self::Cancelled(cancelled)
    }
}

impl fmt::Display for Oops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(number) => write!(f, "{MARK}{number}"),
            Self::Cancelled(_) => f.write_str(PASSED_ON),
        }
    }
}

/// The library may know no more of an error than that it can be written so.
impl Debug for Oops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(number) => write!(f, "{MARK}{number}"),
            // It is asked for its text, by which it is found, but that may name a failure that is told elsewhere.
            Self::Cancelled(cancelled) => {
                let _ = format!("{cancelled:?}");
                f.write_str(PASSED_ON)
            }
        }
    }
}

impl std::error::Error for Oops {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(_) => None,
            Self::Cancelled(cancelled) => cancelled.source(),
        }
    }
}

/// Panics, without the hook, which would print every time.
pub(super) fn panic(foreign: &Arc<AtomicBool>) -> ! {
    resume_unwind(Box::new(format!("{MARK}{}", number_of_a_new_one(foreign))))
}

/// An error has come to where nobody passes it on.
pub(super) fn take(error: &Oops) {
    if let Oops::Failed(number) = error {
        see(*number, |seen| seen.taken += 1);
    }
}

/// The same for a panic; one that is none of ours is a finding.
pub(super) fn take_panic(payload: &(dyn Any + Send)) -> Result<(), String> {
    let Some(text) = payload.downcast_ref::<String>() else {
        let text = payload.downcast_ref::<&str>().copied();
        return Err(text.unwrap_or("a panic without a text").to_owned());
    };
    match numbers_in(text).next() {
        Some(number) => see(number, |seen| seen.taken += 1),
        None => return Err(text.clone()),
    }
    Ok(())
}

fn see(number: u64, note: impl FnOnce(&mut Seen)) {
    if let Some(seen) = table().seen.get_mut(&number) {
        note(seen);
    }
}

fn numbers_in(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split(MARK).skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

/// Ends the count, and says what is wrong with it.
pub(super) fn judge() -> Vec<String> {
    let table = std::mem::take(&mut table().seen);
    let mut wrong = Vec::new();
    for (number, Seen { taken, reports, excused, foreign }) in table {
        let right = match (taken, reports.len()) {
            (0, 0) => excused,
            (1, 0) | (0, 1) => true,
            (1, 1) => foreign.load(SeqCst),
            _ => false,
        };
        if !right {
            wrong.push(format!("failure {number} was taken {taken} times, and reported as {reports:?}"));
        }
    }
    wrong
}

/// Listens to what the library reports.
pub(super) fn listen() {
    static SUBSCRIBER: Once = Once::new();
    SUBSCRIBER.call_once(|| {
        tracing::subscriber::set_global_default(Listener).expect("nobody else listens here");
    });
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "scope_runtime" && *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        // What has lost its scope says why, and that may be a failure that is told elsewhere.
        if text.0.contains("that it unwound for") {
            return;
        }
        let own = text.0.split(PASSED_ON).next().unwrap_or_default();
        for number in numbers_in(own) {
            see(number, |seen| seen.reports.push(text.0.clone()));
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{value:?} ");
    }
}
