//! The store: create-only puts, whose answers may be lost and which may arrive late.

use std::collections::{BTreeMap, BTreeSet};

use forebay::log::{PendingSeal, Seal};
use forebay::object::{BucketString, ClosedMarker};

/// An object as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) seal: Seal,
    /// The SHA-256 of its lines, as its metadata has it.
    pub(super) sha256: String,
    pub(super) previous_last: Option<u64>,
    /// Position and line.
    pub(super) lines: Vec<(u64, Vec<u8>)>,
}

impl Object {
    pub(super) fn new(pending: &PendingSeal, lines: Vec<(u64, Vec<u8>)>) -> Self {
        let seal = pending.seal.clone();
        let (sha256, previous_last) = (pending.sha256().to_owned(), seal.previous_last);
        Self { seal, sha256, previous_last, lines }
    }
}

/// Why a put did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PutError {
    /// An object with this SHA-256 is there.
    Exists(String),
    Refused,
    Unknown,
}

/// The store.
#[derive(Clone, Debug, Default)]
pub(super) struct SimStore {
    pub(super) objects: BTreeMap<String, Object>,
    /// By bucket and key.
    pub(super) markers: BTreeMap<(BucketString, String), ClosedMarker>,
    /// Sources whose bucket refuses.
    pub(super) refuses: BTreeSet<String>,
}

impl SimStore {
    pub(super) fn put(&mut self, object: Object) -> Result<(), PutError> {
        let key = object.seal.object_key.as_str().to_owned();
        if let Some(known) = self.objects.get(&key) {
            return Err(PutError::Exists(known.sha256.clone()));
        }
        self.objects.insert(key, object);
        Ok(())
    }

    /// Returns `false` if another marker is there: its metadata is compared, as delivery does. So the day
    /// that it names as the one before may be another.
    pub(super) fn put_marker(&mut self, bucket: &BucketString, key: &str, marker: ClosedMarker) -> bool {
        let known = self.markers.entry((bucket.clone(), key.to_owned())).or_insert_with(|| marker.clone());
        known.metadata().unwrap() == marker.metadata().unwrap()
    }
}
