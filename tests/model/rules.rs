//! The rules of cancelling, as plain functions over a tree of nodes: what is visible where, and what a request does.
//!
//! Every function names its rules. There are no wakers here: the [machine](super::machine) polls everything over and
//! over until nothing changes any more, and whoever is polled looks at the present state.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::boundary::{Boundary, Cleaning};
use super::chance::Chance;
use super::program::{Body, EVER, Ms, Options, Program, Special};
use super::trace::Trace;

/// A place in [`World::nodes`].
pub type Id = usize;

/// No node.
const NOBODY: Id = usize::MAX;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A scope: the only kind that has a cancel switch of its own.
    Scope,
    /// `shield!`
    Shield,
    /// A child task, a fork, or an arm of a race.
    Task,
    /// A cleanup.
    Cleanup,
    /// A race or a join.
    Race,
    /// A future that was put `in_scope`.
    Guest,
}

/// Why a scope was cancelled (rule W1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of the library")]
pub enum Cause {
    Explicit,
    Deadline,
    TaskFailed,
    TaskPanicked,
    Task,
    Token,
    CancelOn,
    Link,
    LinkClosed,
    Bubble,
    Closed,
    Dropped,
    Parent,
}

/// A cause, the one that it goes back to, and the node in which it began as far as parents lead (rules W1, W3).
#[derive(Debug, Clone, Copy)]
pub struct Why {
    /// What is said first.
    pub cause: Cause,
    /// What it goes back to.
    pub root: Cause,
    /// Where it began.
    pub origin: Id,
}

/// Whether code was lost to a cancel, and to what kind of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cut {
    /// It was not.
    No,
    /// To one that was only soft (rule G1).
    Soft,
    /// To a hard one.
    Hard,
}

/// What leaves a boundary by failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// An error, by the line that failed.
    Error(u32),
    /// An error that wraps a cancel, by the node in which that began (rule W3).
    Signal(Id),
    /// A panic, by the line that panicked.
    Panic(u32),
}

/// How a child of a scope counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its loss is the scope's loss.
    Foreground,
    /// The boundary does not wait for it (rule F8).
    Background,
    /// Work that was begun elsewhere (rule U5).
    Adopted,
}

/// A child of a scope.
#[derive(Debug, Clone, Copy)]
pub struct Child {
    /// Its place among the tasks.
    pub task: usize,
    /// How it counts.
    pub role: Role,
    /// It is one of those that the limit counts, and runs (rule F6).
    pub holds_slot: bool,
}

/// A scope, or another frame.
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// The frame around it, as of its last poll (rule T1).
    pub parent: Option<Id>,
    /// It keeps its parent: a child task (rule T2), or a guest (rule T6).
    pub rooted: bool,
    /// Hides outer cancels (rule S1).
    pub shield: bool,
    deadline: Option<Ms>,
    grace: Ms,
    bubble: Option<bool>,
    links: Vec<Id>,
    /// The first cause (rule L6).
    why: Option<Why>,
    /// Asked to stop: by a call, its deadline, a token, a link, a scope below.
    pub cancelled: bool,
    /// Stopped by a failure (rule F2), or the loss of its future (rule U5): no cancel of its own (rule D5).
    stopped: bool,
    /// From when on its cancel is hard (rule G1).
    hard_at: Option<Ms>,
    /// Its body or a child was delivered to (rule T4).
    pub cut: Cut,
    /// An inner scope has unwound and does not absorb (rule D4).
    pub unwound: Cut,
    /// What was delivered from outside stays the cause (rule D4).
    pub foreign: Option<Why>,
    /// A child was lost (rule D6).
    pub lost: bool,
    /// It waits at its boundary.
    pub ending: bool,
    /// Control has left it.
    pub left: bool,
    /// An orphan finishes its work (rule U5).
    pub orphaned: bool,
    /// The first failure (rule F2).
    pub failure: Option<Stop>,
    /// How many later ones there were.
    pub suppressed: usize,
    /// Children whose failures nobody has taken (rule F5).
    pub untaken: Vec<u32>,
    /// Children do not fail it (rule F5).
    pub supervise: bool,
    /// How many children may run at once, and who waits (rule F6).
    pub limit: Option<usize>,
    /// Tasks that wait for their turn.
    pub queue: Vec<usize>,
    /// Those that have not ended.
    pub children: Vec<Child>,
    /// What is registered, the last one first to run (rule U2).
    pub cleanup: Vec<Cleanup>,
    /// The cleanup that runs.
    pub running: Option<Box<Cleaning>>,
    /// How long cleanup may take, and until when it may (rule U3).
    pub cleanup_timeout: Option<Ms>,
    /// See there.
    pub cleanup_until: Option<Ms>,
    /// Its cleanup ran out of time.
    pub given_up: bool,
    /// Forks that were started and not polled yet.
    pub new_forks: Vec<usize>,
    /// A child that waits for its turn, and one that never starts (rule F6).
    pub waiting: bool,
    /// See there.
    pub never: bool,
    /// The verdict, if it is a race.
    pub race: Option<Race>,
}

/// What the arms of a `race!` share (rule F3).
#[derive(Debug, Clone, Copy)]
pub struct Race {
    /// Arms whose future is not ready.
    pub running: usize,
    /// There is a winner, or all have failed.
    pub decided: bool,
    /// The value that won; before, the last error.
    pub value: Result<(), Stop>,
}

/// A cleanup that waits for its turn.
#[derive(Clone)]
pub struct Cleanup {
    /// The line that registered it.
    pub n: u32,
    /// What it does.
    pub body: Body,
    /// In whose line of events it stands, and in which task.
    pub who: Rc<str>,
    /// See there.
    pub home: usize,
}

impl Node {
    /// A frame without options.
    pub fn new(kind: Kind, parent: Option<Id>) -> Self {
        Self {
            kind,
            parent,
            rooted: matches!(kind, Kind::Task | Kind::Guest),
            shield: matches!(kind, Kind::Shield | Kind::Cleanup),
            deadline: None,
            grace: 0,
            bubble: None,
            links: Vec::new(),
            why: None,
            cancelled: false,
            stopped: false,
            hard_at: None,
            cut: Cut::No,
            unwound: Cut::No,
            foreign: None,
            lost: false,
            ending: kind == Kind::Race,
            left: false,
            orphaned: false,
            failure: None,
            suppressed: 0,
            untaken: Vec::new(),
            supervise: false,
            limit: None,
            queue: Vec::new(),
            children: Vec::new(),
            cleanup: Vec::new(),
            running: None,
            cleanup_timeout: None,
            cleanup_until: None,
            given_up: false,
            new_forks: Vec::new(),
            waiting: false,
            never: false,
            race: None,
        }
    }
}

/// Rules that can be broken on purpose, to show that the comparison notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Shields hide nothing (S1).
    Shields,
    /// A cancel comes before a result that is there (D2).
    Completion,
    /// An own cancel counts as a foreign one (D5).
    Absorbing,
    /// A boundary does not wait for its children (F1).
    Waiting,
    /// A failure leaves the other children alone (F2).
    Failing,
    /// Cleanup runs in the order of registration (U2).
    CleanupOrder,
    /// Every cancel is hard at once (G1).
    Grace,
    /// Cancels do not bubble (B1).
    Bubbling,
}

impl Broken {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Shields,
        Self::Completion,
        Self::Absorbing,
        Self::Waiting,
        Self::Failing,
        Self::CleanupOrder,
        Self::Grace,
        Self::Bubbling,
    ];
}

/// Everything that a run of the model consists of.
pub struct World {
    /// Virtual time.
    pub now: Ms,
    /// All frames that ever were.
    pub nodes: Vec<Node>,
    /// All tasks that ever were; what they do is gone when they have ended.
    pub tasks: Vec<Option<super::machine::Task>>,
    /// What happened.
    pub trace: Trace,
    /// Counts changes: a pass over all tasks without one ends the instant.
    pub version: u64,
    /// Moments at which something may happen.
    pub timers: BTreeSet<Ms>,
    /// Scopes by the line that opened them.
    pub scopes: BTreeMap<u32, Id>,
    /// Tasks by the line that started them, with their results.
    pub handles: BTreeMap<u32, super::machine::Handle>,
    /// Tokens that were triggered.
    pub tokens: [bool; super::program::TOKENS as usize],
    /// The task that is being polled.
    pub polled: usize,
    /// Boundaries of forks, which their scope polls.
    pub hosted: BTreeMap<usize, Box<Boundary>>,
    /// Children that wait for their turn, with their scopes and tasks (rule F6).
    pub waiting: Vec<(Id, Id, usize)>,
    /// Detached tasks that were aborted.
    pub aborted: BTreeSet<usize>,
    /// The rule that does not hold.
    pub broken: Option<Broken>,
    /// The program.
    pub program: Program,
    /// Makes up what is nobody's promise, if anything does.
    pub chance: Option<Chance>,
}

impl World {
    /// Before anything happened.
    pub fn new(program: Program, broken: Option<Broken>) -> Self {
        Self {
            now: 0,
            nodes: Vec::new(),
            tasks: Vec::new(),
            trace: Trace::default(),
            version: 0,
            timers: BTreeSet::new(),
            scopes: BTreeMap::new(),
            handles: BTreeMap::new(),
            tokens: Default::default(),
            polled: 0,
            hosted: BTreeMap::new(),
            waiting: Vec::new(),
            aborted: BTreeSet::new(),
            broken,
            program,
            chance: None,
        }
    }

    /// Takes note of a change.
    pub fn changed(&mut self) {
        self.version += 1;
    }

    /// Records an event.
    pub fn say(&mut self, who: &str, what: String) {
        self.changed();
        self.trace.say(self.now, who, what);
    }

    /// Something may happen then.
    pub fn wake_at(&mut self, at: Ms) {
        if at != EVER {
            self.timers.insert(at);
        }
    }

    /// A new frame.
    pub fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Whether a token was triggered; the last one is a chain of the others.
    pub fn is_triggered(&self, token: u8) -> bool {
        let chain = usize::from(token) + 1 == self.tokens.len();
        self.tokens[usize::from(token)] || chain && self.tokens.contains(&true)
    }

    /// A new scope; its timeout counts from now (rule L1).
    pub fn open(&mut self, options: &Options, under: Option<Id>) -> Id {
        let mut node = Node::new(Kind::Scope, under);
        node.shield = options.shield;
        node.grace = options.grace.unwrap_or(0);
        node.supervise = options.supervise;
        node.limit = options.limit;
        node.links = options.link.and_then(|line| self.scopes.get(&line).copied()).into_iter().collect();
        match options.special {
            Some(Special::Bubble(bubble)) => node.bubble = Some(bubble),
            Some(Special::CleanupTimeout(ms)) => node.cleanup_timeout = Some(ms),
            _ => {}
        }
        // L5: a deadline that has passed already is noticed by whoever looks, and at the boundary.
        node.deadline = options.timeout.map(|ms| self.now + ms);
        node.deadline.into_iter().for_each(|at| self.wake_at(at));
        let id = self.add(node);
        if self.chance.as_mut().is_some_and(|chance| chance.one_in(2)) {
            self.expire_if_due(id);
        }
        id
    }

    // --- what is visible (rules T3, T4, S1, G1, L5) -----------------------------------------------------------------

    /// Whether this node counts as cancelled by itself.
    fn counts(&mut self, id: Id, hard: bool) -> bool {
        self.expire_if_due(id);
        let node = &self.nodes[id];
        if !hard {
            return node.cancelled || node.stopped || node.cut > Cut::No;
        }
        node.hard_at.is_some_and(|at| at <= self.now) || node.cut == Cut::Hard
    }

    /// T3: a scope sees a cancel if it was cancelled itself, or if it is not shielded and its parent sees one.
    pub fn sees(&mut self, id: Id, hard: bool) -> bool {
        self.counts(id, hard) || self.sees_outer(id, hard)
    }

    /// The second half of T3; T6: leaving a scope is a cancel for its guests.
    pub fn sees_outer(&mut self, id: Id, hard: bool) -> bool {
        let node = &self.nodes[id];
        if node.shield && self.broken != Some(Broken::Shields) {
            return false;
        }
        let guest = node.kind == Kind::Guest;
        node.parent.is_some_and(|parent| guest && self.nodes[parent].left || self.sees(parent, hard))
    }

    /// L2: the minimum over the scope and its visible ancestors.
    pub fn effective_deadline(&self, id: Id) -> Option<Ms> {
        let node = &self.nodes[id];
        let own = node.deadline.filter(|_| !node.left);
        let outer = node.parent.filter(|_| !node.shield).and_then(|parent| self.effective_deadline(parent));
        own.into_iter().chain(outer).min()
    }

    /// W1: the cancel that is visible here.
    pub fn why(&self, id: Id) -> Why {
        let node = &self.nodes[id];
        if let Some(why) = node.why.filter(|_| node.cancelled || node.stopped) {
            return why;
        }
        self.outer_why(id)
    }

    /// W1: the cancel that comes from outside.
    pub fn outer_why(&self, id: Id) -> Why {
        let node = &self.nodes[id];
        if let Some(why) = node.foreign {
            return why;
        }
        // Here the library has forgotten why: a child was lost to a cancel that a shield hides by now. It does not
        // recognise what `check()` says then, either (rule W3).
        let dropped = Why { cause: Cause::Dropped, root: Cause::Dropped, origin: NOBODY };
        let Some(parent) = node.parent else { return dropped };
        let of = &self.nodes[parent];
        let left = node.kind == Kind::Guest && of.left;
        // F7: cancelling a scope that was left changes nothing.
        let ended_well = of.why.is_none() && of.cut == Cut::No;
        if self.has_cause(parent) && !(left && ended_well) {
            Why { cause: Cause::Parent, ..self.why(parent) }
        } else if left {
            Why { cause: Cause::Closed, root: Cause::Closed, origin: id }
        } else {
            dropped
        }
    }

    /// Whether a cancel is visible, without a look at the clock.
    fn has_cause(&self, id: Id) -> bool {
        let node = &self.nodes[id];
        node.cancelled
            || node.stopped
            || node.cut > Cut::No
            || !node.shield
                && node.parent.is_some_and(|parent| {
                    node.kind == Kind::Guest && self.nodes[parent].left || self.has_cause(parent)
                })
    }

    /// W3: whether a cancel that came back as an error began in this scope (true), in one around it (false), or elsewhere.
    pub fn origin_of(&self, id: Id, origin: Id) -> Option<bool> {
        if id == origin {
            return Some(true);
        }
        let mut above = self.nodes[id].parent;
        while let Some(node) = above {
            // Nobody behind a cleanup could unwind for it.
            if self.nodes[node].kind == Kind::Cleanup {
                return None;
            }
            if node == origin {
                return Some(false);
            }
            above = self.nodes[node].parent;
        }
        None
    }

    /// F6: a child that still waits when a cancel becomes visible to it never starts; its handle says so at once.
    pub fn refuse_waiting(&mut self) {
        for (node, scope, task) in self.waiting.clone() {
            if self.nodes[node].waiting && self.sees(node, false) {
                self.nodes[node].waiting = false;
                self.nodes[scope].queue.retain(|waiting| *waiting != task);
                self.refuse(node);
            }
        }
        let nodes = &self.nodes;
        self.waiting.retain(|(node, ..)| nodes[*node].waiting);
    }

    /// F6, F7: a child will never start; why is decided once (rule L6).
    pub fn refuse(&mut self, node: Id) {
        if !self.nodes[node].never && !self.nodes[node].cancelled {
            self.nodes[node].foreign = Some(self.outer_why(node));
        }
        self.nodes[node].never = true;
        self.changed();
    }

    // --- requests (rules G1, G2, L3, L5, L6, F7) --------------------------------------------------------------------

    /// `cancel()` and its like: true if the scope is cancelled now, false if it was left (rule F7).
    pub fn request(&mut self, id: Id, why: Why, now: bool) -> bool {
        // L6: a deadline that passed before is the first cause.
        self.expire_if_due(id);
        self.changed();
        if self.nodes[id].left {
            self.nodes[id].cancelled = true;
            return false;
        }
        let first = self.soften(id, why, self.now);
        self.nodes[id].cancelled = true;
        if now {
            // G2.
            self.nodes[id].hard_at = Some(self.now);
        }
        self.refuse_waiting();
        if first {
            self.pass_on(id);
        }
        true
    }

    /// The cause and the grace of a request that was made at `since`; true if it is the first.
    fn soften(&mut self, id: Id, why: Why, since: Ms) -> bool {
        let grace = if self.broken == Some(Broken::Grace) { 0 } else { self.nodes[id].grace };
        let node = &mut self.nodes[id];
        let first = node.why.is_none();
        // L6: the first cause stays.
        node.why.get_or_insert(why);
        if !(node.cancelled || node.stopped) {
            // G1: soft for so long, hard then.
            let hard_at = since.saturating_add(grace);
            node.hard_at = Some(hard_at);
            self.wake_at(hard_at);
        }
        first
    }

    /// L5: a passed deadline is a cancel, whether or not a timer fired.
    pub fn expire_if_due(&mut self, id: Id) {
        let node = &self.nodes[id];
        if node.left || node.why.is_some() {
            return;
        }
        if let Some(at) = node.deadline.filter(|at| *at <= self.now) {
            self.changed();
            let why = Why { cause: Cause::Deadline, root: Cause::Deadline, origin: id };
            self.soften(id, why, at);
            self.nodes[id].cancelled = true;
            self.refuse_waiting();
            self.pass_on(id);
        }
    }

    /// L3: moves a deadline to so far from now, unless the scope is cancelled.
    pub fn set_deadline(&mut self, id: Id, from_now: Option<Ms>) {
        self.expire_if_due(id);
        if self.nodes[id].cancelled || self.nodes[id].left {
            return;
        }
        self.changed();
        self.nodes[id].deadline = from_now.map(|ms| self.now + ms);
        if let Some(at) = self.nodes[id].deadline {
            self.wake_at(at);
        }
        self.expire_if_due(id);
    }

    /// F2: the first failure stops the scope, later ones are reported; true if it is the first.
    pub fn fail(&mut self, id: Id, failure: Stop, cause: Cause) -> bool {
        self.expire_if_due(id);
        self.changed();
        let node = &mut self.nodes[id];
        if node.failure.is_some() || node.left || node.orphaned {
            node.suppressed += 1;
            return false;
        }
        node.failure = Some(failure);
        if self.broken == Some(Broken::Failing) {
            return true;
        }
        let first = self.soften(id, Why { cause, root: cause, origin: id }, self.now);
        self.nodes[id].stopped = true;
        self.refuse_waiting();
        if first {
            self.pass_on(id);
        }
        true
    }

    /// U5: the future of the scope was dropped from outside.
    pub fn stop(&mut self, id: Id) {
        let node = &mut self.nodes[id];
        node.why.get_or_insert(Why { cause: Cause::Dropped, root: Cause::Dropped, origin: id });
        node.stopped = true;
        node.hard_at = Some(self.now);
        self.changed();
    }

    // --- links and bubbles (rules B1, B2) ---------------------------------------------------------------------------

    /// An own cancel goes on to those that the scope is linked with, and to the one above, as far as it bubbles.
    fn pass_on(&mut self, id: Id) {
        let why = self.why(id);
        for link in self.nodes[id].links.clone() {
            self.request(link, Why { cause: Cause::Link, root: why.root, origin: link }, false);
        }
        let mut above = self.nodes[id].parent.filter(|_| self.nodes[id].kind == Kind::Scope);
        while let Some(node) = above.take_if(|node| self.nodes[*node].kind != Kind::Scope) {
            above = self.nodes[node].parent;
        }
        if let Some(above) = above
            && self.bubbles(id)
            && self.bubbles(above)
            && self.broken != Some(Broken::Bubbling)
        {
            self.request(above, Why { cause: Cause::Bubble, root: why.root, origin: above }, false);
        }
    }

    /// As the nearest scope says that says anything.
    fn bubbles(&self, id: Id) -> bool {
        let node = &self.nodes[id];
        node.bubble.unwrap_or_else(|| node.parent.is_some_and(|parent| self.bubbles(parent)))
    }

    /// B2: a scope that is linked with one that was left does not run.
    pub fn refuses_to_run(&mut self, id: Id) -> bool {
        let refused = self.nodes[id].links.iter().any(|link| self.nodes[*link].left);
        if refused {
            let cause = Cause::LinkClosed;
            let node = &mut self.nodes[id];
            node.why.get_or_insert(Why { cause, root: cause, origin: id });
            node.cancelled = true;
            node.hard_at = Some(self.now);
        }
        refused
    }
}
