//! What the site counts about itself: connections, requests, goodbyes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The site's own counts: the tour's proof that nothing is left over.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) connections: Gauge,
    pub(crate) requests: Gauge,
    pub(crate) goodbyes: Gauge,
}

/// How many of something are open now, and how many there have ever been.
#[derive(Clone, Default)]
pub(crate) struct Gauge(Arc<Levels>);

#[derive(Default)]
struct Levels {
    open: AtomicUsize,
    ever: AtomicUsize,
}

/// Counts as open until it is dropped, on whatever path that is.
pub(crate) struct Open(Gauge);

impl Gauge {
    pub(crate) fn enter(&self) -> Open {
        self.0.open.fetch_add(1, Relaxed);
        self.0.ever.fetch_add(1, Relaxed);
        Open(self.clone())
    }

    pub(crate) fn open(&self) -> usize {
        self.0.open.load(Relaxed)
    }

    pub(crate) fn ever(&self) -> usize {
        self.0.ever.load(Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Relaxed);
    }
}
