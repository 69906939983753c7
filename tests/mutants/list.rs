//! The list of mutants, and how they get into the code.

use std::ops::Range;

/// The two crates that mutants are in: each has its own judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Macros,
    Runtime,
}

impl Part {
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Macros => "scope-macros",
            Self::Runtime => "scope-runtime",
        }
    }
}

/// One place in the code where one rule is broken.
#[derive(Debug, Default)]
pub(crate) struct Mutant {
    /// The rule, and what is broken.
    pub(crate) title: String,
    /// Below the workspace.
    pub(crate) file: String,
    /// The code is the first such code behind this, which is there once.
    after: String,
    original: String,
    mutated: String,
    /// `docs/testing.md` says why no test can tell.
    pub(crate) explained: bool,
}

impl Mutant {
    pub(crate) fn part(&self) -> Part {
        if self.file.starts_with(Part::Macros.package()) { Part::Macros } else { Part::Runtime }
    }

    /// What the names of the behaviour tests of its rule have in them.
    pub(crate) fn tests(&self) -> String {
        match self.title.split(':').next().unwrap_or_default() {
            "Race" => "races::".to_owned(),
            "Tokens" => "tokens::".to_owned(),
            rule => format!("::{}_", rule.to_lowercase()),
        }
    }

    /// Where its code is.
    fn find(&self, code: &str) -> Result<Range<usize>, String> {
        let once = |text: &str| {
            let mut found = code.match_indices(text).map(|(at, _)| at);
            match (found.next(), found.next()) {
                (Some(at), None) => Ok(at),
                (None, _) => Err(format!("{}: `{text}` is not there", self.title)),
                _ => Err(format!("{}: `{text}` is there more than once", self.title)),
            }
        };
        let start = if self.after.is_empty() {
            once(&self.original)?
        } else {
            let from = once(&self.after)?;
            let at = code[from..].find(&self.original);
            from + at.ok_or_else(|| format!("{}: `{}` is not there", self.title, self.original))?
        };
        Ok(start..start + self.original.len())
    }
}

/// Reads the list: its format is explained at its top.
pub(crate) fn read(text: &str) -> Result<Vec<Mutant>, String> {
    let mut mutants: Vec<Mutant> = Vec::new();
    let mut file = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
        if kind.is_empty() || kind == "#" {
            continue;
        }
        if kind == "file" {
            file = rest.to_owned();
            continue;
        }
        if kind == "mutant" {
            mutants.push(Mutant { title: rest.to_owned(), file: file.clone(), ..Mutant::default() });
            continue;
        }
        let mutant = mutants.last_mut().ok_or_else(|| format!("line {number} belongs to no mutant"))?;
        let text = match kind {
            "after" => &mut mutant.after,
            "-" => &mut mutant.original,
            "+" => &mut mutant.mutated,
            "explained" => {
                mutant.explained = true;
                continue;
            }
            _ => return Err(format!("line {number}: `{kind}`?")),
        };
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(rest);
    }
    Ok(mutants)
}

/// The code with all mutants of its file in it, each with its number. Several may be of the same code.
pub(crate) fn mutated(code: &str, mutants: &[(usize, &Mutant)]) -> Result<String, String> {
    let mut places = Vec::new();
    for (number, mutant) in mutants {
        places.push((mutant.find(code)?, *number, *mutant));
    }
    places.sort_by_key(|(place, number, _)| (place.start, *number));
    let (mut result, mut done) = (String::new(), 0);
    for same in places.chunk_by(|(one, ..), (other, ..)| one == other) {
        let [(place, _, first), ..] = same else { continue };
        if place.start < done {
            return Err(format!("{}: another one is in the same place", first.title));
        }
        let original = &code[place.clone()];
        // An expression needs parentheses, and a statement does without.
        let is_statement = original.ends_with(';');
        result.push_str(&code[done..place.start]);
        result.push_str(if is_statement { "" } else { "(" });
        for (_, number, mutant) in same {
            let mutated = &mutant.mutated;
            result.push_str(&format!("if crate::mutant({number}) {{ {mutated} }} else "));
        }
        result.push_str(&format!("{{ {original} }}"));
        result.push_str(if is_statement { "" } else { ")" });
        done = place.end;
    }
    result.push_str(&code[done..]);
    Ok(result)
}
