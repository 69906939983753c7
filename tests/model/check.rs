//! Holds the library against the model, and makes what differs as small as it gets.

use std::fmt::Write as _;
use std::sync::Arc;

use super::chance::Chance;
use super::library;
use super::machine::{self, Schedule};
use super::program::{Body, Options, Program, Step};
use super::rules::Broken;

/// So many orders of the tasks are tried before the library's run counts as none of the model's.
const SCHEDULES: u64 = 300;

/// What the library does that the model never does; `None` if they agree.
pub fn difference(program: &Program, broken: Option<Broken>) -> Option<String> {
    let real = library::run(program);
    if let Some(broken) = real.broken {
        return Some(broken);
    }
    let mut first = None;
    for schedule in 0..SCHEDULES {
        let schedule = match schedule {
            0 => Schedule::Fifo,
            seed => Schedule::Random(Chance(seed)),
        };
        let model = machine::run(program, schedule, broken);
        if model.trace == real.trace && model.hangs == real.hangs {
            return None;
        }
        first.get_or_insert(model);
    }
    let model = first.expect("there is one schedule at least");
    let mut text = String::new();
    if model.hangs != real.hangs {
        let _ = writeln!(text, "hangs: model {}, library {}", model.hangs, real.hangs);
    }
    if let Some((ms, who, model, library)) = model.trace.difference(&real.trace) {
        let print = |entry: Option<String>| entry.unwrap_or_else(|| "nothing".to_owned());
        let _ = writeln!(text, "at {ms} ms, {who}: model `{}`, library `{}`", print(model), print(library));
    }
    let _ = writeln!(text, "model:\n{}library:\n{}", model.trace, real.trace);
    Some(text)
}

/// A smaller program that differs as well: none that is smaller by one step does.
pub fn shrink(program: &Program, differs: impl Fn(&Program) -> bool) -> Program {
    let mut least = program.clone();
    'again: loop {
        for smaller in smaller(&least) {
            if differs(&smaller) {
                least = smaller;
                continue 'again;
            }
        }
        return least;
    }
}

/// The programs that are smaller by one step.
fn smaller(program: &Program) -> Vec<Program> {
    bodies(&program.main).into_iter().map(|main| Program { main }).collect()
}

fn bodies(body: &Body) -> Vec<Body> {
    let mut found = Vec::new();
    for at in 0..body.len() {
        let with = |lines: Vec<_>| {
            let mut all = body[..at].to_vec();
            all.extend(lines);
            all.extend_from_slice(&body[at + 1..]);
            Arc::new(all)
        };
        // Without the line; with its body in its place.
        found.push(with(Vec::new()));
        for inner in body[at].step.bodies() {
            found.push(with(inner.to_vec()));
        }
    }
    for at in 0..body.len() {
        let mut replace = |step: Step| {
            let mut all = body.to_vec();
            all[at].step = step;
            found.push(Arc::new(all));
        };
        for (which, inner) in body[at].step.bodies().into_iter().enumerate() {
            for smaller in bodies(inner) {
                let mut step = body[at].step.clone();
                *step.bodies_mut()[which] = smaller;
                replace(step);
            }
        }
        if let Step::Scope(options, inner) = &body[at].step {
            for options in fewer(options) {
                replace(Step::Scope(options, Body::clone(inner)));
            }
        }
    }
    found
}

fn fewer(options: &Options) -> Vec<Options> {
    let mut found = vec![
        Options { timeout: None, ..options.clone() },
        Options { shield: false, ..options.clone() },
        Options { grace: None, ..options.clone() },
        Options { supervise: false, ..options.clone() },
        Options { limit: None, ..options.clone() },
        Options { link: None, ..options.clone() },
        Options { special: None, ..options.clone() },
    ];
    found.retain(|fewer| fewer != options);
    found
}
