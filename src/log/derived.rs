//! What follows from the methods of a log. No log implements any of it.

use std::collections::BTreeMap;
use std::io;

use super::account_key::AccountKey;
use super::batches::{FirstOpen, Go, OpenBatch, Read};
use super::ledger_report::{Difference, Rows};
use super::refusals::Held;
use super::seals::PendingSeal;
use super::{Log, hours::Row};
use crate::batch::BatchKey;
use crate::object::S3Location;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

impl dyn Log + '_ {
    /// Finds a batch's first unsealed frame that can be read.
    pub fn first_open(&self, batch: &OpenBatch) -> io::Result<FirstOpen> {
        let (mut first, mut lost) = (None, Vec::new());
        self.read(&batch.key, batch.sealed_through, u64::MAX, &mut |read| {
            match read {
                Read::Lost(range) => lost.push(range),
                Read::Frame(frame) => {
                    first = Some(frame.position);
                    return Ok(Go::Stop);
                }
            }
            Ok(Go::On)
        })?;
        Ok(first.map_or(FirstOpen::Nothing { lost }, FirstOpen::At))
    }

    /// Seals whose objects are not known to be in the store, oldest first.
    pub fn pending_seals(&self) -> Vec<PendingSeal> {
        let mut seals = Vec::new();
        self.each_pending_seal(&mut |pending| seals.push(pending.clone()));
        seals
    }

    /// Their numbers.
    pub fn pending_numbers(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        self.each_pending_seal(&mut |pending| numbers.push(pending.seal.number));
        numbers
    }

    /// Whether a sealed object of this batch still holds its frames: it is neither in the store nor parked.
    pub fn has_unparked_seal(&self, batch: &BatchKey) -> bool {
        let mut has = false;
        self.each_pending_seal(&mut |pending| {
            has |= pending.parked.is_none() && pending.seal.batch == *batch
        });
        has
    }

    /// The space that pending objects take, by source and the bucket recorded in their seals.
    pub fn held(&self) -> Vec<(SourceId, S3Location, Held)> {
        let mut held: BTreeMap<SourceId, BTreeMap<S3Location, Held>> = BTreeMap::new();
        self.each_pending_seal(&mut |pending| {
            let seal = &pending.seal;
            // Nearly every seal is of a source and bucket that are known: nothing is copied for it.
            match held.get_mut(&seal.batch.source).and_then(|of| of.get_mut(&seal.location)) {
                Some(held) => held.add(Held::of_pending(pending)),
                None => {
                    let of_source = held.entry(seal.batch.source.clone()).or_default();
                    of_source.insert(seal.location.clone(), Held::of_pending(pending));
                }
            }
        });
        let of_source = |(source, of): (SourceId, BTreeMap<S3Location, Held>)| {
            of.into_iter().map(move |(to, held)| (source.clone(), to, held))
        };
        held.into_iter().flat_map(of_source).collect()
    }

    /// The last day to end, if every day through `over` may end; `None` if there is nothing to end. It is
    /// never later than the last day with calls: if the clock was years ahead, those years must not end
    /// (decision 0109).
    pub fn last_to_end(&self, over: ReceivedDay) -> Option<ReceivedDay> {
        let ended = self.days_over();
        if ended >= Some(over) {
            return None;
        }
        let with_calls = self.unclosed_days().into_keys().map(|(day, _)| day).rfind(|day| *day <= over);
        with_calls.filter(|day| ended < Some(*day))
    }

    /// Whether space is needed: sealed objects should be parked.
    pub fn is_under_pressure(&self) -> bool {
        self.usage().bytes_to_free() > 0
    }

    /// Whether the remaining space may be only enough for the objects of one more segment, staged and parked.
    /// Segments are then emptied one by one, because objects that free no segment would use up the rest.
    pub fn is_tight(&self) -> bool {
        /// One segment more than is kept free for objects.
        const SEGMENTS: u64 = 4;
        self.has_less_than(SEGMENTS)
    }

    /// As `is_tight`, and the remaining space may be too small for two segments' worth.
    pub fn is_too_tight_for_two(&self) -> bool {
        self.has_less_than(2)
    }

    /// Whether there is pressure, and fewer than this many segments of space are left.
    fn has_less_than(&self, segments: u64) -> bool {
        let usage = self.usage();
        usage.bytes_to_free() > 0 && self.bytes_left() < segments.saturating_mul(usage.segment_bytes)
    }

    /// The batches to deliver so that enough segments are released to end the pressure, oldest first. Empty
    /// without pressure.
    pub fn under_pressure(&self) -> Vec<BatchKey> {
        let usage = self.usage();
        match usage.bytes_to_free() {
            0 => Vec::new(),
            _ if self.is_tight() => self.pinning_oldest(),
            bytes => self.pinning(bytes, usage.disk_is_full),
        }
    }

    /// The batches with unsealed frames in the oldest closed segment that has any, whether or not there is
    /// pressure.
    pub fn pinning_oldest(&self) -> Vec<BatchKey> {
        self.pinning(1, true)
    }

    /// The batches with unsealed frames in the oldest closed segment; empty if all its frames are sealed.
    pub fn pinning_oldest_unsealed(&self) -> Vec<BatchKey> {
        self.pinning(1, false)
    }

    /// Whether the log has stopped for good. If [`Stopped`](super::Stopped) was returned but this is false, a
    /// note found no space.
    pub fn is_stopped(&self) -> bool {
        self.stopped().borrow().is_some()
    }

    /// The ledger's total of each account, and its differences, at one instant.
    pub fn ledger_summary(&self) -> (Vec<(AccountKey, Row)>, Vec<Difference>) {
        let report = self.ledger(Rows::Totals);
        (report.accounts.into_iter().map(|of| (of.account, of.total)).collect(), report.differences)
    }

    /// Where the ledger's two sides differ.
    pub fn ledger_differences(&self) -> Vec<Difference> {
        self.ledger(Rows::None).differences
    }
}
