//! Keeps the newest imports of a journal in memory.
//!
//! A journal remembers every file for good, and may have a million of them. The whole journal is read once,
//! at the first request for it; from the start on, each write to it is noted here, too.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::journal::{Change, Journal, JournalError};
use super::record::{ImportRecord, ImportState};
use crate::lock::lock;
use crate::log::ImportKey;
use crate::time::{Clock, UnixMillis};

/// Imports that are kept in memory: the ones that were begun, continued or ended last.
const KEPT_MAX: usize = 1_000;
/// The wait before a journal that could not be read is read again.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A journal, and its newest records.
#[derive(Debug)]
pub(super) struct RecentJournal {
    journal: Arc<dyn Journal>,
    clock: Arc<dyn Clock>,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    records: HashMap<ImportKey, (UnixMillis, ImportRecord)>,
    /// The keys of `records`, by the time of their last change.
    order: BTreeSet<(UnixMillis, ImportKey)>,
    read: ReadState,
}

/// Whether the journal has been read.
#[derive(Clone, Debug, Default)]
pub(super) enum ReadState {
    #[default]
    No,
    Now,
    Yes,
    /// The read failed at this time, for this reason.
    Failed(Duration, String),
}

impl Recent {
    fn put(&mut self, at: UnixMillis, record: ImportRecord) {
        let key = record.key;
        if let Some((before, _)) = self.records.remove(&key) {
            self.order.remove(&(before, key));
        }
        self.order.insert((at, key));
        self.records.insert(key, (at, record));
        while self.order.len() > KEPT_MAX {
            if let Some((_, oldest)) = self.order.pop_first() {
                self.records.remove(&oldest);
            }
        }
    }

    /// Adds a record that was read, unless a newer one was written meanwhile.
    fn found(&mut self, record: ImportRecord) {
        let at = record.ended_at.unwrap_or(record.first_seen).max(record.first_seen);
        let is_old = self.order.len() >= KEPT_MAX && self.order.first().is_some_and(|(first, _)| at < *first);
        if !is_old && !self.records.contains_key(&record.key) {
            self.put(at, record);
        }
    }
}

impl RecentJournal {
    pub(super) fn new(journal: Arc<dyn Journal>, clock: Arc<dyn Clock>) -> Self {
        Self { journal, clock, recent: Mutex::default() }
    }

    /// The journal, for those who read it: what is written to it is noted here, too.
    pub(super) fn stored(&self) -> &dyn Journal {
        &*self.journal
    }

    /// The journal, shared.
    pub(super) fn shared(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.journal)
    }

    /// See [`Journal::change`].
    pub(super) fn change(&self, change: Change<'_>) -> Result<(), JournalError> {
        self.journal.change(change)?;
        let now = self.clock.wall();
        let mut recent = lock(&self.recent);
        for record in change.records {
            // What is noted about an import after its end does not make it newer.
            let ended = record.ended_at.filter(|_| record.state != ImportState::Reading);
            recent.put(ended.map_or(now, |at| at.max(record.first_seen)), record.clone());
        }
        Ok(())
    }

    /// See [`Journal::write`].
    pub(super) fn write(&self, records: &[ImportRecord]) -> Result<(), JournalError> {
        self.change(Change { records, ..Change::default() })
    }

    /// Whether the caller has to read the journal now.
    pub(super) fn begin_to_read(&self) -> bool {
        let now = self.clock.monotonic();
        let mut recent = lock(&self.recent);
        let due = match &recent.read {
            ReadState::No => true,
            ReadState::Failed(at, _) => now.saturating_sub(*at) >= AGAIN_AFTER,
            ReadState::Now | ReadState::Yes => false,
        };
        if due {
            recent.read = ReadState::Now;
        }
        due
    }

    /// Reads the whole journal. Waits for the disk.
    pub(super) fn read_all(&self) {
        let read = self.journal.each(&mut |record| lock(&self.recent).found(record));
        let state = match read {
            Ok(()) => ReadState::Yes,
            Err(error) => ReadState::Failed(self.clock.monotonic(), error.to_string()),
        };
        lock(&self.recent).read = state;
    }

    /// The newest records, and whether they are all read.
    pub(super) fn newest(&self, limit: usize) -> (Vec<ImportRecord>, ReadState) {
        let recent = lock(&self.recent);
        let keys = recent.order.iter().rev().take(limit);
        let records = keys.filter_map(|(_, key)| recent.records.get(key)).map(|(_, record)| record.clone());
        (records.collect(), recent.read.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::end::{End, Outcome};
    use super::super::journal::EachKept;
    use super::super::kept::KeptOf;
    use super::super::row_hash::RowCount;
    use super::*;
    use crate::log::ImportProgress;

    /// A journal with this many records, the newest last, that counts how often it is read.
    #[derive(Debug)]
    struct Long {
        records: u128,
        reads: AtomicU64,
    }

    fn record(key: u128) -> ImportRecord {
        let at = i64::try_from(key).unwrap();
        ImportRecord::of_progress(ImportKey(key), ImportProgress::default(), UnixMillis(at))
    }

    impl Journal for Long {
        fn read(&self, _: ImportKey) -> Result<Option<ImportRecord>, JournalError> {
            Ok(None)
        }
        fn change(&self, _: Change<'_>) -> Result<(), JournalError> {
            Ok(())
        }
        fn linked(&self, _: u128) -> Result<Option<ImportKey>, JournalError> {
            Ok(None)
        }
        fn row_counts(&self, _: &[u128]) -> Result<Vec<(u128, RowCount)>, JournalError> {
            Ok(Vec::new())
        }
        fn kept(&self, _: KeptOf, _: &str) -> Result<Option<Vec<u8>>, JournalError> {
            Ok(None)
        }
        fn kept_by(&self, _: KeptOf) -> Result<Vec<String>, JournalError> {
            Ok(Vec::new())
        }
        fn kept_from(&self, _: KeptOf, _: &str, _: EachKept<'_>) -> Result<(), JournalError> {
            Ok(())
        }
        fn each(&self, each: &mut dyn FnMut(ImportRecord)) -> Result<(), JournalError> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            (0..self.records).map(record).for_each(each);
            Ok(())
        }
        fn count(&self) -> Result<u64, JournalError> {
            Ok(u64::try_from(self.records).unwrap())
        }
    }

    #[derive(Debug)]
    struct At(i64);
    impl Clock for At {
        fn wall(&self) -> UnixMillis {
            UnixMillis(self.0)
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn keys(journal: &RecentJournal, limit: usize) -> Vec<u128> {
        journal.newest(limit).0.iter().map(|record| record.key.0).collect()
    }

    #[test]
    fn a_long_journal_is_read_once_and_its_newest_records_are_kept() {
        let long = Arc::new(Long { records: 5_000, reads: AtomicU64::new(0) });
        let journal = RecentJournal::new(Arc::clone(&long) as _, Arc::new(At(100_000)));
        // What is written before and meanwhile counts more than what is read.
        let mut written = record(3);
        written.ended(End::of(ImportKey(3), Outcome::Done), UnixMillis(100_000));
        journal.write(std::slice::from_ref(&written)).unwrap();
        assert!(journal.begin_to_read());
        journal.read_all();
        assert!(!journal.begin_to_read());
        assert_eq!(keys(&journal, 3), [3, 4_999, 4_998]);
        assert_eq!(journal.newest(1).0, [written]);
        assert_eq!(keys(&journal, usize::MAX).len(), KEPT_MAX);
        journal.write(&[record(1)]).unwrap();
        assert_eq!(keys(&journal, usize::MAX).len(), KEPT_MAX);
        // What is noted about an import that ended long ago does not make it the newest.
        let mut ended = record(4_998);
        ended.ended(End::of(ImportKey(4_998), Outcome::Done), UnixMillis(4_998));
        journal.write(&[ended]).unwrap();
        assert!(!keys(&journal, 2).contains(&4_998));
        // Of two changes in the same millisecond the order does not matter.
        assert!(keys(&journal, 2).contains(&1));
        assert_eq!(long.reads.load(Ordering::SeqCst), 1);
    }
}
