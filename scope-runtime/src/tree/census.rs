//! How many nodes there are, and what they wait for: for tests that look for what is left behind.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{
    CANCELLED, CLOSED, COUNTED, CUT, DELIVERED, ENDING, GIVEN_UP, HARD, HOLDING, Node, ORPHANED, SHIELD,
    SOFT_CUT, STOPPED, WAITING,
};
use crate::cleanup::Running;
use crate::scope::ScopeHandle;

/// As long as nobody counts, a new node costs one relaxed load more.
static COUNTING: AtomicBool = AtomicBool::new(false);
static NODES: AtomicUsize = AtomicUsize::new(0);

/// Counts the nodes that are made from now on.
pub fn count_nodes() {
    COUNTING.store(true, Ordering::Relaxed);
}

/// How many of them there are.
pub fn live_nodes() -> usize {
    NODES.load(Ordering::SeqCst)
}

/// What a scope that was not left waits for: its flags, its children, the scopes inside of it; and what it is inside of.
pub fn describe(scope: &ScopeHandle) -> String {
    let mut text = String::new();
    scope.node.describe(0, &mut text);
    let mut above = scope.node.parent();
    while let Some(node) = above {
        let _ = writeln!(text, "inside of {} [{}]", node.who(), node.flags_as_text());
        above = node.parent();
    }
    text
}

/// The flag of a new node.
#[inline]
pub(super) fn enter() -> u32 {
    if !COUNTING.load(Ordering::Relaxed) {
        return 0;
    }
    NODES.fetch_add(1, Ordering::SeqCst);
    COUNTED
}

impl Node {
    /// The node is gone.
    #[inline]
    pub(super) fn leave_census(&self) {
        if self.flags.load(Ordering::Relaxed) & COUNTED != 0 {
            NODES.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn flags_as_text(&self) -> String {
        const FLAGS: [(u32, &str); 13] = [
            (CANCELLED, "cancelled"),
            (STOPPED, "stopped"),
            (HARD, "hard"),
            (CUT, "cut"),
            (SOFT_CUT, "softly cut"),
            (SHIELD, "shield"),
            (HOLDING, "holding"),
            (DELIVERED, "delivered"),
            (ENDING, "ending"),
            (ORPHANED, "orphaned"),
            (WAITING, "waits for its turn"),
            (GIVEN_UP, "given up"),
            (CLOSED, "left"),
        ];
        let flags: Vec<_> = FLAGS.iter().filter(|(flag, _)| self.has(*flag)).map(|(_, name)| *name).collect();
        flags.join(", ")
    }

    fn describe(&self, depth: usize, text: &mut String) {
        let (children, inner) = {
            let state = self.lock();
            let running = match &state.running {
                Running::Idle => "",
                Running::Taken { .. } => ", one of them is being polled",
                Running::Parked(_) => ", one of them is suspended",
            };
            let _ = writeln!(
                text,
                "{:indent$}{} [{}] awaited children: {}, cleanups: {}{running}{}",
                "",
                self.who(),
                self.flags_as_text(),
                state.foreground,
                state.cleanup.len(),
                if state.waker.is_some() { "" } else { ", without a waker" },
                indent = 2 * depth,
            );
            // A child task without a node has neither scopes nor cleanup that it could wait for.
            let children: Vec<_> =
                state.children.iter().filter_map(|(_, child)| child.node.clone()).collect();
            let inner: Vec<_> = state.inner.iter().map(|(_, inner)| inner.node.clone()).collect();
            (children, inner)
        };
        for node in children.into_iter().chain(inner) {
            node.describe(depth + 1, text);
        }
    }
}
