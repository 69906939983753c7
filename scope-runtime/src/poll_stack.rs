//! The poll stack's links: which frames are being polled on this thread right now.
//!
//! The one module with unsafe code. What it gains: a scope's frame stays where it is, in the scope's future, instead of
//! being moved onto a stack on the heap and back at every poll.
//!
//! # Invariants
//!
//! 1. **`TOP` is null or points to a live [`Stack`]** on this thread's machine stack: the argument of a call of [`push`]
//!    that has not returned. `push` sets it when its entry exists, and puts the old value back before the entry goes
//!    away, on unwinding too. [`outside`] only ever sets it to an entry further down, which lives longer.
//! 2. **Entries are shared, never written.** What changes in a frame is in cells.
//! 3. **No reference gets out.** A `Stack<'static>` is a lie that only this module tells itself; everybody else gets one
//!    through a closure that must work for every lifetime.
//! 4. **Other threads see nothing of it:** the pointer is thread-local, and a `Stack` is neither `Send` nor `Sync`.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr;

use crate::context::{Frame, Seat, Stack, WakerId};
use crate::sync::thread_local;

thread_local! {
    /// Has no destructor, so it is there as long as any code runs on the thread.
    static TOP: Top = const { Cell::new(ptr::null()) };
}

type Top = Cell<*const Stack<'static>>;

/// Puts the old top back.
struct Restore<'a> {
    top: &'a Top,
    old: *const Stack<'static>,
}

impl Drop for Restore<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.top.set(self.old);
    }
}

/// Runs `f` with `frame` on top of the stack.
#[inline(always)]
pub(crate) fn push<T>(
    frame: &Frame,
    seat: Option<&Seat>,
    waker: WakerId,
    f: impl FnOnce(&Stack<'_>) -> T,
) -> T {
    // Not in a closure of `with`, which the compiler would not take apart.
    // SAFETY: it has no destructor, so it lives as long as this thread, which is in here until the end.
    let top = unsafe { &*TOP.with(ptr::from_ref) };
    let old = top.get();
    // SAFETY: by invariant 1 it is null, or points to an entry that outlives this call.
    let entry = Stack::new(frame, seat, unsafe { old.as_ref() }, waker);
    // Dropped before `entry`, which is declared before it.
    let _restore = Restore { top, old };
    top.set((&raw const entry).cast());
    f(&entry)
}

/// Runs `f` as if the innermost frame were not there: in the context of the one around it.
pub(crate) fn outside<T>(f: impl FnOnce() -> T) -> T {
    TOP.with(|top| {
        let old = top.get();
        let _restore = Restore { top, old };
        // SAFETY: by invariant 1 it is null, or points to a live entry.
        let below = unsafe { old.as_ref() }.and_then(|entry| entry.below());
        top.set(below.map_or(ptr::null(), |below| ptr::from_ref(below).cast()));
        f()
    })
}

/// Runs `f` on the innermost frame; `None` if there is none.
#[inline(always)]
pub(crate) fn with_stack<T>(f: impl FnOnce(&Stack<'_>) -> T) -> Option<T> {
    // SAFETY: by invariant 1 it is null, or points to an entry that stays alive until its `push` returns, and so longer
    // than this call, which that one is around.
    unsafe { TOP.get().as_ref() }.map(f)
}

#[cfg(all(test, not(scope_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::{outside, push, with_stack};
    use crate::context::Frame;
    use crate::site::{Kind, Site};

    static OUTER: Site = Site::new(Kind::Scope, "outer", "", 0, 0, "");
    static INNER: Site = Site::new(Kind::Scope, "inner", "", 0, 0, "");

    fn name() -> Option<&'static str> {
        with_stack(|stack| stack.site().name())
    }

    #[test]
    fn what_was_pushed_is_on_top_until_the_end() {
        let (outer, inner) = (Frame::new(&OUTER), Frame::new(&INNER));
        assert_eq!(name(), None);
        push(&outer, None, (0, 0), |_| {
            assert_eq!(name(), Some("outer"));
            push(&inner, None, (0, 0), |_| {
                assert_eq!(name(), Some("inner"));
                outside(|| {
                    assert_eq!(name(), Some("outer"));
                    outside(|| assert_eq!(name(), None));
                    assert_eq!(name(), Some("outer"));
                });
                assert_eq!(name(), Some("inner"));
            });
            assert_eq!(name(), Some("outer"));
        });
        assert_eq!(name(), None);
    }

    #[test]
    fn a_panic_leaves_the_stack_as_it_was() {
        let (outer, inner) = (Frame::new(&OUTER), Frame::new(&INNER));
        push(&outer, None, (0, 0), |_| {
            let panicked =
                catch_unwind(AssertUnwindSafe(|| push(&inner, None, (0, 0), |_| panic!("in the middle"))));
            assert!(panicked.is_err());
            let panicked = catch_unwind(|| outside(|| panic!("in the middle")));
            assert!(panicked.is_err());
            assert_eq!(name(), Some("outer"));
        });
        assert_eq!(name(), None);
    }

    #[test]
    fn another_thread_has_a_stack_of_its_own() {
        let outer = Frame::new(&OUTER);
        push(&outer, None, (0, 0), |_| {
            std::thread::scope(|threads| assert_eq!(threads.spawn(name).join().unwrap(), None));
        });
    }
}
