//! The interpreter: a program becomes futures of the library under test, on its public API only.
//!
//! One tokio task, or one fork, per `task`, on a current-thread runtime with paused time. What each entry of the trace
//! is reported from:
//!
//! - `enter` is the first line of a scope's body, `task_start` that of a task's future.
//! - An exit that the boundary *returns* (completed, caught, timeout, errors) is told from its value.
//! - An exit of a boundary that never returns (an outer cancel unwinds through it) is told by a guard
//!   around the boundary, which is dropped along with the enclosing body. The same goes for tasks that
//!   end cancelled. The order and the instant agree with Trio's only if the library unwinds scope by scope.

use std::collections::HashMap;
use std::fmt;
use std::sync::{self, Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use scope_runtime::{
    Cancelled, ScopeHandle, Spawner, current, defer, effective_deadline, fork, race, root, scope, shield,
    try_join,
};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, WeakUnboundedSender};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::program::{Block, Mode, Nursery, Program, Scope, Statement, Visible};
use super::trace::Trace;

/// Virtual time after which a program counts as hung; none that ends comes near it.
const VIRTUAL_LIMIT: Duration = Duration::from_secs(1_000);

/// Real time after which a program counts as hung: one that spins doesn't let virtual time pass.
const REAL_LIMIT: Duration = Duration::from_secs(10);

/// The stack of a program, in bytes: forks and races are polled inside the poll of their scope, so
/// that a deep program nests deep, and a debug build's frames are large.
const STACK: usize = 64 << 20;

/// How a program is turned into futures. The trace must be the same in all ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As it is: a scope that no statement names has no handle.
    AsIs,
    /// With a handle taken, and kept, in every scope.
    Handles,
    /// With every statement polled inside a [`FuturesUnordered`], which gives inner futures its own wakers.
    SubExecutor,
    /// With forks in the place of spawned tasks: all of the program is one tokio task.
    Forks,
    /// With every statement as the only arm of a race, and of a join in it.
    Races,
}

impl Way {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::AsIs, Self::Handles, Self::SubExecutor, Self::Forks, Self::Races];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AsIs => "as it is",
            Self::Handles => "with handles",
            Self::SubExecutor => "in a sub-executor",
            Self::Forks => "with forks",
            Self::Races => "in races",
        })
    }
}

/// Why a run gave no trace that could be compared.
#[derive(Debug)]
pub enum Broken {
    /// Still running when this limit ended, with nothing left to wait for in virtual time.
    Hang,
    /// Still busy after so much real time.
    Spin,
    /// Panicked with this message.
    Panic(String),
    /// Ended, but left tasks or orphans behind.
    Leak {
        /// Tokio tasks that are alive.
        tasks: usize,
        /// Orphans that the root counts.
        orphans: usize,
    },
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hang => write!(f, "hang: not ended after {VIRTUAL_LIMIT:?} of virtual time"),
            Self::Spin => write!(f, "hang: busy for {REAL_LIMIT:?} without an end"),
            Self::Panic(message) => write!(f, "panic: {message}"),
            Self::Leak { tasks, orphans } => {
                write!(f, "leak: {tasks} tasks and {orphans} orphans are left behind the program")
            }
        }
    }
}

/// Runs a program on a runtime of its own.
///
/// # Errors
///
/// The program hangs, panics, or leaves something running.
pub fn run(program: &Arc<Program>, way: Way) -> Result<Trace, Broken> {
    let (done, ended) = sync::mpsc::channel();
    let program = Arc::clone(program);
    let thread = thread::Builder::new().stack_size(STACK).spawn(move || {
        // The receiver is gone only if the time was up.
        let _ = done.send(run_here(&program, way));
    });
    let thread = thread.expect("the system has room for a thread");
    match ended.recv_timeout(REAL_LIMIT) {
        Ok(result) => result,
        // A thread can't be stopped: it spins until the process ends.
        Err(sync::mpsc::RecvTimeoutError::Timeout) => Err(Broken::Spin),
        Err(sync::mpsc::RecvTimeoutError::Disconnected) => Err(Broken::Panic(panic_message(thread))),
    }
}

fn panic_message(thread: thread::JoinHandle<()>) -> String {
    let Err(payload) = thread.join() else { return "none, but the thread ended".to_owned() };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().unwrap_or(&"not a string").to_string(),
    }
}

fn run_here(program: &Program, way: Way) -> Result<Trace, Broken> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime =
        builder.enable_time().start_paused(true).build().expect("a runtime without IO needs nothing");
    runtime.block_on(async {
        let world = Arc::new(World::new(way));
        let main = Task { world: Arc::clone(&world), name: "main".into(), visible: Vec::new() };
        if timeout(VIRTUAL_LIMIT, main.run(&program.body)).await.is_err() {
            return Err(Broken::Hang);
        }
        let tasks = runtime.metrics().num_alive_tasks();
        let orphans = root::count();
        if tasks + orphans > 0 {
            return Err(Broken::Leak { tasks, orphans });
        }
        Ok(world.trace.lock().unwrap().clone())
    })
}

/// What the tasks of one run share.
struct World {
    way: Way,
    start: Instant,
    trace: Mutex<Trace>,
    events: Mutex<HashMap<String, watch::Sender<bool>>>,
}

impl World {
    fn new(way: Way) -> Self {
        Self { way, start: Instant::now(), trace: Mutex::default(), events: Mutex::default() }
    }

    fn event(&self, name: &str) -> watch::Sender<bool> {
        self.events.lock().unwrap().entry(name.to_owned()).or_default().clone()
    }

    /// Virtual time of `at`. Timers have the resolution of a millisecond, so nothing is lost.
    fn ms(&self, at: Instant) -> u64 {
        let ms = at.duration_since(self.start).as_millis();
        ms.try_into().expect("a program runs for less than half a billion years")
    }
}

/// The error of a program: the name that a `raise` gave it, or `timeout:<id>`.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

/// What a boundary gives back: the scope's value, or the error that leaves the function around it.
type Left = Result<Result<(), Cancelled>, Raised>;

/// How a boundary was left.
enum How<'a> {
    Completed,
    /// It absorbed its own cancel.
    Caught,
    /// It absorbed its own cancel, and being a fail scope it raises an error instead.
    Timeout,
    /// An outer cancel unwound through it.
    Through,
    Errors {
        first: &'a str,
    },
}

impl<'a> How<'a> {
    fn of(left: &'a Left) -> Self {
        match left {
            Ok(Ok(())) => Self::Completed,
            Ok(Err(_)) => Self::Caught,
            Err(Raised(first)) => Self::Errors { first },
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Caught => "caught",
            Self::Timeout => "timeout",
            Self::Through => "through",
            Self::Errors { .. } => "errors",
        }
    }
}

/// A scope that statements can act on, as long as one of them can see it; it may have been left.
#[derive(Clone)]
struct Open {
    id: Arc<str>,
    handle: Option<ScopeHandle>,
    nursery: Option<Children>,
}

/// How a nursery gets its children.
#[derive(Clone)]
enum Children {
    Spawned(Spawner<Raised>),
    /// A fork is written in its block, so the futures are sent there. The body and the children keep this open.
    Forked(WeakUnboundedSender<BoxFuture<'static, Result<(), Raised>>>),
}

impl Children {
    /// Starts a child; false if the nursery was left.
    fn start(&self, child: impl Future<Output = Result<(), Raised>> + Send + 'static) -> bool {
        match self {
            Self::Spawned(spawner) => spawner.spawn(child).is_ok(),
            Self::Forked(queue) => queue.upgrade().is_some_and(|queue| {
                let open = queue.clone();
                let child = async move {
                    let result = child.await;
                    drop(open);
                    result
                };
                queue.send(Box::pin(child)).is_ok()
            }),
        }
    }
}

/// A task at one place of its program: who it is and what it sees.
#[derive(Clone)]
struct Task {
    world: Arc<World>,
    name: Arc<str>,
    visible: Vec<Open>,
}

impl Task {
    async fn run(&self, body: &Block) -> Result<(), Raised> {
        self.record("task_start", Value::Null);
        let cancelled = OnDrop::new(|| self.record("task_end", json!({ "outcome": "cancelled" })));
        let result = self.block(body).await;
        cancelled.disarm();
        self.record(
            "task_end",
            match &result {
                Ok(()) => json!({ "outcome": "done" }),
                Err(Raised(first)) => json!({ "outcome": "error", "first": first }),
            },
        );
        result
    }

    fn block<'a>(&'a self, block: &'a Block) -> BoxFuture<'a, Result<(), Raised>> {
        Box::pin(async move {
            for statement in &**block {
                match self.world.way {
                    Way::SubExecutor => {
                        let mut inner = FuturesUnordered::from_iter([self.statement(statement)]);
                        inner.next().await.expect("one future is in it")?;
                    }
                    Way::Races => race!(async { try_join!(self.statement(statement)).map(|((),)| ()) })?,
                    Way::AsIs | Way::Handles | Way::Forks => self.statement(statement).await?,
                }
            }
            Ok(())
        })
    }

    async fn statement(&self, statement: &Statement) -> Result<(), Raised> {
        match statement {
            Statement::Log(line) => self.record("log", json!(line)),
            Statement::Sleep(time) => sleep(*time).await,
            Statement::Scope(scope) => self.scope(scope).await?,
            Statement::Nursery(nursery) => self.nursery(nursery).await?,
            Statement::Spawn { nursery, task, body } => self.spawn(*nursery, task, body),
            Statement::Cancel(scope) => {
                self.handle(*scope).cancel();
            }
            Statement::SetDeadline { scope, from_now } => {
                self.handle(*scope).set_deadline(from_now.map(|time| Instant::now() + time));
            }
            Statement::SetShield { scope, shield } => self.handle(*scope).set_shield(*shield),
            Statement::Raise(name) => return Err(Raised(name.clone())),
            Statement::Try { body, handler } => {
                if let Err(Raised(first)) = self.block(body).await {
                    self.record("handler", json!({ "first": first }));
                    self.block(handler).await?;
                }
            }
            Statement::Finally { body, cleanup } => {
                let _guard = OnDrop::new(|| cleanup.iter().for_each(|line| self.record("log", json!(line))));
                self.block(body).await?;
            }
            Statement::FinallyAsync { body, cleanup } => self.finally_async(body, cleanup).await?,
            Statement::LogState(scope) => self.log_state(*scope),
            Statement::LogDeadline => self.log_deadline(),
            Statement::EventSet(name) => {
                self.world.event(name).send_replace(true);
            }
            Statement::EventWait(name) => {
                let mut event = self.world.event(name).subscribe();
                event.wait_for(|set| *set).await.map(drop).expect("the world holds the other end");
            }
        }
        Ok(())
    }

    async fn scope(&self, scope: &Scope) -> Result<(), Raised> {
        let deadline = scope.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let handle: OnceLock<ScopeHandle> = OnceLock::new();
        let exit = |how: How<'_>| {
            // Nobody but its deadline can cancel a scope without a handle.
            let cancelled = match handle.get() {
                Some(handle) => handle.cancel_called(),
                None => deadline.is_some_and(|deadline| deadline <= Instant::now()),
            };
            self.exit(&scope.id, how, Some(cancelled));
        };
        let through = OnDrop::new(|| exit(How::Through));
        let left = self.scope_boundary(scope, &handle).await;
        through.disarm();
        match left {
            Ok(Err(cancelled)) if scope.mode == Mode::Fail && cancelled.is_timeout() => {
                exit(How::Timeout);
                Err(Raised(format!("timeout:{}", scope.id)))
            }
            left => {
                exit(How::of(&left));
                left.map(drop)
            }
        }
    }

    async fn scope_boundary(&self, scope: &Scope, handle: &OnceLock<ScopeHandle>) -> Left {
        Ok(scope!(timeout = scope.timeout, shield = scope.shield, {
            if self.takes_handle(scope.named) {
                handle.get_or_init(current);
            }
            let open = Open { id: Arc::clone(&scope.id), handle: handle.get().cloned(), nursery: None };
            self.enter(open).block(&scope.body).await?;
        }))
    }

    async fn nursery(&self, nursery: &Nursery) -> Result<(), Raised> {
        let exit = |how: How<'_>| self.exit(&nursery.id, how, None);
        let through = OnDrop::new(|| exit(How::Through));
        let left = match self.world.way {
            Way::Forks => self.nursery_of_forks(nursery).await,
            _ => self.nursery_of_tasks(nursery).await,
        };
        through.disarm();
        exit(How::of(&left));
        left.map(drop)
    }

    async fn nursery_of_tasks(&self, nursery: &Nursery) -> Left {
        Ok(scope!(|s| {
            self.nursery_body(nursery, s.handle(), Children::Spawned(s.spawner())).await?;
        }))
    }

    async fn nursery_of_forks(&self, nursery: &Nursery) -> Left {
        let (open, mut queue) = mpsc::unbounded_channel();
        Ok(scope!(|s| {
            let open = open;
            let start = |child: BoxFuture<'static, Result<(), Raised>>| fork!(child);
            // Whatever is cancelled, it goes on until the body and all children are gone.
            fork!(background, async move {
                shield!({
                    while let Some(child) = queue.recv().await {
                        start(child);
                    }
                });
            });
            self.nursery_body(nursery, s.handle(), Children::Forked(open.downgrade())).await?;
        }))
    }

    async fn nursery_body(
        &self,
        nursery: &Nursery,
        handle: ScopeHandle,
        children: Children,
    ) -> Result<(), Raised> {
        let handle = self.takes_handle(nursery.named).then_some(handle);
        let open = Open { id: Arc::clone(&nursery.id), handle, nursery: Some(children) };
        self.enter(open).block(&nursery.body).await
    }

    /// The cleanup has a scope of its own: registered with the enclosing one, it would run behind that
    /// scope's guards instead of right behind the body.
    async fn finally_async(&self, body: &Block, cleanup: &Block) -> Result<(), Raised> {
        let (task, cleanup) = (self.clone(), Arc::clone(cleanup));
        let value = scope!({
            let _kept = self.takes_handle(false).then(current);
            defer(async move {
                // A cleanup has no error type: a program whose cleanup fails is not comparable.
                let _ = task.block(&cleanup).await;
            });
            self.block(body).await?;
        });
        value.expect("nobody cancels this scope, so it has nothing to absorb");
        Ok(())
    }

    fn spawn(&self, nursery: Visible, name: &Arc<str>, body: &Block) {
        let nursery = self.visible[nursery.0].nursery.as_ref().expect("the parser looked: this is a nursery");
        let child = Self { name: Arc::clone(name), ..self.clone() };
        let body = Arc::clone(body);
        if !nursery.start(async move { child.run(&body).await }) {
            self.record("spawn_refused", json!(**name));
        }
    }

    fn log_state(&self, scope: Visible) {
        let handle = self.handle(scope);
        let (cancelled, active) = (handle.cancel_called(), !handle.is_closed());
        let id = &*self.visible[scope.0].id;
        self.record("state", json!({ "id": id, "cancel_called": cancelled, "active": active }));
    }

    fn log_deadline(&self) {
        let deadline = match effective_deadline() {
            None => json!("inf"),
            Some(deadline) if deadline <= Instant::now() => json!("-inf"),
            Some(deadline) => json!(self.world.ms(deadline)),
        };
        self.record("deadline", deadline);
    }

    fn takes_handle(&self, named: bool) -> bool {
        named || self.world.way == Way::Handles
    }

    fn handle(&self, scope: Visible) -> &ScopeHandle {
        self.visible[scope.0].handle.as_ref().expect("a scope that is named has a handle")
    }

    /// The same task inside a scope that it just entered.
    fn enter(&self, scope: Open) -> Self {
        self.record("enter", json!({ "id": *scope.id }));
        let mut inside = self.clone();
        inside.visible.push(scope);
        inside
    }

    fn exit(&self, id: &str, how: How<'_>, cancel_called: Option<bool>) {
        let mut detail = json!({ "id": id, "how": how.name() });
        if let How::Errors { first } = how {
            detail["first"] = json!(first);
        }
        if let Some(cancelled) = cancel_called {
            detail["cancel_called"] = json!(cancelled);
        }
        self.record("exit", detail);
    }

    fn record(&self, event: &str, detail: Value) {
        let ms = self.world.ms(Instant::now());
        self.world.trace.lock().unwrap().record(ms, &self.name, event, detail);
    }
}

/// Reports that a future was dropped before its end, unless disarmed.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnDrop<F> {
    fn new(report: F) -> Self {
        Self(Some(report))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(report) = self.0.take() {
            report();
        }
    }
}
