//! Which `break` and `continue` stay inside the block.

use syn::{Label, Lifetime};

/// The loops and labelled blocks around the code that is being walked, up to the block's edge.
pub(super) struct Flow {
    frames: Vec<Frame>,
    sealed: bool,
}

pub(super) enum Frame {
    Loop(Option<Lifetime>),
    Block(Lifetime),
}

impl Frame {
    pub(super) fn of_loop(label: Option<&Label>) -> Self {
        Frame::Loop(label.map(|label| label.name.clone()))
    }

    fn catches(&self, label: Option<&Lifetime>) -> bool {
        match (self, label) {
            (Frame::Loop(_), None) => true,
            (Frame::Block(_), None) => false,
            (Frame::Loop(own), Some(label)) => own.as_ref() == Some(label),
            (Frame::Block(own), Some(label)) => own == label,
        }
    }
}

impl Flow {
    /// Inside a block that control flow may leave.
    pub(super) fn open() -> Self {
        Flow { frames: Vec::new(), sealed: false }
    }

    /// Inside a closure or an async block: nothing leaves it, the compiler sees to that.
    pub(super) fn sealed() -> Self {
        Flow { frames: Vec::new(), sealed: true }
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    pub(super) fn enter(&mut self, frame: Frame) {
        self.frames.push(frame);
    }

    pub(super) fn leave(&mut self) {
        self.frames.pop();
    }

    /// Whether a jump to `label`, or without one, leaves the block.
    pub(super) fn leaves(&self, label: Option<&Lifetime>) -> bool {
        !self.sealed && !self.frames.iter().any(|frame| frame.catches(label))
    }
}
