//! g2. What a scope allocates that has neither children nor handles.

use scope_runtime::scope;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::counting::{allocations_of, countable};
use crate::support::by_hand::{MINUTE, by_hand};
use crate::support::nested::nested_scopes;
use crate::support::row::Limit::Count;
use crate::support::row::{Row, Unit};
use crate::support::suspend::suspend;

/// Allocations of a scope that suspends once, on a thread where one has waited before: it keeps the timer for the next.
pub(crate) fn allocations() -> Vec<Row> {
    let runtime = countable(0);
    let _context = runtime.enter();
    allocations_of(|| async { scope!(timeout = 60s, { suspend(1).await }) });
    let root = CancellationToken::new();
    let row = |case, count: u64, limit: Option<f64>| Row {
        limit: limit.map(Count),
        ..Row::count("g2", case, Unit::Allocations, count as f64)
    };
    vec![
        row("tokio timeout, 60 s", allocations_of(|| timeout(MINUTE, suspend(1))), None),
        row(
            "child token, run_until_cancelled",
            allocations_of(|| async { root.child_token().run_until_cancelled(suspend(1)).await }),
            None,
        ),
        row("by hand", allocations_of(|| by_hand(&root, suspend(1))), None),
        row("scope!", allocations_of(|| async { scope!({ suspend(1).await }) }), Some(0.0)),
        row(
            "scope!, 60 s",
            allocations_of(|| async { scope!(timeout = 60s, { suspend(1).await }) }),
            Some(0.0),
        ),
        row(
            "8 scope!, 60 s",
            allocations_of(|| async { nested_scopes!([timeout = 60s,] suspend(1).await; _ _ _ _ _ _ _ _) }),
            Some(0.0),
        ),
    ]
}
