//! A spool as its files show it, without recovering anything: for the tools that look at a spool offline.
//!
//! Recovery stops at a damaged manifest. A view reads on behind the damage, so that what is left can be named and saved.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, read_all};
use super::frame::{Frame, FrameKind, Salt};
use super::ident::{Ident, IdentError};
use super::manifest::{self, manifest_name};
use super::read_only::{LookError, ReadOnlyDisk};
use super::segment::number_in;
use super::state::State;
use crate::batch::BatchKey;
use crate::object::Stream;
use crate::sources::SourceId;

/// Why a spool cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The directory.
    #[error(transparent)]
    Look(#[from] LookError),
    /// Its identity.
    #[error(transparent)]
    Ident(#[from] IdentError),
    /// The disk says no.
    #[error("read {file}")]
    Disk {
        /// The file.
        file: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A newer release wrote a segment.
    #[error("{file} was written by a newer release (format {major}); use that release's tools")]
    Newer {
        /// The segment's file.
        file: String,
        /// Its format.
        major: u16,
    },
}

impl ViewError {
    /// For an error of the disk about `file`.
    pub fn disk(file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |cause| Self::Disk { file, cause }
    }
}

/// Bytes of a file: from `from` up to, and without, `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct ByteRange {
    /// The first byte.
    pub from: u64,
    /// The first byte behind it.
    pub to: u64,
}

/// The newest manifest, as far as it can be read.
#[derive(Clone, Debug, Default)]
pub struct ManifestView {
    /// Its number; `None` where there is no manifest.
    pub number: Option<u64>,
    /// Notes read.
    pub notes: usize,
    /// Its length in bytes.
    pub bytes: u64,
    /// Which of the two notes that it begins with cannot be read, where the other can.
    pub one_of_two: Option<ByteRange>,
    /// What cannot be read though it was once synced: notes follow behind it, or it is the beginning.
    pub damaged: Vec<ByteRange>,
    /// What stands behind the last sound note: one that was torn and never acted upon, or notes that rotted.
    pub torn: Option<ByteRange>,
    /// What the notes that can be read say together.
    pub state: State,
}

/// A segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFile {
    /// Its number.
    pub number: u64,
    /// Its length in bytes; `None` where the manifest names a file that is not there.
    pub len: Option<u64>,
}

/// A spool, looked at.
#[derive(Debug)]
pub struct View {
    /// The directory.
    pub disk: Arc<dyn Disk>,
    /// Who it is.
    pub ident: Ident,
    /// The files that should say so and are damaged; another says it.
    pub ident_damaged: Vec<&'static str>,
    /// The newest manifest.
    pub manifest: ManifestView,
    /// The segments that hold the spool's frames, oldest first.
    pub segments: Vec<SegmentFile>,
    /// Segments that the manifest does not name: the next opening removes them.
    pub leftovers: Vec<SegmentFile>,
}

impl View {
    /// Looks at the spool in `dir`, changing nothing.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn open(dir: &Path) -> Result<Self, ViewError> {
        Self::of(Arc::new(ReadOnlyDisk::open(dir)?))
    }

    /// Looks at the spool on `disk`, changing nothing.
    ///
    /// # Errors
    /// [`ViewError`].
    pub fn of(disk: Arc<dyn Disk>) -> Result<Self, ViewError> {
        let ident = Ident::read(&*disk)?.ok_or_else(|| ViewError::Disk {
            file: "IDENT".to_owned(),
            cause: io::ErrorKind::NotFound.into(),
        })?;
        let manifest = read_manifest(&*disk, &ident)?;
        let files = disk.list("").map_err(ViewError::disk("the directory"))?;
        let there: Vec<(u64, u64)> =
            files.iter().filter_map(|(name, len)| Some((number_in(name, "wal-", ".seg")?, *len))).collect();
        let named = &manifest.state.segments;
        // Behind damage the manifest's list may lack some: every file is looked into then.
        let counts = |number: &u64| !manifest.damaged.is_empty() || named.contains(number);
        let file = |(number, len): &(u64, u64)| SegmentFile { number: *number, len: Some(*len) };
        let mut segments: Vec<SegmentFile> =
            there.iter().filter(|(number, _)| counts(number)).map(file).collect();
        let leftovers = there.iter().filter(|(number, _)| !counts(number)).map(file).collect();
        let known: BTreeSet<u64> = there.iter().map(|(number, _)| *number).collect();
        segments.extend(named.difference(&known).map(|number| SegmentFile { number: *number, len: None }));
        segments.sort_by_key(|segment| segment.number);
        let ident_damaged = Ident::damaged(&*disk)?;
        Ok(Self { disk, ident, ident_damaged, manifest, segments, leftovers })
    }

    /// The salt of a segment's checksums.
    pub fn salt(&self, segment: u64) -> Salt {
        Salt::new(&self.ident.spool_id, segment)
    }

    /// The node id as it stands in the names of sealed objects; else the one that is used where none is set.
    pub fn node(&self) -> String {
        let spool_id = self.ident.spool_id_hex();
        let named = self.manifest.state.seals.values().find_map(|pending| {
            let name = pending.seal.object_key.as_str().rsplit('/').next()?;
            let (before, _) = name.split_once(&format!("-{spool_id}-"))?;
            before.split_once('-').map(|(_, node)| node.to_owned())
        });
        named.unwrap_or_else(|| spool_id.chars().take(8).collect())
    }

    /// Everything of a batch up to the first is sealed, everything up to the second is stored or parked.
    pub fn cursor(&self, key: &BatchKey) -> (u64, u64) {
        self.manifest.state.cursors.get(key).map_or((0, 0), |cursor| (cursor.sealed, cursor.released))
    }
}

/// The batch that a frame belongs to; `None` for frames that hold no line.
pub fn batch_of(frame: &Frame<'_>) -> Option<BatchKey> {
    let stream = match frame.kind {
        FrameKind::Call => Stream::Calls,
        FrameKind::Rejected => Stream::Rejected,
        FrameKind::ImportProgress | FrameKind::CleanClose | FrameKind::Repeats => return None,
    };
    let source = SourceId::new(frame.source).ok()?;
    Some(BatchKey { source, day: frame.received_at.day(), stream })
}

fn read_manifest(disk: &dyn Disk, ident: &Ident) -> Result<ManifestView, ViewError> {
    let files = disk.list("").map_err(ViewError::disk("the directory"))?;
    let newest = files.iter().filter_map(|(name, _)| number_in(name, "MANIFEST-", "")).max();
    let Some(number) = newest else { return Ok(ManifestView::default()) };
    let name = manifest_name(number);
    let bytes = disk.open(&name).and_then(|file| read_all(&*file)).map_err(ViewError::disk(&name))?;
    Ok(replay(&bytes, manifest::salt(&ident.spool_id, number), number))
}

/// Reads every note that can be read.
fn replay(bytes: &[u8], salt: Salt, number: u64) -> ManifestView {
    let bytes = manifest::written(bytes);
    let mut view =
        ManifestView { number: Some(number), bytes: bytes.len() as u64, ..ManifestView::default() };
    let rest = |at: usize| bytes.get(at..).unwrap_or(&[]);
    let mut at = 0;
    if let Some(manifest::Beginning { state, end, damaged }) = manifest::beginning(bytes, salt) {
        (view.state, view.notes, at) = (state, 1, end);
        view.one_of_two = damaged.map(|(from, to)| ByteRange { from: from as u64, to: to as u64 });
    }
    while at < bytes.len() {
        if let Some((note, len)) = manifest::decode(rest(at), salt) {
            view.state.apply(note);
            view.notes += 1;
            at += len;
            continue;
        }
        let next = (at + 1..bytes.len()).find(|from| manifest::decode(rest(*from), salt).is_some());
        let range = ByteRange { from: at as u64, to: next.unwrap_or(bytes.len()) as u64 };
        if next.is_some() || at == 0 {
            view.damaged.push(range);
        } else {
            view.torn = Some(range);
        }
        at = next.unwrap_or(bytes.len());
    }
    if bytes.is_empty() {
        view.damaged.push(ByteRange { from: 0, to: 0 });
    }
    view
}
