//! `forebay spool export`: writes the lines of a spool that are not yet in an object in the store.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::meter::Meter;
use super::verify::finding;
use crate::batch::BatchKey;
use crate::cli::args::SpoolExportArgs;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_json;
use crate::disk::read_all;
use crate::log::frame::Frame;
use crate::log::{Parked, PendingSeal, parked_name};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::spool::offline::{Finding, View, ViewError, Visitor, survey};
use crate::words::{about_bytes, counted, grouped};

/// Writes the lines, and reports on standard error what was written and what could not be read.
///
/// # Errors
/// [`Failure`] if something could not be read or written; everything readable is written nevertheless.
pub fn run(args: &SpoolExportArgs) -> Result<(), Failure> {
    let view = View::open(&args.dir)?;
    let exported = match &args.out {
        Some(path) => to_file(&view, args, path)?,
        None => match export(&view, args, &mut io::stdout().lock()) {
            // Like `head`, its reader has seen enough.
            Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            exported => exported?,
        },
    };
    report(&exported, args.json)?;
    match exported.unread.len() {
        0 => Ok(()),
        _ => Err(Failure::failed("some lines could not be written; they are named above")),
    }
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error(transparent)]
    Read(#[from] ViewError),
    #[error("read a parked object")]
    Parked(#[source] io::Error),
    #[error("write the lines")]
    Write(#[source] io::Error),
}

/// The result of an export.
#[derive(Debug, Default, serde::Serialize)]
struct Exported {
    lines: u64,
    bytes: u64,
    /// Of `lines`: those from parked objects.
    from_parked: u64,
    /// Of `lines`: those of sealed objects. If only the answer to a put was lost, they are also in the
    /// bucket.
    sealed_lines: u64,
    /// The keys of the sealed objects.
    sealed_keys: Vec<String>,
    /// Lines of other streams in the spool, which were not asked for.
    others: BTreeMap<Stream, u64>,
    unread: Vec<Finding>,
}

fn to_file(view: &View, args: &SpoolExportArgs, path: &Path) -> Result<Exported, Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::failed(format!("{} already exists; choose a new file", path.display()))
        }
        _ => Failure::failed(format!("create {}: {error}", path.display())),
    })?;
    let mut out = BufWriter::new(file);
    let exported = export(view, args, &mut out)?;
    let synced =
        out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file: File| file.sync_all());
    synced.map_err(|error| Failure::failed(format!("write {}: {error}", path.display())))?;
    Ok(exported)
}

fn export(view: &View, args: &SpoolExportArgs, out: &mut dyn Write) -> Result<Exported, ExportError> {
    let stream = if args.rejected { Stream::Rejected } else { args.stream.clone() };
    let mut lines = Lines {
        view,
        source: args.source.as_ref(),
        stream,
        out: BufWriter::new(out),
        exported: Exported::default(),
        failed: None,
        meter: Meter::new("exported from"),
    };
    // Parked lines are no longer in the segments, and are older than the lines there.
    for pending in view.manifest.state.seals.values() {
        lines.sealed(pending);
        if let Some(parked) = pending.parked {
            lines.parked(pending, parked)?;
        }
    }
    let surveyed = survey(view, &mut lines)?;
    lines.meter.clear();
    lines.failed.map_or_else(|| lines.out.flush(), Err).map_err(ExportError::Write)?;
    let mut exported = lines.exported;
    exported.unread.extend(surveyed.findings.into_iter().filter(Finding::hides_lines));
    exported.unread.extend(crate::spool::offline::manifest_findings(view));
    Ok(exported)
}

struct Lines<'a, W: Write> {
    view: &'a View,
    source: Option<&'a SourceId>,
    stream: Stream,
    out: BufWriter<W>,
    exported: Exported,
    failed: Option<io::Error>,
    meter: Meter,
}

impl<W: Write> Lines<'_, W> {
    fn wants(&self, batch: &BatchKey) -> bool {
        batch.stream == self.stream && self.source.is_none_or(|source| batch.source == *source)
    }

    fn sealed(&mut self, pending: &PendingSeal) {
        let seal = &pending.seal;
        if self.wants(&seal.batch) {
            self.exported.sealed_lines += pending.amended.as_ref().map_or(seal.frames, |amend| amend.frames);
            self.exported.sealed_keys.push(seal.object_key.to_string());
        }
    }

    fn parked(&mut self, pending: &PendingSeal, parked: Parked) -> Result<(), ExportError> {
        if !self.wants(&pending.seal.batch) {
            return Ok(());
        }
        if let Some(finding) = crate::spool::offline::check_parked(self.view, pending, parked) {
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
            if self.source.is_none_or(|source| key.source == *source) {
                *self.exported.others.entry(key.stream).or_default() += 1;
            }
            return;
        }
        let written = self.out.write_all(frame.payload).and_then(|()| self.out.write_all(b"\n"));
        self.failed = written.err();
        self.exported.lines += 1;
        self.exported.bytes += frame.payload.len() as u64 + 1;
    }

    fn progress(&mut self, done: u64, total: u64) {
        self.meter.bytes(done, total);
    }

    fn has_enough(&self) -> bool {
        self.failed.is_some()
    }
}

fn report(exported: &Exported, json: bool) -> io::Result<()> {
    let mut err = io::stderr().lock();
    if json {
        return print_json(&mut err, exported);
    }
    for unread in &exported.unread {
        err.write_all(finding(unread).as_bytes())?;
    }
    let (lines, bytes) = (counted(exported.lines, "line", "lines"), about_bytes(exported.bytes));
    let parked = match exported.from_parked {
        0 => String::new(),
        parked => format!(", {} of them from parked objects", grouped(parked)),
    };
    writeln!(err, "{lines}, {bytes}{parked}")?;
    for (stream, lines) in &exported.others {
        let lines = counted(*lines, "line", "lines");
        writeln!(err, "not exported: {lines} of {stream} (--stream {stream})")?;
    }
    let Some(first) = exported.sealed_keys.first() else { return Ok(()) };
    writeln!(
        err,
        "{} from sealed objects, which may already be in the bucket if only the answer to a put was lost; check before you load \
         them again ({} in all): {first}{}",
        counted(exported.sealed_lines, "line is", "lines are"),
        counted(exported.sealed_keys.len() as u64, "object", "objects"),
        if exported.sealed_keys.len() > 1 { ", … (--json lists all)" } else { "" },
    )
}
