//! The machine that runs a program by the [rules](super::rules): tasks are polled over and over, and then time jumps.
//!
//! A pass polls every task once, an instant ends with a pass in which nothing changed. The order of the tasks within an
//! instant is nobody's promise: a [`Schedule`] makes it up, and tells different runs apart.

use super::boundary::{Boundary, Left, drive};
use super::chance::Chance;
use super::future::{Fut, Place, block, told};
use super::program::{Body, How, Ms, Program};
use super::rules::{Broken, Cause, Child, Cut, Id, Kind, Node, Race, Role, Stop, Why, World};
use super::trace::Trace;

/// In which order tasks are polled.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// In the order in which they were started.
    Fifo,
    /// In any, some of them later than others.
    Random(Chance),
}

/// A task of the executor.
pub enum Task {
    /// The main task.
    Main(Fut),
    /// A child.
    Child(Box<Boundary>),
    /// A fork or an arm: polled by its scope, in [`World::hosted`].
    Hosted,
    /// What was detached.
    Detached(Fut),
    /// Aborts a detached task then.
    Aborter(Ms, usize),
    /// Finishes the work of a node for the scope that adopted it, or for the root (rule U5).
    Orphan(Id, Option<Id>),
}

/// What is known of a child apart from its body.
pub struct ChildInfo {
    /// The line that started it.
    pub line: u32,
    /// Its place among the tasks.
    pub task: usize,
    /// The scope that it was spawned into, and its own frame.
    pub scope: Id,
    /// See there.
    pub node: Id,
    /// `skip_if_cancelled`
    pub skip: bool,
    /// An arm of a race: its result takes part in the verdict.
    pub contends: bool,
}

/// The handle of a child.
pub struct Handle {
    /// The frame of the child.
    pub node: Id,
    /// Its place among the tasks.
    pub task: usize,
    /// Its scope.
    pub scope: Id,
    /// What it resolves to.
    pub result: Option<Res>,
    /// Somebody has it.
    pub taken: bool,
}

/// What a handle resolves to (rules F3, F5).
#[derive(Debug, Clone, Copy)]
pub enum Res {
    /// The child's value.
    Ok,
    /// A supervised child's error.
    Err(Stop),
    /// It was cut, or failed.
    Cancelled(Why),
}

/// What became of a child's body.
#[derive(Clone, Copy)]
pub enum Outcome {
    /// It has its value.
    Value,
    /// It returned a cancel that it was told of: its own, or one of a scope around (rule W3).
    Signalled {
        /// `task.cancel()`
        own: bool,
        /// A supervised child keeps its error.
        kept: Option<Stop>,
    },
    /// A supervised child failed (rule F5).
    Untaken(Stop),
    /// It failed its scope (rule F2).
    Failed(Cause),
}

/// How a run of the model ended.
pub struct Run {
    /// What happened.
    pub trace: Trace,
    /// It would wait for ever.
    pub hangs: bool,
}

/// Runs a program.
pub fn run(program: &Program, schedule: Schedule, broken: Option<Broken>) -> Run {
    let mut w = World::new(program.clone(), broken);
    let place = Place { who: "main".into(), home: 0 };
    let main = block(&program.main, None, &place);
    w.tasks.push(Some(Task::Main(main)));
    if let Schedule::Random(chance) = schedule {
        w.chance = Some(chance);
    }
    let hangs = !execute(&mut w);
    Run { trace: w.trace, hangs }
}

/// False if it hangs.
fn execute(w: &mut World) -> bool {
    loop {
        let mut calm = false;
        let mut passes = 0;
        loop {
            passes += 1;
            assert!(passes < 10_000, "the model spins");
            let before = w.version;
            let mut nodes: Vec<Id> = (0..w.nodes.len()).collect();
            if let Some(chance) = &mut w.chance {
                chance.shuffle(&mut nodes);
            }
            nodes.into_iter().for_each(|node| w.expire_if_due(node));
            for at in order(w, calm) {
                poll_task(w, at);
            }
            let same = before == w.version;
            if same && calm {
                break;
            }
            calm = same;
        }
        if w.tasks.iter().all(Option::is_none) {
            return true;
        }
        w.timers = w.timers.split_off(&(w.now + 1));
        let Some(next) = w.timers.first() else { return false };
        w.now = *next;
    }
}

/// The tasks of one pass. After a pass without a change none is left out.
fn order(w: &mut World, calm: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..w.tasks.len()).filter(|at| w.tasks[*at].is_some()).collect();
    if let Some(chance) = &mut w.chance {
        chance.shuffle(&mut order);
        order.retain(|_| calm || !chance.one_in(3));
    }
    order
}

fn poll_task(w: &mut World, at: usize) {
    let Some(mut task) = w.tasks[at].take() else { return };
    w.polled = at;
    let ended = match &mut task {
        Task::Main(fut) => match fut.poll(w, None) {
            None => false,
            Some(out) => {
                w.say("main", format!("end: {}", told(out)));
                true
            }
        },
        Task::Child(boundary) => poll_child(w, boundary),
        Task::Hosted => false,
        Task::Detached(fut) => {
            if w.aborted.contains(&at) {
                let Task::Detached(fut) = task else { unreachable!() };
                fut.discard(w);
                return w.changed();
            }
            fut.poll(w, None).is_some()
        }
        Task::Aborter(until, task) => *until <= w.now && w.aborted.insert(*task),
        Task::Orphan(node, adopter) => {
            let given_up = w.nodes[*node].given_up;
            let ended = if given_up { w.nodes[*node].children.is_empty() } else { drive(w, *node) };
            if ended && let Some(adopter) = *adopter {
                child_ended(w, adopter, at, Cut::No);
            }
            ended
        }
    };
    if ended {
        w.changed();
    } else {
        w.tasks[at] = Some(task);
    }
}

// --- children ---------------------------------------------------------------------------------------------------------

/// F1, F6, F7: starts a child of a scope; false if that was left.
pub fn spawn(w: &mut World, line: u32, scope: Id, how: How, body: &Body, place: &Place) -> bool {
    if w.nodes[scope].left {
        return false;
    }
    let hosted = matches!(how, How::Fork | How::BackgroundFork);
    let role = match how {
        How::Background | How::BackgroundFork => Role::Background,
        How::Plain | How::Skip | How::Fork => Role::Foreground,
    };
    let name = format!("t{line}");
    let (task, node) = add_child(w, line, &name, scope, how, hosted.then_some(place.home), body);
    let of = &mut w.nodes[scope];
    let slots = of.children.iter().filter(|child| child.holds_slot).count();
    let waits = of.limit.is_some_and(|limit| slots >= limit || !of.queue.is_empty());
    of.children.push(Child { task, role, holds_slot: !waits });
    if waits {
        of.queue.push(task);
        w.nodes[node].waiting = true;
        w.waiting.push((node, scope, task));
        w.refuse_waiting();
    }
    // F7: looked at here, and at the first poll.
    if how == How::Skip && !waits && w.sees(node, false) {
        w.refuse(node);
    }
    if hosted {
        w.nodes[scope].new_forks.push(task);
    } else {
        w.tasks[task] = w.hosted.remove(&task).map(Task::Child);
    }
    w.changed();
    true
}

/// The arms of a race or a join (rules F2, F3).
pub fn start_arms(
    w: &mut World,
    n: u32,
    all: bool,
    parallel: bool,
    arms: &[Body],
    place: &Place,
) -> Boundary {
    let scope = w.add(Node::new(Kind::Race, None));
    let race = Race { running: arms.len(), decided: false, value: Ok(()) };
    w.nodes[scope].race = (!all).then_some(race);
    let mut forks = Vec::new();
    for (at, body) in arms.iter().enumerate() {
        let spawned = parallel && at + 1 == arms.len();
        // Lines have small numbers, so that arms can have the large ones.
        let line = ARMS + n * 4 + at as u32;
        let home = (!spawned).then_some(place.home);
        let (task, _) = add_child(w, line, &format!("a{n}.{at}"), scope, How::Fork, home, body);
        w.nodes[scope].children.push(Child { task, role: Role::Foreground, holds_slot: false });
        forks.push(task);
    }
    let last = forks.last().copied().filter(|_| parallel);
    Boundary::of_arms(scope, n, forks, last, place.clone())
}

const ARMS: u32 = 1 << 20;

/// A child with its frame, which nobody polls yet.
fn add_child(
    w: &mut World,
    line: u32,
    name: &str,
    scope: Id,
    how: How,
    home: Option<usize>,
    body: &Body,
) -> (usize, Id) {
    // T2: it hangs under the scope that it was spawned into.
    let node = w.add(Node::new(Kind::Task, Some(scope)));
    let task = w.tasks.len();
    let place = Place { who: name.into(), home: home.unwrap_or(task) };
    let inner = Box::new(block(body, None, &place));
    let inner = Fut::Named { what: name.to_owned(), begun: false, inner, place: place.clone() };
    let contends = w.nodes[scope].race.is_some();
    let info = ChildInfo { line, task, scope, node, skip: how == How::Skip, contends };
    w.hosted.insert(task, Box::new(Boundary::of_child(info, inner, place)));
    w.handles.insert(line, Handle { node, task, scope, result: None, taken: false });
    w.tasks.push(None);
    (task, node)
}

/// Polls a child; true if it has ended.
pub fn poll_child(w: &mut World, boundary: &mut Boundary) -> bool {
    let info = boundary.child();
    if w.nodes[info.node].waiting {
        w.refuse_waiting();
        if w.nodes[info.node].waiting {
            return false;
        }
    }
    if info.skip && boundary.is_new() && w.sees(info.node, false) {
        w.refuse(info.node);
    }
    let begun = !w.nodes[info.node].never;
    if boundary.is_new() && !begun {
        boundary.never_start(w);
    }
    let Some(left) = boundary.poll(w, None) else { return false };
    child_left(w, boundary, left, begun);
    true
}

/// F3 to F5: a child has left its own frame.
fn child_left(w: &mut World, boundary: &Boundary, left: Left, begun: bool) {
    let info = boundary.child();
    let (node, scope) = (info.node, info.scope);
    let supervise = w.nodes[scope].supervise;
    let failed = |cause| Res::Cancelled(Why { cause, root: cause, origin: node });
    let (result, cut) = match left {
        Left::Out(Err(stop)) if supervise => {
            // F5: a panic goes to the handle.
            hold_failure(w, scope, info.line);
            let _ = stop;
            let suppressed = std::mem::take(&mut w.nodes[node].suppressed);
            w.nodes[scope].suppressed += suppressed;
            (failed(Cause::TaskPanicked), Cut::No)
        }
        Left::Out(Err(stop)) => {
            // A cleanup of the child panicked.
            w.fail(scope, stop, Cause::TaskPanicked);
            let suppressed = std::mem::take(&mut w.nodes[node].suppressed);
            w.nodes[scope].suppressed += suppressed;
            (failed(Cause::TaskPanicked), Cut::No)
        }
        Left::Out(Ok(())) => match boundary.outcome() {
            Outcome::Value => (Res::Ok, Cut::No),
            Outcome::Untaken(stop) => (Res::Err(stop), Cut::No),
            Outcome::Failed(cause) => (failed(cause), Cut::No),
            Outcome::Signalled { own, kept } => {
                let result = kept.map_or_else(|| Res::Cancelled(w.why(node)), Res::Err);
                (result, if own { Cut::No } else { lost_to(w, node) })
            }
        },
        Left::Cancelled { own, why } => {
            let cut = if own { Cut::No } else { lost_to(w, node) };
            // G1: while a scope has grace, nothing of it is dropped: what has not begun is no loss.
            (Res::Cancelled(why), if cut == Cut::Soft && !begun { Cut::No } else { cut })
        }
    };
    if let Some(handle) = w.handles.get_mut(&info.line) {
        handle.result = Some(result);
    }
    child_ended(w, scope, info.task, cut);
}

/// Whether a child was lost to a hard cancel of its scope, or to one that is only soft (rule G1).
fn lost_to(w: &mut World, node: Id) -> Cut {
    if w.nodes[node].cut == Cut::Soft || !w.sees(node, true) { Cut::Soft } else { Cut::Hard }
}

/// F5: a failure of a supervised child, until somebody takes it or the boundary is left.
pub fn hold_failure(w: &mut World, scope: Id, line: u32) {
    if w.nodes[scope].left {
        w.nodes[scope].suppressed += 1;
    } else {
        w.nodes[scope].untaken.push(line);
    }
}

/// A child has ended, cleanup included (rules D6, F6, T4).
///
/// T4 is modelled as the library has it: the scope counts as cancelled for its other children when the child that was
/// lost has ended. The rule can be read as: when it was delivered to.
pub fn child_ended(w: &mut World, scope: Id, task: usize, cut: Cut) {
    let of = &mut w.nodes[scope];
    let Some(at) = of.children.iter().position(|child| child.task == task) else { return };
    let child = of.children.remove(at);
    if cut > Cut::No && child.role == Role::Foreground {
        of.lost = true;
        of.cut = of.cut.max(cut);
        w.refuse_waiting();
    }
    w.changed();
    start_waiting(w, scope);
}

/// F6: further ones start in the order in which they were spawned.
fn start_waiting(w: &mut World, scope: Id) {
    loop {
        let of = &w.nodes[scope];
        let slots = of.children.iter().filter(|child| child.holds_slot).count();
        if of.queue.is_empty() || of.limit.is_none_or(|limit| slots >= limit) {
            return;
        }
        let task = w.nodes[scope].queue.remove(0);
        let node = match (&w.tasks[task], w.hosted.get(&task)) {
            (Some(Task::Child(boundary)), _) => boundary.child().node,
            (_, Some(boundary)) => boundary.child().node,
            // It is being polled: it ends its waiting itself.
            _ => continue,
        };
        w.nodes[node].waiting = false;
        if w.sees(node, false) {
            w.refuse(node);
        } else if let Some(child) = w.nodes[scope].children.iter_mut().find(|child| child.task == task) {
            child.holds_slot = true;
        }
        w.changed();
    }
}

// --- orphans ----------------------------------------------------------------------------------------------------------

/// U5: the future of a scope is gone; what it owes is adopted by the nearest enclosing live scope, else by the root.
pub fn adopt_from(w: &mut World, node: Id, by: Option<Id>) {
    if w.nodes[node].left || w.nodes[node].orphaned {
        return;
    }
    let of = &mut w.nodes[node];
    of.orphaned = true;
    of.ending = true;
    // Its failure can no longer leave a boundary.
    of.suppressed += usize::from(of.failure.take().is_some());
    let owes = !of.children.is_empty() || !of.cleanup.is_empty() || of.running.is_some();
    if !owes {
        of.left = true;
        return w.changed();
    }
    w.stop(node);
    let mut adopter = by.or(w.nodes[node].parent);
    while let Some(above) = adopter {
        if w.nodes[above].given_up {
            adopter = None;
        } else if w.nodes[above].left || w.nodes[above].kind == Kind::Cleanup {
            adopter = w.nodes[above].parent;
        } else {
            break;
        }
    }
    let task = w.tasks.len();
    w.tasks.push(Some(Task::Orphan(node, adopter)));
    if let Some(adopter) = adopter {
        w.nodes[adopter].children.push(Child { task, role: Role::Adopted, holds_slot: false });
    }
}
