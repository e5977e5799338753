//! What a request holds: calls, or objects that are set.

use std::borrow::Cow;

use crate::call::{ObjectSets, Request};
use crate::object::Stream;

/// A parsed body: the places of its items in the unchanged text.
#[derive(Debug)]
pub enum Content<'b> {
    /// Calls.
    Calls(Request<'b>),
    /// Objects of a collection.
    ObjectSets(ObjectSets<'b>),
}

impl<'b> Content<'b> {
    /// The write key in the body, trimmed; never empty.
    pub fn write_key(&self) -> Option<Cow<'b, str>> {
        match self {
            Self::Calls(request) => request.write_key(),
            Self::ObjectSets(request) => request.write_key(),
        }
    }

    /// How many lines it becomes: valid and rejected items.
    pub fn lines(&self) -> usize {
        match self {
            Self::Calls(request) => request.lines(),
            Self::ObjectSets(request) => request.lines(),
        }
    }

    /// The text of the item that becomes line `index`, as sent.
    pub(super) fn item(&self, index: usize) -> Option<&'b [u8]> {
        match self {
            Self::Calls(request) => request.item(index),
            Self::ObjectSets(request) => request.item(index),
        }
    }

    /// An estimate of the lines' length in bytes.
    pub(super) fn lines_len(&self) -> usize {
        match self {
            Self::Calls(request) => request.lines_len(),
            Self::ObjectSets(request) => request.lines_len(),
        }
    }

    /// The stream of its valid items.
    pub(super) fn stream(&self) -> Stream {
        match self {
            Self::Calls(_) => Stream::Calls,
            Self::ObjectSets(request) => Stream::Objects(request.collection().clone()),
        }
    }
}
