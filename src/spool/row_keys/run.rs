//! One run: a file of keys in order, its filter, and where its pages begin.

use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock};

use super::filter::Filter;
use crate::disk::{self, Disk, DiskFile};
use crate::log::frame::Salt;
use crate::spool::format::key_run::{
    KeyEntry, PAGE, PAGE_ENTRIES, PageTail, beginning, decode_page, encode_page, run_len, run_name,
};
use crate::spool::manifest::key_run::KeyRun;

/// Bytes that are read or written at a time. Each piece is synced alone, so that a sync of calls waits for
/// one piece at most.
const PIECE: usize = 256 * PAGE;

/// What is kept in memory of a run.
#[derive(Debug)]
pub(super) struct Places {
    filter: Filter,
    /// The beginning of the first key of each page.
    pages: Vec<u64>,
}

/// A run, which the manifest names.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) note: KeyRun,
    salt: Salt,
    places: OnceLock<Places>,
    /// What is wrong with its file.
    damage: OnceLock<String>,
}

/// Why keys cannot be looked up.
#[derive(Debug)]
pub(super) enum RunError {
    /// The file is missing or damaged.
    Damaged,
    /// The disk reported an error that may pass.
    Disk(io::Error),
}

impl Run {
    /// A run whose file was not read yet.
    pub(super) fn noted(note: KeyRun, salt: Salt) -> Self {
        Self { note, salt, places: OnceLock::new(), damage: OnceLock::new() }
    }

    pub(super) fn name(&self) -> String {
        run_name(self.note.number)
    }

    /// What is wrong with the file; `None` if nothing is known to be.
    pub(super) fn damage(&self) -> Option<&str> {
        self.damage.get().map(String::as_str)
    }

    /// Notes that the file cannot be used any more. The log says so once.
    pub(super) fn is_damaged(&self, what: &str) -> RunError {
        if self.damage.set(what.to_owned()).is_ok() {
            tracing::error!(
                file = self.name(),
                keys = self.note.keys,
                "a file with insert_ids of imported rows cannot be used: {what}"
            );
        }
        RunError::Damaged
    }

    /// Bytes of its file.
    pub(super) fn file_len(&self) -> u64 {
        run_len(self.note.keys)
    }

    /// Bytes that it takes in memory.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.places.get().map_or(0, |places| places.filter.bytes() + places.pages.len() * size_of::<u64>())
    }

    /// Finds which of these keys the run has from the second `since` on, and sets those to `true`.
    pub(super) fn find(
        &self,
        disk: &dyn Disk,
        keys: &[u128],
        since: u32,
        known: &mut [bool],
    ) -> Result<(), RunError> {
        if self.damage().is_some() {
            return Err(RunError::Damaged);
        }
        let places = self.places(disk)?;
        let mut file = None;
        let mut page = vec![0; PAGE];
        for (key, known) in keys.iter().zip(known).filter(|(_, known)| !**known) {
            if !places.filter.may_have(*key) {
                continue;
            }
            let file = match &file {
                Some(file) => file,
                None => file.insert(self.open(disk)?),
            };
            *known = self.has(&**file, places, (*key, since), &mut page)?;
        }
        Ok(())
    }

    fn has(
        &self,
        file: &dyn DiskFile,
        places: &Places,
        (key, since): (u128, u32),
        page: &mut [u8],
    ) -> Result<bool, RunError> {
        let wanted = KeyEntry::new(key, 0).key();
        let of_key = beginning(key);
        // Keys that begin alike may begin on the page before.
        let from = places.pages.partition_point(|first| *first < of_key).saturating_sub(1);
        let may_have = places.pages.iter().enumerate().skip(from).take_while(|(_, first)| **first <= of_key);
        for (number, _) in may_have {
            self.read(file, page, (number * PAGE) as u64)?;
            let (mut entries, _) =
                decode_page(page, self.salt).ok_or_else(|| self.is_damaged(PAGE_DAMAGED))?;
            if entries.any(|entry| entry.key() == wanted && entry.second() >= since) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads all of `bytes` at `at`.
    fn read(&self, file: &dyn DiskFile, bytes: &mut [u8], at: u64) -> Result<(), RunError> {
        match file.read_at(bytes, at) {
            Ok(read) if read == bytes.len() => Ok(()),
            Ok(_) => Err(self.is_damaged("it is shorter than it was written")),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn open(&self, disk: &dyn Disk) -> Result<Arc<dyn DiskFile>, RunError> {
        disk.open(&self.name()).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> RunError {
        let is_damage = error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
        match error.kind() {
            io::ErrorKind::NotFound => self.is_damaged("it is missing"),
            _ if is_damage => self.is_damaged("the disk cannot read it"),
            _ => RunError::Disk(error),
        }
    }

    /// What is kept in memory of it. Reads the whole file if that was not done yet.
    fn places(&self, disk: &dyn Disk) -> Result<&Places, RunError> {
        if let Some(places) = self.places.get() {
            return Ok(places);
        }
        let mut places = Places::for_keys(self.note.keys);
        let mut entries = self.entries(disk)?;
        while let Some(entry) = entries.next()? {
            places.add(entry, entries.read - 1);
        }
        Ok(self.places.get_or_init(|| places))
    }

    /// All entries, in order.
    pub(super) fn entries<'r>(&'r self, disk: &dyn Disk) -> Result<Entries<'r>, RunError> {
        let file = self.open(disk)?;
        Ok(Entries {
            run: self,
            file,
            piece: Vec::new(),
            taken: 0,
            at: 0,
            page: Vec::new(),
            read: 0,
            last: None,
        })
    }
}

const PAGE_DAMAGED: &str = "a checksum of it differs";

/// Reads the entries of a run in order, and checks each page.
pub(super) struct Entries<'r> {
    run: &'r Run,
    file: Arc<dyn DiskFile>,
    /// Pages that are read, and how many bytes of them are taken.
    piece: Vec<u8>,
    taken: usize,
    /// The first byte in the file after them.
    at: u64,
    /// The entries of a page that come next, in the opposite order.
    page: Vec<KeyEntry>,
    /// How many entries were read.
    read: u64,
    last: Option<KeyEntry>,
}

impl Entries<'_> {
    /// The next entry; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<KeyEntry>, RunError> {
        while self.page.is_empty() {
            if self.read == self.run.note.keys {
                return Ok(None);
            }
            self.next_page()?;
        }
        let next = self.page.pop();
        self.read += 1;
        if self.last.is_some_and(|last| Some(last) >= next) {
            return Err(self.run.is_damaged("its keys are not in order"));
        }
        self.last = next;
        Ok(next)
    }

    fn next_page(&mut self) -> Result<(), RunError> {
        if self.taken == self.piece.len() {
            let left = self.run.file_len().saturating_sub(self.at);
            self.piece.resize(usize::try_from(left).unwrap_or(PIECE).min(PIECE), 0);
            self.run.read(&*self.file, &mut self.piece, self.at)?;
            self.at += self.piece.len() as u64;
            self.taken = 0;
        }
        let page = self.piece.get(self.taken..).unwrap_or_default();
        self.taken += PAGE;
        let damaged = || self.run.is_damaged(PAGE_DAMAGED);
        let (entries, tail) = decode_page(page, self.run.salt).ok_or_else(damaged)?;
        let left = self.run.note.keys - self.read;
        let is_last = left <= PAGE_ENTRIES as u64;
        if u64::from(tail.count) != left.min(PAGE_ENTRIES as u64) || tail.is_last != is_last {
            return Err(self.run.is_damaged("it has another number of keys than the manifest says"));
        }
        self.page = entries.collect();
        self.page.reverse();
        Ok(())
    }
}

impl Places {
    fn for_keys(keys: u64) -> Self {
        Self { filter: Filter::for_keys(keys), pages: Vec::new() }
    }

    /// Adds the entry with this number.
    fn add(&mut self, entry: KeyEntry, number: u64) {
        if number.is_multiple_of(PAGE_ENTRIES as u64) {
            self.pages.push(entry.beginning());
        }
        self.filter.add(entry.key());
    }
}

/// Writes the file of a run. Nothing uses it before [`RunWriter::end`].
pub(super) struct RunWriter<'d> {
    disk: &'d dyn Disk,
    file: Arc<dyn DiskFile>,
    salt: Salt,
    note: KeyRun,
    /// The entries of the page that is not full.
    page: Vec<KeyEntry>,
    /// Pages that are not written yet.
    piece: Vec<u8>,
    at: u64,
    places: Places,
}

impl<'d> RunWriter<'d> {
    /// Begins a run with this number, of at most so many keys.
    pub(super) fn begin(
        disk: &'d dyn Disk,
        salt: Salt,
        (number, level): (u64, u8),
        (day, keys): (u32, u64),
    ) -> io::Result<Self> {
        let file = disk.create(&disk::temporary_name(&run_name(number)))?;
        let note = KeyRun { number, level, day, keys: 0, newest: 0 };
        let (page, piece) = (Vec::with_capacity(PAGE_ENTRIES), Vec::new());
        Ok(Self { disk, file, salt, note, page, piece, at: 0, places: Places::for_keys(keys) })
    }

    /// Adds the next entry. Entries come in order.
    pub(super) fn add(&mut self, entry: KeyEntry) -> io::Result<()> {
        if self.page.len() == PAGE_ENTRIES {
            self.end_page(false)?;
        }
        self.places.add(entry, self.note.keys);
        self.page.push(entry);
        self.note.keys += 1;
        self.note.newest = self.note.newest.max(entry.second());
        Ok(())
    }

    fn end_page(&mut self, is_last: bool) -> io::Result<()> {
        let count = u16::try_from(self.page.len()).unwrap_or(u16::MAX);
        let tail = PageTail { count, level: self.note.level, is_last, day: self.note.day };
        self.piece.extend_from_slice(&encode_page(&self.page, tail, self.salt));
        self.page.clear();
        if self.piece.len() >= PIECE || is_last {
            self.file.write_at(&[IoSlice::new(&self.piece)], self.at)?;
            self.file.sync()?;
            self.at += self.piece.len() as u64;
            self.piece.clear();
        }
        Ok(())
    }

    /// Makes the file durable under its name.
    pub(super) fn end(mut self) -> io::Result<Run> {
        self.end_page(true)?;
        disk::publish(self.disk, &run_name(self.note.number))?;
        let run = Run::noted(self.note, self.salt);
        Ok(Run { places: OnceLock::from(self.places), ..run })
    }
}

/// What the file of a run says of itself; `None` if it is damaged. The manifest, which should name it, is.
pub(super) fn describe(disk: &dyn Disk, salt: Salt, number: u64) -> io::Result<Option<KeyRun>> {
    let file = disk.open(&run_name(number))?;
    let (len, page_len) = (file.len()?, PAGE as u64);
    let Some(last_at) = len.checked_sub(page_len).filter(|at| at.is_multiple_of(page_len)) else {
        return Ok(None);
    };
    let mut page = vec![0; PAGE];
    if file.read_at(&mut page, last_at)? < PAGE {
        return Ok(None);
    }
    let Some((_, PageTail { count, level, is_last: true, day })) = decode_page(&page, salt) else {
        return Ok(None);
    };
    let keys = last_at / page_len * PAGE_ENTRIES as u64 + u64::from(count);
    // Later than any of its keys, so that it is kept long enough.
    let newest = day.saturating_add(1).saturating_mul(86_400);
    Ok(Some(KeyRun { number, level, day, keys, newest }))
}
