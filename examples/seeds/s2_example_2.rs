//! A parent that is cancelled by hand, and what that does to a child, to a shielded one, and to one that comes too late.

use scope_runtime::{Cancelled, blocking, cancel_scope, check, remaining};

use crate::out::{Out, seconds, timeout};
use crate::work::work;

#[cancel_scope(error = "work3 cancelled!")]
fn work3() -> Result<(), Cancelled> {
    work(1000);
    check()?;
    work(1000);
    check()
}

#[cancel_scope(shield, error = "work4 cancelled!")]
fn work4() -> Result<(), Cancelled> {
    work(1000);
    check()?;
    work(1000);
    check()
}

#[cancel_scope(error = "Parent scope cancelled!", scope = parent)]
fn parent(out: &Out) -> Result<(), Cancelled> {
    let started = blocking::now();
    out.say(format_args!("timeout: {}", timeout(remaining())));
    work3()?;
    parent.cancel(); // a request: the body goes on to its next check
    out.say(format_args!("timeout: {}", timeout(remaining())));
    out.say(format_args!("elapsed: {}", seconds(blocking::now() - started)));
    work4()?;
    out.say(format_args!("timeout: {}", timeout(remaining())));
    out.say(format_args!("elapsed: {}", seconds(blocking::now() - started)));
    work3() // the error that it meets is told by the innermost scope that has one
}

pub(crate) fn run(out: &Out) {
    if let Err(cancelled) = parent(out) {
        out.say(cancelled);
    }
}
