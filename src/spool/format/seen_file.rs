//! The fingerprints of one segment, in their own file, so that they can outlive the segment.
//!
//! ```text
//! seen  := entry* | crc u32
//! entry := fingerprint u128 | second u32
//! ```

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
    entries: Vec<u8>,
    newest: u32,
}

impl Fingerprints {
    /// The fingerprints of a segment's frames, read from its file.
    ///
    /// # Errors
    /// The disk's error.
    pub(crate) fn of_segment(file: &dyn DiskFile, salt: Salt) -> io::Result<Self> {
        let mut all = Self::default();
        scan(file, salt, &mut |_, frame| all.push(frame.fingerprint, frame.received_at))?;
        Ok(all)
    }

    /// Adds the fingerprint of the next frame. 0 means that it has none.
    pub(crate) fn push(&mut self, fingerprint: u128, received_at: UnixMillis) {
        if fingerprint == 0 {
            return;
        }
        let second = seconds(received_at);
        self.newest = self.newest.max(second);
        self.entries.extend_from_slice(&fingerprint.to_le_bytes());
        self.entries.extend_from_slice(&second.to_le_bytes());
    }

    /// The number of fingerprints.
    pub(crate) fn count(&self) -> u64 {
        (self.entries.len() / ENTRY) as u64
    }

    /// The latest second in which a fingerprint was stored.
    pub(crate) fn newest(&self) -> u32 {
        self.newest
    }

    /// Writes the fingerprint file of segment `number` durably.
    ///
    /// # Errors
    /// The disk's error.
    pub(crate) fn write(mut self, disk: &dyn Disk, salt: Salt, number: u64) -> io::Result<()> {
        let crc = salt.checksum(b"seen", &self.entries);
        self.entries.extend_from_slice(&crc.to_le_bytes());
        disk::write_durably(disk, &seen_name(number), &self.entries)
    }
}

/// Reads the fingerprints of a segment, in order, with their seconds. `None` if the file is damaged: repeats
/// of those calls may then be stored, but no first copy is ever dropped.
///
/// # Errors
/// The disk's error.
pub(crate) fn read(disk: &dyn Disk, salt: Salt, number: u64) -> io::Result<Option<Vec<(u128, u32)>>> {
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
    Ok(body.chunks_exact(ENTRY).map(entry).collect())
}

/// The number in the name of a fingerprint file.
pub(crate) fn number(name: &str) -> Option<u64> {
    number_in(name, "seen-", "")
}

/// Whole seconds since 1970, up to the year 2106.
pub(crate) fn seconds(at: UnixMillis) -> u32 {
    u32::try_from(at.0.div_euclid(1_000).max(0)).unwrap_or(u32::MAX)
}
