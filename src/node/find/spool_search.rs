//! Looks through what is in the spool: open batches, and sealed objects that the store does not have yet.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::time::Duration;

use super::collected::{Collected, Line};
use super::wanted::Wanted;
use crate::admin::FoundPlace;
use crate::archive::StoredLines;
use crate::delivery::Delivery;
use crate::give_way::GiveWay;
use crate::log::{Go, KeptBytes, Log, OpenBatch, PendingSeal, Read};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::Clock;
use crate::words::{about_bytes, counted};

/// The most bytes of lines in the spool that a search reads: the newest ones.
pub(super) const SPOOL_BYTES_MAX: u64 = 256_000_000;
/// The most sealed objects that a search looks through: the newest ones.
const SEALS_MAX: usize = 200;
/// The most problems that an answer names.
const PROBLEMS_MAX: usize = 5;

/// A search through the spool. It waits for the disk.
pub(super) struct SpoolSearch<'s> {
    pub(super) log: &'s dyn Log,
    pub(super) delivery: &'s Delivery,
    pub(super) clock: &'s dyn Clock,
    pub(super) wanted: &'s Wanted,
    pub(super) source: Option<&'s SourceId>,
    /// When the search ends, in monotonic time.
    pub(super) until: Duration,
    pub(super) collected: &'s mut Collected,
}

/// What was read, and what was not.
#[derive(Debug, Default)]
pub(super) struct SpoolSearched {
    /// Bytes of lines.
    pub(super) bytes: u64,
    /// One sentence for each thing that was left out.
    pub(super) left_out: Vec<String>,
}

/// What is left of the bounds of a search.
struct Left<'c> {
    bytes: u64,
    until: Duration,
    clock: &'c dyn Clock,
    give_way: GiveWay<'c>,
    is_over: bool,
}

impl Left<'_> {
    /// Counts a line. Whether the search goes on.
    fn take(&mut self, line: &[u8]) -> Go {
        self.bytes = self.bytes.saturating_sub(line.len() as u64);
        self.give_way.after(line.len());
        self.is_over = self.is_over || self.clock.monotonic() >= self.until;
        if self.bytes == 0 || self.is_over { Go::Stop } else { Go::On }
    }
}

impl SpoolSearch<'_> {
    /// Looks through the open batches first: what is sealed meanwhile is among the sealed objects.
    pub(super) fn run(mut self) -> SpoolSearched {
        let (clock, until) = (self.clock, self.until);
        let give_way = GiveWay::new(clock);
        let mut left = Left { bytes: SPOOL_BYTES_MAX, until, clock, give_way, is_over: false };
        let (mut unread, mut problems) = (0_u64, Vec::new());
        let mut batches = self.log.open_batches();
        batches.retain(|batch| self.wants(&batch.key.source, &batch.key.stream));
        batches.sort_by_key(|batch| Reverse(batch.last));
        for batch in batches {
            unread = unread.saturating_add(batch.bytes.saturating_sub(left.bytes));
            if let Err(error) = self.batch(&batch, &mut left) {
                problems.push(format!("a batch of {}: {error}", batch.key.source));
            }
        }
        let (seals, more) = self.pending_seals();
        if more > 0 {
            problems.push(format!(
                "{}: a search reads {SEALS_MAX}",
                counted(more, "older sealed object", "older sealed objects")
            ));
        }
        for pending in seals {
            if pending.bytes() > left.bytes || left.is_over {
                unread = unread.saturating_add(pending.bytes());
            } else if let Err(error) = self.sealed(&pending, &mut left) {
                problems.push(format!("the sealed object {}: {error}", pending.seal.object_key));
            }
        }
        if unread > 0 {
            let most = about_bytes(SPOOL_BYTES_MAX);
            problems
                .insert(0, format!("the oldest {} in the spool: a search reads {most}", about_bytes(unread)));
        }
        if left.is_over {
            problems.insert(0, "a part of the spool: the search took too long".to_owned());
        }
        let more = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        if more > 0 {
            problems.push(format!("and {more} more parts of the spool"));
        }
        SpoolSearched { bytes: SPOOL_BYTES_MAX - left.bytes, left_out: problems }
    }

    fn wants(&self, source: &SourceId, stream: &Stream) -> bool {
        // A dead letter is a copy of a call.
        self.source.is_none_or(|wanted| wanted == source) && !matches!(stream, Stream::Dead(_))
    }

    /// The newest lines of an open batch, as many as may still be read.
    fn batch(&mut self, batch: &OpenBatch, left: &mut Left<'_>) -> io::Result<()> {
        if left.bytes == 0 || left.is_over {
            return Ok(());
        }
        let skipped = batch.bytes.saturating_sub(left.bytes);
        let first = if skipped > 0 { self.log.positions_at(batch, &[skipped])? } else { Vec::new() };
        let after = first.first().map_or(batch.sealed_through, |first| first.saturating_sub(1));
        let due_ms = self.delivery.due_at(batch).0;
        let key = &batch.key;
        self.log.read(key, after.max(batch.sealed_through), batch.last, &mut |read| {
            let Read::Frame(frame) = read else { return Ok(Go::On) };
            if self.wanted.fits(frame.payload, &key.stream) {
                let place =
                    FoundPlace::Waiting { position: frame.position, batch_lines: batch.frames, due_ms };
                let line = Line {
                    source: &key.source,
                    stream: &key.stream,
                    text: frame.payload,
                    received_at: Some(frame.received_at),
                };
                self.collected.add(line, place);
            }
            Ok(left.take(frame.payload))
        })
    }

    /// The newest sealed objects, and how many there are beside them.
    fn pending_seals(&self) -> (Vec<PendingSeal>, u64) {
        let mut seals = VecDeque::new();
        let mut more = 0;
        self.log.each_pending_seal(&mut |pending| {
            if self.wants(&pending.seal.batch.source, &pending.seal.batch.stream) {
                seals.push_back(pending.clone());
                if seals.len() > SEALS_MAX {
                    seals.pop_front();
                    more += 1;
                }
            }
        });
        (seals.into_iter().rev().collect(), more)
    }

    fn sealed(&mut self, pending: &PendingSeal, left: &mut Left<'_>) -> io::Result<()> {
        let seal = &pending.seal;
        let waiting = self.delivery.progress().of(&seal.batch.source).waiting;
        let object = format!("{}/{}", seal.location.bucket.bucket(), seal.object_key);
        let (source, stream) = (&seal.batch.source, &seal.batch.stream);
        let parked = pending.parked.is_some();
        let (wanted, collected) = (self.wanted, &mut *self.collected);
        let mut look = |line: u64, text: &[u8], received_at| {
            if wanted.fits(text, stream) {
                let (object, waiting) = (object.clone(), waiting.clone());
                let place = FoundPlace::Sealed { object, line, parked, waiting };
                collected.add(Line { source, stream, text, received_at }, place);
            }
            left.take(text)
        };
        if !parked {
            let mut line = 0;
            return self.log.read(&seal.batch, seal.first.saturating_sub(1), seal.last, &mut |read| {
                let Read::Frame(frame) = read else { return Ok(Go::On) };
                line += 1;
                Ok(look(line, frame.payload, Some(frame.received_at)))
            });
        }
        let lines = match self.log.open_for_put(seal)?.bytes {
            KeptBytes::File { path, len: _ } => StoredLines::new(File::open(path)?)?,
            KeptBytes::Memory(bytes) => StoredLines::new(io::Cursor::new(bytes))?,
        };
        for line in lines {
            let (number, text) = line?;
            if look(number, &text, None) == Go::Stop {
                break;
            }
        }
        Ok(())
    }
}
