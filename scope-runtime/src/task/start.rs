//! Whether a child runs at all, and when (rule F6).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use crate::base::Base;
use crate::boundary::{Block, NeverErr};
use crate::cause::Cancelled;
use crate::sync::Mutex;
use crate::tree::{Go, Look, Node, Starter};

/// Whether a child runs at all.
pub(crate) enum Start {
    Run,
    /// `skip_if_cancelled`: to be decided at the first poll, too.
    Look,
    /// A cancel came before. It ends in its task all the same: the user's destructors are not run by whoever cancels.
    Never(Option<Cancelled>),
    /// It is ending so.
    Skipped,
    /// It waits for its turn in the host task (rule F6).
    Wait {
        turn: Arc<Turn>,
        /// `skip_if_cancelled`: to be decided again behind that.
        look: bool,
    },
}

impl From<Go> for Start {
    fn from(go: Go) -> Self {
        match go {
            Go::Run => Self::Run,
            Go::Never(foreign) => Self::Never(foreign),
        }
    }
}

impl Start {
    /// Decides, as soon as that is possible; a body that is not to run is dropped unpolled.
    pub(super) fn poll<B: Future, P: Base>(
        &mut self,
        node: &Node,
        block: Pin<&mut Block<B, NeverErr, (), P>>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if let Self::Wait { turn, look } = self {
            *self = match ready!(turn.poll(cx)) {
                Go::Run if *look => Self::Look,
                go => go.into(),
            };
        }
        if matches!(self, Self::Look) {
            *self = node.look_before_start(&mut Look::new()).into();
        }
        if let Self::Never(foreign) = self {
            block.cut(foreign.take(), cx.waker());
            *self = Self::Skipped;
        }
        Poll::Ready(())
    }

    /// Whether the body was polled.
    pub(super) fn has_begun(&self) -> bool {
        !matches!(self, Self::Skipped)
    }
}

/// The turn of a child that its scope polls: who starts it can't take its future along.
#[derive(Default)]
pub(crate) struct Turn(Mutex<(Option<Go>, Option<Waker>)>);

impl Turn {
    /// What was decided, or a note of whom to wake then.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Go> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(go) = state.0.take() {
            return Poll::Ready(go);
        }
        let old = state.1.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl Starter for Arc<Turn> {
    fn start(self: Box<Self>, go: Go) {
        let waker = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = Some(go);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
