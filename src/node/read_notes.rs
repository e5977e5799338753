//! What a node remembers of the notes of replays.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use crate::admin::DestinationStatus;
use crate::object::ObjectKey;

/// Said while notes are being read.
pub(super) const UNFINISHED: &str = "the notes of replays in the bucket are still being read";

/// What is known of notes.
#[derive(Debug, Default)]
pub(super) struct ReadNotes {
    pub(super) by_destination: BTreeMap<String, (Instant, SentAgain)>,
    pub(super) notes: HashMap<ObjectKey, Read>,
}

/// A note that was read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    pub(super) destination: String,
    /// What distinguishes it from the next note with its key.
    pub(super) version: (Option<String>, u64),
    /// How many dead letters it says were sent, or why it does not say so.
    pub(super) sent: Result<u64, String>,
}

/// How many dead letters of a destination were sent again.
#[derive(Clone, Debug, Default)]
pub(super) struct SentAgain {
    pub(super) count: u64,
    /// Why there may be more.
    pub(super) unknown: Option<String>,
}

impl ReadNotes {
    /// What is known although not all notes are read.
    pub(super) fn so_far(&self, destination: &str) -> SentAgain {
        let of_it = self.notes.values().filter(|read| read.destination == destination);
        let count = of_it.filter_map(|read| read.sent.as_ref().ok()).sum();
        SentAgain { count, unknown: Some(UNFINISHED.to_owned()) }
    }
}

impl SentAgain {
    pub(super) fn into_status(self, one: &mut DestinationStatus) {
        one.dead_sent_again = self.count.min(one.dead_stored);
        one.dead_unknown = self.unknown;
    }
}
