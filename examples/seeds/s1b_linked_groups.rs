//! Links a group to another: when the inner one is cancelled, the outer one is, too.

use std::future::pending;

use scope_runtime::{Cancelled, Cause, ScopeHandle, scope, spawn};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::out::{Out, seconds};

pub(crate) async fn run(out: &Out) {
    let started = Instant::now();
    outer(out).await;
    out.say(format_args!("with a link: after {}", seconds(started.elapsed())));

    let started = Instant::now();
    by_hand().await;
    out.say(format_args!("by hand: after {}", seconds(started.elapsed())));
}

async fn outer(out: &Out) {
    let cancelled = scope!(name = "outer", |outer| {
        spawn!(pending::<()>());
        spawn!(inner(outer.handle()));
    });
    if let Err(cancelled) = cancelled {
        out.say(format_args!("{} was cancelled: {}", cancelled.scope_name(), linked(&cancelled)));
    }
}

async fn inner(parent: ScopeHandle) {
    let _ = scope!(link = parent, name = "inner", |inner| {
        inner.cancel();
    });
}

/// The cause leads on to the group that began it.
fn linked(cancelled: &Cancelled) -> String {
    match cancelled.cause() {
        Cause::Link(inner) => format!("linked to {}", inner.scope_name()),
        other => other.to_string(),
    }
}

/// The same without scopes: a token that the inner group cancels, and that everything in the outer one has to watch.
async fn by_hand() {
    let stop = CancellationToken::new();
    let waits = tokio::spawn({
        let stop = stop.clone();
        async move {
            tokio::select! { () = stop.cancelled() => {}, () = pending() => {} }
        }
    });
    let inner = tokio::spawn({
        let stop = stop.clone();
        async move { stop.cancel() }
    });
    for task in [waits, inner] {
        task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    }
}
