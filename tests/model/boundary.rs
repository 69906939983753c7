//! The frame around a body: polls it, delivers cancels, unwinds, and decides what leaves.

use super::future::{Fut, Out, Place, told, told_why};
use super::machine::{ChildInfo, Outcome, Task, adopt_from, child_ended, hold_failure, poll_child};
use super::program::Ms;
use super::rules::{Broken, Cause, Cut, Id, Kind, Node, Role, Stop, Why, World};

/// A frame: a scope, a shield, a child, a race.
pub struct Boundary {
    node: Id,
    what: What,
    stage: Stage,
    place: Place,
    outcome: Outcome,
    forks: Vec<usize>,
    /// The scope that it was delivered under, if the cancel came from outside (rule D4).
    delivered_under: Option<Id>,
    /// Until when a shield that nobody polls holds it up (rule U1a).
    patience: Option<Ms>,
    /// What it watches beside its body.
    pub watch: Option<Watch>,
}

/// How long a shield that nobody polls holds up a cancelled scope (rule U1a).
const PATIENCE: Ms = 5_000;

/// What kind of frame it is.
pub enum What {
    /// A scope, by its line; of one that is watched there is a handle.
    Scope {
        /// Its line.
        n: u32,
        /// Whether there is a handle.
        watched: bool,
    },
    /// A shield.
    Shield,
    /// A race or a join, by its line; the arm that has to be spawned.
    Race(u32, Option<usize>),
    /// A future that runs under a token, or as a guest: its errors are values.
    Value(u32),
    /// A child.
    Child(ChildInfo),
}

/// What a scope watches beside its body (rule B3).
#[derive(Clone, Copy)]
pub enum Watch {
    /// A future that is ready then.
    At(Ms),
    /// A token.
    Token(u8),
}

enum Stage {
    New(Fut),
    Body(Fut),
    Ending(End),
    /// It has told the parent that it unwinds.
    Through(Option<Id>),
    Gone,
}

#[derive(Clone, Copy)]
enum End {
    Out(Out),
    Cut,
    /// The body returned a cancel that it was told of (rule W3).
    Signalled,
}

/// What leaves a frame.
pub enum Left {
    /// A value, an error, a panic.
    Out(Out),
    /// It was cancelled.
    Cancelled {
        /// By itself (rule D5).
        own: bool,
        /// Why.
        why: Why,
    },
}

/// A cleanup that runs.
pub struct Cleaning {
    node: Id,
    fut: Fut,
}

impl Boundary {
    /// A frame around a body.
    pub fn new(node: Id, what: What, body: Fut, place: Place) -> Self {
        let (stage, outcome) = (Stage::New(body), Outcome::Value);
        Self {
            node,
            what,
            stage,
            place,
            outcome,
            forks: Vec::new(),
            delivered_under: None,
            patience: None,
            watch: None,
        }
    }

    /// The frame of a child.
    pub fn of_child(info: ChildInfo, body: Fut, place: Place) -> Self {
        Self::new(info.node, What::Child(info), body, place)
    }

    /// A race or a join: it has no body, only arms.
    pub fn of_arms(node: Id, n: u32, forks: Vec<usize>, parallel: Option<usize>, place: Place) -> Self {
        let mut boundary = Self::new(node, What::Race(n, parallel), Fut::Sleep(0), place);
        boundary.stage = Stage::Ending(End::Out(Ok(())));
        boundary.forks = forks;
        boundary
    }

    /// What is known of the child that this is.
    pub fn child(&self) -> &ChildInfo {
        match &self.what {
            What::Child(info) => info,
            _ => unreachable!("it is no child"),
        }
    }

    /// What became of the child's body.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether it was never polled.
    pub fn is_new(&self) -> bool {
        matches!(self.stage, Stage::New(_))
    }

    /// B2: the body does not run.
    pub fn refuse(&mut self) {
        self.stage = Stage::Ending(End::Cut);
    }

    /// F6, F7: the child does not start.
    pub fn never_start(&mut self, w: &mut World) {
        let foreign = w.sees_outer(self.node, false) && !w.nodes[self.node].cancelled;
        let softly = !w.sees(self.node, true);
        self.deliver(w, foreign, softly);
        self.stage = Stage::Ending(End::Cut);
    }

    /// Polls it. `under` is the frame that polls (rule T1).
    pub fn poll(&mut self, w: &mut World, under: Option<Id>) -> Option<Left> {
        if !w.nodes[self.node].rooted {
            w.nodes[self.node].parent = under;
        }
        if let Stage::New(_) = self.stage {
            let Stage::New(body) = std::mem::replace(&mut self.stage, Stage::Gone) else { unreachable!() };
            self.stage = Stage::Body(body);
            if let What::Scope { n, .. } = self.what {
                w.scopes.insert(n, self.node);
                w.say(&self.place.who, format!("enter s{n}"));
            }
        }
        if matches!(self.stage, Stage::Body(_)) {
            self.poll_forks(w);
            self.poll_body(w)?;
        }
        self.poll_end(w)
    }

    /// `None` if the body is kept.
    fn poll_body(&mut self, w: &mut World) -> Option<()> {
        loop {
            let Stage::Body(body) = &mut self.stage else { unreachable!("it is polled in this stage only") };
            if w.broken == Some(Broken::Completion) && w.sees(self.node, true) && !body.owes(w) {
                break self.cut_body(w);
            }
            // D2: the body is polled first.
            if let Some(out) = body.poll(w, Some(self.node)) {
                if w.nodes[self.node].children.is_empty() {
                    self.watch = None;
                }
                self.stage = Stage::Gone;
                self.stage = Stage::Ending(self.body_ended(w, out));
                w.nodes[self.node].ending = true;
                break;
            }
            // D2, D4, U1: only if it is pending, and a hard cancel is visible or an inner scope has unwound, and nothing
            // inside owes work, is it dropped.
            self.poll_watch(w);
            let cut = w.nodes[self.node].unwound > Cut::No || w.sees(self.node, true);
            let Stage::Body(body) = &mut self.stage else { unreachable!("see above") };
            let owes = body.owes(w);
            if cut && self.gives_up_what_is_forgotten(w) && !owes {
                break self.cut_body(w);
            }
            if w.nodes[self.node].new_forks.is_empty() {
                return None;
            }
            // D1: a fork that is started is polled in the same pass.
            self.poll_forks(w);
        }
        w.changed();
        Some(())
    }

    /// U1a: what is alive but polled by nobody holds the body back for so long only; true if the time is over.
    fn gives_up_what_is_forgotten(&mut self, w: &mut World) -> bool {
        let Stage::Body(body) = &self.stage else { return true };
        let mut forgotten = Vec::new();
        body.forgotten(true, &mut forgotten);
        // T6: nobody waits for a guest.
        forgotten.retain(|boundary| w.nodes[boundary.node].kind != Kind::Guest);
        let shields = forgotten.iter().any(|boundary| boundary.runs_a_shield(w));
        let unwinding: Vec<Id> = forgotten
            .into_iter()
            .filter(|boundary| matches!(boundary.stage, Stage::Ending(_)) && !w.nodes[boundary.node].orphaned)
            .map(|boundary| boundary.node)
            .collect();
        // It counts from the first passes that do not reach it; nobody promises which ones these are.
        let later = w.timers.last().is_some_and(|at| *at > w.now);
        if (shields && self.patience.is_none() || !unwinding.is_empty())
            && later
            && w.chance.as_mut().is_some_and(|chance| chance.one_in(2))
        {
            return false;
        }
        if shields {
            let until = *self.patience.get_or_insert(w.now + PATIENCE);
            w.wake_at(until);
            if w.now < until {
                return false;
            }
        }
        // One that is unwinding is taken over; one that has its body loses it with ours.
        for node in unwinding {
            adopt_from(w, node, Some(self.node));
        }
        true
    }

    fn runs_a_shield(&self, w: &World) -> bool {
        let (Stage::New(body) | Stage::Body(body)) = &self.stage else { return false };
        let mut inner = Vec::new();
        body.forgotten(false, &mut inner);
        inner.retain(|boundary| w.nodes[boundary.node].kind != Kind::Guest);
        w.nodes[self.node].shield || inner.into_iter().any(|inner| inner.runs_a_shield(w))
    }

    /// B3: polled after the body, and while children are awaited, until it is ready or delivery begins.
    /// True if that has cancelled the scope.
    fn poll_watch(&mut self, w: &mut World) -> bool {
        let ready = match self.watch {
            None => return false,
            Some(Watch::At(at)) => at <= w.now,
            Some(Watch::Token(token)) => w.is_triggered(token),
        };
        let cancels = ready && w.nodes[self.node].unwound == Cut::No && !w.sees(self.node, true);
        if cancels {
            let cause = if let Some(Watch::At(_)) = self.watch { Cause::CancelOn } else { Cause::Token };
            self.watch = None;
            w.request(self.node, Why { cause, root: cause, origin: self.node }, false);
        }
        cancels
    }

    fn cut_body(&mut self, w: &mut World) {
        let unwound = w.nodes[self.node].unwound;
        let foreign = unwound > Cut::No || w.sees_outer(self.node, true);
        let softly = unwound == Cut::Soft && !w.sees(self.node, true);
        self.deliver(w, foreign, softly);
        let Stage::Body(body) = std::mem::replace(&mut self.stage, Stage::Ending(End::Cut)) else {
            unreachable!("there is a body to cut")
        };
        body.discard(w);
    }

    /// T4: once the body was delivered to, the scope counts as cancelled for its children.
    fn deliver(&mut self, w: &mut World, foreign: bool, softly: bool) {
        let parent = w.nodes[self.node].parent;
        let why = w.outer_why(self.node);
        // An inner scope may have unwound for a cancel of this one: then nothing came from outside.
        if foreign && !w.nodes[self.node].rooted && parent.is_some() && why.cause == Cause::Parent {
            self.delivered_under = parent;
            w.nodes[self.node].foreign = Some(why);
        }
        let node = &mut w.nodes[self.node];
        node.ending = true;
        node.cut = node.cut.max(if softly { Cut::Soft } else { Cut::Hard });
        w.changed();
        w.refuse_waiting();
    }

    /// U4, F2, W3: what the end of the body means.
    fn body_ended(&mut self, w: &mut World, out: Out) -> End {
        let node = self.node;
        if let What::Child(info) = &self.what {
            let (scope, line) = (info.scope, info.line);
            let supervise = w.nodes[scope].supervise;
            if info.contends && !matches!(out, Err(Stop::Panic(_))) {
                contend(w, scope, out);
                return End::Out(Ok(()));
            }
            self.outcome = match out {
                Ok(()) => Outcome::Value,
                Err(Stop::Panic(_)) if supervise => {
                    // It stays the child's own until its end.
                    w.fail(node, out.unwrap_err(), Cause::TaskPanicked);
                    return End::Out(out);
                }
                Err(stop @ Stop::Panic(_)) => {
                    w.fail(scope, stop, Cause::TaskPanicked);
                    Outcome::Failed(Cause::TaskPanicked)
                }
                Err(stop) => {
                    let origin =
                        if let Stop::Signal(origin) = stop { w.origin_of(node, origin) } else { None };
                    match origin {
                        // W3: its own id or an outer scope's found: no failure.
                        Some(own) => Outcome::Signalled { own, kept: supervise.then_some(stop) },
                        None if supervise => {
                            hold_failure(w, scope, line);
                            Outcome::Untaken(stop)
                        }
                        None => {
                            w.fail(scope, stop, Cause::TaskFailed);
                            Outcome::Failed(Cause::TaskFailed)
                        }
                    }
                }
            };
            return End::Out(Ok(()));
        }
        match out {
            Ok(()) => {}
            Err(Stop::Error(_) | Stop::Signal(_)) if matches!(self.what, What::Value(_)) => {}
            Err(Stop::Signal(origin)) if let Some(own) = w.origin_of(node, origin) => {
                let softly = !w.sees(node, true);
                self.deliver(w, !own, softly);
                return End::Signalled;
            }
            // U4: leaving with an error or a panic cancels the children first.
            Err(stop @ Stop::Panic(_)) => drop(w.fail(node, stop, Cause::TaskPanicked)),
            Err(stop) => drop(w.fail(node, stop, Cause::TaskFailed)),
        }
        End::Out(out)
    }

    fn poll_forks(&mut self, w: &mut World) {
        let mut forks = self.forks.clone();
        loop {
            let new = std::mem::take(&mut w.nodes[self.node].new_forks);
            self.forks.extend(&new);
            forks.extend(&new);
            if forks.is_empty() {
                return;
            }
            // Forks of one pass are polled in any order.
            if let Some(chance) = &mut w.chance {
                chance.shuffle(&mut forks);
            }
            for fork in std::mem::take(&mut forks) {
                let Some(mut boundary) = w.hosted.remove(&fork) else { continue };
                if poll_child(w, &mut boundary) {
                    self.forks.retain(|other| *other != fork);
                    w.changed();
                } else {
                    w.hosted.insert(fork, boundary);
                }
            }
        }
    }

    /// F3: in the order written; once more if that decided something, so that the others learn of it in the same pass.
    fn poll_arms(&mut self, w: &mut World) {
        let node = self.node;
        let decided = |w: &World| match w.nodes[node].race {
            Some(race) => race.decided,
            None => matches!(w.nodes[node].failure, Some(Stop::Error(_) | Stop::Signal(_))),
        };
        for _ in 0..2 {
            let before = decided(w);
            for arm in self.forks.clone() {
                let Some(mut boundary) = w.hosted.remove(&arm) else { continue };
                if let What::Race(_, Some(parallel)) = self.what
                    && parallel == arm
                {
                    w.tasks[arm] = Some(Task::Child(boundary));
                    self.forks.retain(|other| *other != arm);
                } else if poll_child(w, &mut boundary) {
                    self.forks.retain(|other| *other != arm);
                } else {
                    w.hosted.insert(arm, boundary);
                    continue;
                }
                w.changed();
            }
            if before || !decided(w) {
                return;
            }
        }
    }

    fn poll_end(&mut self, w: &mut World) -> Option<Left> {
        match self.stage {
            Stage::Ending(end) => {
                loop {
                    if let What::Race(..) = self.what {
                        self.poll_arms(w);
                    } else {
                        self.poll_forks(w);
                    }
                    if drive(w, self.node) {
                        break;
                    }
                    // B3: what that cancels is cut in the same pass, before a scope around looks.
                    if !self.poll_watch(w) {
                        return None;
                    }
                }
                self.leave(w, end)
            }
            Stage::Through(told) => {
                let parent = w.nodes[self.node].parent;
                if told == parent {
                    self.tell_parent(w);
                    return None;
                }
                // D4: polled under another scope than the one that it was delivered under, it absorbs.
                self.stage = Stage::Gone;
                Some(Left::Cancelled { own: false, why: w.outer_why(self.node) })
            }
            _ => unreachable!("it is polled until it is left"),
        }
    }

    fn tell_parent(&self, w: &mut World) {
        let Some(parent) = w.nodes[self.node].parent else { return };
        let cut = w.nodes[self.node].cut;
        let unwound = w.nodes[parent].unwound.max(if cut == Cut::Soft { Cut::Soft } else { Cut::Hard });
        if w.nodes[parent].unwound != unwound {
            w.nodes[parent].unwound = unwound;
            w.changed();
        }
    }

    /// D4 to D6, F2: the four facts.
    fn leave(&mut self, w: &mut World, end: End) -> Option<Left> {
        w.changed();
        self.stage = Stage::Gone;
        let node = self.node;
        // F2: a failure takes precedence over every cancel.
        if let Some(stop) = w.nodes[node].failure.take() {
            return Some(Left::Out(Err(stop)));
        }
        // D6: it counts as cancelled only if something was lost.
        let lost = matches!(end, End::Cut | End::Signalled) || w.nodes[node].lost;
        if let (End::Out(out), false) = (end, lost) {
            return Some(Left::Out(w.nodes[node].race.map_or(out, |race| race.value)));
        }
        // D5: own if it was cancelled itself, and no outer cancel is visible.
        let outer = w.sees_outer(node, true);
        let own = w.nodes[node].cancelled && !outer && w.broken != Some(Broken::Absorbing);
        // A cleanup has no boundary that could be told.
        let parent = w.nodes[node]
            .parent
            .filter(|parent| !w.nodes[node].rooted && w.nodes[*parent].kind != Kind::Cleanup);
        if !own && parent.is_some() && (self.delivered_under.is_none() || self.delivered_under == parent) {
            // D4: it tells the enclosing boundary, which unwinds too.
            self.stage = Stage::Through(parent);
            self.tell_parent(w);
            return None;
        }
        let why = if own { w.why(node) } else { w.outer_why(node) };
        Some(Left::Cancelled { own, why })
    }

    /// What the code around a block gets.
    pub fn value(&self, w: &mut World, left: Left) -> Out {
        let (n, watched) = match self.what {
            What::Scope { n, watched } => (n, watched),
            What::Race(n, _) | What::Value(n) => {
                let (text, out) = match left {
                    Left::Out(Err(stop @ Stop::Panic(_))) => return Err(stop),
                    Left::Out(out) => (told(out), out),
                    // D4: polled in another scope than the one that it unwound for, it has no value to absorb with.
                    Left::Cancelled { .. } if let What::Race(..) = self.what => return Err(Stop::Panic(0)),
                    Left::Cancelled { why, .. } => (told_why(why), Ok(())),
                };
                w.say(&self.place.who, format!("{n}: {text}"));
                return out;
            }
            _ => {
                return match left {
                    Left::Out(out) => out,
                    // The same with a shield.
                    Left::Cancelled { .. } => Err(Stop::Panic(0)),
                };
            }
        };
        let more = match w.nodes[self.node].suppressed {
            more if watched && more > 0 => format!(" +{more}"),
            _ => String::new(),
        };
        let (text, out) = match left {
            Left::Out(Err(stop @ Stop::Panic(_))) => {
                w.say(&self.place.who, format!("drop s{n}"));
                return Err(stop);
            }
            Left::Out(out) => (told(out), out),
            Left::Cancelled { why, .. } => (told_why(why), Ok(())),
        };
        w.say(&self.place.who, format!("exit s{n}: {text}{more}"));
        out
    }

    /// U5: it is dropped by something that is no scope, or by a scope after it told that it unwound.
    pub fn discard(mut self, w: &mut World) {
        let entered = !self.is_new();
        match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::New(_) => w.nodes[self.node].left = true,
            Stage::Body(body) => body.discard(w),
            _ => {}
        }
        self.forks.append(&mut w.nodes[self.node].new_forks);
        for fork in std::mem::take(&mut self.forks) {
            // Forks are dropped in place; what they registered is adopted.
            let Some(fork) = w.hosted.remove(&fork) else { continue };
            let (scope, task, line) = (fork.child().scope, fork.child().task, fork.child().line);
            let (cause, origin) = (Cause::Dropped, fork.node);
            fork.discard(w);
            if let Some(handle) = w.handles.get_mut(&line) {
                handle.result = Some(super::machine::Res::Cancelled(Why { cause, root: cause, origin }));
            }
            child_ended(w, scope, task, Cut::No);
        }
        adopt_from(w, self.node, None);
        if let What::Scope { n, .. } = self.what
            && entered
        {
            w.say(&self.place.who, format!("drop s{n}"));
        }
    }

    /// U1: whether an outer body has to wait for it.
    pub fn owes(&self, w: &World) -> bool {
        let node = &w.nodes[self.node];
        // T6: nobody waits for a guest.
        if node.left || node.orphaned || node.kind == Kind::Guest {
            return false;
        }
        match &self.stage {
            Stage::New(body) | Stage::Body(body) => {
                let mut forgotten = Vec::new();
                body.forgotten(true, &mut forgotten);
                node.shield
                    || !node.children.is_empty()
                    || !node.cleanup.is_empty()
                    || body.owes(w)
                    || forgotten.into_iter().any(|forgotten| forgotten.owes(w))
            }
            Stage::Ending(_) => true,
            Stage::Through(_) | Stage::Gone => false,
        }
    }
}

/// U2, U3: children and cleanup alternate until both are empty; true if the scope is closed then.
pub fn drive(w: &mut World, node: Id) -> bool {
    loop {
        if let Some(mut run) = w.nodes[node].running.take() {
            match run.fut.poll(w, Some(run.node)) {
                None => {
                    w.nodes[node].running = Some(run);
                    return gives_up(w, node);
                }
                Some(Err(stop @ Stop::Panic(_))) => {
                    // U3: the rest still run, and the panic is a failure.
                    w.fail(node, stop, Cause::TaskPanicked);
                }
                Some(_) => {}
            }
            w.changed();
        }
        if w.broken != Some(Broken::Waiting) && !children_done(w, node) {
            return gives_up(w, node);
        }
        let of = &mut w.nodes[node];
        let next = match w.broken {
            Some(Broken::CleanupOrder) if !of.cleanup.is_empty() => Some(of.cleanup.remove(0)),
            _ => of.cleanup.pop(),
        };
        let Some(cleanup) = next else { break };
        // U3: it runs shielded from every outer cancel and from the scope's own.
        let frame = w.add(Node::new(Kind::Cleanup, Some(node)));
        let n = cleanup.n;
        let who = if cleanup.home == w.polled { cleanup.who } else { format!("c{n}").into() };
        let place = Place { who, home: w.polled };
        let inner = Box::new(super::future::block(&cleanup.body, None, &place));
        let fut = Fut::Named { what: format!("c{n}"), begun: false, inner, place };
        w.nodes[node].running = Some(Box::new(Cleaning { node: frame, fut }));
        if let Some(timeout) = w.nodes[node].cleanup_timeout {
            let until = *w.nodes[node].cleanup_until.get_or_insert(w.now + timeout);
            w.wake_at(until);
        }
    }
    // L5: the last moment at which its own deadline counts.
    w.expire_if_due(node);
    let of = &mut w.nodes[node];
    of.left = true;
    // F5: what nobody took is a later failure.
    of.suppressed += std::mem::take(&mut of.untaken).len();
    w.changed();
    true
}

/// U3: `cleanup_timeout` bounds the whole cleanup of one scope; true if it has ended so.
fn gives_up(w: &mut World, node: Id) -> bool {
    if w.nodes[node].cleanup_until.is_none_or(|until| until > w.now) {
        return false;
    }
    // Cleanup and everything that it opened is dropped, shields too; what that leaves behind goes to the root.
    w.nodes[node].given_up = true;
    w.nodes[node].cleanup.clear();
    if let Some(run) = w.nodes[node].running.take() {
        run.fut.discard(w);
    }
    let of = &mut w.nodes[node];
    of.cleanup.clear();
    of.cut = Cut::Hard;
    w.stop(node);
    let of = &mut w.nodes[node];
    of.left = true;
    of.suppressed += std::mem::take(&mut of.untaken).len();
    if !of.children.is_empty() {
        w.tasks.push(Some(Task::Orphan(node, None)));
    }
    w.changed();
    true
}

/// F3: an arm of a race is ready.
fn contend(w: &mut World, scope: Id, out: Out) {
    let of = &mut w.nodes[scope];
    let race = of.race.as_mut().expect("the arm of a race");
    race.running -= 1;
    if race.decided {
        return;
    }
    race.value = out;
    race.decided = out.is_ok() || race.running == 0;
    if race.decided {
        // What a cancel from outside has cut does not take the value away. The losers are cancelled, and awaited.
        of.lost = false;
        for child in &mut of.children {
            child.role = Role::Background;
        }
        dismiss(w, scope);
    }
}

/// F8: cancels the children that nobody needs any more.
fn dismiss(w: &mut World, node: Id) {
    for child in w.nodes[node].children.clone() {
        let of = w.handles.values().find(|handle| handle.task == child.task).map(|handle| handle.node);
        if let Some(of) = of.filter(|of| !w.nodes[*of].cancelled) {
            w.request(of, Why { cause: Cause::Task, root: Cause::Task, origin: of }, false);
        }
    }
}

/// F1, F8: whether all children have ended; the background ones are cancelled when the others have.
fn children_done(w: &mut World, node: Id) -> bool {
    let children = w.nodes[node].children.clone();
    if children.iter().all(|child| child.role == Role::Background) {
        dismiss(w, node);
    }
    children.is_empty()
}
