//! The one place that speaks to `tracing`: what happens to scopes, as events of target `scope_runtime`.

use crate::failure::Suppressed;
use crate::tree::Node;

const TARGET: &str = "scope_runtime";

pub(crate) fn cancel_requested(node: &Node) {
    tracing::debug!(target: TARGET, scope = %node.who(), "cancel requested");
}

pub(crate) fn abandoned(node: &Node, shield: bool) {
    if shield {
        tracing::error!(target: TARGET, scope = %node.who(), "a shield that nobody polls any more was given up");
    } else {
        tracing::warn!(target: TARGET, scope = %node.who(), "an unwinding scope that nobody polls was taken over");
    }
}

pub(crate) fn adopted(node: &Node, by: &str) {
    tracing::warn!(target: TARGET, scope = %node.who(), by, "a scope was dropped from outside; its work goes on");
}

pub(crate) fn failure_suppressed(node: &Node, failure: &Suppressed) {
    tracing::warn!(target: TARGET, scope = %node.who(), %failure, "a later failure");
}

pub(crate) fn cleanup_timed_out(node: &Node, dropped: usize) {
    tracing::error!(target: TARGET, scope = %node.who(), dropped, "cleanup took longer than its timeout");
}

pub(crate) fn cleanup_lost(node: &Node, dropped: usize) {
    tracing::error!(target: TARGET, scope = %node.who(), dropped, "the runtime shut down before cleanup had run");
}

pub(crate) fn root_work_lost() {
    tracing::error!(target: TARGET, "a cleanup or an adopted future that had no scope left was dropped: there is no runtime for it");
}

pub(crate) fn root_work_panicked(message: &str) {
    tracing::error!(target: TARGET, message, "a cleanup or an adopted future that had no scope left panicked");
}
