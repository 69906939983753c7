//! `race!` and `try_join!`: some futures at once, in a scope of their own (rules F2, F3, D4).
//!
//! Every arm is a child of that scope: polled by its boundary, or, if it is a `spawn!`, by the runtime. So a loser
//! unwinds as any child does, and is awaited as any child is. The arms of a race are background children (rule F8): the
//! body ends with the value once there is one, and that cancels the others. Those of `try_join!` are plain ones: the
//! first that fails is what leaves the scope.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use pin_project_lite::pin_project;

use crate::boundary::{Block, Classify, Left, NeverErr};
use crate::cause::Cancelled;
use crate::context::Frame;
use crate::failure::Payload;
use crate::fork::split;
use crate::hosted::{And, Hosted};
use crate::private::Return;
use crate::site::Site;
use crate::task::{Child, ChildTask, Home, InFailure, InPlace, Keep, Output, Task, child_of, runtime_of};
use crate::tree::{Look, Node};

// --- arms ---------------------------------------------------------------------------------------------------------

/// An arm that is polled in the host task.
pub struct Here<F>(Child<F>);

/// An arm that is spawned.
pub struct Parallel<F>(Child<F>);

/// A future as an arm.
pub fn here<F: Future<Output = O>, O>(_output: Return<O>, site: &'static Site, future: F) -> Here<F> {
    Here(Child::new(site, future))
}

/// A `spawn!` as an arm.
pub fn parallel<F, O>(_output: Return<O>, child: Child<F>) -> Parallel<F>
where
    F: Future<Output = O> + Send + 'static,
    O: Send + 'static,
{
    Parallel(child)
}

pin_project! {
    /// An arm that the boundary polls.
    pub struct HereArm<F: Future, T, K: Keep> {
        #[pin]
        task: Option<ChildTask<F, T, K>>,
    }
}

impl<R, F: Future, T, K: Keep> Hosted<R> for HereArm<F, T, K> {
    fn poll_before_body(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut task = self.project().task;
        if task.as_mut().as_pin_mut().is_some_and(|task| task.poll(cx).is_ready()) {
            task.set(None);
        }
    }

    fn poll_behind_body(self: Pin<&mut Self>, _: &mut Context<'_>) {}

    fn take_failure(self: Pin<&mut Self>) -> Option<R> {
        None
    }

    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload> {
        catch_unwind(AssertUnwindSafe(|| self.project().task.set(None)))
    }
}

/// An arm that is spawned in the first pass: by then its scope hangs in the tree.
pub struct ParallelArm<F: Future, T, K: Keep> {
    scope: Arc<Node>,
    task: Option<Box<ChildTask<F, T, K>>>,
}

impl<F: Future, T, K: Keep> Unpin for ParallelArm<F, T, K> {}

impl<R, F, T, K> Hosted<R> for ParallelArm<F, T, K>
where
    F: Future + Send + 'static,
    T: Send + 'static,
    K: Keep + Send + 'static,
{
    fn poll_before_body(self: Pin<&mut Self>, _: &mut Context<'_>) {
        let this = self.get_mut();
        if let Some(task) = this.task.take() {
            drop(runtime_of(&this.scope).spawn(*task));
        }
    }

    fn poll_behind_body(self: Pin<&mut Self>, _: &mut Context<'_>) {}

    fn take_failure(self: Pin<&mut Self>) -> Option<R> {
        None
    }

    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload> {
        catch_unwind(AssertUnwindSafe(|| drop(self.get_mut().task.take())))
    }
}

// --- race! --------------------------------------------------------------------------------------------------------

/// What the arms of a race and its body share.
pub struct Verdict<O> {
    scope: Arc<Node>,
    state: Mutex<State<O>>,
}

struct State<O> {
    running: usize,
    decided: bool,
    /// The value that won; before, the last error.
    value: Option<O>,
    /// Of the body, if arms decide while nobody polls it.
    waker: Option<Waker>,
}

impl<O> Verdict<O> {
    fn state(&self) -> MutexGuard<'_, State<O>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An arm is ready.
    fn ready(&self, value: O, is_err: bool) {
        let mut state = self.state();
        state.running -= 1;
        if state.decided {
            // It came too late.
            drop(state);
            return drop(value);
        }
        state.decided = !is_err || state.running == 0;
        let waker = if state.decided { state.waker.take() } else { None };
        let earlier = state.value.replace(value);
        drop(state);
        drop(earlier);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// An arm will never be ready: what became visible to it counts for all (rule T4).
    fn lost(&self) {
        if !self.state().decided {
            self.scope.cut(false, &mut Look::new());
        }
    }
}

/// The place of one arm in the race.
struct Entry<O>(Option<Arc<Verdict<O>>>);

impl<O> Drop for Entry<O> {
    fn drop(&mut self) {
        if let Some(verdict) = self.0.take() {
            verdict.lost();
        }
    }
}

pin_project! {
    /// The future of an arm: the race learns of its result the moment it is ready (rule F3).
    pub struct Contender<F: Future, C> {
        #[pin]
        future: F,
        classify: C,
        entry: Entry<F::Output>,
    }
}

impl<F: Future, C: Classify<F::Output>> Future for Contender<F, C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let value = ready!(this.future.poll(cx));
        if let Some(verdict) = this.entry.0.take() {
            let is_err = this.classify.is_err(&value);
            verdict.ready(value, is_err);
        }
        Poll::Ready(())
    }
}

/// A background child, so that it ends with the body of the race.
fn contend<F: Future, C: Classify<F::Output>>(
    child: Child<F>,
    verdict: &Arc<Verdict<F::Output>>,
    classify: C,
    home: Home,
) -> ChildTask<Contender<F, C>, (), InFailure> {
    let entry = Entry(Some(Arc::clone(verdict)));
    let child = child.map(|future| Contender { future, classify, entry }).background();
    child_of(&verdict.scope, child, Output::Value, InFailure, home)
        .expect("the scope of a race was not left yet")
        .1
}

/// The arms of a race.
pub trait RaceArms<O, C> {
    /// How many.
    const COUNT: usize;
    /// Whether one of them is spawned.
    const PARALLEL: bool;
    /// What is polled.
    type Hosted: Hosted<O>;
    /// Makes them children of the race.
    fn start(self, verdict: &Arc<Verdict<O>>, classify: C) -> Self::Hosted;
}

impl<O, C> RaceArms<O, C> for () {
    const COUNT: usize = 0;
    const PARALLEL: bool = false;
    type Hosted = ();

    fn start(self, _: &Arc<Verdict<O>>, _: C) {}
}

impl<F, C, Rest> RaceArms<F::Output, C> for (Here<F>, Rest)
where
    F: Future,
    C: Classify<F::Output>,
    Rest: RaceArms<F::Output, C>,
{
    const COUNT: usize = Rest::COUNT + 1;
    const PARALLEL: bool = Rest::PARALLEL;
    type Hosted = And<HereArm<Contender<F, C>, (), InFailure>, Rest::Hosted>;

    fn start(self, verdict: &Arc<Verdict<F::Output>>, classify: C) -> Self::Hosted {
        let (Here(child), rest) = self;
        let task = contend(child, verdict, classify, Home::Host);
        And::new(HereArm { task: Some(task) }, rest.start(verdict, classify))
    }
}

impl<F, C, Rest> RaceArms<F::Output, C> for (Parallel<F>, Rest)
where
    F: Future<Output: Send + 'static> + Send + 'static,
    C: Classify<F::Output> + Send + 'static,
    Rest: RaceArms<F::Output, C>,
{
    const COUNT: usize = Rest::COUNT + 1;
    const PARALLEL: bool = true;
    type Hosted = And<ParallelArm<Contender<F, C>, (), InFailure>, Rest::Hosted>;

    fn start(self, verdict: &Arc<Verdict<F::Output>>, classify: C) -> Self::Hosted {
        let (Parallel(child), rest) = self;
        let task = Box::new(contend(child, verdict, classify, Home::Runtime));
        let arm = ParallelArm { scope: Arc::clone(&verdict.scope), task: Some(task) };
        And::new(arm, rest.start(verdict, classify))
    }
}

/// The body of a race: it ends when there is a value, and calls the others off.
pub(crate) struct Decision<O> {
    verdict: Arc<Verdict<O>>,
    parallel: bool,
}

impl<O> Future for Decision<O> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let mut state = self.verdict.state();
        if !state.decided {
            let waker = self.parallel.then(|| cx.waker().clone());
            let old = std::mem::replace(&mut state.waker, waker);
            drop(state);
            drop(old);
            return Poll::Pending;
        }
        let value = state.value.take();
        drop(state);
        self.verdict.scope.cancel_background();
        Poll::Ready(value.expect("whoever decides a race leaves a value"))
    }
}

pin_project! {
    /// The future of `race!`.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Race<O, H: Hosted<O>> {
        #[pin]
        block: Block<Decision<O>, NeverErr, H>,
    }
}

/// A race between arms that were evaluated.
pub fn race<O, C: Copy, A: RaceArms<O, C>>(site: &'static Site, arms: A, classify: C) -> Race<O, A::Hosted> {
    let frame = Frame::new(site, None);
    let state = State { running: A::COUNT, decided: false, value: None, waker: None };
    let verdict = Arc::new(Verdict { scope: frame.make_node(), state: Mutex::new(state) });
    let hosted = arms.start(&verdict, classify);
    let body = Decision { verdict, parallel: A::PARALLEL };
    Race { block: Block::hosting(frame, body, NeverErr, hosted) }
}

impl<O, H: Hosted<O>> Future for Race<O, H> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        self.project().block.poll(cx).map(value_of)
    }
}

/// What leaves the scope of a race or a join. It opens no cancel switch; as a shield, it can lose its body for good only
/// if it was given up as abandoned, or moved while it unwound.
fn value_of<R>(left: Left<R>) -> R {
    match left {
        Left::Returned(value) | Left::Errored(value) => value,
        Left::Panicked(payload) => resume_unwind(payload),
        Left::Cancelled { error, .. } => cut(&error),
        Left::Finished | Left::Failed(_) | Left::Signalled { .. } => {
            unreachable!("its body ends with a value, and so do its children")
        }
    }
}

fn cut(cancelled: &Cancelled) -> ! {
    panic!("a race was moved out of the scope that it unwound for: {cancelled}")
}

// --- try_join! ----------------------------------------------------------------------------------------------------

/// The output of a fallible arm.
pub fn fallible<T, E>(_error: Return<E>) -> Return<Result<T, E>> {
    Return::new()
}

/// The arms of a join; they fail with `E`, which `C` can put into words.
pub trait JoinArms<E, C> {
    /// What is polled.
    type Hosted: Hosted<()>;
    /// Their values, as pairs.
    type Values;
    /// What gives the values.
    type Tasks: Tasks<Values = Self::Values>;
    /// Makes them children of the join.
    fn start(self, scope: &Arc<Node>, failure: &InPlace<E>) -> (Self::Hosted, Self::Tasks);
}

impl<E, C> JoinArms<E, C> for () {
    type Hosted = ();
    type Values = ();
    type Tasks = ();

    fn start(self, _: &Arc<Node>, _: &InPlace<E>) -> ((), ()) {
        ((), ())
    }
}

/// The arms of a join are fallible children like any other, but for where their error is kept.
fn join<F, T, E, C>(
    scope: &Arc<Node>,
    child: Child<F>,
    failure: &InPlace<E>,
    home: Home,
) -> (Awaited<T>, ChildTask<F, T, InPlace<E>>)
where
    F: Future<Output = Result<T, E>>,
    C: Classify<Result<T, E>>,
{
    let made = child_of(scope, child, split::<T, E, C>, failure.clone(), home);
    let (task, child, _) = made.expect("the scope of a join was not left yet");
    (Awaited { task, home, value: None, lost: false }, child)
}

impl<F, T, E, C, Rest> JoinArms<E, C> for (Here<F>, Rest)
where
    F: Future<Output = Result<T, E>>,
    C: Classify<Result<T, E>>,
    Rest: JoinArms<E, C>,
{
    type Hosted = And<HereArm<F, T, InPlace<E>>, Rest::Hosted>;
    type Values = (T, Rest::Values);
    type Tasks = (Awaited<T>, Rest::Tasks);

    fn start(self, scope: &Arc<Node>, failure: &InPlace<E>) -> (Self::Hosted, Self::Tasks) {
        let (Here(child), rest) = self;
        let (task, child) = join::<F, T, E, C>(scope, child, failure, Home::Host);
        let (hosted, tasks) = rest.start(scope, failure);
        (And::new(HereArm { task: Some(child) }, hosted), (task, tasks))
    }
}

impl<F, T, E, C, Rest> JoinArms<E, C> for (Parallel<F>, Rest)
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
    C: Classify<Result<T, E>>,
    Rest: JoinArms<E, C>,
{
    type Hosted = And<ParallelArm<F, T, InPlace<E>>, Rest::Hosted>;
    type Values = (T, Rest::Values);
    type Tasks = (Awaited<T>, Rest::Tasks);

    fn start(self, scope: &Arc<Node>, failure: &InPlace<E>) -> (Self::Hosted, Self::Tasks) {
        let (Parallel(child), rest) = self;
        let (task, child) = join::<F, T, E, C>(scope, child, failure, Home::Runtime);
        let (hosted, tasks) = rest.start(scope, failure);
        let arm = ParallelArm { scope: Arc::clone(scope), task: Some(Box::new(child)) };
        (And::new(arm, hosted), (task, tasks))
    }
}

/// The handles of the arms, and the values that are there so far.
pub trait Tasks {
    /// The values, as pairs.
    type Values;
    /// Looks for values; true if all are there.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool;
    /// Takes them out.
    fn take(&mut self) -> Self::Values;
}

impl Tasks for () {
    type Values = ();

    fn poll(&mut self, _: &mut Context<'_>) -> bool {
        true
    }

    fn take(&mut self) {}
}

/// One handle.
pub struct Awaited<T> {
    task: Task<T>,
    home: Home,
    value: Option<T>,
    /// It was cut, or failed: so will be the body.
    lost: bool,
}

impl<T, Rest: Tasks> Tasks for (Awaited<T>, Rest) {
    type Values = (T, Rest::Values);

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let (arm, rest) = self;
        if arm.value.is_none() && !arm.lost {
            let ended = match arm.home {
                // It was polled right before.
                Home::Host => arm.task.take_if_done(),
                Home::Runtime => match Pin::new(&mut arm.task).poll(cx) {
                    Poll::Ready(ended) => Some(ended),
                    Poll::Pending => None,
                },
            };
            match ended {
                Some(Ok(value)) => arm.value = Some(value),
                Some(Err(_)) => arm.lost = true,
                None => {}
            }
        }
        rest.poll(cx) && arm.value.is_some()
    }

    fn take(&mut self) -> Self::Values {
        let (arm, rest) = self;
        (arm.value.take().expect("all values are there"), rest.take())
    }
}

/// The body of a join: it ends when all values are there. A failure ends it as it does every body.
pub(crate) struct Joining<A, E> {
    tasks: A,
    _error: Return<E>,
}

// Nothing in it is pinned.
impl<A, E> Unpin for Joining<A, E> {}

impl<A: Tasks, E> Future for Joining<A, E> {
    type Output = Result<A::Values, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.tasks.poll(cx) { Poll::Ready(Ok(self.tasks.take())) } else { Poll::Pending }
    }
}

pin_project! {
    /// The arms that the boundary polls, and the error of the one that failed first.
    pub struct Fallible<H, E> {
        #[pin]
        arms: H,
        failure: InPlace<E>,
    }
}

impl<V, E, H: Hosted<()>> Hosted<Result<V, E>> for Fallible<H, E> {
    fn poll_before_body(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        self.project().arms.poll_before_body(cx);
    }

    fn poll_behind_body(self: Pin<&mut Self>, _: &mut Context<'_>) {}

    fn take_failure(self: Pin<&mut Self>) -> Option<Result<V, E>> {
        self.failure.take().map(Err)
    }

    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload> {
        self.project().arms.drop_in_place()
    }
}

pin_project! {
    /// The future of `try_join!`.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct TryJoin<A: Tasks, H: Hosted<()>, E> {
        #[pin]
        block: Block<Joining<A, E>, NeverErr, Fallible<H, E>>,
    }
}

/// A join of arms that were evaluated.
pub fn try_join<E, C, A: JoinArms<E, C>>(
    site: &'static Site,
    error: Return<E>,
    arms: A,
    _classify: C,
) -> TryJoin<A::Tasks, A::Hosted, E> {
    let frame = Frame::new(site, None);
    let failure = InPlace::new();
    let (arms, tasks) = arms.start(&frame.make_node(), &failure);
    let hosted = Fallible { arms, failure };
    TryJoin { block: Block::hosting(frame, Joining { tasks, _error: error }, NeverErr, hosted) }
}

impl<A: Tasks, H: Hosted<()>, E> Future for TryJoin<A, H, E> {
    type Output = Result<A::Values, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().block.poll(cx).map(value_of)
    }
}
