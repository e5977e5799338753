//! Where a request comes from, and the lines made from it.

use std::net::IpAddr;
use std::sync::Arc;

use super::counters::SourceCounters;
use crate::call::{RejectReason, Tally};
use crate::live::Sample;
use crate::log::{ImportStep, RequestFrames};
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

    /// Takes the items that are not valid calls, by their index in the request.
    pub fn take_refused(&mut self) -> Vec<(u32, RejectReason)> {
        self.frames.take_refused()
    }
}
