//! loom's half: every lock, every atomic and every start of a task is a place where the model checker may go on with
//! another thread. A task is a thread here, and time passes only when a model says so.

pub(crate) use loom::sync::{Mutex, MutexGuard};

pub(crate) mod atomic {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
}

/// A flag that is down at the beginning of each run of a model.
macro_rules! flag {
    ($(#[$attribute:meta])* static $name:ident;) => {
        loom::lazy_static! {
            $(#[$attribute])*
            static ref $name: $crate::sync::atomic::AtomicBool = $crate::sync::atomic::AtomicBool::new(false);
        }
    };
}
pub(crate) use flag;

pub(crate) mod thread {
    use std::cell::RefCell;
    use std::sync::{Arc, Mutex};

    pub(crate) use loom::thread::yield_now;

    /// In words. loom's own choice is too small for us.
    const STACK: usize = 0x8000;

    std::thread_local! {
        /// Those of the run that is under way: all of them are on one thread of the system.
        static RUNNING: RefCell<Vec<Arc<Ending>>> = const { RefCell::new(Vec::new()) };
    }

    type Ending = Mutex<Option<loom::thread::JoinHandle<()>>>;

    pub(crate) struct Thread<T> {
        ending: Arc<Ending>,
        value: Arc<Mutex<Option<T>>>,
    }

    pub(crate) fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> Thread<T> {
        let value = Arc::new(Mutex::new(None));
        let place = Arc::clone(&value);
        let run = move || {
            let value = run();
            *place.lock().unwrap() = Some(value);
        };
        let thread = loom::thread::Builder::new().stack_size(STACK).spawn(run).unwrap();
        let ending = Arc::new(Mutex::new(Some(thread)));
        RUNNING.with(|running| running.borrow_mut().push(Arc::clone(&ending)));
        Thread { ending, value }
    }

    impl<T> Thread<T> {
        pub(crate) fn join(self) -> T {
            let thread = self.ending.lock().unwrap().take().expect("it is joined once");
            thread.join().unwrap();
            self.value.lock().unwrap().take().expect("it has ended")
        }
    }

    /// Waits for all: what is global is gone behind that.
    pub(crate) fn join_all() {
        while let Some(thread) = RUNNING.with(|running| running.borrow_mut().pop()) {
            let thread = thread.lock().unwrap().take();
            if let Some(thread) = thread {
                thread.join().unwrap();
            }
        }
    }
}

/// As std's, which loom has none of: what was set is seen with all that came before.
pub(crate) struct OnceLock<T> {
    is_set: atomic::AtomicBool,
    value: std::sync::OnceLock<T>,
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self { is_set: atomic::AtomicBool::new(false), value: std::sync::OnceLock::new() }
    }
}

impl<T> OnceLock<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        if self.is_set.load(std::sync::atomic::Ordering::Acquire) { self.value.get() } else { None }
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let set = self.value.set(value);
        self.is_set.store(true, std::sync::atomic::Ordering::Release);
        set
    }

    pub(crate) fn take(&mut self) -> Option<T> {
        self.value.take()
    }
}

/// A variable that each of loom's threads has for itself: they are all on one thread of the system.
pub(crate) struct LocalKey<T: 'static>(pub(crate) loom::thread::LocalKey<T>);

impl<T> LocalKey<T> {
    pub(crate) fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.0.with(f)
    }

    pub(crate) fn try_with<R>(
        &'static self,
        f: impl FnOnce(&T) -> R,
    ) -> Result<R, loom::thread::AccessError> {
        self.0.try_with(f)
    }
}

impl<T: Copy> LocalKey<std::cell::Cell<T>> {
    pub(crate) fn get(&'static self) -> T {
        self.with(std::cell::Cell::get)
    }

    pub(crate) fn set(&'static self, value: T) {
        self.with(|cell| cell.set(value));
    }
}

macro_rules! local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = const { $init:expr };)+) => {
        $($(#[$attribute])*
        static $name: $crate::sync::LocalKey<$type> = $crate::sync::LocalKey(loom::thread::LocalKey {
            init: (|| $init) as fn() -> $type,
            _p: std::marker::PhantomData,
        });)+
    };
}
pub(crate) use local as thread_local;

/// A runtime that is always there: each task is a thread.
pub(crate) mod runtime {
    use std::any::Any;
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::{Mutex, thread};

    #[derive(Clone)]
    pub(crate) struct Handle;

    #[derive(Clone, Copy, PartialEq, Eq, Hash)]
    pub(crate) struct Id;

    pub(crate) struct NoRuntime;

    impl Handle {
        pub(crate) fn current() -> Self {
            Self
        }

        pub(crate) fn try_current() -> Result<Self, NoRuntime> {
            Ok(Self)
        }

        pub(crate) fn id(&self) -> Id {
            Id
        }

        pub(crate) fn enter(&self) {}

        pub(crate) fn spawn<F: Future + Send + 'static>(&self, future: F) -> JoinHandle<F::Output>
        where
            F::Output: Send + 'static,
        {
            // As in tokio, the future is gone when its output is there. It is in a box: a thread's stack is small.
            let future = Box::pin(future);
            self.spawn_blocking(move || loom::future::block_on(future))
        }

        pub(crate) fn spawn_blocking<T: Send + 'static>(
            &self,
            closure: impl FnOnce() -> T + Send + 'static,
        ) -> JoinHandle<T> {
            let place = Arc::new(Mutex::new(Place { output: None, is_done: false, waker: None }));
            let task = Arc::clone(&place);
            let run = move || {
                let output = closure();
                let waker = {
                    let mut place = task.lock().unwrap();
                    (place.output, place.is_done) = (Some(output), true);
                    place.waker.take()
                };
                if let Some(waker) = waker {
                    waker.wake();
                }
            };
            drop(thread::spawn(run));
            JoinHandle(place)
        }
    }

    struct Place<T> {
        output: Option<T>,
        is_done: bool,
        waker: Option<Waker>,
    }

    pub(crate) struct JoinHandle<T>(Arc<Mutex<Place<T>>>);

    impl<T> JoinHandle<T> {
        pub(crate) fn is_finished(&self) -> bool {
            self.0.lock().unwrap().is_done
        }
    }

    impl<T> Future for JoinHandle<T> {
        type Output = Result<T, JoinError>;

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            let mut place = self.0.lock().unwrap();
            if place.is_done {
                return Poll::Ready(Ok(place.output.take().expect("it is polled until it is ready")));
            }
            place.waker = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    impl<T> Drop for JoinHandle<T> {
        /// What is there already is dropped here, else the task drops it.
        fn drop(&mut self) {
            let output = self.0.lock().unwrap().output.take();
            drop(output);
        }
    }

    /// No task is ever aborted here.
    pub(crate) struct JoinError;

    impl JoinError {
        pub(crate) fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
            Err(self)
        }
    }
}

/// Time, as far as models let it pass.
pub(crate) mod time {
    use std::collections::BTreeMap;
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::Ordering;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Mutex;
    use super::atomic::AtomicU64;
    use crate::deadline::Moment;

    loom::lazy_static! {
        static ref NOW: AtomicU64 = AtomicU64::new(0);
        static ref SLEEPERS: Mutex<Sleepers> = Mutex::new(Sleepers { next: 0, all: BTreeMap::new() });
    }

    struct Sleepers {
        next: u64,
        all: BTreeMap<u64, (Moment, Waker)>,
    }

    pub(crate) fn now() -> Moment {
        Moment(NOW.load(Ordering::Acquire))
    }

    /// Lets time pass, and wakes who waited for that, as tokio's driver does.
    pub(crate) fn advance(by: Duration) {
        let now = Moment(NOW.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::AcqRel)).after(by);
        let due: Vec<Waker> = {
            let mut sleepers = SLEEPERS.lock().unwrap();
            sleepers.all.extract_if(.., |_, (at, _)| *at <= now).map(|(_, (_, waker))| waker).collect()
        };
        due.into_iter().for_each(Waker::wake);
    }

    pub(crate) struct Sleep {
        until: Instant,
        key: Option<u64>,
    }

    pub(crate) fn sleep_until(until: Instant) -> Sleep {
        Sleep { until, key: None }
    }

    pub(crate) fn sleep(time: Duration) -> Sleep {
        sleep_until(now().after(time).instant().expect("no model sleeps for ever"))
    }

    impl Sleep {
        pub(crate) fn is_elapsed(&self) -> bool {
            now() >= Moment::at(self.until)
        }

        pub(crate) fn reset(self: Pin<&mut Self>, until: Instant) {
            let this = self.get_mut();
            this.forget();
            this.until = until;
        }

        fn forget(&mut self) {
            if let Some(key) = self.key.take() {
                let known = SLEEPERS.lock().unwrap().all.remove(&key);
                drop(known);
            }
        }
    }

    impl Future for Sleep {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            let this = self.get_mut();
            this.forget();
            let mut sleepers = SLEEPERS.lock().unwrap();
            // Under the lock: who lets time pass behind this look finds the waker.
            if this.is_elapsed() {
                return Poll::Ready(());
            }
            sleepers.next += 1;
            let key = sleepers.next;
            sleepers.all.insert(key, (Moment::at(this.until), cx.waker().clone()));
            this.key = Some(key);
            Poll::Pending
        }
    }

    impl Drop for Sleep {
        fn drop(&mut self) {
            self.forget();
        }
    }
}

/// The switch of a token.
pub(crate) mod token {
    use std::collections::BTreeMap;
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use super::Mutex;

    #[derive(Clone, Default)]
    pub struct CancellationToken(Arc<Mutex<Switch>>);

    #[derive(Default)]
    struct Switch {
        is_cancelled: bool,
        next: u64,
        waiting: BTreeMap<u64, Waker>,
    }

    impl CancellationToken {
        pub fn new() -> Self {
            Self::default()
        }

        pub fn cancel(&self) {
            let waiting = {
                let mut switch = self.0.lock().unwrap();
                switch.is_cancelled = true;
                std::mem::take(&mut switch.waiting)
            };
            waiting.into_values().for_each(Waker::wake);
        }

        pub fn is_cancelled(&self) -> bool {
            self.0.lock().unwrap().is_cancelled
        }

        pub fn cancelled_owned(self) -> WaitForCancellationFutureOwned {
            WaitForCancellationFutureOwned { token: self, key: None }
        }
    }

    pub struct WaitForCancellationFutureOwned {
        token: CancellationToken,
        key: Option<u64>,
    }

    impl Future for WaitForCancellationFutureOwned {
        type Output = ();

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            let this = self.get_mut();
            let mut switch = this.token.0.lock().unwrap();
            if switch.is_cancelled {
                return Poll::Ready(());
            }
            let key = *this.key.get_or_insert_with(|| {
                switch.next += 1;
                switch.next
            });
            let old = switch.waiting.insert(key, cx.waker().clone());
            drop(switch);
            drop(old);
            Poll::Pending
        }
    }

    impl Drop for WaitForCancellationFutureOwned {
        fn drop(&mut self) {
            if let Some(key) = self.key {
                let known = self.token.0.lock().unwrap().waiting.remove(&key);
                drop(known);
            }
        }
    }
}
