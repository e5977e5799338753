//! Phase 1: the notes. Reads what the newest manifest records about segments, seals and days, and finds what
//! may be missing.

use std::collections::BTreeSet;

use super::damaged_manifest::{adopt, unpark_missing_files};
use super::open_error::{OpenError, failed};
use crate::disk::Disk;
use crate::spool::format::ident::Ident;
use crate::spool::manifest::state::State;
use crate::spool::manifest::{self, ManifestError, Replayed};

/// What the notes record, before any frame is read.
pub(super) struct Notes {
    /// The manifest's number; 0 if there is no manifest.
    pub(super) number: u64,
    /// The state that its notes add up to. Later phases correct it; [`super::durable`] makes it durable.
    pub(super) state: State,
    /// Where unreadable bytes after the last sound note begin. They are a torn write, unless something is
    /// missing.
    pub(super) unread_end: Option<u64>,
    /// Segments that no note names, and that may hold acknowledged frames.
    pub(super) adopted: BTreeSet<u64>,
    /// Whether notes are known to be missing.
    pub(super) damaged: bool,
}

impl Notes {
    /// Reads the newest manifest and compares it with the files on disk. Skips damaged notes unless `stop` is
    /// set.
    pub(super) fn read(disk: &dyn Disk, ident: &Ident, stop: bool) -> Result<Self, OpenError> {
        let mut notes = Self::replay(disk, ident, stop)?;
        notes.adopted = adopt(disk, ident, &mut notes.state, notes.damaged)
            .map_err(failed("check segments without a note"))?;
        unpark_missing_files(disk, &mut notes.state).map_err(failed("check parked files"))?;
        Ok(notes)
    }

    fn replay(disk: &dyn Disk, ident: &Ident, stop: bool) -> Result<Self, ManifestError> {
        let (number, replayed) = match manifest::read_newest_past_damage(disk, &ident.spool_id)? {
            Some(read) => read,
            None => {
                manifest::none_is_missing(disk)?;
                (0, Replayed { state: State::new(), ..Replayed::default() })
            }
        };
        if replayed.one_of_two.is_some() {
            tracing::error!(
                "one of the two copies of the manifest's first note is damaged; the other copy is used"
            );
        }
        let damaged_at = replayed.damaged.first().map(|range| range.from);
        if let Some(at) = damaged_at {
            if stop {
                return Err(ManifestError::DamagedWithin(manifest::manifest_name(number), at));
            }
            tracing::error!(
                at,
                notes = replayed.notes,
                "the spool's manifest is damaged: unreadable notes are skipped, and all files are kept"
            );
        }
        Ok(Self {
            number,
            state: replayed.state,
            unread_end: replayed.torn.map(|range| range.from),
            adopted: BTreeSet::new(),
            damaged: damaged_at.is_some(),
        })
    }

    /// Treats the unread bytes at the end as damaged notes. Call this only if frames or segments are missing.
    /// A torn note cannot be the reason for that: files are removed only after the note that releases them is
    /// durable.
    pub(super) fn treat_end_as_damaged(&mut self, stop: bool) -> Result<(), ManifestError> {
        let Some(at) = self.unread_end else { return Ok(()) };
        if stop {
            return Err(ManifestError::DamagedEnd(manifest::manifest_name(self.number), at));
        }
        tracing::error!(
            at,
            "the end of the spool's manifest cannot be read, and segments or frames are missing: its last \
             notes are treated as damaged"
        );
        self.damaged = true;
        Ok(())
    }
}
