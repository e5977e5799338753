//! A person's decision about a sealed object whose key is taken by another object.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, read_all};
use crate::log::frame::Frame;
use crate::log::notes::CallNote;
use crate::log::{Decision, PendingSeal};
use crate::object::gzip::GzipLines;
use crate::spool::format::ident::{Ident, IdentError};
use crate::spool::format::parked_name;
use crate::spool::manifest::state::State;
use crate::spool::manifest::{self, MANIFEST_BYTES, Manifest, ManifestError};
use crate::spool::offline::survey::{Visitor, survey};
use crate::spool::offline::view::{View, ViewError};

/// Why a decision cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The directory is no spool.
    #[error("the spool has no IDENT file")]
    NoIdent,
    /// Its identity cannot be read.
    #[error(transparent)]
    Ident(#[from] IdentError),
    /// Its manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its segments cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The disk reported an error.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// The file that keeps our lines cannot be written.
    #[error("write {0}")]
    Keep(String, #[source] io::Error),
    /// The seal has no conflict; these have one.
    #[error("seal {seal} has no conflict; {}", those(.1), seal = .0)]
    NotWaiting(u64, Vec<u64>),
}

fn those(waiting: &[u64]) -> String {
    let waiting: Vec<String> = waiting.iter().map(u64::to_string).collect();
    if waiting.is_empty() {
        "no seal has one".to_owned()
    } else {
        format!("seals with a conflict: {}", waiting.join(", "))
    }
}

/// A seal that waits for a decision, in a spool that no process has open.
#[derive(Debug)]
pub(crate) struct Conflict {
    disk: Arc<dyn Disk>,
    ident: Ident,
    /// The newest manifest's number, and its state.
    manifest: (u64, State),
    /// The sealed object.
    pub(crate) pending: PendingSeal,
}

impl Conflict {
    /// Reads the spool on `disk`.
    /// Errors: [`ResolveError`] if the spool cannot be read, or the seal has no conflict.
    pub(crate) fn read(disk: Arc<dyn Disk>, seal: u64) -> Result<Self, ResolveError> {
        let ident = Ident::read(&*disk)?.ok_or(ResolveError::NoIdent)?;
        let Some(manifest) = manifest::read_newest(&*disk, &ident.spool_id)? else {
            manifest::none_is_missing(&*disk)?;
            return Err(ResolveError::NotWaiting(seal, Vec::new()));
        };
        let pending = conflicted(&manifest.1, seal)?.clone();
        Ok(Self { disk, ident, manifest, pending })
    }

    /// Records the decision durably. It takes effect at the next start.
    pub(crate) fn record(self, decision: Decision) -> Result<(), ResolveError> {
        let Self { disk, ident, manifest: (number, mut state), pending } = self;
        let seal = pending.seal.number;
        state.apply(match decision {
            Decision::Overwrite => CallNote::Retry { number: seal, overwrite: true, aside: false },
            Decision::KeepTheirs => {
                CallNote::Committed { number: seal, applied: None, seal: None, amended: None }
            }
        });
        drop(Manifest::begin(Arc::clone(&disk), ident.spool_id, number + 1, state, MANIFEST_BYTES)?);
        if decision == Decision::KeepTheirs {
            // Write the manifest before removing the file: a crash in between leaves a file that the next
            // start removes.
            disk.remove(&parked_name(seal))?;
        }
        Ok(())
    }

    /// Keeps our lines durably in quarantine, before they count as delivered. Lines that are not compressed
    /// yet are compressed at `level`. Returns the name of the file.
    pub(crate) fn keep_ours(&self, level: u32) -> Result<String, ResolveError> {
        let Self { disk, pending, .. } = self;
        let number = pending.seal.number;
        let name = format!("quarantine/seal-{number:020}.gz");
        let temporary = format!("{name}.tmp");
        let file = disk.create(&temporary)?;
        if pending.parked.is_some() {
            let parked = disk.open(&parked_name(number))?;
            file.write_at(&[IoSlice::new(&read_all(&*parked)?)], 0)?;
        } else {
            let view = View::of(Arc::clone(disk))?;
            let writer = FileWriter { file: Arc::clone(&file), at: 0 };
            let mut ours = Ours { pending, gzip: GzipLines::new(writer, level, u64::MAX), failed: None };
            survey(&view, &mut ours, &mut |_, _| {})?;
            if let Some(cause) = ours.failed {
                return Err(ResolveError::Keep(name, cause));
            }
            let done = ours.gzip.finish()?;
            if done.sha256 != pending.sha256() {
                tracing::warn!(
                    lines = done.lines,
                    sealed = pending.seal.frames,
                    "some lines of the sealed object can no longer be read; the others are kept"
                );
            }
        }
        file.sync()?;
        disk.rename(&temporary, &name)?;
        disk.sync_dir("quarantine")?;
        Ok(name)
    }
}

fn conflicted(state: &State, seal: u64) -> Result<&PendingSeal, ResolveError> {
    let waits = |pending: &&PendingSeal| pending.conflict;
    state.calls.seals.get(&seal).filter(waits).ok_or_else(|| {
        let waiting = state.calls.seals.values().filter(waits).map(|pending| pending.seal.number);
        ResolveError::NotWaiting(seal, waiting.collect())
    })
}

struct Ours<'a> {
    pending: &'a PendingSeal,
    gzip: GzipLines<FileWriter>,
    failed: Option<io::Error>,
}

impl Visitor for Ours<'_> {
    fn frame(&mut self, _segment: u64, _offset: u64, frame: &Frame<'_>) {
        let seal = &self.pending.seal;
        let ours = (seal.first..=seal.last).contains(&frame.position)
            && frame.batch().is_some_and(|key| key == seal.batch);
        if ours && self.failed.is_none() {
            self.failed = self.gzip.push(frame.payload).err();
        }
    }
}

struct FileWriter {
    file: Arc<dyn DiskFile>,
    at: u64,
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(&[IoSlice::new(bytes)], self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
