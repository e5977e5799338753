//! `forebay spool resolve`: a person decides what becomes of a sealed object whose key is taken by another one.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use crate::cli::args::{ResolveAction, SpoolResolveArgs};
use crate::cli::failure::Failure;
use crate::delivery::encode::LEVEL_AT_LEISURE;
use crate::object::gzip::GzipLines;
use crate::spool::disk::read_all;
use crate::spool::frame::Frame;
use crate::spool::ident::Ident;
use crate::spool::manifest::{self, Manifest};
use crate::spool::note::{Note, PendingSeal};
use crate::spool::outlet::parked_name;
use crate::spool::read_only::ReadOnlyDisk;
use crate::spool::state::State;
use crate::spool::survey::{Visitor, survey};
use crate::spool::view::{View, batch_of};
use crate::spool::{Disk, DiskFile, RealDisk};

/// Notes the decision in the spool. It takes effect at the next start.
///
/// # Errors
/// [`Failure`] where the seal does not wait for a decision, or the spool cannot be read or written.
pub fn run(args: &SpoolResolveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // What is no spool is left as it is: opening for writing would make one of it.
    drop(ReadOnlyDisk::open(&args.dir)?);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(&args.dir)?);
    let ident = Ident::read(&*disk)?.ok_or_else(|| Failure::failed("the spool has no IDENT file"))?;
    let (number, mut state) = manifest::read_newest(&*disk, &ident.spool_id)?.unwrap_or_default();
    let pending = conflicted(&state, args.seal)?.clone();
    let note = match args.action {
        ResolveAction::Overwrite => Note::Retry { number: args.seal, overwrite: true },
        ResolveAction::KeepTheirs => {
            let kept = keep_ours(&disk, &pending)?;
            writeln!(out, "our lines are kept: {}/{kept}", args.dir.display())?;
            Note::Committed { number: args.seal, applied: None, seal: None, amended: None }
        }
    };
    state.apply(note);
    drop(Manifest::begin(Arc::clone(&disk), ident.spool_id, number + 1, state)?);
    let key = &pending.seal.object_key;
    match args.action {
        ResolveAction::Overwrite => {
            writeln!(out, "seal {}: the next start puts ours in place of {key}", args.seal)?;
        }
        ResolveAction::KeepTheirs => {
            // The manifest first, the file after: a crash between leaves a file that the next start removes.
            disk.remove(&parked_name(args.seal))?;
            writeln!(out, "seal {}: {key} stays as it is, and ours counts as delivered", args.seal)?;
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
    let those =
        if waiting.is_empty() { "none does".to_owned() } else { format!("these do: {}", waiting.join(", ")) };
    Err(Failure::failed(format!("seal {number} does not wait for a decision; {those}")))
}

/// Keeps our lines in quarantine, durably, before they count as delivered. Returns the file.
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
                "not all of our lines can be read any more; those that can are kept"
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
