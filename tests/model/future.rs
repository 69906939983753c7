//! Bodies as state machines: what a line does, and what its future does when it is polled or dropped.

use std::rc::Rc;

use super::boundary::{Boundary, Watch, What};
use super::machine::{Res, Task, spawn, start_arms};
use super::program::{Body, How, Line, Ms, Options, Special, Step};
use super::rules::{Cause, Cleanup, Id, Kind, Node, Stop, Why, World};

/// What a body ends with.
pub type Out = Result<(), Stop>;

/// Where a future runs: in whose line of events, and in which task.
#[derive(Clone)]
pub struct Place {
    /// Whose.
    pub who: Rc<str>,
    /// Which.
    pub home: usize,
}

/// Something that is polled.
pub enum Fut {
    /// A sleep.
    Sleep(Ms),
    /// A child is awaited.
    Join(u32, Place),
    /// A body.
    Block(Block),
    /// Notes its start, and its end or drop.
    Named {
        /// Its name.
        what: String,
        /// It was polled.
        begun: bool,
        /// What it does.
        inner: Box<Fut>,
        /// Where.
        place: Place,
    },
    /// Errors and panics are caught.
    Catch(Box<Fut>, u32, Place),
    /// A frame.
    Boundary(Box<Boundary>),
    /// The inner future is dropped then.
    Timeout(Ms, Option<Box<Fut>>, u32, Place),
    /// The inner future is left alone then; `None` if it is ready before.
    Forget(Ms, Option<Box<Fut>>),
    /// The inner future is polled in a scope of its own from then on.
    Move(Ms, Option<Box<Fut>>, u32, Place),
}

/// A local of a body.
enum Local {
    Guard(u32),
    /// A future that nobody polls.
    Forgotten(Fut),
}

/// A body, somewhere in its lines.
pub struct Block {
    lines: Body,
    /// The scope whose block it is.
    of: Option<u32>,
    at: usize,
    now: Option<Box<Fut>>,
    locals: Vec<Local>,
    place: Place,
}

/// A body that has not begun.
pub fn block(lines: &Body, of: Option<u32>, place: &Place) -> Fut {
    let (lines, place) = (Body::clone(lines), place.clone());
    Fut::Block(Block { lines, of, at: 0, now: None, locals: Vec::new(), place })
}

/// As a trace says it.
pub fn told(out: Out) -> String {
    match out {
        Ok(()) => "ok".to_owned(),
        Err(Stop::Error(n)) => format!("error {n}"),
        Err(Stop::Signal(_)) => "cancel".to_owned(),
        Err(Stop::Panic(n)) => format!("panic {n}"),
    }
}

/// As a trace says it.
pub fn told_why(why: Why) -> String {
    format!("cancelled {:?}/{:?}", why.cause, why.root)
}

impl Fut {
    /// D2: what is ready is never thrown away, so nobody looks for a cancel before the poll.
    pub fn poll(&mut self, w: &mut World, under: Option<Id>) -> Option<Out> {
        match self {
            Self::Sleep(until) => (*until <= w.now).then_some(Ok(())),
            Self::Join(task, place) => {
                let handle = &w.handles[task];
                let (scope, result) = (handle.scope, handle.result?);
                // F5: whoever has the failure keeps it from being reported.
                let untaken = &mut w.nodes[scope].untaken;
                if let Some(at) = untaken.iter().rposition(|line| line == task) {
                    untaken.remove(at);
                }
                let text = match result {
                    Res::Ok => "ok".to_owned(),
                    Res::Err(stop) => told(Err(stop)),
                    Res::Cancelled(why) => told_why(why),
                };
                w.say(&place.who, format!("t{task}: {text}"));
                Some(Ok(()))
            }
            Self::Block(block) => block.poll(w, under),
            Self::Named { what, begun, inner, place } => {
                if !std::mem::replace(begun, true) {
                    w.say(&place.who, format!("start {what}"));
                }
                let out = inner.poll(w, under)?;
                w.say(
                    &place.who,
                    match out {
                        Err(Stop::Panic(_)) => format!("drop {what}"),
                        out => format!("end {what}: {}", told(out)),
                    },
                );
                Some(out)
            }
            Self::Catch(inner, n, place) => {
                let out = inner.poll(w, under)?;
                w.say(&place.who, format!("catch {n}: {}", told(out)));
                Some(Ok(()))
            }
            Self::Boundary(boundary) => {
                let left = boundary.poll(w, under)?;
                Some(boundary.value(w, left))
            }
            Self::Timeout(until, inner, n, place) => {
                if let Some(out) = inner.as_mut().expect("it is there until the end").poll(w, under) {
                    return Some(out);
                }
                if *until > w.now {
                    return None;
                }
                // U5.
                inner.take().expect("see above").discard(w);
                w.say(&place.who, format!("dropped {n}"));
                Some(Ok(()))
            }
            Self::Forget(until, inner) => match inner.as_mut().expect("see above").poll(w, under) {
                None => (*until <= w.now).then_some(Ok(())),
                out => {
                    *inner = None;
                    out
                }
            },
            Self::Move(until, inner, n, place) => {
                if let Some(out) = inner.as_mut().expect("see above").poll(w, under) {
                    return Some(out);
                }
                if *until > w.now {
                    return None;
                }
                // T1: from now on it is in the scope that polls it.
                let body = *inner.take().expect("see above");
                let node = w.open(&Options::default(), under);
                let what = What::Scope { n: *n, watched: false };
                *self = Self::Boundary(Box::new(Boundary::new(node, what, body, place.clone())));
                self.poll(w, under)
            }
        }
    }

    /// Drops it: the innermost first, then the locals.
    pub fn discard(self, w: &mut World) {
        match self {
            Self::Sleep(_) | Self::Join(..) => {}
            Self::Block(mut block) => {
                if let Some(now) = block.now.take() {
                    now.discard(w);
                }
                block.drop_locals(w);
            }
            Self::Named { what, begun, inner, place } => {
                inner.discard(w);
                if begun {
                    w.say(&place.who, format!("drop {what}"));
                }
            }
            Self::Catch(inner, ..) => inner.discard(w),
            Self::Boundary(boundary) => boundary.discard(w),
            Self::Timeout(_, inner, ..) | Self::Forget(_, inner) | Self::Move(_, inner, ..) => {
                inner.into_iter().for_each(|inner| inner.discard(w));
            }
        }
    }

    /// U1: whether a scope inside is still unwinding, or shielded, or has children or cleanup.
    pub fn owes(&self, w: &World) -> bool {
        match self {
            Self::Sleep(_) | Self::Join(..) => false,
            Self::Block(block) => block.now.as_ref().is_some_and(|now| now.owes(w)),
            Self::Named { inner, .. } | Self::Catch(inner, ..) => inner.owes(w),
            Self::Boundary(boundary) => boundary.owes(w),
            Self::Timeout(_, inner, ..) | Self::Forget(_, inner) | Self::Move(_, inner, ..) => {
                inner.as_ref().is_some_and(|inner| inner.owes(w))
            }
        }
    }

    /// U1a: the boundaries below of what nobody polls: those of forgotten futures (true), or all (false).
    pub fn forgotten<'a>(&'a self, only: bool, found: &mut Vec<&'a Boundary>) {
        match self {
            Self::Sleep(_) | Self::Join(..) => {}
            Self::Block(block) => {
                block.now.iter().for_each(|now| now.forgotten(only, found));
                for local in &block.locals {
                    if let Local::Forgotten(fut) = local {
                        fut.forgotten(false, found);
                    }
                }
            }
            Self::Named { inner, .. } | Self::Catch(inner, ..) => inner.forgotten(only, found),
            // What an inner scope polls is its business, if it is polled itself.
            Self::Boundary(boundary) if !only => found.push(boundary),
            Self::Boundary(_) => {}
            Self::Timeout(_, inner, ..) | Self::Forget(_, inner) | Self::Move(_, inner, ..) => {
                inner.iter().for_each(|inner| inner.forgotten(only, found));
            }
        }
    }
}

impl Block {
    fn poll(&mut self, w: &mut World, under: Option<Id>) -> Option<Out> {
        loop {
            let out = match &mut self.now {
                Some(now) => now.poll(w, under)?,
                None => match self.lines.get(self.at).cloned() {
                    None => {
                        self.drop_locals(w);
                        return Some(Ok(()));
                    }
                    Some(line) => match self.start(w, under, &line) {
                        Ok(out) => out,
                        Err(fut) => {
                            self.now = Some(Box::new(fut));
                            continue;
                        }
                    },
                },
            };
            let now = self.now.take().map(|now| *now);
            let n = self.lines[self.at].n;
            if let Some(Fut::Forget(_, Some(fut))) = now {
                w.say(&self.place.who, format!("forgotten {n}"));
                self.locals.push(Local::Forgotten(*fut));
            }
            if out.is_err() {
                self.drop_locals(w);
                return Some(out);
            }
            match self.lines[self.at].step {
                Step::Sleep(_) => w.say(&self.place.who, format!("slept {n}")),
                Step::Shield(_) | Step::Timeout(..) | Step::Forget(..) | Step::Move(..) => {
                    w.say(&self.place.who, format!("behind {n}"))
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn drop_locals(&mut self, w: &mut World) {
        for local in std::mem::take(&mut self.locals) {
            match local {
                Local::Guard(n) => w.say(&self.place.who, format!("guard {n}")),
                Local::Forgotten(fut) => fut.discard(w),
            }
        }
    }

    /// Begins a line: it is done at once, or has a future.
    fn start(&mut self, w: &mut World, under: Option<Id>, line: &Line) -> Result<Out, Fut> {
        let (n, place) = (line.n, self.place.clone());
        let say = |w: &mut World, what: String| w.say(&place.who, format!("{n}: {what}"));
        match &line.step {
            Step::Sleep(ms) => {
                w.wake_at(w.now + ms);
                return Err(Fut::Sleep(w.now + ms));
            }
            Step::Look => {
                let seen = under.is_some_and(|under| w.sees(under, false));
                // L2: once a cancel is visible, nothing is left.
                let deadline = match under.and_then(|under| w.effective_deadline(under)) {
                    _ if seen => "over".to_owned(),
                    None => "none".to_owned(),
                    Some(at) => at.to_string(),
                };
                say(w, format!("{seen}, {deadline}"));
            }
            Step::Check => {
                if let Some(under) = under.filter(|under| w.sees(*under, false)) {
                    say(w, told_why(w.why(under)));
                    return Ok(Err(Stop::Signal(w.why(under).origin)));
                }
            }
            Step::Cancel { scope, now } => {
                if let Some(scope) = w.scopes.get(scope).copied() {
                    let why = Why { cause: Cause::Explicit, root: Cause::Explicit, origin: scope };
                    let cancelled = w.request(scope, why, *now);
                    say(w, cancelled.to_string());
                }
            }
            Step::Deadline(scope, from_now) => {
                if let Some(scope) = w.scopes.get(scope).copied() {
                    w.set_deadline(scope, *from_now);
                }
            }
            Step::SetShield(scope, on) => {
                if let Some(scope) = w.scopes.get(scope).copied() {
                    w.nodes[scope].shield = *on;
                    w.changed();
                    w.refuse_waiting();
                }
            }
            Step::Fail => return Ok(Err(Stop::Error(n))),
            Step::Panic => return Ok(Err(Stop::Panic(n))),
            Step::Guard => self.locals.push(Local::Guard(n)),
            Step::Scope(options, body) => {
                let node = w.open(options, under);
                let what = What::Scope { n, watched: w.program.names(n) };
                let body = block(body, Some(n), &place);
                let mut boundary = Boundary::new(node, what, body, place.clone());
                boundary.watch = match options.special {
                    Some(Special::Token(token)) => Some(Watch::Token(token)),
                    Some(Special::CancelOn(ms)) => {
                        w.wake_at(w.now + ms);
                        Some(Watch::At(w.now + ms))
                    }
                    _ => None,
                };
                if w.refuses_to_run(node) {
                    boundary.refuse();
                }
                return Err(Fut::Boundary(Box::new(boundary)));
            }
            Step::Shield(body) => {
                let node = w.add(Node::new(Kind::Shield, under));
                let body = block(body, None, &place);
                return Err(Fut::Boundary(Box::new(Boundary::new(node, What::Shield, body, place.clone()))));
            }
            Step::Catch(body) => {
                return Err(Fut::Catch(Box::new(block(body, None, &place)), n, place.clone()));
            }
            Step::Spawn { scope, how, body } => {
                // Away from its block there is only the spawner.
                let how = if self.of == Some(*scope) { *how } else { How::Plain };
                if let Some(scope) = w.scopes.get(scope).copied()
                    && !spawn(w, n, scope, how, body, &place)
                {
                    say(w, "refused".to_owned());
                }
            }
            Step::Join(task) => {
                if let Some(handle) = w.handles.get_mut(task).filter(|handle| !handle.taken) {
                    handle.taken = true;
                    return Err(Fut::Join(*task, place.clone()));
                }
            }
            Step::CancelTask(task) => {
                if let Some(handle) = w.handles.get(task).filter(|handle| !handle.taken) {
                    // F3: it cancels that one child only.
                    let why = Why { cause: Cause::Task, root: Cause::Task, origin: handle.node };
                    w.request(handle.node, why, false);
                }
            }
            Step::Defer(body) => {
                // U3: a child task is a frame of its own; a cleanup registers with the scope that it runs for.
                let frame = under.map(|under| match w.nodes[under].kind {
                    Kind::Cleanup => w.nodes[under].parent.expect("it runs for a scope"),
                    _ => under,
                });
                match frame.filter(|frame| !w.nodes[*frame].left) {
                    Some(frame) => {
                        let cleanup =
                            Cleanup { n, body: Body::clone(body), who: place.who.clone(), home: place.home };
                        w.nodes[frame].cleanup.push(cleanup);
                    }
                    None => say(w, "refused".to_owned()),
                }
            }
            Step::Race { all, parallel, arms } => {
                return Err(Fut::Boundary(Box::new(start_arms(w, n, *all, *parallel, arms, &place))));
            }
            Step::Trigger(token) => {
                w.tokens[usize::from(*token)] = true;
                w.changed();
            }
            Step::Run(token, body) => {
                let node = w.add(Node::new(Kind::Scope, under));
                let body = block(body, None, &place);
                let mut boundary = Boundary::new(node, What::Value(n), body, place.clone());
                boundary.watch = Some(Watch::Token(*token));
                return Err(Fut::Boundary(Box::new(boundary)));
            }
            Step::Guest(scope, body) => {
                // T6: a boundary of its own below that scope.
                if let Some(scope) = w.scopes.get(scope).copied() {
                    let node = w.add(Node::new(Kind::Guest, Some(scope)));
                    let body = block(body, None, &place);
                    let boundary = Boundary::new(node, What::Value(n), body, place.clone());
                    return Err(Fut::Boundary(Box::new(boundary)));
                }
            }
            Step::Timeout(ms, body) => {
                w.wake_at(w.now + ms);
                let body = block(body, None, &place);
                return Err(Fut::Timeout(w.now + ms, Some(Box::new(body)), n, place.clone()));
            }
            Step::Forget(ms, body) => {
                w.wake_at(w.now + ms);
                return Err(Fut::Forget(w.now + ms, Some(Box::new(block(body, None, &place)))));
            }
            Step::Move(ms, body) => {
                w.wake_at(w.now + ms);
                let body = Box::new(block(body, None, &place));
                return Err(Fut::Move(w.now + ms, Some(body), n, place.clone()));
            }
            Step::Abort(ms, body) => {
                w.wake_at(w.now + ms);
                let place = Place { who: format!("d{n}").into(), home: w.tasks.len() };
                let body = block(body, None, &place);
                let task = w.tasks.len();
                w.tasks.extend([Some(Task::Detached(body)), Some(Task::Aborter(w.now + ms, task))]);
                w.changed();
            }
        }
        Ok(Ok(()))
    }
}
