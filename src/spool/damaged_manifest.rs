//! Going on past notes of the manifest that cannot be read.
//!
//! What such notes said is not known, so nothing that they may have spoken of is removed: every segment that is there is
//! taken in, and parked objects without a note go to quarantine. What they had delivered is delivered again under the same
//! key where it begins at the same frame, and the store says no.

use std::collections::BTreeSet;
use std::io;

use super::disk::{Disk, read_sound};
use super::ident::Ident;
use super::manifest::{self, ManifestError};
use super::note::State;
use super::recovery::{Found, Recovered};
use super::segment::{HeaderCheck, check_header, index_name, number_in, segment_name};

/// Reads the newest manifest, and steps over what cannot be read.
///
/// # Errors
/// [`ManifestError`].
pub(super) fn read(
    disk: &dyn Disk,
    ident: &Ident,
    recovered: &mut Recovered,
) -> Result<(u64, State), ManifestError> {
    let Some((number, replayed)) = manifest::read_newest_past_damage(disk, &ident.spool_id)? else {
        return Ok((0, State::new()));
    };
    let state = replayed.state;
    if let Some(at) = replayed.damaged_at {
        tracing::error!(
            at,
            notes = replayed.notes,
            "the spool's manifest is damaged: what can be read of it is followed, and what is there is kept"
        );
        recovered.manifest_damaged = true;
    }
    Ok((number, state))
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
        if check_header(&header, &ident.spool_id, number) == HeaderCheck::Good {
            adopted.insert(number);
        }
    }
    state.next_segment = adopted.last().map_or(0, |last| last + 1).max(state.next_segment);
    state.segments.extend(&adopted);
    Ok(adopted)
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
