//! Runs a program on the library, on its public API, and notes what happens: one tokio runtime with paused time.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use scope_runtime::{
    CancelToken, Cancelled, Cause, InScope as _, Scope, ScopeHandle, Spawner, Supervise, Task, check,
    effective_deadline, fork, is_cancelled, race, root, scope, shield, spawn, try_defer, try_join,
};
use tokio::time::{Instant, sleep, timeout};

use super::program::{Body, EVER, How, Line, Ms, Options, Program, Special, Step};
use super::trace::Trace;

/// So long a program may take; none that ends comes near it.
const VIRTUAL_LIMIT: Duration = Duration::from_secs(1_000);

/// The main task of a program that doesn't spin is polled much less often.
const POLL_LIMIT: u32 = 100_000;

/// How a run ended.
pub struct Run {
    /// What happened.
    pub trace: Trace,
    /// It was still waiting when the time was up.
    pub hangs: bool,
    /// What must not be: something was left behind.
    pub broken: Option<String>,
}

/// Runs a program.
pub fn run(program: &Program) -> Run {
    let world = Arc::new(World::new(program.clone()));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime =
        builder.enable_time().start_paused(true).build().expect("a runtime without IO needs nothing");
    let here = Arc::clone(&world);
    let ended = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async move {
            *here.start.lock().unwrap() = Some(Instant::now());
            let mut polls = 0_u32;
            let mut main = std::pin::pin!(timeout(VIRTUAL_LIMIT, main(Arc::clone(&here))));
            let ended = std::future::poll_fn(|cx| {
                polls += 1;
                if polls == POLL_LIMIT { Poll::Ready(None) } else { main.as_mut().poll(cx).map(Some) }
            });
            let hangs = match ended.await {
                Some(ended) => ended.is_err(),
                None => return (false, Some("it spins".to_owned())),
            };
            here.forget();
            let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
            let left = !hangs && tasks + root::count() > 0;
            (hangs, left.then(|| format!("{tasks} tasks and {} orphans are left", root::count())))
        })
    }));
    let (hangs, broken) = match ended {
        Ok(ended) => ended,
        Err(payload) => (false, Some(format!("the program panicked: {}", text_of(&*payload)))),
    };
    // What hangs is dropped with the runtime: that is no part of the trace.
    let trace = std::mem::take(&mut *world.trace.lock().unwrap_or_else(PoisonError::into_inner));
    Run { trace, hangs, broken }
}

async fn main(world: Arc<World>) {
    let place = Place { who: "main".into(), home: home(), world: Arc::clone(&world) };
    let body = Body::clone(&world.program.main);
    let ended = AssertUnwindSafe(place.block(body)).catch_unwind().await;
    place.say(format!("end: {}", told(&ended)));
    loop {
        let detached = std::mem::take(&mut *world.detached.lock().unwrap());
        if detached.is_empty() && root::count() == 0 {
            break;
        }
        for task in detached {
            let _ = task.await;
        }
        // Orphans may detach more.
        root::wait_idle().await;
    }
}

/// The tokio task that this runs in.
fn home() -> Option<tokio::task::Id> {
    tokio::task::try_id()
}

/// What all that runs shares.
struct World {
    program: Program,
    start: Mutex<Option<Instant>>,
    trace: Mutex<Trace>,
    scopes: Mutex<HashMap<u32, (ScopeHandle, Spawn)>>,
    tasks: Mutex<BTreeMap<u32, Child>>,
    detached: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    tokens: [CancelToken; 3],
}

impl World {
    fn new(program: Program) -> Self {
        let (a, b) = (CancelToken::new("a"), CancelToken::new("b"));
        let both = a.chain(&b);
        Self {
            program,
            start: Mutex::default(),
            trace: Mutex::default(),
            scopes: Mutex::default(),
            tasks: Mutex::default(),
            detached: Mutex::default(),
            tokens: [a, b, both],
        }
    }

    fn say(&self, who: &str, what: String) {
        let start = self.start.lock().unwrap().expect("the clock was read first");
        let ms = start.elapsed().as_millis() as Ms;
        if start.elapsed() >= VIRTUAL_LIMIT {
            // It hangs, and is dropped.
            return;
        }
        self.trace.lock().unwrap().say(ms, who, what);
    }

    /// Handles hold what they are handles of.
    fn forget(&self) {
        self.scopes.lock().unwrap().clear();
        self.tasks.lock().unwrap().clear();
    }

    fn scope(&self, n: u32) -> Option<ScopeHandle> {
        self.scopes.lock().unwrap().get(&n).map(|(handle, _)| handle.clone())
    }
}

type Oops = Box<dyn Error + Send + Sync>;

/// The error of a line that fails.
#[derive(Debug)]
struct Failed(u32);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} failed", self.0)
    }
}

impl Error for Failed {}

/// The payload of a line that panics.
struct Panicked(u32);

fn text_of(payload: &(dyn Any + Send)) -> String {
    if let Some(Panicked(n)) = payload.downcast_ref() {
        return format!("panic {n}");
    }
    let text = payload.downcast_ref::<String>().map(String::as_str);
    match text.or(payload.downcast_ref::<&str>().copied()).unwrap_or("?") {
        // Of a race, or a shield (rule D4).
        text if text.contains("was moved out of the scope") || text.contains("lost the scope that it") => {
            "panic 0".to_owned()
        }
        text => format!("panic: {text}"),
    }
}

fn told(ended: &Result<Result<(), Oops>, Box<dyn Any + Send>>) -> String {
    match ended {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(error)) => told_error(error),
        Err(payload) => text_of(&**payload),
    }
}

fn told_error(error: &Oops) -> String {
    match error.downcast_ref::<Failed>() {
        Some(Failed(n)) => format!("error {n}"),
        None => "cancel".to_owned(),
    }
}

fn told_why(cancelled: &Cancelled) -> String {
    format!("cancelled {}/{}", name_of(cancelled.cause()), name_of(cancelled.root_cause()))
}

fn name_of(cause: &Cause) -> &'static str {
    match cause {
        Cause::Explicit { .. } => "Explicit",
        Cause::Deadline { .. } => "Deadline",
        Cause::TaskFailed { .. } => "TaskFailed",
        Cause::TaskPanicked { .. } => "TaskPanicked",
        Cause::Task { .. } => "Task",
        Cause::Token { .. } => "Token",
        Cause::Parent(_) => "Parent",
        Cause::CancelOn => "CancelOn",
        Cause::Link(_) => "Link",
        Cause::LinkClosed => "LinkClosed",
        Cause::Bubble(_) => "Bubble",
        Cause::Closed => "Closed",
        Cause::Dropped => "Dropped",
        Cause::Runtime => "Runtime",
        _ => "?",
    }
}

/// The handle of a child, of a scope of either policy.
enum Child {
    Plain(Task<()>),
    Supervised(Task<Result<(), Oops>>),
}

impl From<Task<()>> for Child {
    fn from(task: Task<()>) -> Self {
        Self::Plain(task)
    }
}

impl From<Task<Result<(), Oops>>> for Child {
    fn from(task: Task<Result<(), Oops>>) -> Self {
        Self::Supervised(task)
    }
}

impl Child {
    fn cancel(&self) {
        match self {
            Self::Plain(task) => task.cancel(),
            Self::Supervised(task) => task.cancel(),
        };
    }

    async fn join(self) -> String {
        let joined = match self {
            Self::Plain(task) => task.await,
            Self::Supervised(task) => match task.await {
                Ok(Err(error)) => return told_error(&error),
                Ok(Ok(())) => Ok(()),
                Err(cancelled) => Err(cancelled),
            },
        };
        match joined {
            Ok(()) => "ok".to_owned(),
            Err(cancelled) => {
                drop(cancelled.take_panic());
                told_why(&cancelled)
            }
        }
    }
}

/// What spawns into a scope of either policy, from anywhere.
#[derive(Clone)]
enum Spawn {
    Plain(Spawner<Oops>),
    Supervised(Spawner<std::convert::Infallible, Supervise>),
}

/// A scope of either policy, in its own block.
trait Host: Sync {
    fn handle_of(&self) -> (ScopeHandle, Spawn);
    fn child(&self, how: How, body: BoxFuture<'static, Result<(), Oops>>) -> Child;
}

macro_rules! child {
    () => {
        fn child(&self, how: How, body: BoxFuture<'static, Result<(), Oops>>) -> Child {
            Child::from(match how {
                How::Background => spawn!(in self, background, body),
                How::Skip => spawn!(in self, skip_if_cancelled, body),
                _ => spawn!(in self, body),
            })
        }
    };
}

impl Host for Scope<Result<(), Oops>> {
    child!();

    fn handle_of(&self) -> (ScopeHandle, Spawn) {
        (self.handle(), Spawn::Plain(self.spawner()))
    }
}

impl Host for Scope<Result<(), Oops>, Supervise> {
    child!();

    fn handle_of(&self) -> (ScopeHandle, Spawn) {
        (self.handle(), Spawn::Supervised(self.spawner()))
    }
}

/// Locals of a body, which are dropped with it in the order in which they came.
#[derive(Default)]
struct Locals(Vec<Local>);

/// A local; what it is for is its drop.
enum Local {
    Guard { _guard: OnDrop },
    Forgotten { _future: BoxFuture<'static, Result<(), Oops>> },
}

/// Says so when it is dropped.
struct OnDrop(Option<(Place, String)>);

impl OnDrop {
    fn new(place: &Place, what: String) -> Self {
        Self(Some((place.clone(), what)))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some((place, what)) = self.0.take() {
            place.say(what);
        }
    }
}

/// Where code runs: in whose line of events, and in which tokio task.
#[derive(Clone)]
struct Place {
    who: Arc<str>,
    home: Option<tokio::task::Id>,
    world: Arc<World>,
}

/// Opens a scope with these options. Only what stands in its block can fork.
macro_rules! open {
    ([$($options:tt)*] $place:expr, $n:expr, $lines:expr) => {{
        let place = $place;
        scope!($($options)*, |s| {
            let mut locals = Locals::default();
            place.say(format!("enter s{}", $n));
            place.world.scopes.lock().unwrap().insert($n, s.handle_of());
            for line in &**$lines {
                match &line.step {
                    Step::Spawn { scope, how: how @ (How::Fork | How::BackgroundFork), body } if *scope == $n => {
                        let body = place.child(&format!("t{}", line.n), body);
                        let child = Child::from(match how {
                            How::Fork => fork!(body),
                            _ => fork!(background, body),
                        });
                        place.world.tasks.lock().unwrap().insert(line.n, child);
                    }
                    Step::Spawn { scope, how, body } if *scope == $n => {
                        let child = s.child(*how, place.child(&format!("t{}", line.n), body));
                        place.world.tasks.lock().unwrap().insert(line.n, child);
                    }
                    _ => place.line(line, &mut locals).await?,
                }
            }
        })
    }};
}

impl Place {
    fn say(&self, what: String) {
        self.world.say(&self.who, what);
    }

    fn block(&self, lines: Body) -> BoxFuture<'static, Result<(), Oops>> {
        let place = self.clone();
        Box::pin(async move {
            let mut locals = Locals::default();
            for line in &*lines {
                place.line(line, &mut locals).await?;
            }
            Ok(())
        })
    }

    /// The future of a child, which finds out in which task it runs.
    fn child(&self, name: &str, body: &Body) -> BoxFuture<'static, Result<(), Oops>> {
        let mut place = Self { who: name.into(), ..self.clone() };
        let body = Body::clone(body);
        Box::pin(async move {
            place.home = self::home();
            let name = place.who.to_string();
            place.named(name, body).await
        })
    }

    async fn named(&self, what: String, body: Body) -> Result<(), Oops> {
        self.say(format!("start {what}"));
        let dropped = OnDrop::new(self, format!("drop {what}"));
        let ended = self.block(body).await;
        dropped.disarm();
        self.say(format!("end {what}: {}", ended.as_ref().map_or_else(told_error, |()| "ok".to_owned())));
        ended
    }

    /// A cleanup; one that runs in another task than it was registered in has a line of events of its own.
    async fn cleanup(mut self, n: u32, body: Body) {
        if self.home != home() {
            (self.who, self.home) = (format!("c{n}").into(), home());
        }
        // A cleanup has no error type.
        let _ = self.named(format!("c{n}"), body).await;
    }

    async fn line(&self, line: &Line, locals: &mut Locals) -> Result<(), Oops> {
        let n = line.n;
        let say = |what: String| self.say(format!("{n}: {what}"));
        match &line.step {
            Step::Sleep(ms) => {
                sleep(Duration::from_millis(*ms)).await;
                self.say(format!("slept {n}"));
            }
            Step::Look => {
                let seen = is_cancelled();
                let start = self.world.start.lock().unwrap().expect("the clock was read first");
                let deadline = match effective_deadline() {
                    Some(at) if at <= Instant::now() => "over".to_owned(),
                    Some(at) => (at - start).as_millis().to_string(),
                    None => "none".to_owned(),
                };
                say(format!("{seen}, {deadline}"));
            }
            Step::Check => {
                if let Err(cancelled) = check() {
                    say(told_why(&cancelled));
                    return Err(cancelled.into());
                }
            }
            Step::Cancel { scope, now } => {
                if let Some(scope) = self.world.scope(*scope) {
                    say(if *now { scope.cancel_now() } else { scope.cancel() }.to_string());
                }
            }
            Step::Deadline(scope, from_now) => {
                if let Some(scope) = self.world.scope(*scope) {
                    scope.set_deadline(from_now.map(|ms| Instant::now() + Duration::from_millis(ms)));
                }
            }
            Step::SetShield(scope, on) => {
                if let Some(scope) = self.world.scope(*scope) {
                    scope.set_shield(*on);
                }
            }
            Step::Fail => return Err(Failed(n).into()),
            // Without the hook, which would print.
            Step::Panic => resume_unwind(Box::new(Panicked(n))),
            Step::Guard => {
                locals.0.push(Local::Guard { _guard: OnDrop::new(self, format!("guard {n}")) });
            }
            Step::Scope(options, body) => Box::pin(self.scope(n, options, body)).await?,
            Step::Shield(body) => {
                let body = self.block(Body::clone(body));
                shield!({ body.await? });
                self.say(format!("behind {n}"));
            }
            Step::Catch(body) => {
                let ended = AssertUnwindSafe(self.block(Body::clone(body))).catch_unwind().await;
                self.say(format!("catch {n}: {}", told(&ended)));
            }
            Step::Spawn { scope, body, .. } => {
                let spawn = self.world.scopes.lock().unwrap().get(scope).map(|(_, spawn)| spawn.clone());
                let body = self.child(&format!("t{n}"), body);
                let spawned = match spawn {
                    None => return Ok(()),
                    Some(Spawn::Plain(spawner)) => spawner.spawn(body).map(Child::from).ok(),
                    Some(Spawn::Supervised(spawner)) => spawner.spawn(body).map(Child::from).ok(),
                };
                match spawned {
                    Some(child) => drop(self.world.tasks.lock().unwrap().insert(n, child)),
                    None => say("refused".to_owned()),
                }
            }
            Step::Join(task) => {
                let child = self.world.tasks.lock().unwrap().remove(task);
                if let Some(child) = child {
                    let joined = child.join().await;
                    self.say(format!("t{task}: {joined}"));
                }
            }
            Step::CancelTask(task) => {
                // Cancelling runs nobody's code, so the lock can be held.
                if let Some(child) = self.world.tasks.lock().unwrap().get(task) {
                    child.cancel();
                }
            }
            Step::Defer(body) => {
                if try_defer(self.clone().cleanup(n, Body::clone(body))).is_err() {
                    say("refused".to_owned());
                }
            }
            Step::Race { all, parallel, arms } => {
                let arm = |at: usize| {
                    let name = format!("a{n}.{at}");
                    self.child(&name, &arms[at])
                };
                let ended: Result<(), Oops> = match (all, parallel) {
                    (false, false) => race!(arm(0), arm(1)),
                    (false, true) => race!(arm(0), spawn!(arm(1))),
                    (true, false) => try_join!(arm(0), arm(1)).map(drop),
                    (true, true) => try_join!(arm(0), spawn!(arm(1))).map(drop),
                };
                say(ended.as_ref().map_or_else(told_error, |()| "ok".to_owned()));
                ended?;
            }
            Step::Trigger(token) => self.world.tokens[usize::from(*token)].trigger(),
            Step::Run(token, body) => {
                let body = self.block(Body::clone(body));
                let ended = self.world.tokens[usize::from(*token)].run(body).await;
                self.value(n, ended)?;
            }
            Step::Guest(scope, body) => {
                if let Some(scope) = self.world.scope(*scope) {
                    let ended = self.block(Body::clone(body)).in_scope(scope).await;
                    self.value(n, ended)?;
                }
            }
            Step::Timeout(ms, body) => {
                let ended = timeout(Duration::from_millis(*ms), self.block(Body::clone(body))).await;
                match ended {
                    Ok(ended) => ended?,
                    Err(_) => self.say(format!("dropped {n}")),
                }
                self.say(format!("behind {n}"));
            }
            Step::Forget(ms, body) => {
                let mut future = self.block(Body::clone(body));
                let ended = timeout(Duration::from_millis(*ms), &mut future).await;
                match ended {
                    Ok(ended) => {
                        drop(future);
                        ended?;
                    }
                    Err(_) => {
                        self.say(format!("forgotten {n}"));
                        locals.0.push(Local::Forgotten { _future: future });
                    }
                }
                self.say(format!("behind {n}"));
            }
            Step::Move(ms, body) => {
                let mut future = self.block(Body::clone(body));
                let ended = timeout(Duration::from_millis(*ms), &mut future).await;
                match ended {
                    Ok(ended) => ended?,
                    Err(_) => Box::pin(self.moved(n, future)).await?,
                }
                self.say(format!("behind {n}"));
            }
            Step::Abort(ms, body) => {
                let (mut place, body) = (self.clone(), Body::clone(body));
                place.who = format!("d{n}").into();
                let task = tokio::spawn(async move {
                    place.home = home();
                    let _ = AssertUnwindSafe(place.block(body)).catch_unwind().await;
                });
                let (abort, ms) = (task.abort_handle(), Duration::from_millis(*ms));
                let aborting = tokio::spawn(async move {
                    sleep(ms).await;
                    abort.abort();
                });
                self.world.detached.lock().unwrap().extend([task, aborting]);
            }
        }
        Ok(())
    }

    /// Goes on with a future in a scope of its own.
    async fn moved(&self, n: u32, future: BoxFuture<'static, Result<(), Oops>>) -> Result<(), Oops> {
        let dropped = OnDrop::new(self, format!("drop s{n}"));
        let mut absorbed = None;
        let left = self.open_around(n, future, &mut absorbed).await;
        dropped.disarm();
        self.left(n, left, absorbed.as_ref())
    }

    async fn open_around(
        &self,
        n: u32,
        future: BoxFuture<'static, Result<(), Oops>>,
        absorbed: &mut Option<Cancelled>,
    ) -> Result<(), Oops> {
        let left: Result<(), Cancelled> = scope!({
            self.say(format!("enter s{n}"));
            future.await?;
        });
        *absorbed = left.err();
        Ok(())
    }

    /// What a boundary gives whose body's error is a value.
    fn value(&self, n: u32, ended: Result<Result<(), Oops>, Cancelled>) -> Result<(), Oops> {
        self.say(match &ended {
            Ok(Ok(())) => format!("{n}: ok"),
            Ok(Err(error)) => format!("{n}: {}", told_error(error)),
            Err(cancelled) => format!("{n}: {}", told_why(cancelled)),
        });
        ended.unwrap_or(Ok(()))
    }

    async fn scope(&self, n: u32, options: &Options, body: &Body) -> Result<(), Oops> {
        let dropped = OnDrop::new(self, format!("drop s{n}"));
        let mut absorbed = None;
        let left = self.open(n, options, body, &mut absorbed).await;
        dropped.disarm();
        self.left(n, left, absorbed.as_ref())
    }

    /// Notes how a scope was left.
    fn left(&self, n: u32, left: Result<(), Oops>, absorbed: Option<&Cancelled>) -> Result<(), Oops> {
        let handle = if self.world.program.names(n) { self.world.scope(n) } else { None };
        let more = match handle.map_or(0, |handle| handle.suppressed().len()) {
            0 => String::new(),
            more => format!(" +{more}"),
        };
        let text = match (&left, absorbed) {
            (Err(error), _) => told_error(error),
            (_, Some(cancelled)) => told_why(cancelled),
            (Ok(()), None) => "ok".to_owned(),
        };
        self.say(format!("exit s{n}: {text}{more}"));
        left
    }

    async fn open(
        &self,
        n: u32,
        options: &Options,
        body: &Body,
        absorbed: &mut Option<Cancelled>,
    ) -> Result<(), Oops> {
        let Options { timeout, shield, grace, supervise, limit, link, special } = options.clone();
        let ms = Duration::from_millis;
        let (timeout, link) = (timeout.map(ms), link.and_then(|n| self.world.scope(n)));
        let grace = grace.map(|grace| if grace == EVER { Duration::MAX } else { ms(grace) });
        let plain = *options == Options { timeout: options.timeout, shield, ..Options::default() };
        /// The options that all forms have, and those of one form.
        macro_rules! form {
            ($($special:tt)*) => {
                if supervise {
                    open!(
                        [
                            supervise, timeout = timeout, shield = shield, grace = grace, limit = limit,
                            link = link $($special)*
                        ]
                        self, n, body
                    )
                } else {
                    open!(
                        [
                            timeout = timeout, shield = shield, grace = grace, limit = limit, link = link
                            $($special)*
                        ]
                        self, n, body
                    )
                }
            };
        }
        let left: Result<(), Cancelled> = match special {
            // A scope that nothing names has no handle, and perhaps no node.
            None if plain && !self.world.program.names(n) => scope!(timeout = timeout, shield = shield, {
                self.say(format!("enter s{n}"));
                let mut locals = Locals::default();
                for line in &**body {
                    self.line(line, &mut locals).await?;
                }
            }),
            None => form!(),
            Some(Special::Bubble(bubble)) => form!(, bubble = bubble),
            Some(Special::CleanupTimeout(timeout)) => form!(, cleanup_timeout = ms(timeout)),
            Some(Special::Token(token)) => form!(, token = self.world.tokens[usize::from(token)].clone()),
            Some(Special::CancelOn(time)) => form!(, cancel_on = sleep(ms(time))),
        };
        *absorbed = left.err();
        Ok(())
    }
}
