//! Opens a spool although notes of its manifest cannot be read.
//!
//! The contents of such notes are unknown, so no file that they may have referred to is removed. Every
//! segment on disk is adopted. A parked file belongs to a seal if it holds exactly what was sealed; other
//! parked files go to quarantine. Deliveries that the notes recorded are done again. If such an object begins
//! at the same frame, it has the same key, and the store refuses the second copy.

use std::collections::BTreeSet;
use std::io;

use super::found::Found;
use crate::disk::{Disk, DiskFile, if_there, read_sound};
use crate::log::Parked;
use crate::spool::format::ident::Ident;
use crate::spool::format::segment::{HeaderCheck, check_header, index_name, number_in, segment_name};
use crate::spool::format::{hash_lines, parked_name};
use crate::spool::manifest::state::State;

/// Adopts segments that no note names and that may hold acknowledged frames. Returns their numbers. If the
/// manifest is sound, only segments newer than all notes are adopted: the note that names them may be the
/// unreadable last one, which looks torn. If the manifest is damaged, all segments on disk are adopted.
pub(super) fn adopt(
    disk: &dyn Disk,
    ident: &Ident,
    state: &mut State,
    damaged: bool,
) -> io::Result<BTreeSet<u64>> {
    let mut adopted = BTreeSet::new();
    for (name, _) in disk.list("")? {
        let unknown = |number: &u64| {
            !state.files.segments.contains(number) && (damaged || *number >= state.files.next_segment)
        };
        let Some(number) = number_in(&name, "wal-", ".seg").filter(unknown) else { continue };
        let mut header = [0; 64];
        read_sound(&*disk.open(&name)?, &mut header, 0)?;
        // If the manifest is damaged, a damaged header is no reason to skip a segment: every block has its
        // own checksum.
        if damaged || check_header(&header, &ident.spool_id, number) == HeaderCheck::Good {
            adopted.insert(number);
        }
    }
    state.files.next_segment = adopted.last().map_or(0, |last| last + 1).max(state.files.next_segment);
    state.files.segments.extend(&adopted);
    Ok(adopted)
}

/// Marks parked objects whose file is missing as not parked, so that they are read from the segments again.
/// The file was removed after a commit whose note was lost. If the segments no longer hold the frames either,
/// the store shows whether it has the object.
pub(super) fn unpark_missing_files(disk: &dyn Disk, state: &mut State) -> io::Result<()> {
    let files: BTreeSet<String> =
        disk.list("parked")?.into_iter().map(|(name, _)| format!("parked/{name}")).collect();
    for pending in state.calls.seals.values_mut() {
        let number = pending.seal.number;
        if pending.parked.is_some() && !files.contains(&parked_name(number)) {
            tracing::error!(seal = number, "the file of a parked object is missing");
            pending.parked = None;
        }
    }
    Ok(())
}

/// Finds parked files of pending seals whose notes cannot be read. A file belongs to a seal if it holds
/// exactly what was sealed, or what an amendment left of it. Returns whether one was found.
pub(super) fn find_unnoted_parked(disk: &dyn Disk, state: &mut State) -> io::Result<bool> {
    let unnoted: Vec<(u64, String)> = state
        .calls
        .seals
        .values()
        .filter(|pending| pending.parked.is_none())
        .map(|pending| (pending.seal.number, pending.sha256().to_owned()))
        .collect();
    let mut found = false;
    for (number, sha256) in unnoted {
        let Some(file) = if_there(disk.open(&parked_name(number)))? else { continue };
        let mut parked =
            ParkedFile { file: &*file, read: Parked { len: 0, crc32: 0 }, crc32: crc32fast::Hasher::new() };
        // A file that cannot be unpacked does not hold what was sealed.
        if hash_lines(&mut parked).is_ok_and(|hash| hash == sha256) && parked.is_read_to_its_end()? {
            // No note proves that this file was ever synced, and its frames may be released from here on.
            file.sync()?;
            disk.sync_dir("parked")?;
            state.calls.kept_apart(number, parked.read, None, None);
            found = true;
        }
    }
    Ok(found)
}

/// A parked file being read, with its length and checksum so far.
struct ParkedFile<'a> {
    file: &'a dyn DiskFile,
    read: Parked,
    crc32: crc32fast::Hasher,
}

impl ParkedFile<'_> {
    /// Whether the file ends here.
    fn is_read_to_its_end(&self) -> io::Result<bool> {
        Ok(self.file.len()? == self.read.len)
    }
}

impl io::Read for ParkedFile<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.read.len)?;
        self.crc32.update(buf.get(..read).unwrap_or(&[]));
        self.read = Parked { len: self.read.len + read as u64, crc32: self.crc32.clone().finalize() };
        Ok(read)
    }
}

/// Removes segments that are copies of others from `found`, and returns their numbers and whether each is
/// damaged. A start copies the last segment, and may be interrupted before it notes the copy. If one of two
/// segments holds all positions of the other, the other is the copy.
pub(super) fn split_off_copies(
    found: &mut Vec<Found>,
    state: &mut State,
    adopted: &BTreeSet<u64>,
) -> Vec<(u64, bool)> {
    let spans: Vec<(u64, (u64, u64))> = found.iter().map(|found| (found.number, found.span)).collect();
    let is_copy = |found: &Found| {
        let (first, last) = found.span;
        let mut others = spans.iter().filter(|(number, _)| *number != found.number);
        others.any(|(number, (from, to))| {
            let touched = adopted.contains(number) || adopted.contains(&found.number);
            let same = (*from, *to) == found.span;
            touched && first > 0 && *from <= first && last <= *to && (!same || *number < found.number)
        })
    };
    let copies: Vec<(u64, bool)> =
        found.iter().filter(|found| is_copy(found)).map(|found| (found.number, found.is_damaged())).collect();
    found.retain(|found| !copies.iter().any(|(number, _)| *number == found.number));
    for (number, _) in &copies {
        state.files.segments.remove(number);
    }
    copies
}

/// Removes copies of segments. Damaged ones go to quarantine.
pub(super) fn remove_copies(disk: &dyn Disk, copies: &[(u64, bool)]) -> io::Result<()> {
    for (number, damaged) in copies {
        let name = segment_name(*number);
        disk.remove(&index_name(*number))?;
        if *damaged { disk.rename(&name, &format!("quarantine/{name}"))? } else { disk.remove(&name)? }
    }
    Ok(())
}
