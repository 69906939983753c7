//! Prints results, for people or for programs.

use super::options::Options;
use super::row::{Limit, Row};

/// Prints the rows of one job on one runtime.
pub(crate) fn print(options: &Options, title: &str, rows: &[Row]) {
    if options.json {
        for row in rows {
            println!("{}", row.json());
        }
        return;
    }
    let Some(first) = rows.first() else { return };
    if options.smoke {
        return println!("{}. {title} [{}]: runs", first.job, first.runtime);
    }
    let width = rows.iter().map(|row| row.case.chars().count()).max().unwrap_or(0);
    println!("\n{}. {title} [{}]", first.job, first.runtime);
    let compared = if rows.iter().any(|row| row.ratio.is_some()) { ["ratio", "quartiles"] } else { ["", ""] };
    println!("  {:width$} {:>9}  {:>7} {:>15}  target", "", first.unit.name(), compared[0], compared[1]);
    for row in rows {
        let (ratio, quartiles) = match (row.limit, row.ratio, row.difference) {
            (Some(Limit::More(_)), _, Some(difference)) => (format!("{difference:+.1}"), String::new()),
            (_, Some(ratio), _) => {
                (format!("{:.2}", ratio.median), format!("{:.2} .. {:.2}", ratio.low, ratio.high))
            }
            _ => Default::default(),
        };
        let target = match (row.limit, row.reference, row.holds()) {
            (Some(limit), reference, Some(holds)) => {
                let of = reference.map_or(String::new(), |reference| format!(" of `{reference}`"));
                format!("{:7}{limit}{of}", if holds { "ok" } else { "MISSED" })
            }
            (_, Some(reference), _) if reference != row.case => format!("{:7}of `{reference}`", ""),
            _ => String::new(),
        };
        let value = number(row.value);
        let line = format!("  {:width$} {value:>9}  {ratio:>7} {quartiles:>15}  {target}", row.case);
        println!("{}", line.trim_end());
    }
}

/// Prints the rows of one job of several sizes: a line for each case, a column for each size. Ratios, where there are
/// some, stand beside the values.
pub(crate) fn print_by_size(options: &Options, title: &str, rows: &[Row]) {
    if options.json || options.smoke {
        return print(options, title, rows);
    }
    let Some(first) = rows.first() else { return };
    let mut sizes: Vec<_> = rows.iter().filter_map(|row| row.n).collect();
    let mut cases: Vec<_> = rows.iter().map(|row| &row.case).collect();
    sizes.sort_unstable();
    sizes.dedup();
    cases.sort_by_key(|case| rows.iter().position(|row| &row.case == *case));
    cases.dedup();
    let width = cases.iter().map(|case| case.len()).max().unwrap_or(0);

    println!("\n{}. {title}, {} [{}]", first.job, first.unit.name(), first.runtime);
    let headings: String = sizes.iter().map(|n| format!(" {n:>15}")).collect();
    println!("  {:width$}{headings}", "");
    for case in cases {
        let cell = |n: &usize| match rows.iter().find(|row| &row.case == case && row.n == Some(*n)) {
            Some(row) => {
                let ratio = row.ratio.map_or(String::new(), |ratio| format!(" ({:.2})", ratio.median));
                format!(" {:>15}", format!("{}{ratio}", number(row.value)))
            }
            None => format!(" {:>15}", "-"),
        };
        println!("  {case:width$}{}", sizes.iter().map(cell).collect::<String>());
    }
}

/// Three digits are enough for anything that was measured.
fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

/// Prints how many targets hold, and which don't.
pub(crate) fn sum_up(options: &Options, rows: &[Row]) {
    let with_target = rows.iter().filter(|row| row.limit.is_some()).count();
    if options.json || options.smoke || with_target == 0 {
        return;
    }
    let missed: Vec<_> = rows.iter().filter(|row| row.holds() == Some(false)).collect();
    println!("\n{} of {with_target} targets hold", with_target - missed.len());
    for row in missed {
        let limit = row.limit.map(|limit| limit.to_string()).unwrap_or_default();
        let reached = match (row.limit, row.ratio, row.difference) {
            (Some(Limit::Times(_)), Some(ratio), _) => format!("{:.2} x", ratio.median),
            (Some(Limit::More(_)), _, Some(difference)) => format!("{difference:+.1} ns"),
            _ => format!("{:.2} {}", row.value, row.unit.name()),
        };
        let of = row.reference.map_or(String::new(), |reference| format!(" of `{reference}`"));
        let n = row.n.map_or(String::new(), |n| format!(" {n}"));
        println!("  missed: {}{n} [{}] {}: {reached}, wanted {limit}{of}", row.job, row.runtime, row.case);
    }
}
