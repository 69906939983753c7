//! What happened, in the canonical form in which two runs can be compared.
//!
//! Entries of different tasks at one instant have no order between them, so a trace is one sequence per
//! task. This library lets one error out of a boundary, where Trio lets out all that there were: of an
//! error entry only `first` counts, and the keys that describe what left along with it are dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Value, json};

/// Keys of an entry's detail that are not compared.
const SOFT_KEYS: [&str; 3] = ["errors", "caught", "through"];

/// The entries `[ms, event, detail]` of each task, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    tasks: BTreeMap<String, Vec<Value>>,
}

/// Where two traces part: the earliest entry that is not the same.
#[derive(Debug)]
pub struct Difference {
    ms: u64,
    task: String,
    index: usize,
    trio: String,
    here: String,
}

impl Trace {
    /// Reads `{task: [[ms, event, detail], …], …}`; `None` if it isn't of that shape.
    #[must_use]
    pub fn parse(tasks: &Value) -> Option<Self> {
        let sequence = |(task, entries): (&String, &Value)| {
            let entries =
                entries.as_array()?.iter().map(|entry| entry.as_array().map(|_| soften(entry.clone())));
            Some((task.clone(), entries.collect::<Option<_>>()?))
        };
        Some(Self { tasks: tasks.as_object()?.iter().map(sequence).collect::<Option<_>>()? })
    }

    /// Appends an entry to the sequence of its task.
    pub fn record(&mut self, ms: u64, task: &str, event: &str, detail: Value) {
        self.tasks.entry(task.to_owned()).or_default().push(soften(json!([ms, event, detail])));
    }

    /// Puts `new` in the place of the entries `old`; does nothing where these don't follow one another.
    pub fn replace(&mut self, old: &Self, new: &Self) {
        for (task, old) in &old.tasks {
            let Some(entries) = self.tasks.get_mut(task) else { continue };
            if let Some(start) = entries.windows(old.len()).position(|window| window == old) {
                let new = new.tasks.get(task).cloned().unwrap_or_default();
                entries.splice(start..start + old.len(), new);
            }
        }
    }

    /// The earliest entry of this trace, Trio's, that `here` doesn't have at the same place.
    #[must_use]
    pub fn first_difference(&self, here: &Self) -> Option<Difference> {
        let tasks: BTreeSet<_> = self.tasks.keys().chain(here.tasks.keys()).collect();
        let found = tasks.into_iter().filter_map(|task| self.first_difference_of(task, here));
        found.min_by_key(|difference| difference.ms)
    }

    fn first_difference_of(&self, task: &str, here: &Self) -> Option<Difference> {
        let (trio, here) = (self.entries(task), here.entries(task));
        let index = (0..trio.len().max(here.len())).find(|&i| trio.get(i) != here.get(i))?;
        let (trio, here) = (trio.get(index), here.get(index));
        let print = |entry: Option<&Value>| entry.map_or_else(|| "nothing".to_owned(), Value::to_string);
        Some(Difference {
            ms: trio.into_iter().chain(here).filter_map(|entry| entry[0].as_u64()).min().unwrap_or(0),
            task: task.to_owned(),
            index,
            trio: print(trio),
            here: print(here),
        })
    }

    fn entries(&self, task: &str) -> &[Value] {
        self.tasks.get(task).map_or(&[], Vec::as_slice)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ms: _, task, index, trio, here } = self;
        write!(f, "task {task}, entry {index}: Trio has {trio}, here is {here}")
    }
}

fn soften(mut entry: Value) -> Value {
    if let Some(detail) = entry.get_mut(2).and_then(Value::as_object_mut) {
        detail.retain(|key, _| !SOFT_KEYS.contains(&key.as_str()));
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(tasks: Value) -> Trace {
        Trace::parse(&tasks).unwrap()
    }

    #[test]
    fn soft_keys_are_not_compared() {
        let trio =
            trace(json!({ "t": [[5, "exit", { "how": "errors", "errors": ["a", "b"], "first": "a" }]] }));
        let here = trace(json!({ "t": [[5, "exit", { "first": "a", "how": "errors" }]] }));
        assert_eq!(trio, here);
        assert!(trio.first_difference(&here).is_none());
    }

    #[test]
    fn first_difference_is_the_earliest_over_all_tasks() {
        let trio = trace(json!({ "a": [[1, "log", "x"], [9, "log", "y"]], "b": [[2, "log", "x"]] }));
        let here = trace(json!({ "a": [[1, "log", "x"], [8, "log", "y"]], "b": [] }));
        let found = trio.first_difference(&here).unwrap().to_string();
        assert_eq!(found, r#"task b, entry 0: Trio has [2,"log","x"], here is nothing"#);
    }

    #[test]
    fn replace_needs_the_whole_run_of_entries() {
        let before = json!({ "t": [[1, "log", "x"], [2, "log", "y"], [3, "log", "z"]] });
        let (old, new) =
            (json!({ "t": [[2, "log", "y"], [3, "log", "z"]] }), json!({ "t": [[2, "log", "w"]] }));
        let mut replaced = trace(before.clone());
        replaced.replace(&trace(old), &trace(new.clone()));
        assert_eq!(replaced, trace(json!({ "t": [[1, "log", "x"], [2, "log", "w"]] })));

        let mut kept = trace(before.clone());
        kept.replace(&trace(json!({ "t": [[1, "log", "x"], [3, "log", "z"]] })), &trace(new));
        assert_eq!(kept, trace(before));
    }
}
