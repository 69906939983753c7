//! What the runtime tells a test that is run at every await: suspensions, awaits and cleanups (feature `test-util`).
//!
//! A run stays on one thread, so all of this does. Outside of a run nothing is kept, and without the feature nothing is
//! told.

#[cfg(feature = "test-util")]
pub(crate) use on::*;
#[cfg(feature = "test-util")]
mod on {
    use std::cell::{Cell, OnceCell, RefCell};
    use std::collections::HashMap;
    use std::fmt;
    use std::future::Future;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll};

    use pin_project_lite::pin_project;
    use tokio::task::{Id, try_id};

    use crate::cause::Who;
    use crate::context::with_stack;
    use crate::landing::{AwaitSite, Awaiting};
    use crate::scope::ScopeHandle;
    use crate::site::Kind;

    thread_local! {
        static CURRENT: RefCell<Option<Rc<Run>>> = const { RefCell::new(None) };
    }

    /// One run of a test.
    pub(crate) struct Run {
        /// At which suspension to cancel, counted from 1.
        at: usize,
        seen: Cell<usize>,
        /// The scope to cancel: the one around the test.
        scope: OnceCell<ScopeHandle>,
        /// The await that each task started last; the test's own body is none.
        awaiting: RefCell<HashMap<Option<Id>, &'static AwaitSite>>,
        landing: OnceCell<Landing>,
        cleanups: RefCell<Vec<(String, Arc<AtomicBool>)>>,
        checks: RefCell<Vec<Box<dyn FnOnce()>>>,
    }

    /// Where the cancel of a run came.
    #[derive(Clone)]
    pub(crate) struct Landing {
        task: Option<String>,
        awaiting: Awaiting,
    }

    impl fmt::Display for Landing {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if let Some(task) = &self.task {
                write!(f, ", of the child {task}")?;
            }
            match self.awaiting {
                Some(at) => write!(f, ", at {}:{}: `{}`", at.file(), at.line(), at.expression()),
                None => Ok(()),
            }
        }
    }

    impl Run {
        pub(crate) fn new(at: usize) -> Rc<Self> {
            Rc::new(Self {
                at,
                seen: Cell::new(0),
                scope: OnceCell::new(),
                awaiting: RefCell::default(),
                landing: OnceCell::new(),
                cleanups: RefCell::default(),
                checks: RefCell::default(),
            })
        }

        /// Makes this the run of the thread, until what it gives is dropped.
        pub(crate) fn begin(self: &Rc<Self>) -> impl Drop + use<> {
            struct Before(Option<Rc<Run>>);
            impl Drop for Before {
                fn drop(&mut self) {
                    CURRENT.set(self.0.take());
                }
            }
            Before(CURRENT.replace(Some(Rc::clone(self))))
        }

        pub(crate) fn opened(&self, scope: ScopeHandle) {
            let _ = self.scope.set(scope);
        }

        pub(crate) fn scope(&self) -> Option<&ScopeHandle> {
            self.scope.get()
        }

        pub(crate) fn suspensions(&self) -> usize {
            self.seen.get()
        }

        /// Where it was cancelled, if it came so far.
        pub(crate) fn landing(&self) -> Option<&Landing> {
            self.landing.get()
        }

        /// The cleanups that did not end.
        pub(crate) fn lost_cleanups(&self) -> Vec<String> {
            let cleanups = self.cleanups.borrow();
            let lost = cleanups.iter().filter(|(_, ended)| !ended.load(Ordering::Acquire));
            lost.map(|(scope, _)| scope.clone()).collect()
        }

        pub(crate) fn take_checks(&self) -> Vec<Box<dyn FnOnce()>> {
            self.checks.take()
        }

        fn suspended(&self) {
            let seen = self.seen.get() + 1;
            self.seen.set(seen);
            if seen == self.at
                && let Some(scope) = self.scope.get()
            {
                let awaiting = self.awaiting.borrow().get(&try_id()).copied();
                let _ = self.landing.set(Landing { task: child(), awaiting });
                scope.cancel_with(format!("suspension {seen} of the test"));
            }
        }
    }

    fn current() -> Option<Rc<Run>> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// The child that is being polled.
    fn child() -> Option<String> {
        with_stack(|stack| {
            let mut at = Some(stack);
            while let Some(stack) = at {
                let site = stack.frame().site();
                if site.kind() == Kind::Task {
                    let plain = || Who { name: site.name().into(), site };
                    return Some(stack.frame().node().map_or_else(plain, |node| node.who()).to_string());
                }
                at = stack.below();
            }
            None
        })
        .flatten()
    }

    /// How many suspensions there were so far.
    pub(crate) fn seen() -> usize {
        current().map_or(0, |run| run.suspensions())
    }

    /// A body is pending, after a poll that began with so many suspensions `seen`. A suspension inside of it was told
    /// already.
    ///
    /// Its boundary is about to look whether it was cancelled: so a cancel of the run lands right here.
    pub(crate) fn suspended(seen: usize) {
        if let Some(run) = current().filter(|run| run.suspensions() == seen) {
            run.suspended();
        }
    }

    pin_project! {
        /// A body whose suspensions are numbered.
        pub struct Numbered<B> {
            #[pin]
            body: B,
        }
    }

    pub(crate) fn numbered<B>(body: B) -> Numbered<B> {
        Numbered { body }
    }

    impl<B: Future> Future for Numbered<B> {
        type Output = B::Output;

        #[inline]
        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<B::Output> {
            let seen = seen();
            let polled = self.project().body.poll(cx);
            // A body that has come to its end is pending as well, and is no more to be cut.
            if polled.is_pending() && with_stack(|stack| stack.has_finished()) != Some(true) {
                suspended(seen);
            }
            polled
        }
    }

    /// An await begins.
    #[inline]
    pub(crate) fn awaits(site: &'static AwaitSite) {
        if let Some(run) = current() {
            run.awaiting.borrow_mut().insert(try_id(), site);
        }
    }

    /// A cleanup of `scope` is registered.
    pub(crate) fn cleanup(
        future: Pin<Box<dyn Future<Output = ()> + Send>>,
        scope: impl FnOnce() -> Who,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let Some(run) = current() else { return future };
        let ended = Arc::new(AtomicBool::new(false));
        run.cleanups.borrow_mut().push((scope().to_string(), Arc::clone(&ended)));
        Box::pin(Watched { future, ended })
    }

    /// Keeps a closing check of the run; gives it back outside of one.
    pub(crate) fn keep_check(check: Box<dyn FnOnce()>) -> Result<(), Box<dyn FnOnce()>> {
        match current() {
            Some(run) => {
                run.checks.borrow_mut().push(check);
                Ok(())
            }
            None => Err(check),
        }
    }

    /// A cleanup that notes its end; a panic is one.
    struct Watched {
        future: Pin<Box<dyn Future<Output = ()> + Send>>,
        ended: Arc<AtomicBool>,
    }

    impl Future for Watched {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            struct Ends<'a>(&'a AtomicBool);
            impl Drop for Ends<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Release);
                }
            }
            let Self { future, ended } = &mut *self;
            let ends = Ends(ended);
            let polled = future.as_mut().poll(cx);
            if polled.is_pending() {
                std::mem::forget(ends);
            }
            polled
        }
    }
}

#[cfg(not(feature = "test-util"))]
pub(crate) use off::*;
#[cfg(not(feature = "test-util"))]
mod off {
    use std::future::Future;
    use std::pin::Pin;

    use crate::cause::Who;
    use crate::landing::AwaitSite;

    pub(crate) type Numbered<B> = B;

    #[inline(always)]
    pub(crate) fn numbered<B>(body: B) -> B {
        body
    }

    #[inline(always)]
    pub(crate) fn seen() -> usize {
        0
    }

    #[inline(always)]
    pub(crate) fn suspended(_: usize) {}

    #[inline(always)]
    pub(crate) fn awaits(_: &'static AwaitSite) {}

    #[inline(always)]
    pub(crate) fn cleanup(
        future: Pin<Box<dyn Future<Output = ()> + Send>>,
        _: impl FnOnce() -> Who,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        future
    }
}
