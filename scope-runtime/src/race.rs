//! `race!` and `try_join!`: some futures at once, in a scope of their own (rules F2, F3, D4).
//!
//! Every arm is a child of that scope: polled by its boundary, or, if it is a `spawn!`, by the runtime. There is no
//! body: all there is to do is to wait at the boundary, which is no suspension (rule D2): a join is cut if an arm
//! is, and a race if no arm is left to win it. A loser unwinds as any child does, and is awaited as any child is.

use std::future::{Future, Ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::boundary::{Block, Classify, Left, NeverErr};
use crate::cause::Cancelled;
use crate::context::Frame;
use crate::failure::Payload;
use crate::fork::split;
use crate::hosted::{And, Hosted};
use crate::private::Return;
use crate::site::Site;
use crate::sync::{Mutex, MutexGuard};
use crate::task::{
    Asked, Child, ChildTask, Home, InFailure, InPlace, Keep, Output, Task, child_of, runtime_of,
};
use crate::tree::Node;
use crate::values::{ChildFuture, IntoName};

// --- arms ---------------------------------------------------------------------------------------------------------

/// An arm that is polled in the host task.
pub struct Here<F>(Child<F>);

/// An arm that is spawned.
pub struct Parallel<F>(Child<F>);

/// A future as an arm.
///
/// Of what is no arm, the type `A` stays unknown: the compiler says once what is wrong, and nothing about all that is
/// made of arms.
pub fn here<F, O, P, Q, A>(_output: Return<O>, site: &'static Site, future: F) -> A
where
    F: ChildFuture<Output = P, Given = Q> + ArmOf<O, P, Q, Here = A>,
{
    F::here(Child::arm(site, future))
}

/// A `spawn!` as an arm.
pub fn parallel<F, O, P, Q, A>(_output: Return<O>, child: Child<F>) -> A
where
    F: ChildFuture<Output = P, Given = Q> + ArmOf<O, P, Q, Parallel = A> + Send + 'static,
{
    F::parallel(child)
}

/// The arm of a `spawn!` with a name that is computed.
pub fn named_arm<F>(site: &'static Site, future: F, name: impl IntoName) -> Child<F> {
    Child::arm(site, future).name(name)
}

/// The future of an arm that is spawned. In the box it is known to be `Send`: what is made of it does not ask again, and
/// the compiler complains once of one that is not.
type Sent<O> = Pin<Box<dyn Future<Output = O> + Send>>;

/// A future that has the output of all arms: `P`, its own, is `O`. What it becomes waits for `Q`, its own as well, which
/// is never known of what is no future.
#[diagnostic::on_unimplemented(
    message = "this arm gives `{P}`, where `{O}` is expected; convert it inside of the arm: `async {{ … }}`",
    label = "gives `{P}`",
    note = "the arms of `race!` give one type, and those of `try_join!` a `Result` with one type of error"
)]
pub trait ArmOf<O, P, Q>: Sized {
    /// The arm, if the host polls it.
    type Here;
    /// The arm, if it is spawned.
    type Parallel;
    #[doc(hidden)]
    fn here(child: Child<Self>) -> Self::Here;
    #[doc(hidden)]
    fn parallel(child: Child<Self>) -> Self::Parallel
    where
        Self: Future<Output = P> + Send + 'static;
}

impl<F, O, Q> ArmOf<O, O, Q> for F {
    type Here = <Q as Asked>::Here<F>;
    type Parallel = <Q as Asked>::Parallel<Sent<O>>;

    fn here(child: Child<F>) -> Here<F> {
        Here(child)
    }

    fn parallel(child: Child<F>) -> Parallel<Sent<O>>
    where
        F: Future<Output = O> + Send + 'static,
    {
        Parallel(child.map(|future| Box::pin(future) as Sent<O>))
    }
}

pin_project! {
    /// An arm that the boundary polls.
    pub struct HereArm<F: Future, T, K: Keep> {
        #[pin]
        task: Option<ChildTask<F, T, K>>,
    }
}

impl<R, F: Future, T, K: Keep> Hosted<R> for HereArm<F, T, K> {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut task = self.project().task;
        if task.as_mut().as_pin_mut().is_some_and(|task| task.poll(cx).is_ready()) {
            task.set(None);
        }
    }

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
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) {
        let this = self.get_mut();
        if let Some(task) = this.task.take() {
            drop(runtime_of(&this.scope).spawn(*task));
        }
    }

    fn take_failure(self: Pin<&mut Self>) -> Option<R> {
        None
    }

    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload> {
        catch_unwind(AssertUnwindSafe(|| drop(self.get_mut().task.take())))
    }
}

/// Polls the arms; once more if that decided something, so that the others learn of it in the same pass.
fn poll_arms<H: Hosted<()>>(mut arms: Pin<&mut H>, decided: impl Fn() -> bool, cx: &mut Context<'_>) {
    let before = decided();
    arms.as_mut().poll(cx);
    if !before && decided() {
        arms.poll(cx);
    }
}

/// What leaves the scope of a race or a join. It opens no cancel switch; as a shield, it can be cut for good only if it
/// was given up as abandoned, or moved while it unwound; or if the runtime of an arm has shut down.
fn value_of<R>(left: Left<R>) -> R {
    match left {
        Left::Returned(value) | Left::Errored(value) => value,
        Left::Panicked(payload) => resume_unwind(payload),
        Left::Cancelled { error, .. } => cut(&error),
        Left::Finished | Left::Cut | Left::Failed(_) | Left::Signalled { .. } => {
            unreachable!("its body ends with a value, and its children keep their errors")
        }
    }
}

fn cut(cancelled: &Cancelled) -> ! {
    panic!("a race lost the scope that it unwound for, or the runtime of its arms: {cancelled}")
}

// --- race! --------------------------------------------------------------------------------------------------------

/// What the arms of a race share.
pub struct Verdict<O> {
    scope: Arc<Node>,
    state: Mutex<State<O>>,
}

struct State<O> {
    running: usize,
    decided: bool,
    /// The value that won; before, the last error.
    value: Option<O>,
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
        let decided = !is_err || state.running == 0;
        state.decided = decided;
        let earlier = state.value.replace(value);
        drop(state);
        drop(earlier);
        if decided {
            // An arm that a cancel from outside has cut does not take the value with it (rule D2).
            self.scope.forgive_losses();
            self.scope.dismiss_children();
        }
    }
}

pin_project! {
    /// The future of an arm: the race learns of its result the moment it is ready (rule F3).
    pub struct Contender<F: Future, C> {
        #[pin]
        future: F,
        classify: C,
        verdict: Arc<Verdict<F::Output>>,
    }
}

impl<F: Future, C: Classify<F::Output>> Future for Contender<F, C> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let value = ready!(this.future.poll(cx));
        let is_err = this.classify.is_err(&value);
        this.verdict.ready(value, is_err);
        Poll::Ready(())
    }
}

fn contend<F: Future, C: Classify<F::Output>>(
    child: Child<F>,
    verdict: &Arc<Verdict<F::Output>>,
    classify: C,
    home: Home,
) -> ChildTask<Contender<F, C>, (), InFailure> {
    let child = child.map(|future| Contender { future, classify, verdict: Arc::clone(verdict) });
    child_of(&verdict.scope, child, Output::Value, InFailure, home)
        .expect("the scope of a race was not left yet")
        .1
}

/// The arms of a race.
#[diagnostic::on_unimplemented(
    message = "this arm is spawned, and gives `{O}`, which can't be sent between threads",
    label = "`{O}` is not `Send`",
    note = "write the future as the arm, without `spawn!`: it then runs in the task around"
)]
pub trait RaceArms<O, C> {
    /// How many.
    const COUNT: usize;
    /// What is polled.
    type Hosted: Hosted<()>;
    /// Makes them children of the race.
    fn start(self, verdict: &Arc<Verdict<O>>, classify: C) -> Self::Hosted;
}

#[diagnostic::do_not_recommend]
impl<O, C> RaceArms<O, C> for () {
    const COUNT: usize = 0;
    type Hosted = ();

    fn start(self, _: &Arc<Verdict<O>>, _: C) {}
}

#[diagnostic::do_not_recommend]
impl<F, C, Rest> RaceArms<F::Output, C> for (Here<F>, Rest)
where
    F: Future,
    C: Classify<F::Output>,
    Rest: RaceArms<F::Output, C>,
{
    const COUNT: usize = Rest::COUNT + 1;
    type Hosted = And<HereArm<Contender<F, C>, (), InFailure>, Rest::Hosted>;

    fn start(self, verdict: &Arc<Verdict<F::Output>>, classify: C) -> Self::Hosted {
        let (Here(child), rest) = self;
        let task = contend(child, verdict, classify, Home::Host);
        And::new(HereArm { task: Some(task) }, rest.start(verdict, classify))
    }
}

#[diagnostic::do_not_recommend]
impl<F, C, Rest> RaceArms<F::Output, C> for (Parallel<F>, Rest)
where
    F: Future<Output: Send + 'static> + Send + 'static,
    C: Classify<F::Output> + Send + 'static,
    Rest: RaceArms<F::Output, C>,
{
    const COUNT: usize = Rest::COUNT + 1;
    type Hosted = And<ParallelArm<Contender<F, C>, (), InFailure>, Rest::Hosted>;

    fn start(self, verdict: &Arc<Verdict<F::Output>>, classify: C) -> Self::Hosted {
        let (Parallel(child), rest) = self;
        let task = Box::new(contend(child, verdict, classify, Home::Runtime));
        let arm = ParallelArm { scope: Arc::clone(&verdict.scope), task: Some(task) };
        And::new(arm, rest.start(verdict, classify))
    }
}

pin_project! {
    /// The arms of a race, as its boundary polls them.
    pub(crate) struct Racing<O, H> {
        #[pin]
        arms: H,
        verdict: Arc<Verdict<O>>,
    }
}

impl<O, H: Hosted<()>> Hosted<()> for Racing<O, H> {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let this = self.project();
        poll_arms(this.arms, || this.verdict.state().decided, cx);
    }

    fn take_failure(self: Pin<&mut Self>) -> Option<()> {
        None
    }

    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload> {
        self.project().arms.drop_in_place()
    }
}

pin_project! {
    /// The future of `race!`.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Race<O, H: Hosted<()>> {
        #[pin]
        block: Block<Ready<()>, NeverErr, Racing<O, H>>,
        verdict: Arc<Verdict<O>>,
    }
}

/// A race between arms that were evaluated.
pub fn race<O, C: Copy, A: RaceArms<O, C>>(site: &'static Site, arms: A, classify: C) -> Race<O, A::Hosted> {
    let frame = Frame::new(site);
    let state = State { running: A::COUNT, decided: false, value: None };
    let verdict = Arc::new(Verdict { scope: frame.make_node(), state: Mutex::new(state) });
    let arms = arms.start(&verdict, classify);
    let racing = Racing { arms, verdict: Arc::clone(&verdict) };
    Race { block: Block::ended(frame, (), NeverErr, racing), verdict }
}

impl<O, H: Hosted<()>> Future for Race<O, H> {
    type Output = O;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let this = self.project();
        value_of(ready!(this.block.poll(cx)));
        let value = this.verdict.state().value.take();
        Poll::Ready(value.expect("arms that all ended have decided the race"))
    }
}

// --- try_join! ----------------------------------------------------------------------------------------------------

/// The value of a join. The error's type comes first: the code around may know it where the arms do not.
pub fn joined<T, E>(_error: Return<E>, value: Result<T, E>) -> Result<T, E> {
    value
}

/// The output of a fallible arm.
pub fn fallible<T, E>(_error: Return<E>) -> Return<Result<T, E>> {
    Return::new()
}

#[diagnostic::on_unimplemented(
    message = "an arm that is spawned gives what can't be sent between threads",
    label = "its value or its error is not `Send`",
    note = "write the future as the arm, without `spawn!`: it then runs in the task around"
)]
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

#[diagnostic::do_not_recommend]
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
) -> (Task<T>, ChildTask<F, T, InPlace<E>>)
where
    F: Future<Output = Result<T, E>>,
    C: Classify<Result<T, E>>,
{
    let made = child_of(scope, child, split::<T, E, C>, failure.clone(), home);
    let (task, child, _) = made.expect("the scope of a join was not left yet");
    (task, child)
}

#[diagnostic::do_not_recommend]
impl<F, T, E, C, Rest> JoinArms<E, C> for (Here<F>, Rest)
where
    F: Future<Output = Result<T, E>>,
    C: Classify<Result<T, E>>,
    Rest: JoinArms<E, C>,
{
    type Hosted = And<HereArm<F, T, InPlace<E>>, Rest::Hosted>;
    type Values = (T, Rest::Values);
    type Tasks = (Task<T>, Rest::Tasks);

    fn start(self, scope: &Arc<Node>, failure: &InPlace<E>) -> (Self::Hosted, Self::Tasks) {
        let (Here(child), rest) = self;
        let (task, child) = join::<F, T, E, C>(scope, child, failure, Home::Host);
        let (hosted, tasks) = rest.start(scope, failure);
        (And::new(HereArm { task: Some(child) }, hosted), (task, tasks))
    }
}

#[diagnostic::do_not_recommend]
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
    type Tasks = (Task<T>, Rest::Tasks);

    fn start(self, scope: &Arc<Node>, failure: &InPlace<E>) -> (Self::Hosted, Self::Tasks) {
        let (Parallel(child), rest) = self;
        let (task, child) = join::<F, T, E, C>(scope, child, failure, Home::Runtime);
        let (hosted, tasks) = rest.start(scope, failure);
        let arm = ParallelArm { scope: Arc::clone(scope), task: Some(Box::new(child)) };
        (And::new(arm, hosted), (task, tasks))
    }
}

/// The handles of the arms.
pub trait Tasks {
    /// The values, as pairs.
    type Values;
    /// Takes them out, when all arms have ended well.
    fn values(&self) -> Self::Values;
}

impl Tasks for () {
    type Values = ();

    fn values(&self) {}
}

impl<T, Rest: Tasks> Tasks for (Task<T>, Rest) {
    type Values = (T, Rest::Values);

    fn values(&self) -> Self::Values {
        let (task, rest) = self;
        let value = task.take_if_done().and_then(Result::ok);
        (value.expect("an arm without a value fails the join, or is cut with it"), rest.values())
    }
}

pin_project! {
    /// The arms of a join, as its boundary polls them, and the error of the one that failed first.
    pub(crate) struct Joining<H, E> {
        #[pin]
        arms: H,
        failure: InPlace<E>,
    }
}

impl<E, H: Hosted<()>> Hosted<Result<(), E>> for Joining<H, E> {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let this = self.project();
        poll_arms(this.arms, || this.failure.is_there(), cx);
    }

    fn take_failure(self: Pin<&mut Self>) -> Option<Result<(), E>> {
        self.failure.take().map(Err)
    }

    fn drop_in_place(self: Pin<&mut Self>) -> Result<(), Payload> {
        self.project().arms.drop_in_place()
    }
}

pin_project! {
    /// The future of `try_join!`.
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct TryJoin<A, H: Hosted<()>, E> {
        #[pin]
        block: Block<Ready<Result<(), E>>, NeverErr, Joining<H, E>>,
        tasks: A,
    }
}

/// A join of arms that were evaluated.
pub fn try_join<E, C, A: JoinArms<E, C>>(
    site: &'static Site,
    _error: Return<E>,
    arms: A,
    _classify: C,
) -> TryJoin<A::Tasks, A::Hosted, E> {
    let frame = Frame::new(site);
    let failure = InPlace::new();
    let (arms, tasks) = arms.start(&frame.make_node(), &failure);
    TryJoin { block: Block::ended(frame, Ok(()), NeverErr, Joining { arms, failure }), tasks }
}

impl<A: Tasks, H: Hosted<()>, E> Future for TryJoin<A, H, E> {
    type Output = Result<A::Values, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let ended = value_of(ready!(this.block.poll(cx)));
        Poll::Ready(ended.map(|()| this.tasks.values()))
    }
}
