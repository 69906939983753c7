//! What happened, in a form in which two runs can be compared.
//!
//! An entry belongs to a *line of events*: a task, a fork, an arm, or a cleanup that runs apart from all of them. Within
//! one line the order counts, and the times. Between two lines only the times count: the order of tasks within an
//! instant is nobody's promise.

use std::collections::BTreeMap;
use std::fmt;

use super::program::Ms;

/// The entries of each line of events, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace(BTreeMap<String, Vec<(Ms, String)>>);

impl Trace {
    /// Appends an entry.
    pub fn say(&mut self, ms: Ms, who: &str, what: String) {
        match self.0.get_mut(who) {
            Some(line) => line.push((ms, what)),
            None => drop(self.0.insert(who.to_owned(), vec![(ms, what)])),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Where this trace and `other` part first.
    pub fn difference(&self, other: &Self) -> Option<(Ms, String, Option<String>, Option<String>)> {
        let lines = self.0.keys().chain(other.0.keys().filter(|who| !self.0.contains_key(*who)));
        let none = Vec::new();
        let differences = lines.filter_map(|who| {
            let (a, b) = (self.0.get(who).unwrap_or(&none), other.0.get(who).unwrap_or(&none));
            let at = (0..a.len().max(b.len())).find(|&at| a.get(at) != b.get(at))?;
            let ms = a.get(at).into_iter().chain(b.get(at)).map(|(ms, _)| *ms).min()?;
            let print = |entry: Option<&(Ms, String)>| entry.map(|(ms, what)| format!("{ms} {what}"));
            Some((ms, who.clone(), print(a.get(at)), print(b.get(at))))
        });
        differences.min()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (who, line) in &self.0 {
            let line: Vec<_> = line.iter().map(|(ms, what)| format!("{ms} {what}")).collect();
            writeln!(f, "  {who}: {}", line.join(" | "))?;
        }
        Ok(())
    }
}
