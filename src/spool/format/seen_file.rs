//! The fingerprints of one segment, in their own file, so that they can outlive the segment.
//!
//! ```text
//! seen  := entry* | ( divider | entry+ )? | crc u32
//! entry := fingerprint u128 | second u32
//! divider := an entry of zeros
//! ```
//!
//! Behind the divider are those of imported rows. A reader that does not know it skips it, because 0 is no
//! fingerprint.

use std::io;

use crate::disk::{self, Disk, DiskFile};
use crate::log::frame::Salt;
use crate::spool::format::scan::scan;
use crate::spool::format::segment::{number_in, seen_name};
use crate::time::UnixMillis;

const ENTRY: usize = 20;

/// Fingerprints in the order stored, 20 bytes each, as in their file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fingerprints {
    sent: Entries,
    imported: Entries,
}

#[derive(Clone, Debug, Default)]
struct Entries {
    bytes: Vec<u8>,
    newest: u32,
}

impl Entries {
    fn push(&mut self, fingerprint: u128, second: u32) {
        self.newest = self.newest.max(second);
        self.bytes.extend_from_slice(&fingerprint.to_le_bytes());
        self.bytes.extend_from_slice(&second.to_le_bytes());
    }

    fn half(&self) -> SeenHalf {
        SeenHalf { count: (self.bytes.len() / ENTRY) as u64, newest: self.newest }
    }
}

/// One half of a file: the calls that were sent, or the rows that were imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenHalf {
    /// Its fingerprints.
    pub(crate) count: u64,
    /// The latest second in which one of them was stored.
    pub(crate) newest: u32,
}

/// A file that was read: fingerprints in order, with their seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenEntries {
    /// Those of calls that were sent.
    pub(crate) sent: Vec<(u128, u32)>,
    /// Those of imported rows.
    pub(crate) imported: Vec<(u128, u32)>,
}

impl Fingerprints {
    /// The fingerprints of a segment's frames, read from its file.
    pub(crate) fn of_segment(file: &dyn DiskFile, salt: Salt) -> io::Result<Self> {
        let mut all = Self::default();
        scan(file, salt, &mut |_, frame| {
            all.push(frame.fingerprint, frame.received_at, frame.origin.is_some());
        })?;
        Ok(all)
    }

    /// Adds the fingerprint of the next frame. 0 means that it has none.
    pub(crate) fn push(&mut self, fingerprint: u128, received_at: UnixMillis, is_imported: bool) {
        if fingerprint == 0 {
            return;
        }
        let entries = if is_imported { &mut self.imported } else { &mut self.sent };
        entries.push(fingerprint, seconds(received_at));
    }

    /// Those of calls that were sent, and those of imported rows.
    pub(crate) fn halves(&self) -> [SeenHalf; 2] {
        [self.sent.half(), self.imported.half()]
    }

    /// Those of a file, without imported rows.
    pub(crate) fn of_sent(entries: &SeenEntries) -> Self {
        let mut all = Self::default();
        entries.sent.iter().for_each(|(fingerprint, second)| all.sent.push(*fingerprint, *second));
        all
    }

    /// Writes the fingerprint file of segment `number` durably.
    pub(crate) fn write(self, disk: &dyn Disk, salt: Salt, number: u64) -> io::Result<()> {
        let mut bytes = self.sent.bytes;
        if !self.imported.bytes.is_empty() {
            bytes.extend_from_slice(&[0; ENTRY]);
            bytes.extend_from_slice(&self.imported.bytes);
        }
        let crc = salt.checksum(b"seen", &bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        disk::write_durably(disk, &seen_name(number), &bytes)
    }
}

/// Reads the fingerprints of a segment. `None` if the file is damaged: repeats
/// of those calls may then be stored, but no first copy is ever dropped.
pub(crate) fn read(disk: &dyn Disk, salt: Salt, number: u64) -> io::Result<Option<SeenEntries>> {
    let file = disk.open(&seen_name(number))?;
    let bytes = disk::read_all(&*file)?;
    let Some((body, crc)) = bytes.split_last_chunk::<4>() else { return Ok(None) };
    if salt.checksum(b"seen", body) != u32::from_le_bytes(*crc) || body.len() % ENTRY != 0 {
        return Ok(None);
    }
    let entry = |entry: &[u8]| {
        let (fingerprint, second) = entry.split_at_checked(16)?;
        Some((u128::from_le_bytes(fingerprint.try_into().ok()?), u32::from_le_bytes(second.try_into().ok()?)))
    };
    let Some(mut sent) = body.chunks_exact(ENTRY).map(entry).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let divider = sent.iter().position(|(fingerprint, _)| *fingerprint == 0);
    let imported = divider.map_or_else(Vec::new, |at| sent.split_off(at).split_off(1));
    Ok(Some(SeenEntries { sent, imported }))
}

/// The number in the name of a fingerprint file.
pub(crate) fn number(name: &str) -> Option<u64> {
    number_in(name, "seen-", "")
}

/// Whole seconds since 1970, up to the year 2106.
pub(crate) fn seconds(at: UnixMillis) -> u32 {
    u32::try_from(at.0.div_euclid(1_000).max(0)).unwrap_or(u32::MAX)
}
