//! How an owner reads the log into its cache.

use std::collections::BTreeSet;
use std::time::Duration;

use super::cache::Full;
use super::owner::{End, Owner};
use super::records::Fetched;
use super::short::Short;
use crate::batch::BatchKey;
use crate::log::{Parked, PendingSeal, Seal};
use crate::partition::gone;
use crate::partition::left;
use crate::partition::note::Note;
use crate::partition::opening::Stop;
use crate::partition::position::{before, offset_of};
use crate::partition::reader::{ReadFrame, Took};
use crate::partition::state::State;
use crate::time::UnixMillis;

/// How long the cache may have no room before objects are left whose lines are not all read: deliveries free room sooner,
/// if anything can.
const LEAVES_HALF_READ_AFTER: Duration = Duration::from_secs(30);

/// How long nothing may be read before the library stops to fetch.
const RESTS_AFTER: Duration = Duration::from_secs(1);

/// What became of one look at the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// A record was read.
    Record,
    /// There is none, for now.
    End,
    /// None came in time.
    Nothing,
    /// The cache is full: nothing is read until something is forgotten.
    Full,
    /// The log cannot be read at present. Nothing is skipped.
    NotRead,
}

impl Owner {
    /// The number of its partition.
    pub(super) fn partition(&self) -> u32 {
        self.shared.read().state.identity.partition
    }

    /// Reads the next record into the cache.
    /// Errors: [`End`].
    pub fn read(&mut self, wait: Duration) -> Result<Looked, End> {
        if self.cache.waits_from().is_some() {
            if self.cache.makes_way()? == Err(Full) {
                self.leaves_half_read()?;
                return Ok(Looked::Full);
            }
            self.follow_state()?;
        }
        if left::are_too_many(&self.shared.read().state) {
            self.pauses();
            return Ok(Looked::Full);
        }
        if self.full_since.take().is_some() {
            self.shared.write().full_since = None;
        }
        let now = self.shared.clock.monotonic();
        if self.short.is_some_and(|short| short.rests(now)) {
            return Ok(Looked::NotRead);
        }
        if self.log.next() != Some(self.reader.expects()) {
            let place = self.reader.goes_anew(self.log_begins);
            if self.log.go_to(Some(place)).is_err() {
                return Ok(Looked::NotRead);
            }
        }
        let client = self.log.client();
        match self.log.fetch(&client, wait) {
            Ok(Fetched::Record { offset, value, at }) => {
                // The last block, read again to be compared, says nothing about the records behind it.
                self.short = self.short.filter(|_| offset + 1 < self.known_end());
                self.takes(offset, &value, at)
            }
            Ok(Fetched::End) => self.ends(),
            // The library reports an end once.
            Ok(Fetched::Nothing) if self.shared.read().at_end => Ok(Looked::End),
            Ok(Fetched::Nothing) => Ok(Looked::Nothing),
            Ok(Fetched::OutOfRange) => self.out_of_range(),
            Err(error) => {
                tracing::debug!(%error, cause = ?error.cause, "the log cannot be read at present");
                Ok(Looked::NotRead)
            }
        }
    }

    /// Nothing is read for now. Returns since when.
    fn pauses(&mut self) -> Duration {
        let now = self.shared.clock.monotonic();
        if let Some(since) = self.full_since {
            if now.saturating_sub(since) >= RESTS_AFTER {
                self.log.rests();
            }
            return since;
        }
        self.full_since = Some(now);
        let mut known = self.shared.write();
        known.full_since = Some(now);
        if std::mem::replace(&mut known.at_end, false) {
            // There may be more by now, and the library reports an end once.
            self.log.leaves();
        }
        now
    }

    /// The cache has no room. What an earlier owner has sealed takes room that nothing can free before the end of its
    /// object is read, which needs room: an owner with a larger share may have made it. After a while such objects are
    /// left in the log, which builds them without the cache.
    fn leaves_half_read(&mut self) -> Result<(), End> {
        let since = self.pauses();
        let now = self.shared.clock.monotonic();
        if now.saturating_sub(since) < LEAVES_HALF_READ_AFTER {
            return Ok(());
        }
        self.full_since = Some(now);
        let (seals, notes): (Vec<Seal>, Vec<Note>) = {
            let known = self.shared.read();
            let (half_read, left) = (known.half_read(), &known.state.left);
            let pending = || {
                let all = known.state.calls.seals.values();
                all.filter(|pending| !left.contains_key(&pending.seal.number))
            };
            let from = |pending: &PendingSeal| self.reader.window_from(pending.seal.first);
            // Frames are let go in order, so an object that must be put holds those behind it.
            let holds = |pending: &&PendingSeal| pending.amended.is_some() || from(pending).is_none();
            let held: BTreeSet<&BatchKey> =
                pending().filter(holds).map(|pending| &pending.seal.batch).collect();
            let leaves = pending().filter(|pending| {
                half_read.contains(&pending.seal.batch) && !held.contains(&pending.seal.batch)
            });
            let note = |pending: &PendingSeal| {
                let (number, parked) = (pending.seal.number, Parked { len: pending.bytes(), crc32: 0 });
                Some((pending.seal.clone(), Note::Left { number, parked, from: from(pending)? }))
            };
            leaves.filter_map(note).unzip()
        };
        if seals.is_empty() {
            return Ok(());
        }
        tracing::info!(
            partition = self.partition(),
            objects = seals.len(),
            "the cache has no room for the rest of objects that an earlier owner has sealed: they are built from the log"
        );
        // First the cache, as long as nobody may seal what is half read. If the note does not count, the next term reads
        // into a cache of its own.
        self.keeps_cache = false;
        seals.iter().try_for_each(|seal| self.cache.leaves(seal))?;
        self.note(notes)?;
        self.keeps_cache = true;
        Ok(())
    }

    fn takes(&mut self, offset: u64, value: &[u8], at: Option<UnixMillis>) -> Result<Looked, End> {
        loop {
            let took = self.reader.takes(offset, value, &self.shared.read().state);
            match took {
                Took::Block { frames, counts, .. } => {
                    let (all, late) = (frames.len(), frames.iter().filter(|frame| frame.late).count());
                    let frames = {
                        let known = self.shared.read();
                        frames.iter().for_each(|frame| self.cache.repeats.sees(frame, &known.state));
                        open(frames, &known.state)
                    };
                    {
                        let mut known = self.shared.write();
                        known.is_between = true;
                        (known.last, known.read_at, known.at_end) = (self.reader.last(), at, false);
                        known.bytes += value.len() as u64;
                        // Others have counted what stands before, also that it was late.
                        if before(offset) >= known.state.calls.tallied_through() {
                            known.frames += all as u64;
                            known.late += late as u64;
                            known.counts.add(offset, counts);
                        }
                    }
                    let of_a_source =
                        |one: &ReadFrame<'_>, other: &ReadFrame<'_>| one.batch.source == other.batch.source;
                    let sources =
                        frames.chunk_by(of_a_source).filter_map(|run| Some(&run.first()?.batch.source));
                    let new = self.without_noted_location(sources);
                    // From here on it counts as read up to the first of them: a note brings others to what is in the
                    // cache.
                    self.cache.expects(&frames);
                    // The bucket of a source is noted before anyone can seal its first frame.
                    let noted = self.note_locations(&new);
                    // The reader is past them. The next term of this process may go on with this cache, so they
                    // are in it whatever became of the note.
                    let took = self.cache.takes(frames)?;
                    noted?;
                    self.follow_reading()?;
                    return Ok(if took == Err(Full) { Looked::Full } else { Looked::Record });
                }
                took @ (Took::Copy(_) | Took::Nothing) => {
                    let mut known = self.shared.write();
                    (known.last, known.read_at, known.at_end) = (self.reader.last(), at, false);
                    let is_new = before(offset) >= known.state.calls.tallied_through();
                    known.copies += u64::from(is_new && matches!(took, Took::Copy(_)));
                    drop(known);
                    self.follow_reading()?;
                    return Ok(Looked::Record);
                }
                Took::Unreadable(ranges) => {
                    for range in &ranges {
                        let (first, last) = (range.first, range.last);
                        let from = offset_of(first);
                        tracing::error!(
                            partition = self.partition(),
                            first,
                            last,
                            offset = from,
                            "a record of the log cannot be read: lost"
                        );
                    }
                    // The note is final, and it stands before any seal that covers a later position.
                    self.note(ranges.into_iter().map(Note::Unread).collect())?;
                }
                Took::Newer(version) => return Err(Stop::NewerBlock { offset, version }.into()),
                Took::Cut => return Err(Stop::LogCut(offset).into()),
            }
        }
    }

    /// What the reader met as the end may trail. The leader knows whether it is.
    fn ends(&mut self) -> Result<Looked, End> {
        let ends_short = self.reader.ends_short(&self.shared.read().state);
        if ends_short {
            let Ok((_, end)) = self.log.bounds() else {
                // The library reports an end once.
                self.log.leaves();
                return Ok(Looked::NotRead);
            };
            return Ok(if self.is_end(end)? { Looked::Nothing } else { Looked::NotRead });
        }
        self.short = None;
        self.shared.write().at_end = true;
        Ok(Looked::End)
    }

    /// The log has a record before this offset: notes say so, or it was read.
    fn known_end(&self) -> u64 {
        self.shared.read().state.reaches().max(self.reader.next())
    }

    /// Whether the log can end where a broker says: not before what is known of it. If it cannot, another broker is asked.
    /// Errors: [`End`]: all have said so for so long that it was cut.
    pub(super) fn is_end(&mut self, end: u64) -> Result<bool, End> {
        if end >= self.known_end() {
            self.short = None;
            return Ok(true);
        }
        let said = Short::said(self.short, self.shared.clock.monotonic(), end);
        if said.is_cut() {
            return Err(Stop::LogCut(said.end()).into());
        }
        self.short = Some(said);
        if let Err(error) = self.asks_others() {
            tracing::debug!(%error, "no other client of the log");
        }
        self.log.leaves();
        Ok(false)
    }

    /// The log begins after the next record, or ends before it.
    fn out_of_range(&mut self) -> Result<Looked, End> {
        let next = self.reader.next();
        let Ok((start, end)) = self.log.bounds() else { return Ok(Looked::NotRead) };
        self.log_begins = start;
        // It was a place behind the end, or of a broker that is behind, or that of a block which only served to compare it.
        if !self.is_end(end)? || next >= start {
            return Ok(Looked::NotRead);
        }
        let notes = {
            let known = self.shared.read();
            let state = &known.state;
            let mut notes = gone::open_frames(state, next, start);
            let waits = state.calls.seals.values().filter(|pending| {
                let is_left = state.left.contains_key(&pending.seal.number);
                pending.amended.is_none() && !is_left && gone::is_gone(&pending.seal, start)
            });
            for pending in waits {
                // What is in the cache can be put all the same.
                if !self.cache.has_all_of(&pending.seal)? {
                    notes.extend(gone::object(&pending.seal));
                }
            }
            notes
        };
        if !notes.is_empty() {
            let partition = self.partition();
            tracing::error!(
                partition,
                from = next,
                to = start,
                "the log has lost records that were not delivered"
            );
            self.note(notes)?;
        }
        self.reader.skip_to(gone::goes_on_at(start, end));
        self.follow_state()?;
        Ok(Looked::Record)
    }
}

/// Those that are lines, and neither released nor left.
fn open<'r>(mut frames: Vec<ReadFrame<'r>>, state: &State) -> Vec<ReadFrame<'r>> {
    // Most frames are of the batch of the frame before them.
    let mut known: Option<(BatchKey, u64)> = None;
    frames.retain(|frame| {
        let released = known.as_ref().filter(|(batch, _)| *batch == frame.batch).map(|(_, through)| *through);
        let released = released.unwrap_or_else(|| {
            let through = state.calls.released_through(&frame.batch);
            known = Some((frame.batch.clone(), through));
            through
        });
        !frame.repeat && frame.position >= state.base.read_from && frame.position > released
    });
    frames
}
