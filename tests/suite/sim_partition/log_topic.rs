//! The calls topic, as brokers keep it: with retention, cuts, and records that are no blocks.

use bytes::Bytes;
use forebay::partition::block::{self, BlockAt};

/// One partition.
#[derive(Clone, Debug, Default)]
pub(super) struct LogPartition {
    /// Retention has deleted what stands before. It is kept here for the checks.
    pub(super) start: u64,
    /// `None`: the record is missing.
    pub(super) records: Vec<Option<Vec<u8>>>,
    /// Where the log was cut, in order.
    cuts: Vec<u64>,
    /// Records that cuts took away.
    pub(super) cut_away: Vec<Vec<u8>>,
    /// Whether retention has deleted something that was needed.
    pub(super) lost: bool,
    /// Whether retention has deleted what filled windows.
    pub(super) is_short: bool,
}

/// What a fetch returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    Record(u64, Bytes),
    End,
    OutOfRange,
}

/// The consumer's side of a partition: cuts that it knows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Consumer {
    known_cuts: Option<usize>,
}

impl Consumer {
    /// Whether it has read something: from then on it notices a cut.
    pub(super) fn is_placed(self) -> bool {
        self.known_cuts.is_some()
    }
}

impl LogPartition {
    /// The offset of the next record.
    pub(super) fn end(&self) -> u64 {
        self.records.len() as u64
    }

    pub(super) fn append(&mut self, value: Option<Vec<u8>>) -> u64 {
        self.records.push(value);
        self.end() - 1
    }

    /// The record at an offset, or the next one. A consumer that has read on before a cut notices it; one that
    /// begins at an offset does not.
    pub(super) fn fetch(&self, offset: u64, consumer: &mut Consumer) -> Fetched {
        let known = consumer.known_cuts.replace(self.cuts.len()).unwrap_or(self.cuts.len());
        let was_cut = self.cuts[known..].iter().any(|at| *at < offset);
        if was_cut || offset < self.start || offset > self.end() {
            return Fetched::OutOfRange;
        }
        let from = usize::try_from(offset).unwrap();
        let found =
            self.records[from..].iter().zip(offset..).find_map(|(value, at)| Some((at, value.as_ref()?)));
        found.map_or(Fetched::End, |(at, value)| Fetched::Record(at, Bytes::copy_from_slice(value)))
    }

    /// Whether a block stands where it was read, or retention has deleted it.
    pub(super) fn has(&self, read: BlockAt) -> bool {
        let at = usize::try_from(read.offset).unwrap();
        let found = self.records.get(at).and_then(Option::as_deref);
        let found = found.and_then(|value| block::read(value).ok());
        let is_it =
            found.is_some_and(|block| (block.collector, block.number) == (read.collector, read.number));
        is_it || read.offset < self.start
    }

    /// Whether a consumer would read nothing new, and knows it. The program polls for ever, so it does.
    pub(super) fn has_read_all(&self, next: u64, consumer: Consumer) -> bool {
        next == self.end() && consumer.known_cuts == Some(self.cuts.len())
    }

    /// The first offset from which on records were taken away and written anew.
    pub(super) fn first_cut(&self) -> Option<u64> {
        self.cuts.iter().min().copied()
    }

    /// Takes the last records away.
    pub(super) fn cut(&mut self, at: u64) {
        let gone = self.records.split_off(usize::try_from(at).unwrap());
        self.cut_away.extend(gone.into_iter().flatten());
        self.cuts.push(at);
    }

    pub(super) fn was_cut(&self) -> bool {
        !self.cuts.is_empty()
    }
}
