//! A view of a spool's files without recovery, for the offline tools.
//!
//! Recovery may refuse a damaged manifest. A view skips the damage, so that the rest can be shown and saved.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::batch::BatchKey;
use crate::disk::read_only::{LookError, ReadOnlyDisk};
use crate::disk::{Disk, if_there, read_all};
use crate::log::frame::Salt;
use crate::spool::format::ident::{Ident, IdentError};
use crate::spool::format::parked_name;
use crate::spool::format::segment::number_in;
use crate::spool::manifest::state::State;
use crate::spool::manifest::{self, Replayed, manifest_name};

/// Why a spool cannot be viewed.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The directory.
    #[error(transparent)]
    Look(#[from] LookError),
    /// Its identity.
    #[error(transparent)]
    Ident(#[from] IdentError),
    /// The disk reported an error.
    #[error("read {0}")]
    Disk(String, #[source] io::Error),
    /// A newer release wrote a segment.
    #[error("{0} was written by a newer release (format {1}); use that release's tools")]
    Newer(String, u16),
}

impl ViewError {
    /// Wraps an error of the disk about `file`.
    pub(crate) fn disk(file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |cause| Self::Disk(file, cause)
    }
}

/// A segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its number.
    pub number: u64,
    /// Its length in bytes; `None` if the manifest names a file that is missing.
    pub len: Option<u64>,
}

/// A view of a spool.
#[derive(Debug)]
pub struct View {
    /// The directory.
    pub disk: Arc<dyn Disk>,
    /// Its identity.
    pub ident: Ident,
    /// Damaged identity files, whose copy is sound.
    pub ident_damaged: Vec<&'static str>,
    /// The number of the newest manifest; `None` if there is none.
    pub(crate) manifest_number: Option<u64>,
    /// The newest manifest, as far as it can be read.
    pub manifest: Replayed,
    /// A file with data, if there is no manifest: it had one.
    pub(crate) missing_beside: Option<String>,
    /// The segments that hold the spool's frames, oldest first.
    pub segments: Vec<SegmentFile>,
    /// Segments that the manifest does not name. The next start removes them.
    pub leftovers: Vec<SegmentFile>,
    /// Parked objects that no sound manifest lists. The source and stream of their lines are unknown.
    pub(crate) unclaimed: Vec<String>,
}

impl View {
    /// Views the spool in `dir` without changing anything.
    pub fn open(dir: &Path) -> Result<Self, ViewError> {
        Self::of(Arc::new(ReadOnlyDisk::open(dir)?))
    }

    /// Views the spool on `disk` without changing anything.
    pub fn of(disk: Arc<dyn Disk>) -> Result<Self, ViewError> {
        let ident = Ident::read(&*disk)?
            .ok_or_else(|| ViewError::Disk("IDENT".to_owned(), io::ErrorKind::NotFound.into()))?;
        let files = disk.list("").map_err(ViewError::disk("the directory"))?;
        let manifest_number = files.iter().filter_map(|(name, _)| number_in(name, "MANIFEST-", "")).max();
        let (manifest, missing_beside) = match manifest_number {
            Some(number) => {
                let name = manifest_name(number);
                let bytes =
                    disk.open(&name).and_then(|file| read_all(&*file)).map_err(ViewError::disk(&name))?;
                (manifest::replay_any(&bytes, manifest::salt(&ident.spool_id, number)), None)
            }
            None => {
                let found = Ident::data_in(&*disk).map_err(ViewError::disk("the directory"))?;
                (Replayed::default(), found)
            }
        };
        let present: Vec<(u64, u64)> =
            files.iter().filter_map(|(name, len)| Some((number_in(name, "wal-", ".seg")?, *len))).collect();
        let named = &manifest.state.files.segments;
        // Without a sound manifest nobody knows which segments it named, so every file counts then.
        let is_sound = manifest_number.is_some() && manifest.damaged.is_empty();
        let counts = |number: &u64| !is_sound || named.contains(number);
        let file = |(number, len): &(u64, u64)| SegmentFile { number: *number, len: Some(*len) };
        let mut segments: Vec<SegmentFile> =
            present.iter().filter(|(number, _)| counts(number)).map(file).collect();
        let leftovers = present.iter().filter(|(number, _)| !counts(number)).map(file).collect();
        let known: BTreeSet<u64> = present.iter().map(|(number, _)| *number).collect();
        segments.extend(named.difference(&known).map(|number| SegmentFile { number: *number, len: None }));
        segments.sort_by_key(|segment| segment.number);
        let ident_damaged = Ident::damaged(&*disk)?;
        let unclaimed = if is_sound { Vec::new() } else { unclaimed(&*disk, &manifest.state)? };
        Ok(Self {
            disk,
            ident,
            ident_damaged,
            manifest_number,
            manifest,
            missing_beside,
            segments,
            leftovers,
            unclaimed,
        })
    }

    /// The salt of a segment's checksums.
    pub(crate) fn salt(&self, segment: u64) -> Salt {
        Salt::new(&self.ident.spool_id, segment)
    }

    /// The node id of the collector that last used the spool. If an older release did, the one in the names
    /// of sealed objects, and the default one if nothing is sealed.
    pub(crate) fn node(&self) -> String {
        if !self.manifest.state.calls.node.is_empty() {
            return self.manifest.state.calls.node.clone();
        }
        let spool_id = self.ident.spool_id_hex();
        let named = self.manifest.state.calls.seals.values().find_map(|pending| {
            let name = pending.seal.object_key.as_str().rsplit('/').next()?;
            let (before, _) = name.split_once(&format!("-{spool_id}-"))?;
            before.split_once('-').map(|(_, node)| node.to_owned())
        });
        named.unwrap_or_else(|| self.ident.default_node())
    }

    /// The progress of a batch: everything up to the first position is sealed, and up to the second stored or
    /// parked.
    pub fn cursor(&self, key: &BatchKey) -> (u64, u64) {
        self.manifest.state.calls.cursors.get(key).map_or((0, 0), |cursor| (cursor.sealed, cursor.released))
    }
}

fn unclaimed(disk: &dyn Disk, state: &State) -> Result<Vec<String>, ViewError> {
    let files = if_there(disk.list("parked")).map_err(ViewError::disk("parked"))?.unwrap_or_default();
    let claimed = |name: &String| {
        let mut parked = state.calls.seals.values().filter(|pending| pending.parked.is_some());
        parked.any(|pending| parked_name(pending.seal.number) == *name)
    };
    let names = files.into_iter().map(|(name, _)| format!("parked/{name}"));
    Ok(names.filter(|name| !name.ends_with(".tmp") && !claimed(name)).collect())
}
