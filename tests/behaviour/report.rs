//! What the library reports, kept for one test.

use std::cell::RefCell;
use std::fmt::{Debug, Write as _};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    static KEPT: RefCell<Option<Vec<(Level, String)>>> = const { RefCell::new(None) };
}

/// The events of target `scope_runtime` on this thread, as "field=value" text, from now until this is dropped.
pub(crate) struct Events(());

impl Events {
    pub(crate) fn record() -> Self {
        // One subscriber for all tests, set for good. Scoped ones of tests that run side by side would disturb each
        // other: while there is a single one, `tracing` asks only the thread that reaches an event first whether
        // anybody wants it, and keeps the answer.
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing::subscriber::set_global_default(Recorder)
                .expect("no other test sets a global subscriber");
        });
        KEPT.set(Some(Vec::new()));
        Self(())
    }

    /// What was reported at level `WARN` and above.
    pub(crate) fn warnings(&self) -> Vec<String> {
        KEPT.with_borrow(|kept| {
            let kept = kept.iter().flatten();
            kept.filter(|(level, _)| *level <= Level::WARN).map(|(_, text)| text.clone()).collect()
        })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        KEPT.set(None);
    }
}

struct Recorder;

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == "scope_runtime"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let entry = (*event.metadata().level(), text.0);
        // A thread that ends may report on its way out; nobody records there.
        let _ = KEPT.try_with(|kept| kept.borrow_mut().as_mut().map(|kept| kept.push(entry)));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).expect("a string takes all");
    }
}
