//! One line of a result.

use std::fmt;

use serde_json::{Value, json};

use super::measure::Spread;

/// What a value counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Nanoseconds,
    Bytes,
    Allocations,
    Instructions,
}

impl Unit {
    /// The heading of its column, and its key in JSON.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Bytes => "bytes",
            Self::Allocations => "allocs",
            Self::Instructions => "instr",
        }
    }
}

/// The other case that one is compared with, and what should be reached beside it, if anything.
#[derive(Clone, Copy)]
pub(crate) struct Goal {
    pub(crate) reference: &'static str,
    pub(crate) limit: Option<Limit>,
}

/// A limit of what may be measured.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    /// So many times what the reference takes.
    Times(f64),
    /// So many nanoseconds more than the reference takes.
    More(f64),
    /// A count, of bytes or allocations.
    Count(f64),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(limit) => write!(f, "<= {limit:.2} x"),
            Self::More(limit) => write!(f, "<= +{limit} ns"),
            Self::Count(limit) => write!(f, "<= {limit}"),
        }
    }
}

/// One measured value, and what it is compared with.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) job: &'static str,
    pub(crate) runtime: &'static str,
    pub(crate) case: String,
    /// Of how many: children, levels.
    pub(crate) n: Option<usize>,
    pub(crate) unit: Unit,
    pub(crate) value: f64,
    pub(crate) reference: Option<&'static str>,
    pub(crate) ratio: Option<Spread>,
    pub(crate) difference: Option<f64>,
    pub(crate) limit: Option<Limit>,
}

impl Row {
    /// A count that is compared with nothing; counted on one thread.
    pub(crate) fn count(job: &'static str, case: impl Into<String>, unit: Unit, value: f64) -> Self {
        let (n, reference, ratio, difference, limit) = (None, None, None, None, None);
        Self { job, runtime: "ct", case: case.into(), n, unit, value, reference, ratio, difference, limit }
    }

    /// Whether the limit holds, if there is one.
    pub(crate) fn holds(&self) -> Option<bool> {
        Some(match self.limit? {
            Limit::Times(limit) => self.ratio?.median <= limit,
            Limit::More(limit) => self.difference? <= limit,
            Limit::Count(limit) => self.value <= limit,
        })
    }

    /// For `--json`.
    pub(crate) fn json(&self) -> Value {
        json!({
            "job": self.job,
            "rt": self.runtime,
            "case": self.case,
            "n": self.n,
            self.unit.name(): rounded(self.value, 100.0),
            "ratio": self.ratio.map(|ratio| rounded(ratio.median, 10_000.0)),
            "ratio_quartiles": self.ratio.map(|ratio| [rounded(ratio.low, 10_000.0), rounded(ratio.high, 10_000.0)]),
            "reference": self.reference,
            "target": self.limit.map(|limit| limit.to_string()),
            "ok": self.holds(),
        })
    }
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
