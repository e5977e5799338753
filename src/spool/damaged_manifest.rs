//! Going on past notes of the manifest that cannot be read.
//!
//! What such notes said is not known, so nothing that they may have spoken of is removed: every segment that is there is
//! taken in, a parked object is that of a seal where it holds what was sealed, and others go to quarantine. What they had
//! delivered is delivered again under the same key where it begins at the same frame, and the store says no.

use std::collections::BTreeSet;
use std::io::{self, Read as _};

use sha2::{Digest as _, Sha256};

use super::disk::{Disk, DiskFile, read_sound};
use super::ident::Ident;
use super::manifest::{self, ManifestError};
use super::note::Parked;
use super::outlet::parked_name;
use super::recovery::{Found, Recovered};
use super::segment::{HeaderCheck, check_header, index_name, number_in, segment_name};
use super::state::State;
use super::verify::hex;

/// Reads the newest manifest, and steps over what cannot be read, unless damage is to stop the start. Returns its number,
/// its state, and where bytes begin behind its last sound note.
///
/// # Errors
/// [`ManifestError`].
pub(super) fn read(
    disk: &dyn Disk,
    ident: &Ident,
    stop: bool,
    recovered: &mut Recovered,
) -> Result<(u64, State, Option<usize>), ManifestError> {
    let Some((number, replayed)) = manifest::read_newest_past_damage(disk, &ident.spool_id)? else {
        return Ok((0, State::new(), None));
    };
    let state = replayed.state;
    if replayed.one_of_two {
        tracing::error!(
            "one of the two notes that the spool's manifest begins with is damaged; the other says the same"
        );
    }
    if let Some(at) = replayed.damaged_at {
        if stop {
            return Err(ManifestError::DamagedWithin { name: manifest::manifest_name(number), at });
        }
        tracing::error!(
            at,
            notes = replayed.notes,
            "the spool's manifest is damaged: what can be read of it is followed, and what is there is kept"
        );
        recovered.manifest_damaged = true;
    }
    Ok((number, state, replayed.unread_end))
}

/// Judges bytes behind the last sound note, once it is known that something is missing: no crash tears a note and takes
/// away what only that note lets go of.
///
/// # Errors
/// [`ManifestError::DamagedEnd`] where damage is to stop the start.
pub(super) fn judge_end(
    number: u64,
    unread_end: Option<usize>,
    stop: bool,
    recovered: &mut Recovered,
) -> Result<(), ManifestError> {
    let Some(at) = unread_end else { return Ok(()) };
    if stop {
        return Err(ManifestError::DamagedEnd { name: manifest::manifest_name(number), at });
    }
    tracing::error!(
        at,
        "the end of the spool's manifest cannot be read, and something is missing: its last notes are taken for damaged"
    );
    recovered.manifest_damaged = true;
    Ok(())
}

/// Takes in segments without a note that may hold answered frames: those newer than all that is known, whose note may be a
/// last one that looks torn, and, behind damage, all that there are. Returns their numbers.
///
/// # Errors
/// What the disk says.
pub(super) fn adopt(
    disk: &dyn Disk,
    ident: &Ident,
    state: &mut State,
    damaged: bool,
) -> io::Result<BTreeSet<u64>> {
    let mut adopted = BTreeSet::new();
    for (name, _) in disk.list("")? {
        let unknown =
            |number: &u64| !state.segments.contains(number) && (damaged || *number >= state.next_segment);
        let Some(number) = number_in(&name, "wal-", ".seg").filter(unknown) else { continue };
        let mut header = [0; 64];
        read_sound(&*disk.open(&name)?, &mut header, 0)?;
        // Behind damage a header may be damaged, too, and hides nothing: every block proves itself.
        if damaged || check_header(&header, &ident.spool_id, number) == HeaderCheck::Good {
            adopted.insert(number);
        }
    }
    state.next_segment = adopted.last().map_or(0, |last| last + 1).max(state.next_segment);
    state.segments.extend(&adopted);
    Ok(adopted)
}

/// Goes back to the segments for parked objects whose file is gone: it went with a commit whose note rotted. Where nothing is
/// left there, either, the store tells whether it has the object.
///
/// # Errors
/// What the disk says.
pub(super) fn miss_parked(disk: &dyn Disk, state: &mut State) -> io::Result<()> {
    let files: BTreeSet<String> =
        disk.list("parked")?.into_iter().map(|(name, _)| format!("parked/{name}")).collect();
    for pending in state.seals.values_mut() {
        let number = pending.seal.number;
        if pending.parked.is_some() && !files.contains(&parked_name(number)) {
            tracing::error!(seal = number, "the file of a parked object is gone");
            pending.parked = None;
        }
    }
    Ok(())
}

/// Gives sealed objects their parked files back whose notes cannot be read. A file is that of its seal where it holds what
/// was sealed. Returns whether there was one.
///
/// # Errors
/// What the disk says.
pub(super) fn find_parked(disk: &dyn Disk, state: &mut State) -> io::Result<bool> {
    let unnoted: Vec<(u64, String)> = state
        .seals
        .values()
        .filter(|pending| pending.parked.is_none())
        .map(|pending| {
            let amended = pending.amended.as_ref().map(|amend| &amend.sha256);
            (pending.seal.number, amended.unwrap_or(&pending.seal.sha256).clone())
        })
        .collect();
    let mut found = false;
    for (number, sha256) in unnoted {
        let file = match disk.open(&parked_name(number)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut parked =
            ParkedFile { file: &*file, read: Parked { len: 0, crc32: 0 }, crc32: crc32fast::Hasher::new() };
        // What cannot be unpacked is not what was sealed.
        if hash_lines(&mut parked).is_ok_and(|hash| hash == sha256) && parked.is_at_its_end()? {
            // From here on its frames may go, and no note says that it was ever synced.
            file.sync()?;
            disk.sync_dir("parked")?;
            state.parked(number, parked.read);
            found = true;
        }
    }
    Ok(found)
}

fn hash_lines(file: &mut ParkedFile<'_>) -> io::Result<String> {
    let mut lines = flate2::read::GzDecoder::new(file);
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 64 * 1_024]);
    loop {
        match lines.read(&mut piece)? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(piece.get(..read).unwrap_or(&[])),
        }
    }
}

/// A parked file that is read: its length and checksum so far.
struct ParkedFile<'a> {
    file: &'a dyn DiskFile,
    read: Parked,
    crc32: crc32fast::Hasher,
}

impl ParkedFile<'_> {
    /// Whether nothing stands behind what was read.
    fn is_at_its_end(&self) -> io::Result<bool> {
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

/// Where of two segments one holds all frames of the other, it is its copy: a start copies the last segment, and may be
/// cut short before its note. Takes the one that holds no more than the other out of what was found, and returns it, with
/// whether it is damaged.
pub(super) fn take_copies(
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
        state.segments.remove(number);
    }
    copies
}

/// Lets go of copies: away with those that are whole, the others go to quarantine.
///
/// # Errors
/// What the disk says.
pub(super) fn drop_copies(disk: &dyn Disk, copies: &[(u64, bool)]) -> io::Result<()> {
    for (number, damaged) in copies {
        let name = segment_name(*number);
        disk.remove(&index_name(*number))?;
        if *damaged { disk.rename(&name, &format!("quarantine/{name}"))? } else { disk.remove(&name)? }
    }
    Ok(())
}
