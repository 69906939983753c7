//! A timeout of a parent, and what it does to a child, to a shielded one, and to one that comes too late.

use scope_runtime::{Cancelled, blocking, cancel_scope, check, remaining};

use crate::out::{Out, seconds, timeout};
use crate::work::work;

#[cancel_scope(timeout = "3s", error = "work1 cancelled!")]
fn work1() -> Result<(), Cancelled> {
    work(1000);
    check()?;
    work(1000);
    check()
}

#[cancel_scope(shield, error = "work2 cancelled!")]
fn work2() -> Result<(), Cancelled> {
    work(1000);
    check()?;
    work(1000);
    check()
}

#[cancel_scope(timeout = "3s")]
fn parent(out: &Out) -> Result<(), Cancelled> {
    let started = blocking::now();
    out.say(format_args!("timeout: {}", timeout(remaining())));
    work1()?;
    out.say(format_args!("timeout: {}", timeout(remaining())));
    out.say(format_args!("elapsed: {}", seconds(blocking::now() - started)));
    work2()?; // shielded: it runs past the deadline
    out.say(format_args!("timeout: {}", timeout(remaining())));
    out.say(format_args!("elapsed: {}", seconds(blocking::now() - started)));
    work1() // its own three seconds are of no use: it ends at its first check
}

pub(crate) fn run(out: &Out) {
    if let Err(cancelled) = parent(out) {
        out.say(cancelled);
    }
}
