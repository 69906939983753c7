//! What the macros cost their users when they compile: `cargo run -p scope-tests --bin compile_cost`.
//!
//! Three crates of the same functions are built: with 300 annotated functions and 300 `scope!` blocks, with 300 calls of
//! `fail_after` instead, and with neither. Each is built three times after a change; the fastest
//! counts, since whatever else the machine does only adds. The last lines are the macros' own build, from nothing.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Error};
use std::path::Path;
use std::time::{Duration, Instant};

use scope_tests::generated::Crate;

/// Annotated functions, and as many blocks.
const COUNT: usize = 300;
const RUNS: usize = 3;

/// The functions, with what opens a scope around their bodies.
fn code(attribute: &str, block: (&str, &str), uses: &str) -> String {
    let mut code = format!(
        "#![allow(dead_code)]\n{uses}\npub type Outcome = Result<u32, Box<dyn std::error::Error + Send + Sync>>;\n\
         pub async fn step(number: u32) -> Outcome {{ Ok(number) }}\n"
    );
    for number in 0..COUNT {
        let (open, close) = block;
        let _infallible = write!(
            code,
            "{attribute}\npub async fn whole{number}(mut sum: u32) -> Outcome {{\n    \
             for round in 0..3 {{ sum += step(round + {number}).await?; }}\n    Ok(sum)\n}}\n\
             pub async fn part{number}(mut sum: u32) -> Outcome {{\n    \
             sum += {open} for round in 0..3 {{ sum += step(round + {number}).await?; }} sum {close};\n    Ok(sum)\n}}\n"
        );
    }
    // Futures that nobody polls would never be compiled to the end.
    code += "pub fn all() -> Vec<std::pin::Pin<Box<dyn Future<Output = Outcome>>>> {\n    vec![\n";
    for number in 0..COUNT {
        let _infallible = writeln!(code, "Box::pin(whole{number}(0)), Box::pin(part{number}(0)),");
    }
    code + "]\n}\n"
}

/// The shortest time of a cargo command, when the code has changed.
fn fastest(subject: &Crate, code: &str, command: &str, optimised: bool) -> io::Result<Duration> {
    let run = || -> io::Result<Duration> {
        let mut cargo = subject.cargo(command);
        if optimised {
            cargo.env("CARGO_PROFILE_DEV_BUILD_OVERRIDE_OPT_LEVEL", "3");
        }
        let start = Instant::now();
        let ran = cargo.output()?;
        let took = start.elapsed();
        if ran.status.success() { Ok(took) } else { Err(Error::other(String::from_utf8_lossy(&ran.stderr))) }
    };
    // The dependencies are built by this one.
    subject.write(code)?;
    run()?;
    let mut best = Duration::MAX;
    for round in 0..RUNS {
        subject.write(&format!("{code}// {round}\n"))?;
        best = best.min(run()?);
    }
    Ok(best)
}

/// The macros and what they are built of, from nothing, as the crate of a user builds them.
fn own_build(subject: &Crate, profile: &[&str]) -> io::Result<Duration> {
    let target = subject.target().join("own");
    let _not_there = fs::remove_dir_all(&target);
    let mut cargo = subject.cargo("build");
    cargo.args(["-p", "scope-macros"]).args(profile).env("CARGO_TARGET_DIR", &target);
    let start = Instant::now();
    let ran = cargo.output()?;
    let took = start.elapsed();
    if ran.status.success() { Ok(took) } else { Err(Error::other(String::from_utf8_lossy(&ran.stderr))) }
}

fn main() -> io::Result<()> {
    let workspace = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))?;
    let subject = Crate::new(workspace.join("target/compile-cost"), "2024", "")?;
    let without = code("", ("{", "}"), "");
    let with = code(
        "#[cancel_scope(timeout = 3s)]",
        ("scope!(timeout = 3s, {", "})?"),
        "use scope_runtime::{cancel_scope, scope};",
    );
    let by_hand = code(
        "",
        (
            "fail_after(LIMIT, async {",
            "; Ok::<_, Box<dyn std::error::Error + Send + Sync>>(total) }).await??",
        ),
        "use scope_runtime::fail_after;\nconst LIMIT: std::time::Duration = std::time::Duration::from_secs(3);",
    )
    .replace("} sum ;", "} let total = sum;");
    println!("{COUNT} annotated functions and {COUNT} `scope!` blocks, best of {RUNS}");
    for (command, optimised) in [("check", false), ("check", true), ("build", false)] {
        let base = fastest(&subject, &without, command, optimised)?;
        let hand = fastest(&subject, &by_hand, command, optimised)?;
        let cost = fastest(&subject, &with, command, optimised)?;
        let how = if optimised { ", macros optimised" } else { "" };
        println!(
            "cargo {command}{how}: {base:.2?} without, {hand:.2?} with {COUNT} `fail_after`, {cost:.2?} with the macros: \
             {:.1} times, {:.2?} for each",
            cost.as_secs_f64() / base.as_secs_f64(),
            cost.saturating_sub(base) / u32::try_from(2 * COUNT).unwrap_or(1),
        );
    }
    println!("the macros from nothing, syn and all: {:.1?}", own_build(&subject, &[])?);
    println!("the same with --release: {:.1?}", own_build(&subject, &["--release"])?);
    Ok(())
}
