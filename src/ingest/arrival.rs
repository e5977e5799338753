//! Where a request comes from, what it holds, and the lines made from it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::counters::SourceCounters;
use crate::call::{ObjectSets, RejectReason, Request, Tally};
use crate::live::Sample;
use crate::log::frame::RowKey;
use crate::log::{ImportStep, RequestFrames};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// The origin of a request, its source, and when it was complete.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The source.
    pub source: &'a SourceId,
    /// See [`super::Ingest::received_now`].
    pub received_at: UnixMillis,
    /// The sender's address; it becomes `context.ip` of calls that come from a client.
    pub ip: Option<IpAddr>,
    /// Whether the calls come from a client (a browser, an app), whichever library they name.
    pub client_side: bool,
    /// Becomes `context.userAgent` of calls that have none.
    pub user_agent: Option<&'a str>,
    /// The rows of an imported file that the request covers. Its calls are stored only if these are the
    /// file's next rows.
    pub import: Option<ImportStep>,
}

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

/// A request's lines, ready to be stored.
#[derive(Debug)]
pub struct Lines {
    pub(super) frames: RequestFrames,
    pub(super) tally: Tally,
    pub(super) counters: Arc<SourceCounters>,
    /// Copies of a few of them, for the live view.
    pub(super) sample: Option<Sample>,
}

impl Lines {
    /// Stores them only if none of these items repeats a stored call: see [`RequestFrames::only_if_new`].
    pub fn only_if_new(&mut self, items: Vec<u32>) {
        self.frames.only_if_new(items);
    }

    /// Stores them even if they repeat stored calls: see [`RequestFrames::forget_fingerprints`].
    pub fn forget_fingerprints(&mut self) {
        self.frames.forget_fingerprints();
    }

    /// Gives rows their keys: see [`RequestFrames::set_row_keys`].
    pub fn set_row_keys(&mut self, rows: &[(std::ops::Range<u32>, RowKey)]) {
        self.frames.set_row_keys(rows);
    }

    /// Takes the items that are not valid calls, by their index in the request.
    pub fn take_refused(&mut self) -> Vec<(u32, RejectReason)> {
        self.frames.take_refused()
    }
}
