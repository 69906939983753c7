//! The pages about other systems keep their word.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between backticks.
fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The rows that a test's name carries: `row_31_…`, `row_1_and_9_…`, `row_24_to_27_…`.
fn rows_of(test: &str) -> Vec<usize> {
    let mut words = test.split('_').skip_while(|word| *word != "row").skip(1).peekable();
    let Some(first) = words.next().and_then(|word| word.parse().ok()) else { return Vec::new() };
    let joined = words.next();
    match (joined, words.next().and_then(|word| word.parse().ok())) {
        (Some("and"), Some(second)) => vec![first, second],
        (Some("to"), Some(last)) => (first..=last).collect(),
        _ => vec![first],
    }
}

#[test]
fn every_row_is_listed_and_what_shows_it_exists() {
    let page = read("docs/seed-rows.md");
    let mut listed = Vec::new();
    let mut mistakes = Vec::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let Ok(row) = cells[0].parse::<usize>() else { continue };
        listed.push(row);
        let [_, _, here, shown] = cells[..] else { panic!("row {row} has not four cells") };
        let mut is_shown = here.contains("**Difference:**");
        for what in code(shown) {
            let (file, test) = what.split_once("::").unwrap_or((what, ""));
            let source = read(file);
            if test.is_empty() {
                is_shown = true;
            } else if !source.contains(&format!("fn {test}(")) {
                mistakes.push(format!("row {row}: there is no {what}"));
            } else {
                is_shown |= rows_of(test).contains(&row);
            }
        }
        if !is_shown {
            mistakes.push(format!("row {row}: nothing with its number shows it"));
        }
    }
    assert!(mistakes.is_empty(), "{mistakes:#?}");
    assert_eq!(listed, (1..=95).collect::<Vec<_>>());
}

/// The lines of code in the tables stand in the page's program, which is compiled and run.
#[test]
fn the_lines_for_people_who_come_from_elsewhere_are_compiled() {
    let page = read("docs/coming-from.md");
    let program = page.split("```rust").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut lines = 0;
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---")) {
        let unescaped = line.replace("\\|", "\u{1}");
        let cells: Vec<&str> = unescaped.trim_matches('|').split('|').collect();
        let [_, _, last] = cells[..] else { panic!("not three cells: {line}") };
        let Some(code) = code(last).next() else { continue };
        let code = code.replace('\u{1}', "|");
        if code != "#[tokio::test(start_paused = true)]" {
            assert!(program.contains(&code), "not in the program: {code}");
        }
        lines += 1;
    }
    assert!(lines > 60, "{lines}");
}
