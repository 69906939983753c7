//! A few seconds of stress, always with the same programs.

use std::alloc::System;
use std::time::Duration;

use scope_tests::stress::{Config, run};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn whatever_is_mixed_nothing_is_left_running_and_nothing_is_lost() {
    let outcome = run(&Config {
        seed: 0x5eed_0f5c_09e5,
        time: Duration::from_secs(6),
        multi_thread: true,
        current_thread: true,
        patience: Duration::from_secs(60),
        live_blocks: || {
            let stats = ALLOCATOR.stats();
            stats.allocations - stats.deallocations
        },
    });
    assert!(outcome.findings.is_empty(), "{}", outcome.findings.join("\n"));
    // Else it would show nothing.
    assert!(outcome.rounds > 10 && outcome.begun > 20 * outcome.rounds, "too little happened: {outcome:?}");
}
