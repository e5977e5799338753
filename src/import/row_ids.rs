//! Remembers the ids of the rows of one file, each with what its row contains: equal rows with one id are one
//! call, and different rows with one id cannot both be calls.
//!
//! Memory has the first rows. A file with more of them continues in a nameless temporary file, so that no row
//! is ever forgotten; the disk is the only bound.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::csv::Record;
use super::file_error::{FileError, FileFault};
use super::reading::temporary::{explained, nameless_file};
use super::row_hash::RowHash;

/// Bytes of a slot: 16 of the id's hash, 8 of the content's. A slot of zeros is free.
const SLOT: usize = 24;
/// The slots of the first table, and of the largest one in memory: 24 MiB, for some 700,000 rows.
const SLOTS_MIN: u64 = 1_024;
const SLOTS_IN_MEMORY: u64 = 1_024 * 1_024;
/// The slots that are read at a time when a table grows.
const CHUNK: u64 = 4_096;

/// What is known of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// No earlier row has the id.
    New,
    /// The first row with the id contains the same.
    Same,
    /// The first row with the id contains something else.
    Other,
}

/// The ids of a file's rows so far.
#[derive(Debug)]
pub(super) struct RowIds {
    table: Table,
    slots: u64,
    taken: u64,
    in_memory: u64,
    folder: PathBuf,
}

#[derive(Debug)]
enum Table {
    Memory(Vec<u8>),
    File(File),
}

type Slot = [u8; SLOT];

impl Table {
    fn of(slots: u64, in_memory: u64, folder: &std::path::Path) -> io::Result<Self> {
        let bytes = slots * SLOT as u64;
        if slots <= in_memory {
            return Ok(Self::Memory(vec![0; usize::try_from(bytes).map_err(io::Error::other)?]));
        }
        std::fs::create_dir_all(folder).map_err(explained("cannot make the folder", folder))?;
        let file = nameless_file(folder)?;
        file.set_len(bytes)?;
        Ok(Self::File(file))
    }

    /// Reads as many bytes as `into` has.
    fn read(&self, slot: u64, into: &mut [u8]) -> io::Result<()> {
        let at = slot * SLOT as u64;
        match self {
            Self::File(file) => file.read_exact_at(into, at),
            Self::Memory(bytes) => {
                let at = usize::try_from(at).map_err(io::Error::other)?;
                let from = bytes.get(at..).and_then(|from| from.get(..into.len()));
                into.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    fn write(&mut self, slot: u64, bytes: &Slot) -> io::Result<()> {
        let at = slot * SLOT as u64;
        match self {
            Self::File(file) => file.write_all_at(bytes, at),
            Self::Memory(table) => {
                let at = usize::try_from(at).map_err(io::Error::other)?;
                let place = table.get_mut(at..).and_then(|from| from.get_mut(..SLOT));
                place.ok_or(io::ErrorKind::UnexpectedEof)?.copy_from_slice(bytes);
                Ok(())
            }
        }
    }
}

impl RowIds {
    /// A table without ids. Ids that are too many for memory go to a file in `folder`, which is made then.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self::within(SLOTS_IN_MEMORY, folder)
    }

    /// Compares the row of a record with the first one of the same id, and remembers it.
    /// Errors: [`FileError`]: the disk has no room for the ids of so many rows.
    pub(super) fn meet_row(&mut self, id: &[u8], record: &Record) -> Result<Met, FileError> {
        self.meet(id, record.iter()).map_err(|error| {
            let what = format!("the ids of its rows, which must differ, cannot be kept: {error}");
            FileError::new(FileFault::Local, "E-IDS", what)
        })
    }

    fn within(in_memory: u64, folder: PathBuf) -> Self {
        Self { table: Table::Memory(Vec::new()), slots: 0, taken: 0, in_memory, folder }
    }

    /// Compares a row with this id and these parts with the first row of the same id.
    /// Errors: the temporary file cannot be made, read or written.
    fn meet<'p>(&mut self, id: &[u8], parts: impl IntoIterator<Item = &'p [u8]>) -> io::Result<Met> {
        let content = RowHash::of_cells(parts).0.to_be_bytes();
        let mut slot = [0; SLOT];
        let (key, value) = slot.split_at_mut(16);
        key.copy_from_slice(&RowHash::of_cells([id]).0.to_be_bytes());
        value.copy_from_slice(content.get(..8).unwrap_or_default());
        // A table is at most two thirds full: longer searches would cost more than the memory.
        if self.taken * 3 >= self.slots * 2 {
            self.grow()?;
        }
        let met = put(&mut self.table, self.slots, &slot)?;
        self.taken += u64::from(met == Met::New);
        Ok(met)
    }

    fn grow(&mut self) -> io::Result<()> {
        let slots = (self.slots * 2).max(SLOTS_MIN);
        let mut table = Table::of(slots, self.in_memory, &self.folder)?;
        let mut chunk = Vec::new();
        for first in (0..self.slots).step_by(usize::try_from(CHUNK).unwrap_or(1)) {
            let more = CHUNK.min(self.slots - first);
            chunk.resize(usize::try_from(more).map_err(io::Error::other)? * SLOT, 0);
            self.table.read(first, &mut chunk)?;
            for slot in chunk.as_chunks::<SLOT>().0.iter().filter(|slot| **slot != [0; SLOT]) {
                put(&mut table, slots, slot)?;
            }
        }
        (self.table, self.slots) = (table, slots);
        Ok(())
    }
}

/// Puts a slot into the table, unless the table has its id already.
fn put(table: &mut Table, slots: u64, slot: &Slot) -> io::Result<Met> {
    let (key, _) = slot.split_at(16);
    let home = key.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
    // The first bits decide, so that a table that grows is written from its beginning to its end.
    let mut at = u64::try_from((u128::from(home) * u128::from(slots)) >> 64).map_err(io::Error::other)?;
    let mut known = [0; SLOT];
    loop {
        table.read(at, &mut known)?;
        if known == [0; SLOT] {
            table.write(at, slot)?;
            return Ok(Met::New);
        }
        if known.starts_with(key) {
            return Ok(if known == *slot { Met::Same } else { Met::Other });
        }
        at = (at + 1) % slots;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meet(ids: &mut RowIds, id: u64, content: &str) -> Met {
        ids.meet(&id.to_le_bytes(), [content.as_bytes()]).unwrap()
    }

    #[test]
    fn the_first_row_with_an_id_counts() {
        let mut ids = RowIds::new("/no/such/folder".into());
        assert_eq!(meet(&mut ids, 1, "a"), Met::New);
        assert_eq!(meet(&mut ids, 1, "b"), Met::Other);
        assert_eq!(meet(&mut ids, 1, "a"), Met::Same);
        assert_eq!(meet(&mut ids, 1, "b"), Met::Other);
        assert_eq!(meet(&mut ids, 2, "b"), Met::New);
        // Cells are compared, and not what they are together.
        assert_eq!(ids.meet(b"x", [&b"ab"[..], b"c"]).unwrap(), Met::New);
        assert_eq!(ids.meet(b"x", [&b"a"[..], b"bc"]).unwrap(), Met::Other);
    }

    #[test]
    fn no_row_is_forgotten_when_memory_has_no_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut ids = RowIds::within(4_096, folder.path().to_owned());
        for id in 0..20_000 {
            assert_eq!(meet(&mut ids, id, "a"), Met::New, "{id}");
        }
        assert!(matches!(ids.table, Table::File(_)));
        for id in 0..20_000 {
            assert_eq!(meet(&mut ids, id, "a"), Met::Same, "{id}");
            assert_eq!(meet(&mut ids, id, "b"), Met::Other, "{id}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays behind");
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_an_error_and_no_row_is_taken_for_another() {
        // A file is no folder, for root either.
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut ids = RowIds::within(1_024, file.path().join("folder"));
        let ended = (0..2_000_u64).find_map(|id| ids.meet(&id.to_le_bytes(), [&b"a"[..]]).err());
        assert!(ended.unwrap().to_string().contains("cannot make the folder"));
    }
}
