//! The list on disk: one file, an embedded database.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `objects` | time of delivery, number | the entry, as JSON |
//! | `keys` | 128 bits of the BLAKE3 of the object key | its place in `objects` |
//! | `by_day` | day, source, stream, place in `objects` | nothing |
//! | `by_source` | source, place in `objects` | nothing |
//! | `sums` | day, source, stream | objects, calls, bytes, the last delivery |
//! | `about` | a name | a number |

use std::fmt;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use redb::{
    AccessGuard, ReadTransaction, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    Table, TableDefinition, WriteTransaction,
};

use super::{KEPT_DAYS, OBJECTS_MAX, SUMS_MAX};
use crate::delivery::Delivered;
use crate::disk::{if_there, own_files};
use crate::object::{ObjectKey, Stream};
use crate::sources::SourceId;
use crate::time::{DAY_MS, ReceivedDay, UnixMillis};

/// When an object was delivered, and its number in the list.
type ListKey = (i64, u64);
/// Day, source and stream.
type SumKey<'k> = (i64, &'k str, &'k str);
/// Objects, calls, bytes and the last delivery.
type Sum = (u64, u64, u64, i64);

const OBJECTS: TableDefinition<'_, ListKey, &[u8]> = TableDefinition::new("objects");
const KEYS: TableDefinition<'_, u128, ListKey> = TableDefinition::new("keys");
const BY_DAY: TableDefinition<'_, (i64, &str, &str, i64, u64), ()> = TableDefinition::new("by_day");
const BY_SOURCE: TableDefinition<'_, (&str, i64, u64), ()> = TableDefinition::new("by_source");
const SUMS: TableDefinition<'_, SumKey<'_>, Sum> = TableDefinition::new("sums");
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// The number of the next object.
const NEXT: &str = "next";
/// When the list began.
const SINCE: &str = "since";
/// Objects and sums that went before their time, and objects that were never written.
const DROPPED: &str = "dropped";
const SUMS_DROPPED: &str = "sums_dropped";
const MISSED: &str = "missed";

/// Bytes of the database that are kept in memory.
const CACHE_BYTES: usize = 2 * 1_024 * 1_024;
/// Entries that one transaction removes at most. What is left goes with the next one.
const REMOVED_MAX: u64 = 20_000;

/// Why the list cannot be read or written. Not an [`std::error::Error`] itself, so that `?` makes it of any.
#[derive(Debug)]
pub(super) struct ListError(String);

impl ListError {
    pub(super) fn of(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for ListError {
    fn from(error: E) -> Self {
        Self::of(error)
    }
}

/// What the list holds, and what it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Since when deliveries are listed.
    pub since: Option<UnixMillis>,
    /// Objects that are listed one by one.
    pub objects: u64,
    /// Objects that had to go before their time, to keep the list short. They still count in the sums.
    pub dropped: u64,
    /// Sums that had to go before their time.
    pub sums_dropped: u64,
    /// Objects that were never listed, because too many came at once or the file could not be written.
    pub missed: u64,
}

/// A source's stream on a day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DayKey {
    /// The received-day.
    pub day: ReceivedDay,
    /// The source.
    pub source: SourceId,
    /// The stream.
    pub stream: Stream,
}

/// What was delivered of a source's stream on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DaySum {
    /// Objects.
    pub objects: u64,
    /// Lines.
    pub calls: u64,
    /// Bytes as stored.
    pub bytes: u64,
    /// When the last object was delivered.
    pub last_delivered_at: UnixMillis,
}

/// How much is kept. Tests keep less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) objects: u64,
    pub(super) sums: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { objects: OBJECTS_MAX, sums: SUMS_MAX }
    }
}

/// The open file. All methods wait for the disk.
#[derive(Debug)]
pub(super) struct Database {
    redb: redb::Database,
    bounds: Bounds,
}

impl Database {
    /// Opens the file, and makes it if it does not exist.
    pub(super) fn open(path: &Path, bounds: Bounds, now: UnixMillis) -> Result<Self, ListError> {
        if !path.exists() {
            make(path, now)?;
        }
        let redb = builder().open(path)?;
        // A file of another kind, or of a release with other tables, is found out here.
        let read = redb.begin_read()?;
        about(&read)?;
        Ok(Self { redb, bounds })
    }

    /// Adds objects that are not listed yet, and removes what is old or too much, all or nothing. `missed`
    /// objects were lost on the way.
    pub(super) fn add(&self, entries: &[Delivered], missed: u64, now: UnixMillis) -> Result<(), ListError> {
        let begun = self.redb.begin_write()?;
        {
            let mut tables = Tables::of(&begun)?;
            for entry in entries {
                tables.insert(entry)?;
            }
            tables.count(MISSED, missed)?;
            tables.remove_old(UnixMillis(now.day().start().0 - (KEPT_DAYS - 1) * DAY_MS).day())?;
            tables.remove_beyond(self.bounds)?;
        }
        Ok(begun.commit()?)
    }

    pub(super) fn about(&self) -> Result<About, ListError> {
        about(&self.redb.begin_read()?)
    }

    /// At most `limit` objects delivered before `before`, the last one first. A page never ends within a
    /// millisecond (unless that has as many again), so that the next one can begin with its last time.
    pub(super) fn newest(
        &self,
        source: Option<&SourceId>,
        before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<Delivered>, ListError> {
        let read = self.redb.begin_read()?;
        let objects = read.open_table(OBJECTS)?;
        let mut page: Vec<Delivered> = Vec::new();
        let is_full = |page: &[Delivered], at: i64| {
            let ends = page.last().is_some_and(|last| last.delivered_at.0 != at);
            page.len() >= limit.saturating_mul(2) || (page.len() >= limit && ends)
        };
        match source {
            None => {
                for found in objects.range(..(before.0, 0))?.rev() {
                    let (list_key, json) = found?;
                    if is_full(&page, list_key.value().0) {
                        break;
                    }
                    page.push(entry_of(json.value())?);
                }
            }
            Some(source) => {
                let places = read.open_table(BY_SOURCE)?;
                let id = source.as_str();
                for found in places.range((id, i64::MIN, 0)..(id, before.0, 0))?.rev() {
                    let (_, at, number) = found?.0.value();
                    if is_full(&page, at) {
                        break;
                    }
                    if let Some(json) = objects.get((at, number))? {
                        page.push(entry_of(json.value())?);
                    }
                }
            }
        }
        Ok(page)
    }

    /// At most `limit` objects of a day in the order of their delivery, after the one with the key `after`.
    /// `None` if that one is not listed.
    pub(super) fn of_day(
        &self,
        of: &DayKey,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Option<Vec<Delivered>>, ListError> {
        let read = self.redb.begin_read()?;
        let objects = read.open_table(OBJECTS)?;
        let (day, source, stream) = (of.day.start().0, of.source.as_str(), of.stream.to_string());
        let (from_at, from_number) = match after {
            None => (i64::MIN, 0),
            Some(key) => {
                let keys = read.open_table(KEYS)?;
                let list_key = keys.get(hash_of(key))?;
                let Some((at, number)) = list_key.map(|list_key| list_key.value()) else { return Ok(None) };
                (at, number + 1)
            }
        };
        let from = (day, source, stream.as_str(), from_at, from_number);
        let to = (day, source, stream.as_str(), i64::MAX, u64::MAX);
        let places = read.open_table(BY_DAY)?;
        let mut page = Vec::new();
        for found in places.range(from..=to)?.take(limit) {
            let (.., at, number) = found?.0.value();
            if let Some(json) = objects.get((at, number))? {
                page.push(entry_of(json.value())?);
            }
        }
        Ok(Some(page))
    }

    /// The objects with these keys, those that are listed.
    pub(super) fn with_keys(&self, wanted: &[ObjectKey]) -> Result<Vec<Delivered>, ListError> {
        let read = self.redb.begin_read()?;
        let keys = read.open_table(KEYS)?;
        let objects = read.open_table(OBJECTS)?;
        let mut found = Vec::new();
        for key in wanted {
            let list_key = keys.get(hash_of(key))?.map(|list_key| list_key.value());
            let Some(list_key) = list_key else { continue };
            if let Some(json) = objects.get(list_key)? {
                found.push(entry_of(json.value())?);
            }
        }
        Ok(found)
    }

    /// At most `limit` sums of `source` or of all, of the last day first, and how many there are.
    pub(super) fn sums(
        &self,
        source: Option<&SourceId>,
        limit: usize,
    ) -> Result<(Vec<(DayKey, DaySum)>, u64), ListError> {
        let read = self.redb.begin_read()?;
        let sums = read.open_table(SUMS)?;
        let mut page = Vec::new();
        let Some(source) = source else {
            for found in sums.iter()?.rev().take(limit) {
                let (key, sum) = found?;
                page.push(sum_of(key.value(), sum.value())?);
            }
            return Ok((page, sums.len()?));
        };
        let day_of = |found: Option<(AccessGuard<'_, _>, AccessGuard<'_, _>)>| {
            found.map(|(key, _): (AccessGuard<'_, SumKey<'_>>, _)| key.value().0)
        };
        let first = day_of(sums.first()?);
        let last = day_of(sums.last()?);
        let (Some(first), Some(mut day)) = (first, last) else { return Ok((page, 0)) };
        let (id, mut total) = (source.as_str(), 0);
        // Days beyond these are left of a clock that was wrong.
        for _ in 0..2 * KEPT_DAYS {
            for found in sums.range((day, id, "")..=(day, id, LAST_STREAM))?.rev() {
                let (key, sum) = found?;
                total += 1;
                if page.len() < limit {
                    page.push(sum_of(key.value(), sum.value())?);
                }
            }
            day = day.saturating_sub(DAY_MS);
            if day < first {
                break;
            }
        }
        Ok((page, total))
    }
}

/// After the names of all streams.
const LAST_STREAM: &str = "\u{10FFFF}";

fn sum_of(
    (day, source, stream): SumKey<'_>,
    (objects, calls, bytes, last): Sum,
) -> Result<(DayKey, DaySum), ListError> {
    let source = SourceId::new(source)?;
    let stream = stream.parse()?;
    let of = DayKey { day: UnixMillis(day).day(), source, stream };
    Ok((of, DaySum { objects, calls, bytes, last_delivered_at: UnixMillis(last) }))
}

fn builder() -> redb::Builder {
    let mut builder = redb::Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Makes an empty list, which gets its name only when it is complete: one whose making was cut short could
/// never be opened.
fn make(path: &Path, now: UnixMillis) -> Result<(), ListError> {
    // A start of the spool removes what is left under this name.
    let temporary = path.with_extension("tmp");
    if_there(fs::remove_file(&temporary))?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(&temporary)?;
    let redb = builder().create(&temporary)?;
    let begun = redb.begin_write()?;
    Tables::of(&begun)?.about.insert(SINCE, u64::try_from(now.0).unwrap_or(0))?;
    begun.commit()?;
    drop(redb);
    fs::File::open(&temporary).and_then(|file| file.sync_all())?;
    Ok(own_files::rename_durably(&temporary, path)?)
}

fn about(read: &ReadTransaction) -> Result<About, ListError> {
    let about = read.open_table(ABOUT)?;
    let number =
        |name: &str| -> Result<Option<u64>, ListError> { Ok(about.get(name)?.map(|number| number.value())) };
    let objects = read.open_table(OBJECTS)?.len()?;
    Ok(About {
        since: number(SINCE)?.and_then(|since| i64::try_from(since).ok()).map(UnixMillis),
        objects,
        dropped: number(DROPPED)?.unwrap_or(0),
        sums_dropped: number(SUMS_DROPPED)?.unwrap_or(0),
        missed: number(MISSED)?.unwrap_or(0),
    })
}

fn entry_of(json: &[u8]) -> Result<Delivered, ListError> {
    Ok(serde_json::from_slice(json)?)
}

fn hash_of(key: &ObjectKey) -> u128 {
    let mut bytes = [0; 16];
    blake3::Hasher::new().update(key.as_str().as_bytes()).finalize_xof().fill(&mut bytes);
    u128::from_be_bytes(bytes)
}

/// The tables, open for writing.
struct Tables<'t> {
    objects: Table<'t, ListKey, &'static [u8]>,
    keys: Table<'t, u128, ListKey>,
    by_day: Table<'t, (i64, &'static str, &'static str, i64, u64), ()>,
    by_source: Table<'t, (&'static str, i64, u64), ()>,
    sums: Table<'t, SumKey<'static>, Sum>,
    about: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    fn of(begun: &'t WriteTransaction) -> Result<Self, ListError> {
        Ok(Self {
            objects: begun.open_table(OBJECTS)?,
            keys: begun.open_table(KEYS)?,
            by_day: begun.open_table(BY_DAY)?,
            by_source: begun.open_table(BY_SOURCE)?,
            sums: begun.open_table(SUMS)?,
            about: begun.open_table(ABOUT)?,
        })
    }

    fn count(&mut self, what: &str, more: u64) -> Result<u64, ListError> {
        let before = self.about.get(what)?.map_or(0, |number| number.value());
        if more > 0 {
            self.about.insert(what, before.saturating_add(more))?;
        }
        Ok(before)
    }

    fn insert(&mut self, entry: &Delivered) -> Result<(), ListError> {
        let hash = hash_of(&entry.key);
        if self.keys.get(hash)?.is_some() {
            return Ok(());
        }
        let (day, source, stream) = (entry.day.start().0, entry.source.as_str(), entry.stream.to_string());
        let at = entry.delivered_at.0;
        let number = self.count(NEXT, 1)?;
        let json = serde_json::to_vec(entry)?;
        self.objects.insert((at, number), json.as_slice())?;
        self.keys.insert(hash, (at, number))?;
        self.by_day.insert((day, source, stream.as_str(), at, number), ())?;
        self.by_source.insert((source, at, number), ())?;
        let of = (day, source, stream.as_str());
        let sum = self.sums.get(of)?.map(|sum| sum.value());
        let (objects, calls, bytes, last) = sum.unwrap_or((0, 0, 0, i64::MIN));
        let sum = (
            objects.saturating_add(1),
            calls.saturating_add(entry.calls),
            bytes.saturating_add(entry.bytes),
            last.max(at),
        );
        self.sums.insert(of, sum)?;
        Ok(())
    }

    /// Removes an object from all tables but the sums.
    fn remove(&mut self, list_key: ListKey) -> Result<(), ListError> {
        let json = self.objects.remove(list_key)?;
        let Some(entry) = json.map(|json| entry_of(json.value())).transpose()? else { return Ok(()) };
        let (day, source, stream) = (entry.day.start().0, entry.source.as_str(), entry.stream.to_string());
        self.keys.remove(hash_of(&entry.key))?;
        self.by_day.remove((day, source, stream.as_str(), list_key.0, list_key.1))?;
        self.by_source.remove((source, list_key.0, list_key.1))?;
        Ok(())
    }

    /// Removes the days before `first`.
    fn remove_old(&mut self, first: ReceivedDay) -> Result<(), ListError> {
        let first = first.start().0;
        for _ in 0..REMOVED_MAX {
            let oldest = self.by_day.first()?.map(|(key, _)| {
                let (day, .., at, number) = key.value();
                (day, (at, number))
            });
            match oldest {
                Some((day, list_key)) if day < first => self.remove(list_key)?,
                _ => break,
            }
        }
        for _ in 0..REMOVED_MAX {
            let oldest = self.sums.first()?.map(|(key, _)| key.value().0);
            if oldest.is_none_or(|day| day >= first) {
                break;
            }
            self.sums.pop_first()?;
        }
        Ok(())
    }

    /// Removes the oldest objects and sums beyond the bounds.
    fn remove_beyond(&mut self, bounds: Bounds) -> Result<(), ListError> {
        let beyond = self.objects.len()?.saturating_sub(bounds.objects);
        for _ in 0..beyond.min(REMOVED_MAX) {
            let oldest = self.objects.first()?.map(|(list_key, _)| list_key.value());
            if let Some(list_key) = oldest {
                self.remove(list_key)?;
            }
        }
        self.count(DROPPED, beyond.min(REMOVED_MAX))?;
        let beyond = self.sums.len()?.saturating_sub(bounds.sums);
        for _ in 0..beyond.min(REMOVED_MAX) {
            self.sums.pop_first()?;
        }
        self.count(SUMS_DROPPED, beyond.min(REMOVED_MAX))?;
        Ok(())
    }
}
