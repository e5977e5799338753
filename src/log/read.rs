//! The items that reading a batch passes to its visitor.

use std::io;

use super::frame::Frame;
use super::range::Range;

/// One item.
#[derive(Debug)]
pub enum Read<'a> {
    /// A checked frame.
    Frame(Frame<'a>),
    /// Positions of damaged frames.
    Lost(Range),
}

/// Whether to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// Continue with the next item.
    On,
    /// Stop.
    Stop,
}

/// Gets the items.
pub type Visit<'v> = dyn FnMut(Read<'_>) -> io::Result<Go> + 'v;
