//! What the documents' sync programs do between their checks.

use std::time::Duration;

use scope_runtime::{blocking, blocking_scope};

/// Work that knows of no cancel, as a `time.sleep` of the documents. A [`blocking::sleep`] without the shield would end
/// at once when its scope is cancelled.
pub(crate) fn work(ms: u64) {
    let _ = blocking_scope!(shield, { blocking::sleep(Duration::from_millis(ms)) });
}
