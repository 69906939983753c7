//! What holds a delivery back, and the search for scopes that nobody polls any more (rules U1, U1a).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use super::{CLOSED, ENDING, HOLDING, Look, Node, ORPHANED, SHIELD};
use crate::deadline::Moment;
use crate::site::Kind;
use crate::task::Home;
use crate::{event, orphan};

/// The search for a scope that an outer delivery waits for, and that the last pass did not reach (rule U1a).
///
/// A sub-executor such as `FuturesUnordered` polls only what was woken, and may run a pass of its own right after one
/// that reached the scope. So a scope that was found where it should be is not looked for again at once, but later.
#[derive(Default)]
pub(super) struct Search {
    /// It was woken, and must be reached by the next pass.
    woken: bool,
    /// Passes that did not reach it though it was woken.
    missed: u8,
    /// The last pass that was counted.
    judged: u32,
    missed_since: Option<Moment>,
    /// How often in a row it was woken and reached.
    found: u8,
    not_before: Option<Moment>,
    /// When a shield that was reached is looked for all the same: nothing may ever wake whoever forgot it in that very
    /// pass. The pauses double.
    look: Option<Moment>,
    looks: u8,
}

/// What a pass says about a scope that a delivery waits for.
enum Sighting {
    /// It was reached: wait for it.
    Reached,
    /// Wake it, and see whether the next pass reaches it; look again at the given moment at the latest.
    Wake(Option<Moment>),
    /// Look again at the given moment.
    Later(Moment),
    /// Nobody polls it any more.
    GivenUp,
}

impl Search {
    /// `patience` is the number of passes in which a scope that unwinds must be reached.
    fn judge(&mut self, reached: bool, pass: u32, shield: bool, patience: u8, now: Moment) -> Sighting {
        if reached {
            if std::mem::take(&mut self.woken) {
                self.found = self.found.saturating_add(1).min(FOUND_MAX);
                self.not_before = Some(now.after(SEARCH_PAUSE * 2u32.pow(self.found.into())));
            }
            (self.missed, self.missed_since) = (0, None);
            if !shield {
                return Sighting::Reached;
            }
            if let Some(at) = self.look.filter(|at| now < *at) {
                return Sighting::Later(at);
            }
            let at = now.after(SHIELD_PATIENCE * 2u32.pow(self.looks.into()));
            self.looks = self.looks.saturating_add(1).min(FOUND_MAX);
            self.look = Some(at);
            return Sighting::Later(at);
        }
        if !self.woken {
            if let Some(later) = self.not_before.filter(|at| self.found >= FOUND_AT_ONCE && now < *at) {
                return Sighting::Later(later);
            }
            self.woken = true;
            self.judged = pass;
        } else if self.judged != pass {
            self.judged = pass;
            self.missed = self.missed.saturating_add(1);
        }
        let patience_ends = self.missed_since.get_or_insert(now).after(SHIELD_PATIENCE);
        match shield {
            true if now >= patience_ends => Sighting::GivenUp,
            // One call is enough: whatever polls the shield polls it then, and it has time.
            true if self.missed > 0 => Sighting::Later(patience_ends),
            true => Sighting::Wake(Some(patience_ends)),
            false if self.missed >= patience => Sighting::GivenUp,
            false => Sighting::Wake(None),
        }
    }
}

/// Whether a boundary that wants to drop its body must wait for what is inside (rules U1, U1a).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nothing inside owes work.
    Free,
    /// Wait; look again at the given moment at the latest.
    Wait(Moment),
}

/// How long a shield that nobody polls any more holds up a cancelled scope (rule U1a).
const SHIELD_PATIENCE: Duration = Duration::from_secs(5);

/// Passes that do not reach an unwinding scope before it counts as abandoned (rule U1a).
const PASSES_UNTIL_ABANDONED: u8 = 2;

/// The same for one that was polled with another waker than the boundary's: a sub-executor may have much to do before
/// its turn comes, and yields meanwhile.
const PASSES_OF_A_SUB_EXECUTOR: u8 = 200;

/// So often a scope is looked for at once after it was found; then the pauses double, up to 41 seconds.
const FOUND_AT_ONCE: u8 = 2;
const FOUND_MAX: u8 = 12;
const SEARCH_PAUSE: Duration = Duration::from_millis(10);

impl Node {
    /// Whether this scope has work that must be done before an outer body may be dropped (rule U1).
    fn owes(&self) -> bool {
        if self.has(CLOSED | ORPHANED) {
            return false;
        }
        if self.has(ENDING | SHIELD) {
            return true;
        }
        {
            let state = self.lock();
            if state.has_children() || !state.cleanup.is_empty() {
                return true;
            }
        }
        self.inner_nodes().iter().any(|(_, node)| node.owes())
    }

    /// Whether a body that a shield protects is running here. A race has none but its arms, and waits for them from the
    /// start.
    fn runs_a_shield(&self) -> bool {
        if self.has(CLOSED) {
            return false;
        }
        if self.site.kind() == Kind::Race {
            return self.hosted_nodes().iter().any(|arm| arm.runs_a_shield());
        }
        !self.has(ENDING)
            && (self.has(SHIELD) || self.inner_nodes().iter().any(|(_, node)| node.runs_a_shield()))
    }

    /// The children that the boundary polls itself.
    fn hosted_nodes(&self) -> Vec<Arc<Self>> {
        let state = self.lock();
        let hosted = state.children.iter().filter(|(_, child)| child.home == Home::Host);
        hosted.filter_map(|(_, child)| child.node.clone()).collect()
    }

    /// The scopes whose futures the body polls.
    fn inner_nodes(&self) -> Vec<(usize, Arc<Self>)> {
        let state = self.lock();
        state.inner.iter().filter(|(_, i)| !i.guest).map(|(key, i)| (key, Arc::clone(&i.node))).collect()
    }

    /// Takes over what this scope, which nobody polls, has begun to unwind; so too what the children do that it polled
    /// itself.
    fn abandon(self: &Arc<Self>, by: &Arc<Self>) {
        for child in self.hosted_nodes() {
            let inside = child.inner_nodes().into_iter().map(|(_, node)| node);
            for node in inside.chain([child]).filter(|node| node.has(ENDING)) {
                node.abandon(by);
            }
        }
        orphan::adopt_from(self, Some(by));
    }

    /// Whether the body may be dropped, after a pass over it; wakes what was not reached, and gives up what is
    /// polled by nobody (rules U1, U1a). `retry` is the waker that brings the next pass.
    pub(crate) fn hold(self: &Arc<Self>, look: &mut Look, retry: &Waker) -> Hold {
        // Before the look: who leaves from now on wakes us.
        self.raise(HOLDING);
        let inner = self.inner_nodes();
        let pass = self.pass.load(Ordering::Relaxed);
        let mut waiting = false;
        let mut until = Moment::NEVER;
        for (key, node) in inner.iter().filter(|(_, node)| node.owes()) {
            let reached = node.seen.load(Ordering::Relaxed) == pass;
            let running_shield = node.runs_a_shield();
            let patience =
                if node.is_woken_by(retry) { PASSES_UNTIL_ABANDONED } else { PASSES_OF_A_SUB_EXECUTOR };
            let now = look.now();
            let sighting = {
                let mut state = self.lock();
                let entry = state.inner.get_mut(*key).filter(|entry| Arc::ptr_eq(&entry.node, node));
                let Some(entry) = entry else { continue };
                entry.search.judge(reached, pass, running_shield, patience, now)
            };
            match sighting {
                Sighting::Reached => waiting = true,
                Sighting::Later(at) => {
                    waiting = true;
                    until = until.min(at);
                }
                Sighting::Wake(at) => {
                    waiting = true;
                    until = at.map_or(until, |at| until.min(at));
                    look.wake_all_later(node.lock().waker.clone());
                    // A stored waker may lead nowhere (`now_or_never`): the next pass must come all the same.
                    look.wake_later(retry.clone());
                }
                Sighting::GivenUp => {
                    event::abandoned(node, running_shield);
                    // One that still has its body loses it with ours; dropping it leaves us its work (rule U5).
                    if node.has(ENDING) {
                        node.abandon(self);
                    }
                }
            }
        }
        if !waiting {
            return Hold::Free;
        }
        // Outside of tokio there is no timer: passes must do.
        Hold::Wait(if self.runtime().is_some() { until } else { Moment::NEVER })
    }
}
