//! A subscriber that keeps what the library reports, for one test: on the thread that records.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// The events of target `scope_runtime`, as "field=value" text, from now until this is dropped.
pub(crate) struct Events {
    kept: Arc<Mutex<Vec<(Level, String)>>>,
    _recording: DefaultGuard,
}

impl Events {
    pub(crate) fn record() -> Self {
        let kept = Arc::<Mutex<Vec<_>>>::default();
        let recording = set_default(Recorder { kept: Arc::clone(&kept) });
        Self { kept, _recording: recording }
    }

    /// What was reported at level `WARN` and above.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap();
        kept.iter().filter(|(level, _)| *level <= Level::WARN).map(|(_, text)| text.clone()).collect()
    }
}

struct Recorder {
    kept: Arc<Mutex<Vec<(Level, String)>>>,
}

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
        self.kept.lock().unwrap().push((*event.metadata().level(), text.0));
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
