//! g3. What a scope adds to the size of a future.

use std::future::{Future, ready};

use scope_runtime::cancel_scope;
use tokio::time::timeout;

use crate::counting::countable;
use crate::support::by_hand::MINUTE;
use crate::support::nested::{nested_calls, nested_scopes};
use crate::support::row::Limit::Count;
use crate::support::row::{Row, Unit};

#[cancel_scope(timeout = "60s")]
async fn annotated<F: Future>(body: F) {
    body.await;
}

async fn wrapped(body: impl Future) {
    let _ = timeout(MINUTE, body).await;
}

/// Bytes that each level adds to a future, from level 1 to 4, and from 4 to 8: the same, if it is linear.
pub(crate) fn sizes() -> Vec<Row> {
    let runtime = countable(0);
    let _context = runtime.enter();
    let mut rows = Vec::new();
    let mut add = |case: &str, [one, four, eight]: [usize; 3], limit: Option<f64>| {
        let mut row = |which: &str, more: usize, levels: usize| {
            let value = more as f64 / levels as f64;
            let row = Row::count("g3", format!("{case}, levels {which}"), Unit::Bytes, value);
            rows.push(Row { limit: limit.map(Count), ..row });
        };
        row("1 to 4", four - one, 3);
        row("4 to 8", eight - four, 4);
    };
    macro_rules! sizes {
        (calls: $call:expr) => {
            [
                size_of_val(&nested_calls!($call; ready(1); _)),
                size_of_val(&nested_calls!($call; ready(1); _ _ _ _)),
                size_of_val(&nested_calls!($call; ready(1); _ _ _ _ _ _ _ _)),
            ]
        };
        (scopes: $($options:tt)*) => {
            [
                size_of_val(&async { nested_scopes!([$($options)*] ready(1).await; _) }),
                size_of_val(&async { nested_scopes!([$($options)*] ready(1).await; _ _ _ _) }),
                size_of_val(&async { nested_scopes!([$($options)*] ready(1).await; _ _ _ _ _ _ _ _) }),
            ]
        };
    }
    add("tokio timeout", sizes!(calls: |body| timeout(MINUTE, body)), None);
    add("tokio timeout in an async fn", sizes!(calls: wrapped), None);
    add("scope!", sizes!(scopes:), Some(224.0));
    add("scope!, 60 s", sizes!(scopes: timeout = 60s,), Some(224.0));
    add("#[cancel_scope] that takes a future, 60 s", sizes!(calls: annotated), None);
    rows
}
