//! `forebay spool resolve`: records which object a person wants to keep if another object has the key of a
//! sealed one.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use crate::cli::args::{ResolveAction, SpoolResolveArgs};
use crate::cli::failure::Failure;
use crate::delivery::make::encode::LEVEL_AT_LEISURE;
use crate::disk::Disk;
use crate::disk::DiskFile;
use crate::disk::read_all;
use crate::disk::read_only::ReadOnlyDisk;
use crate::disk::real_disk::RealDisk;
use crate::log::frame::Frame;
use crate::log::{PendingSeal, parked_name};
use crate::object::gzip::GzipLines;
use crate::spool::SpoolOptions;
use crate::spool::format::Ident;
use crate::spool::manifest::{self, Manifest, Note, State};
use crate::spool::offline::{View, Visitor, batch_of, survey};

/// Records the decision in the spool. It takes effect at the next start.
///
/// # Errors
/// [`Failure`] if the seal has no conflict, or the spool cannot be read or written.
pub fn run(args: &SpoolResolveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // Open it read-only first: opening a directory for writing turns it into a spool.
    drop(ReadOnlyDisk::open(&args.dir)?);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&args.dir)?);
    let ident = Ident::read(&*disk)?.ok_or_else(|| Failure::failed("the spool has no IDENT file"))?;
    let (number, mut state) = manifest::read_newest(&*disk, &ident.spool_id)?.unwrap_or_default();
    let pending = conflicted(&state, args.seal)?.clone();
    let note = match args.action {
        ResolveAction::Overwrite => Note::Retry { number: args.seal, overwrite: true },
        ResolveAction::KeepTheirs => {
            let kept = keep_ours(&disk, &pending)?;
            writeln!(out, "the lines of the sealed object are kept in {}/{kept}", args.dir.display())?;
            Note::Committed { number: args.seal, applied: None, seal: None, amended: None }
        }
    };
    state.apply(note);
    let bytes = SpoolOptions::default().manifest_bytes;
    drop(Manifest::begin(Arc::clone(&disk), ident.spool_id, number + 1, state, bytes)?);
    let key = &pending.seal.object_key;
    match args.action {
        ResolveAction::Overwrite => {
            writeln!(out, "seal {}: the next start replaces {key} with the sealed object", args.seal)?;
        }
        ResolveAction::KeepTheirs => {
            // Write the manifest before removing the file: a crash in between leaves a file that the next
            // start removes.
            disk.remove(&parked_name(args.seal))?;
            writeln!(out, "seal {}: {key} is kept, and the sealed object counts as delivered", args.seal)?;
        }
    }
    Ok(())
}

fn conflicted(state: &State, number: u64) -> Result<&PendingSeal, Failure> {
    if let Some(pending) = state.seals.get(&number).filter(|pending| pending.conflict) {
        return Ok(pending);
    }
    let waiting: Vec<String> = state
        .seals
        .values()
        .filter(|pending| pending.conflict)
        .map(|pending| pending.seal.number.to_string())
        .collect();
    let those = if waiting.is_empty() {
        "no seal has one".to_owned()
    } else {
        format!("seals with a conflict: {}", waiting.join(", "))
    };
    Err(Failure::failed(format!("seal {number} has no conflict; {those}")))
}

/// Keeps our lines durably in quarantine before they count as delivered. Returns the name of the file.
fn keep_ours(disk: &Arc<dyn Disk>, pending: &PendingSeal) -> Result<String, Failure> {
    let number = pending.seal.number;
    let name = format!("quarantine/seal-{number:020}.gz");
    let (temporary, place) = (format!("{name}.tmp"), &name);
    let file = disk.create(&temporary)?;
    if pending.parked.is_some() {
        let parked = disk.open(&parked_name(number))?;
        file.write_at(&[IoSlice::new(&read_all(&*parked)?)], 0)?;
    } else {
        let view = View::of(Arc::clone(disk))?;
        let writer = FileWriter { file: Arc::clone(&file), at: 0 };
        let mut ours =
            Ours { pending, gzip: GzipLines::new(writer, LEVEL_AT_LEISURE, u64::MAX), failed: None };
        survey(&view, &mut ours)?;
        if let Some(error) = ours.failed {
            return Err(Failure::failed(format!("write {name}: {error}")));
        }
        let done = ours.gzip.finish()?;
        let expected = pending.amended.as_ref().map_or(&pending.seal.sha256, |amend| &amend.sha256);
        if done.sha256 != *expected {
            tracing::warn!(
                lines = done.lines,
                sealed = pending.seal.frames,
                "some lines of the sealed object can no longer be read; the others are kept"
            );
        }
    }
    file.sync()?;
    disk.rename(&temporary, place)?;
    disk.sync_dir("quarantine")?;
    Ok(name)
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
            && batch_of(frame).is_some_and(|key| key == seal.batch);
        if ours && self.failed.is_none() {
            self.failed = self.gzip.push(frame.payload).err();
        }
    }

    fn progress(&mut self, _done: u64, _total: u64) {}
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
