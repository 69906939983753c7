//! `cargo run --release -p scope-tests --bin stress -- --seconds 60 --seed 7`: see `scope_tests::stress`.

use std::alloc::System;
use std::process::ExitCode;
use std::time::Duration;

use scope_tests::stress::{Config, Outcome, run};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn live_blocks() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations - stats.deallocations
}

const USAGE: &str = "usage: stress [--seconds N] [--seed N] [--rt mt|ct|both] [--patience SECONDS]";

fn config() -> Result<Config, String> {
    let mut config = Config {
        seed: 1,
        time: Duration::from_secs(60),
        multi_thread: true,
        current_thread: true,
        patience: Duration::from_secs(60),
        live_blocks,
    };
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        let number = || value.parse::<u64>().map_err(|_| format!("`{value}` is no number; {USAGE}"));
        match (option.as_str(), value.as_str()) {
            ("--seconds", _) => config.time = Duration::from_secs(number()?),
            ("--seed", _) => config.seed = number()?,
            ("--patience", _) => config.patience = Duration::from_secs(number()?),
            ("--rt", "mt") => config.current_thread = false,
            ("--rt", "ct") => config.multi_thread = false,
            ("--rt", "both") => {}
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(config)
}

fn main() -> ExitCode {
    let config = match config() {
        Ok(config) => config,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    let Outcome { rounds, programs, begun, findings } = run(&config);
    println!("seed {}: {programs} programs, {begun} children, cleanups and shields", config.seed);
    println!("{rounds} rounds, {} findings", findings.len());
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
