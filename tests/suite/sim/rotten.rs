//! Files that rot while no process runs, and of which a person may have a copy: the spool's identity, its manifest, and
//! parked objects.

use forebay::spool::Disk as _;
use forebay::spool::segment::number_in;

use crate::support::sim_disk::{Dice, SimDisk};
use crate::support::trace::Trace;

/// What rotted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rotten {
    Ident,
    /// The first note of a manifest, which holds the whole state.
    ManifestState,
    /// A later note of a manifest. It is not put back.
    ManifestNote,
    Parked,
}

/// Bits that were flipped and can be flipped back.
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
    /// Flips a bit of one of these files, if there is one that is stored. Returns which.
    pub(super) fn rot(&mut self, disk: &SimDisk, dice: &mut Dice, trace: &Trace) -> Option<Rotten> {
        let (what, name, at) = match dice.below(10) {
            0 | 1 => (Rotten::Ident, "IDENT".to_owned(), dice.index(disk.durable("IDENT")?.len())),
            2..7 => {
                let files = disk.list("").unwrap().into_iter().map(|(name, _)| name);
                let name = files.filter(|name| number_in(name, "MANIFEST-", "").is_some()).max()?;
                let bytes = disk.durable(&name)?;
                let first = 8 + u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
                let notes = bytes.len().checked_sub(first)?;
                if notes == 0 || dice.chance(200) {
                    (Rotten::ManifestState, name, dice.index(first))
                } else {
                    (Rotten::ManifestNote, name, first + dice.index(notes))
                }
            }
            _ => {
                let files = disk.list("parked").unwrap();
                let (name, len) = (!files.is_empty()).then(|| dice.of(&files))?;
                (Rotten::Parked, format!("parked/{name}"), usize::try_from(dice.below(len)).unwrap())
            }
        };
        let bit = u32::try_from(dice.below(8)).unwrap();
        let file = disk.flip_stored(&name, at, bit)?;
        trace.count(match what {
            Rotten::Ident => "a bit of the identity flipped",
            Rotten::ManifestState => "a bit of a manifest's state flipped",
            Rotten::ManifestNote => "a bit of a note flipped",
            Rotten::Parked => "a bit of a parked object flipped",
        });
        if what != Rotten::ManifestNote {
            self.0.push(Flipped { what, file, at, bit });
        }
        Some(what)
    }

    /// Whether such a file has rotted, and was not put back.
    pub(super) fn is_any(&self, what: Rotten) -> bool {
        self.0.iter().any(|flipped| flipped.what == what)
    }

    /// A person puts such files back. Returns whether there were any.
    pub(super) fn put_back(&mut self, disk: &SimDisk, which: impl Fn(Rotten) -> bool) -> bool {
        let (back, rest) = std::mem::take(&mut self.0).into_iter().partition(|flipped| which(flipped.what));
        self.0 = rest;
        let back: Vec<Flipped> = back;
        back.iter().for_each(|flipped| disk.flip_back(flipped.file, flipped.at, flipped.bit));
        !back.is_empty()
    }
}
