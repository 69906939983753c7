//! `#[scope_runtime::test]` and `testing::every_await`: how often a test is run, where each run is cancelled, and what is
//! found behind it. Every check of a run is seen to fail here.

mod attribute;
mod found;
mod numbering;
mod page;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use scope_runtime::testing;

/// What `every_await` says of a test; nothing if it passes.
fn told_of<F: Future<Output = ()>>(test: impl Fn() -> F) -> Option<String> {
    told_by(|| testing::every_await(test))
}

/// The message of a panic.
fn told_by(run: impl FnOnce()) -> Option<String> {
    catch_unwind(AssertUnwindSafe(run)).err().map(|payload| text(&*payload))
}

fn text(payload: &(dyn Any + Send)) -> String {
    payload.downcast_ref::<String>().expect("the message is made for the run").clone()
}
