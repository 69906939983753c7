//! What both benches need: options, runtimes, measuring, counting, printing.

pub(crate) mod by_hand;
pub(crate) mod cancelling;
pub(crate) mod measure;
pub(crate) mod memory_bench;
pub(crate) mod nested;
pub(crate) mod options;
pub(crate) mod progress;
pub(crate) mod row;
pub(crate) mod runtime;
pub(crate) mod spawning;
pub(crate) mod suspend;
pub(crate) mod table;
