//! Bits that rot, and what may be lost because of them. Naming a loss where no bit was flipped is as wrong as
//! not naming a loss.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};

use forebay::disk::Disk as _;
use forebay::disk::DiskFile;
use forebay::log::frame::Salt;
use forebay::log::{Lost, Range};
use forebay::spool::format::{BLOCK_HEADER, FoundBlock, Ident, SEGMENT_HEADER, number_in, scan};
use forebay::spool::manifest::ManifestError;
use forebay::spool::{Recovered, manifest};

use super::clients::Line;
use super::world::Violation;
use crate::support::sim_disk::{Dice, SimDisk};
use crate::support::trace::Trace;

/// The damage done, and the positions named as lost.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Positions whose frames a flipped bit may have made unreadable, and the copies in them.
    possible: BTreeMap<u64, BTreeSet<usize>>,
    /// Positions named as lost.
    named: BTreeSet<u64>,
    /// [`SimDisk::manifest_changes`] when the manifest was last examined.
    looked_at: Option<u64>,
    /// Whether a note after the first one rotted. Its contents are then unknown, so positions that it
    /// released may be named too.
    pub(super) manifest_rotted: bool,
    /// Whether the manifest's initial state rotted, perhaps both copies.
    pub(super) state_rotted: bool,
    wrong: Option<Violation>,
}

/// Bytes as a file for reading only.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl DiskFile for Bytes {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = self.0.get(usize::try_from(at).unwrap()..).unwrap_or(&[]);
        let read = rest.len().min(buf.len());
        buf[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, _: &[IoSlice<'_>], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// The durable contents of a segment: its blocks, and the offset, position, length and copy of each sound
/// frame.
struct Segment {
    blocks: Vec<FoundBlock>,
    frames: Vec<(u64, u64, u64, Option<usize>)>,
}

impl Segment {
    fn read(disk: &SimDisk, name: &str, number: u64, spool_id: &[u8; 16]) -> Option<Self> {
        let bytes = Bytes(disk.durable(name)?);
        let mut frames = Vec::new();
        let blocks = scan(&bytes, Salt::new(spool_id, number), &mut |offset, frame| {
            // A clean close is a frame too, but no client sent it.
            let line = Line::read(frame.payload).ok();
            frames.push((offset, frame.position, frame.stored_len() as u64, line.map(|line| line.copy)));
        });
        Some(Self { blocks: blocks.unwrap(), frames })
    }
}

impl Damage {
    /// Flips a random bit.
    pub(super) fn flip(&mut self, disk: &SimDisk, dice: &mut Dice, trace: &Trace) {
        let Ok(Some(ident)) = Ident::read(disk) else { return };
        let files = disk.list("").unwrap();
        let of = |before: &str, after: &str| -> Vec<(String, u64, u64)> {
            let number = |name: &str| number_in(name, before, after);
            files.iter().filter_map(|(name, len)| Some((name.clone(), number(name)?, *len))).collect()
        };
        let kind = dice.below(10);
        let files = match kind {
            0..7 => of("wal-", ".seg"),
            7 => of("wal-", ".idx"),
            8 => of("seen-", ""),
            _ => of("spare-", ""),
        };
        let Some((name, number, len)) = (!files.is_empty()).then(|| dice.of(&files)) else { return };
        let at = if kind < 7 {
            let Some(segment) = Segment::read(disk, &name, number, &ident.spool_id) else { return };
            let Some(at) = self.flip_in(&segment, dice) else { return };
            at
        } else {
            dice.below(len)
        };
        trace.count(match kind {
            0..7 => "a bit of a segment flipped",
            7 => "a bit of an index flipped",
            8 => "a bit of fingerprints flipped",
            _ => "a bit of a spare flipped",
        });
        disk.flip(&name, usize::try_from(at).unwrap(), u32::try_from(dice.below(8)).unwrap());
    }

    /// Chooses a byte of a segment, and records what may be lost with it.
    ///
    /// The last block is spared: after a crash, a damaged last block cannot be told from a torn one, which
    /// was never answered.
    fn flip_in(&mut self, segment: &Segment, dice: &mut Dice) -> Option<u64> {
        let (_, blocks) = segment.blocks.split_last()?;
        if blocks.is_empty() || dice.chance(100) {
            return Some(dice.below(SEGMENT_HEADER));
        }
        let block = dice.of(blocks);
        let at = if dice.chance(200) {
            block.offset + dice.below(BLOCK_HEADER as u64)
        } else {
            block.offset + dice.below(block.end() - block.offset)
        };
        let inside = |offset: u64| (block.offset..block.end()).contains(&offset);
        let hit = segment.frames.iter().find(|(offset, _, len, _)| (*offset..offset + len).contains(&at));
        for (offset, position, _, copy) in segment.frames.iter().filter(|(offset, ..)| inside(*offset)) {
            // A frame is found by its length, and a damaged length is confirmed by the frame after it.
            let alone = hit.is_some_and(|hit| at >= hit.0 + 4 && hit.0 != *offset) && block.lost.is_empty();
            if !alone {
                self.possible.entry(*position).or_default().extend(*copy);
            }
        }
        Some(at)
    }

    /// Records the losses that a start named.
    ///
    /// # Errors
    /// A loss was named where nothing was damaged.
    pub(super) fn judge(&mut self, recovered: &Recovered) -> Result<(), Violation> {
        self.name(&recovered.lost)
    }

    /// Records the losses that the manifest names. A new manifest omits old ones, so call this before one may
    /// be begun.
    pub(super) fn look(&mut self, disk: &SimDisk) {
        let now = Some(disk.manifest_changes());
        if std::mem::replace(&mut self.looked_at, now) == now {
            return;
        }
        let wrong = self.read_manifest(disk).err();
        self.wrong = self.wrong.take().or(wrong);
    }

    /// The first wrongly named loss, if any.
    pub(super) fn wrong(&self) -> Option<Violation> {
        self.wrong.clone()
    }

    fn read_manifest(&mut self, disk: &SimDisk) -> Result<(), Violation> {
        let Ok(Some(ident)) = Ident::read(disk) else { return Ok(()) };
        let read = manifest::read_newest_past_damage(disk, &ident.spool_id);
        if self.state_rotted && matches!(read, Err(ManifestError::Damaged(_))) {
            // The next start is refused until a person puts the file back; the check is made then.
            return Ok(());
        }
        let Some((_, read)) = read.map_err(|error| format!("the manifest is damaged: {error}"))? else {
            return Ok(());
        };
        if !read.damaged.is_empty() && !self.manifest_rotted {
            return Err(format!("the manifest is damaged: {:?}", read.damaged));
        }
        let state = read.state;
        let lost: Vec<_> = state.calls.lost.iter().map(Lost::range).collect();
        self.name(&lost)?;
        let amended = state.calls.seals.values().filter_map(|pending| pending.amended.as_ref());
        amended.map(|amend| &amend.lost).try_for_each(|lost| self.name(lost))
    }

    /// Records positions named as lost.
    ///
    /// # Errors
    /// A position was named where nothing was damaged.
    pub(super) fn name(&mut self, lost: &[Range]) -> Result<(), Violation> {
        for range in lost {
            for position in range.first..=range.last {
                if !self.possible.contains_key(&position) && !self.manifest_rotted {
                    return Err(format!(
                        "I7: position {position} is named as lost, but nothing was damaged there"
                    ));
                }
                self.named.insert(position);
            }
        }
        Ok(())
    }

    /// Whether a flipped bit may have hit a copy's frame.
    pub(super) fn hit(&self, copy: usize) -> bool {
        self.possible.values().any(|copies| copies.contains(&copy))
    }

    /// Positions whose frames a flipped bit may have made unreadable.
    pub(super) fn positions(&self) -> impl Iterator<Item = u64> {
        self.possible.keys().copied()
    }

    /// Whether a position's frame may be missing.
    pub(super) fn excuses_position(&self, position: u64) -> bool {
        self.manifest_rotted || (self.possible.contains_key(&position) && self.named.contains(&position))
    }

    /// Whether a copy may be missing: it was damaged, and its position was named as lost.
    pub(super) fn excuses(&self, copy: usize) -> bool {
        self.possible.iter().any(|(position, copies)| copies.contains(&copy) && self.named.contains(position))
    }
}
