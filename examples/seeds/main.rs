//! The programs from the documents of the libraries that this one succeeds, as they are written with it.
//!
//! `cargo run --bin seeds` lists them, `cargo run --bin seeds -- s2-example-1` runs one. What each prints is checked in
//! `tests.rs`; `docs/seed-rows.md` says what else those libraries could do, and where to find it here.

mod out;
mod s1a_group_cancel;
mod s1b_group_cancel;
mod s1b_linked_groups;
mod s2_example_1;
mod s2_example_2;
mod s2_example_3;
mod s2_example_4;
mod s3_cleanup;
mod s3_context_manager;
mod s3_shield;
mod s3_timeout;
mod s4_chaining;
mod s4_creation;
mod s4_external_signal;
mod s4_loop_exits;
mod s4_quick_start;
mod s4_third_party;
#[cfg(test)]
mod tests;
mod work;

use std::future::Future;
use std::process::ExitCode;

use out::Out;

type Program = (&'static str, fn(&Out));

const PROGRAMS: &[Program] = &[
    // asyncio_cancel_scope, in its two generations
    ("s1a-group-cancel", |out| on_tokio(s1a_group_cancel::run(out))),
    ("s1b-group-cancel", |out| on_tokio(s1b_group_cancel::run(out))),
    ("s1b-linked-groups", |out| on_tokio(s1b_linked_groups::run(out))),
    // cancel_scope
    ("s2-example-1", s2_example_1::run),
    ("s2-example-2", s2_example_2::run),
    ("s2-example-3", |out| on_tokio(s2_example_3::run(out))),
    ("s2-example-4", |out| on_tokio(s2_example_4::run(out))),
    // AnyIO
    ("s3-timeout", |out| on_tokio(s3_timeout::run(out))),
    ("s3-shield", |out| on_tokio(s3_shield::run(out))),
    ("s3-cleanup", |out| on_tokio(s3_cleanup::run(out))),
    ("s3-context-manager", |out| on_tokio(s3_context_manager::run(out))),
    // asyncio-cancel-token
    ("s4-quick-start", |out| on_tokio(s4_quick_start::run(out))),
    ("s4-creation", s4_creation::run),
    ("s4-loop-exits", |out| on_tokio(s4_loop_exits::run(out))),
    ("s4-external-signal", |out| on_tokio(s4_external_signal::run(out))),
    ("s4-chaining", s4_chaining::run),
    ("s4-third-party", |out| on_tokio(s4_third_party::run(out))),
];

/// On one thread, as asyncio has it: so the lines come in the documents' order.
fn on_tokio(program: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(program);
}

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    match PROGRAMS.iter().find(|(name, _)| wanted.as_deref() == Some(name)) {
        Some((_, run)) => run(&Out::new(|line| println!("{line}"))),
        None => {
            println!("usage: cargo run --bin seeds -- PROGRAM, where PROGRAM is one of");
            PROGRAMS.iter().for_each(|(name, _)| println!("  {name}"));
            if wanted.is_some() {
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}
