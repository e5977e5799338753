//! Files that rot while no process runs, and of which a person may have a copy: the spool's identity, its
//! manifest, and parked objects.

use forebay::disk::Disk as _;
use forebay::spool::format::number_in;
use forebay::spool::manifest;

use crate::support::sim_disk::{Dice, SimDisk};
use crate::support::trace::Trace;

/// The data that rotted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotten {
    Ident,
    /// One of the two copies of a manifest's first note, which hold the whole state.
    ManifestState,
    /// A later note of a manifest. It is never put back.
    ManifestNote,
    Parked,
}

/// Flipped bits that can be flipped back.
#[derive(Debug, Default)]
pub(super) struct RottenFiles(Vec<Flipped>);

#[derive(Debug)]
struct Flipped {
    what: Rotten,
    file: usize,
    at: usize,
    bit: u32,
}

impl RottenFiles {
    /// Flips a bit of one of these files, if one exists. Returns which data it hit.
    pub(super) fn rot(&mut self, disk: &SimDisk, dice: &mut Dice, trace: &Trace) -> Option<Rotten> {
        // Data that is stored twice rots in one copy, or in both.
        let both = dice.chance(300);
        let (what, places) = match dice.below(10) {
            0 | 1 => {
                let mut names = vec!["IDENT", "IDENT.copy"];
                if !both {
                    names.remove(dice.index(2));
                }
                let places = names
                    .into_iter()
                    .map(|name| Some((name.to_owned(), dice.index(disk.durable(name)?.len()))));
                (Rotten::Ident, places.collect::<Option<Vec<_>>>()?)
            }
            2..7 => {
                let files = disk.list("").unwrap().into_iter().map(|(name, _)| name);
                let name = files.filter(|name| number_in(name, "MANIFEST-", "").is_some()).max()?;
                let bytes = manifest::written(&disk.durable(&name)?).to_vec();
                let state = 8 + u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
                // If the first copy has rotted before, its length may be wrong.
                if bytes.get(..state)? != bytes.get(state..2 * state)? {
                    return None;
                }
                let notes = bytes.len() - 2 * state;
                if notes > 0 && dice.chance(600) {
                    (Rotten::ManifestNote, vec![(name, 2 * state + dice.index(notes))])
                } else if both {
                    let (first, second) = (dice.index(state), state + dice.index(state));
                    (Rotten::ManifestState, vec![(name.clone(), first), (name, second)])
                } else {
                    (Rotten::ManifestState, vec![(name, dice.index(2 * state))])
                }
            }
            _ => {
                let files = disk.list("parked").unwrap();
                let (name, len) = (!files.is_empty()).then(|| dice.of(&files))?;
                let at = usize::try_from(dice.below(len)).unwrap();
                (Rotten::Parked, vec![(format!("parked/{name}"), at)])
            }
        };
        trace.count(match what {
            Rotten::Ident => "a bit of the identity flipped",
            Rotten::ManifestState => "a bit of a manifest's state flipped",
            Rotten::ManifestNote => "a bit of a note flipped",
            Rotten::Parked => "a bit of a parked object flipped",
        });
        for (name, at) in places {
            let bit = u32::try_from(dice.below(8)).unwrap();
            let file = disk.flip_stored(&name, at, bit)?;
            if what != Rotten::ManifestNote {
                self.0.push(Flipped { what, file, at, bit });
            }
        }
        Some(what)
    }

    /// Forgets the flips in files that are stored twice, because a start rewrote these.
    pub(super) fn made_anew(&mut self) {
        self.0.retain(|flipped| flipped.what == Rotten::Parked);
    }

    /// Puts the matching files back, as a person would. Returns whether there were any.
    pub(super) fn put_back(&mut self, disk: &SimDisk, which: impl Fn(Rotten) -> bool) -> bool {
        let (back, rest) = std::mem::take(&mut self.0).into_iter().partition(|flipped| which(flipped.what));
        self.0 = rest;
        let back: Vec<Flipped> = back;
        back.iter().for_each(|flipped| disk.flip_back(flipped.file, flipped.at, flipped.bit));
        !back.is_empty()
    }
}
