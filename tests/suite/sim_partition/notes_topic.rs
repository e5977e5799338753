//! The notes topic and its transactions, as brokers keep them.

use std::collections::BTreeMap;

use forebay::partition::answer::TransactionError;

/// How long a transaction may be open, in milliseconds.
const OPEN_MAX_MS: i64 = 30_000;

/// What became of a record's transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// Readers see it from this time on.
    Committed(i64),
    Aborted,
}

#[derive(Clone, Debug)]
struct Record {
    value: Vec<u8>,
    epoch: u64,
    fate: Fate,
    marker: bool,
}

#[derive(Clone, Debug, Default)]
struct Producer {
    epoch: u64,
    open: Vec<usize>,
    since: i64,
}

/// One partition of the notes.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    start: usize,
    records: Vec<Record>,
    producer: Producer,
}

/// One partition for each of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct NotesTopic(pub(super) BTreeMap<u32, Notes>);

impl Notes {
    /// Takes over the transactional id: what the one before has open is aborted.
    pub(super) fn init(&mut self, now: i64) -> u64 {
        self.end(None, now);
        self.producer.epoch += 1;
        self.producer.epoch
    }

    /// Adds records to the open transaction. Returns their offsets.
    pub(super) fn send(
        &mut self,
        epoch: u64,
        values: &[Vec<u8>],
        now: i64,
    ) -> Result<Vec<u64>, TransactionError> {
        self.check(epoch)?;
        if self.producer.open.is_empty() {
            self.producer.since = now;
        }
        let mut offsets = Vec::new();
        for value in values {
            self.producer.open.push(self.records.len());
            offsets.push(self.records.len() as u64);
            self.records.push(Record { value: value.clone(), epoch, fate: Fate::Open, marker: false });
        }
        Ok(offsets)
    }

    /// Commits the open transaction. Readers see it after `trails` milliseconds.
    pub(super) fn commit(&mut self, epoch: u64, now: i64, trails: i64) -> Result<(), TransactionError> {
        self.check(epoch)?;
        if self.producer.open.is_empty() {
            return Err(TransactionError::Unknown);
        }
        self.end(Some(now + trails), now);
        Ok(())
    }

    /// A record outside any transaction: only a planted bug writes one. Nobody checks who writes it.
    pub(super) fn plain(&mut self, epoch: u64, values: &[Vec<u8>], now: i64) -> Vec<u64> {
        let mut offsets = Vec::new();
        for value in values {
            offsets.push(self.records.len() as u64);
            let fate = Fate::Committed(now);
            self.records.push(Record { value: value.clone(), epoch, fate, marker: false });
        }
        offsets
    }

    /// The brokers abort what is open for too long, and refuse its producer from then on.
    pub(super) fn time_out(&mut self, now: i64) {
        if !self.producer.open.is_empty() && now - self.producer.since > OPEN_MAX_MS {
            self.end(None, now);
            self.producer.epoch += 1;
        }
    }

    /// What a reader of committed records sees from an offset on, and where it must stop.
    pub(super) fn read(&self, from: Option<u64>, now: i64) -> (Vec<(u64, Vec<u8>)>, u64) {
        let from = from.map_or(self.start, |from| usize::try_from(from).unwrap()).max(self.start);
        let is_seen = |record: &Record| match record.fate {
            Fate::Open => false,
            Fate::Committed(at) => at <= now,
            Fate::Aborted => true,
        };
        let end = (from..self.records.len()).find(|at| !is_seen(&self.records[*at]));
        let end = end.unwrap_or(self.records.len()).max(from);
        let seen = (from..end).filter(|at| {
            let record = &self.records[*at];
            matches!(record.fate, Fate::Committed(_)) && !record.marker
        });
        (seen.map(|at| (at as u64, self.records[at].value.clone())).collect(), end as u64)
    }

    /// The offset of the next record.
    pub(super) fn end(&self) -> u64 {
        self.records.len() as u64
    }

    /// All committed records that ever were, with the epoch of their writer.
    pub(super) fn history(&self) -> impl Iterator<Item = (u64, u64, &[u8])> {
        let committed =
            |(_, record): &(u64, &Record)| matches!(record.fate, Fate::Committed(_)) && !record.marker;
        (0..)
            .zip(&self.records)
            .filter(committed)
            .map(|(offset, record)| (offset, record.epoch, record.value.as_slice()))
    }

    /// Deletes the records before an offset.
    pub(super) fn delete_before(&mut self, offset: u64) {
        self.start = self.start.max(usize::try_from(offset).unwrap());
    }

    /// Whether a producer may still write.
    pub(super) fn is_owned_by(&self, epoch: u64) -> bool {
        epoch == self.producer.epoch
    }

    fn check(&self, epoch: u64) -> Result<(), TransactionError> {
        if self.is_owned_by(epoch) { Ok(()) } else { Err(TransactionError::Fenced) }
    }

    fn end(&mut self, committed: Option<i64>, now: i64) {
        if self.producer.open.is_empty() {
            return;
        }
        let fate = committed.map_or(Fate::Aborted, Fate::Committed);
        for at in std::mem::take(&mut self.producer.open) {
            self.records[at].fate = fate;
        }
        let (value, epoch) = (Vec::new(), self.producer.epoch);
        self.records.push(Record { value, epoch, fate: Fate::Committed(now), marker: true });
    }
}
