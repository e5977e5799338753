//! Writes the lines of a spool that are not yet in an object in the store.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::survey::{Finding, Visitor, survey};
use super::verify::{check_parked, manifest_findings};
use super::view::{View, ViewError};
use crate::batch::BatchKey;
use crate::disk::read_all;
use crate::log::frame::Frame;
use crate::log::{Parked, PendingSeal};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::spool::format::parked_name;

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The spool cannot be read.
    #[error(transparent)]
    Read(#[from] ViewError),
    /// The disk reported an error.
    #[error("read a parked object")]
    Parked(#[source] io::Error),
    /// The reader of the lines, or the disk that they go to, reported an error.
    #[error("write the lines")]
    Write(#[source] io::Error),
    /// A file is never replaced.
    #[error("{0} already exists; choose a new file")]
    Exists(PathBuf),
    /// The file cannot be made, or not be synced.
    #[error("{0} {1}")]
    File(&'static str, PathBuf, #[source] io::Error),
}

/// The lines to export.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// Of this source only; `None`: of every source.
    pub source: Option<&'a SourceId>,
    /// Of this stream.
    pub stream: Stream,
}

/// The result of an export.
#[derive(Debug, Default, serde::Serialize)]
pub struct Exported {
    /// Lines that were written.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of `lines`: those from parked objects.
    pub from_parked: u64,
    /// Of `lines`: those of sealed objects. If only the answer to a put was lost, they are also in the
    /// bucket.
    pub sealed_lines: u64,
    /// The keys of the sealed objects.
    pub sealed_keys: Vec<String>,
    /// Lines of other streams in the spool, which were not asked for.
    pub others: BTreeMap<Stream, u64>,
    /// What could not be read.
    pub unread: Vec<Finding>,
}

/// Writes lines to a new file, and syncs it. `progress` is called with the bytes of segments read so far and
/// their total. Errors: [`ExportError`]; what was written until then stays in the file.
pub fn export_to_file(
    view: &View,
    wanted: Wanted<'_>,
    path: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, ExportError> {
    let failed = |what| move |cause| ExportError::File(what, path.to_owned(), cause);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => ExportError::Exists(path.to_owned()),
        _ => failed("create")(error),
    })?;
    let exported = export(view, wanted, &mut file, progress)?;
    file.sync_all().map_err(failed("write"))?;
    Ok(exported)
}

/// Writes lines. `progress` is called with the bytes of segments read so far and their total.
/// Errors: [`ExportError`] if the disk or `out` reports an error.
pub fn export(
    view: &View,
    wanted: Wanted<'_>,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Exported, ExportError> {
    let (out, exported) = (BufWriter::new(out), Exported::default());
    let mut lines = Lines { view, wanted, out, exported, failed: None };
    // Parked lines are no longer in the segments, and are older than the lines there.
    for pending in view.manifest.state.calls.seals.values() {
        lines.sealed(pending);
        if let Some(parked) = pending.parked {
            lines.parked(pending, parked)?;
        }
    }
    let surveyed = survey(view, &mut lines, progress)?;
    lines.failed.map_or_else(|| lines.out.flush(), Err).map_err(ExportError::Write)?;
    let mut exported = lines.exported;
    exported.unread.extend(surveyed.findings.into_iter().filter(Finding::hides_lines));
    exported.unread.extend(manifest_findings(view));
    Ok(exported)
}

struct Lines<'a, W: Write> {
    view: &'a View,
    wanted: Wanted<'a>,
    out: BufWriter<W>,
    exported: Exported,
    failed: Option<io::Error>,
}

impl<W: Write> Lines<'_, W> {
    fn wants(&self, batch: &BatchKey) -> bool {
        batch.stream == self.wanted.stream && self.wanted.source.is_none_or(|source| batch.source == *source)
    }

    fn sealed(&mut self, pending: &PendingSeal) {
        let seal = &pending.seal;
        if self.wants(&seal.batch) {
            self.exported.sealed_lines += pending.frames();
            self.exported.sealed_keys.push(seal.object_key.to_string());
        }
    }

    fn parked(&mut self, pending: &PendingSeal, parked: Parked) -> Result<(), ExportError> {
        if !self.wants(&pending.seal.batch) {
            return Ok(());
        }
        if let Some(finding) = check_parked(self.view, pending, parked) {
            self.exported.unread.push(finding);
            return Ok(());
        }
        let file = self.view.disk.open(&parked_name(pending.seal.number)).map_err(ExportError::Parked)?;
        let object = read_all(&*file).map_err(ExportError::Parked)?;
        let mut gzip = flate2::read::GzDecoder::new(object.as_slice());
        let mut piece = vec![0; 64 * 1_024];
        loop {
            let read = gzip.read(&mut piece).map_err(ExportError::Parked)?;
            let bytes = piece.get(..read).unwrap_or(&[]);
            if bytes.is_empty() {
                break;
            }
            self.out.write_all(bytes).map_err(ExportError::Write)?;
            let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
            self.exported.lines += lines;
            self.exported.from_parked += lines;
            self.exported.bytes += bytes.len() as u64;
        }
        Ok(())
    }
}

impl<W: Write> Visitor for Lines<'_, W> {
    fn frame(&mut self, _segment: u64, _offset: u64, frame: &Frame<'_>) {
        let Some(key) = frame.batch() else { return };
        if self.failed.is_some() || frame.position <= self.view.cursor(&key).1 {
            return;
        }
        if !self.wants(&key) {
            if self.wanted.source.is_none_or(|source| key.source == *source) {
                *self.exported.others.entry(key.stream).or_default() += 1;
            }
            return;
        }
        let written = self.out.write_all(frame.payload).and_then(|()| self.out.write_all(b"\n"));
        self.failed = written.err();
        self.exported.lines += 1;
        self.exported.bytes += frame.payload.len() as u64 + 1;
    }

    fn has_enough(&self) -> bool {
        self.failed.is_some()
    }
}
