//! The state that all notes of a manifest add up to.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::Error as _;
use serde_json::value::RawValue;

use super::key_run::KeyRun;
use crate::log::notes::{CallState, FIRST_POSITION};
use crate::log::{OpenImport, Range};
use crate::time::UnixMillis;
use crate::words::is_zero;

/// The state that all notes of a spool add up to. It is written as one object with the members of both parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct State {
    /// Of calls.
    #[serde(flatten)]
    pub calls: CallState,
    /// Of files.
    #[serde(flatten)]
    pub files: FileState,
}

/// What the notes about files add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileState {
    /// The number of the next segment.
    pub next_segment: u64,
    /// Every position before this one was released or noted as lost. 0 if an older release wrote the state.
    #[serde(default)]
    pub(crate) kept_from: u64,
    /// Segments that must exist.
    pub segments: BTreeSet<u64>,
    /// Positions of released segments that lie between segments that must exist.
    pub released: Vec<Range>,
    /// The imports that have begun and are not recorded elsewhere, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) imports: BTreeMap<u64, OpenImport>,
    /// The number of the next import.
    #[serde(default)]
    pub(crate) next_import: u64,
    /// The runs of keys of imported rows, by number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) key_runs: BTreeMap<u64, KeyRun>,
    /// The number of the next run; 0 if there never was one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) next_key_run: u64,
    /// The keys of all frames up to this position are in runs, or expired.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) keys_through: u64,
}

/// Written by hand, because serde's own way for `flatten` copies the state, which may have tens of megabytes,
/// and cannot read numbers as keys. Each part passes over the members of the other.
impl<'de> serde::Deserialize<'de> for State {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?.get();
        let calls = serde_json::from_str(json).map_err(D::Error::custom)?;
        Ok(Self { calls, files: serde_json::from_str(json).map_err(D::Error::custom)? })
    }
}

impl State {
    /// The state of a new spool.
    pub fn new() -> Self {
        let files = FileState { kept_from: FIRST_POSITION, ..FileState::default() };
        Self { calls: CallState::new(), files }
    }

    /// Forgets entries that are no longer needed: see [`CallState::prune`], and positions before the oldest
    /// frame.
    pub fn prune(&mut self, keep_from: UnixMillis, oldest_position: u64, unread: Option<u64>) {
        self.calls.prune(keep_from, oldest_position, unread);
        self.files.released.retain(|range| range.last >= oldest_position);
        self.files.kept_from = self.files.kept_from.max(oldest_position);
    }
}
