//! Reads the records of a partition in order, and decides what is a line: second copies, repeats, days. What
//! it decides is a function of the log and of the notes, so every owner decides the same.

use std::borrow::Cow;

use super::block::{self, Block, BlockAt, BlockError, Found};
use super::late;
use super::note::{Base, Covered};
use super::numbers::Numbers;
use super::position::{FRAMES_MAX, before, offset_of, position};
use super::state::State;
use super::trail::Trail;
use super::window::Window;
use crate::batch::BatchKey;
use crate::log::frame;
use crate::log::{AccountKey, Hour, Range, Row};
use crate::planted_bugs::{PlantedBug, planted};
use crate::time::UnixMillis;

/// A frame that a reader found, in the record that it read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadFrame<'r> {
    /// Its position.
    pub position: u64,
    /// Its batch.
    pub batch: BatchKey,
    /// When it was received, as it is stored.
    pub received_at: UnixMillis,
    /// Whether it is stored as of a later day than it was received.
    pub late: bool,
    /// Whether it repeats a call, so that it is no line. An earlier owner may have decided so.
    pub repeat: bool,
    /// The frame, unstamped: a part of its record, unless it is late.
    pub bytes: Cow<'r, [u8]>,
}

impl ReadFrame<'_> {
    /// The same, without its record.
    pub fn into_owned(self) -> ReadFrame<'static> {
        ReadFrame { bytes: Cow::Owned(self.bytes.into_owned()), ..self }
    }

    /// Its line as it is stored, without its `\n`: with its position, if it has room for one.
    pub fn line(&self) -> Cow<'_, [u8]> {
        frame::line_at(&self.bytes, self.position)
    }
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Took<'r> {
    /// A block with these frames. They are also those that an earlier owner has released.
    Block {
        /// Which block.
        at: BlockAt,
        /// The frames, in order.
        frames: Vec<ReadFrame<'r>>,
        /// What the ledger counts: items received, stored and repeated.
        counts: Vec<(AccountKey, Hour, Row)>,
    },
    /// A second copy of a block, at this offset. Only its fingerprints count.
    Copy(u64),
    /// Nothing: the notes say that it is not read.
    Nothing,
    /// These positions cannot be read. Nothing has changed: once a note says so, take the record again.
    Unreadable(Vec<Range>),
    /// A newer release wrote the block: the partition stops.
    Newer(u8),
    /// Another block stands where the reader, or a note, knows which one stood: the log was cut, and the partition stops.
    Cut,
}

/// What the window says of a frame.
struct Verdict {
    position: u64,
    /// Whether it repeats a call. `None` if it cannot be read, or a note says that it is not read.
    repeat: Option<bool>,
}

/// Reads a partition from a record on.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The offset of the next record.
    next: u64,
    window: Window,
    trail: Trail,
    numbers: Numbers,
    last: Option<BlockAt>,
    /// The last block is read again, to see whether the log still has it.
    compares: bool,
    /// Copies that no note names yet.
    copies: Vec<u64>,
    /// With a planted bug, the last position given.
    counted: u64,
}

impl Reader {
    /// A reader that begins where the base says. It fills the windows first.
    pub fn of_base(state: &State) -> Self {
        let at_window = !planted(PlantedBug::WindowFromTakeover);
        let from = if at_window { state.base.window_from } else { offset_of(state.base.read_from) };
        let forgets = planted(PlantedBug::SecondCopyForgotten);
        let numbers = if forgets { Numbers::default() } else { state.base.numbers.clone() };
        Self { last: state.covered, ..Self::from(from, state.identity.window, numbers) }
    }

    /// A reader for the rebuild of objects whose windows are complete from the record at `from` on. All copies
    /// that it meets are in the notes.
    pub fn of_left(state: &State, from: u64) -> Self {
        Self::from(from, state.identity.window, Numbers::default())
    }

    fn from(next: u64, size: u64, numbers: Numbers) -> Self {
        Self {
            next,
            window: Window::new(size),
            trail: Trail::new(size, numbers.clone()),
            numbers,
            last: None,
            compares: false,
            copies: Vec::new(),
            counted: before(next),
        }
    }

    /// The offset of the next record.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Goes anew to its place, in a log that begins at `start` as far as is known. Who reads on from an offset does not
    /// notice that the log was cut before it and has grown again. So the last block is read once more, if it stands right
    /// before the next record and is still there. Returns the offset to go to.
    pub fn goes_anew(&mut self, start: u64) -> u64 {
        self.compares = self.last.is_some_and(|last| last.offset + 1 == self.next && last.offset >= start);
        self.expects()
    }

    /// The offset of the record that it is to get: the next one, or the last block again.
    pub fn expects(&self) -> u64 {
        if self.compares { self.next - 1 } else { self.next }
    }

    /// The last block that it has read, or that the notes name.
    pub fn last(&self) -> Option<BlockAt> {
        self.last
    }

    /// The first position that is not read.
    pub fn read_before(&self) -> u64 {
        before(self.next)
    }

    /// Goes on at a later record: the log begins there now. What filled the window is out of it: the frames that are gone
    /// may have pushed it out, and a call that was a line would become a repeat.
    pub fn skip_to(&mut self, offset: u64) {
        if offset > self.next {
            self.next = offset;
            self.window.clear();
        }
    }

    /// Takes the record at `offset`. It is the next one of the log, but records may be missing before it. Or it is the last
    /// block again.
    pub fn takes<'r>(&mut self, offset: u64, value: &'r [u8], state: &State) -> Took<'r> {
        if std::mem::take(&mut self.compares) && !planted(PlantedBug::CutLogReadOn) {
            let found = block::read(value).ok();
            if found.map(|block| block.at(offset)) != self.last {
                return Took::Cut;
            }
        }
        if offset < self.next {
            return Took::Nothing;
        }
        if let Some(missing) = Range::between(position(self.next, 1), before(offset)) {
            let named = state.is_unread(missing.first) && state.is_unread(missing.last);
            if !named {
                return Took::Unreadable(vec![missing]);
            }
        }
        let whole = Range { first: position(offset, 1), last: position(offset, FRAMES_MAX as u64) };
        if state.is_unread(whole.first) && state.is_unread(whole.last) {
            self.next = offset + 1;
            return Took::Nothing;
        }
        let block = match block::read(value) {
            Ok(block) => block,
            Err(BlockError::Newer(version)) => return Took::Newer(version),
            Err(BlockError::NoBlock | BlockError::Checksum) => return Took::Unreadable(vec![whole]),
        };
        let at = block.at(offset);
        let is_other = state.covered.is_some_and(|covered| covered.offset == offset && covered != at);
        if is_other && !planted(PlantedBug::CutLogReadOn) {
            return Took::Cut;
        }
        let unreadable = unreadable(&block, offset, state);
        if !unreadable.is_empty() {
            return Took::Unreadable(unreadable);
        }
        self.next = offset + 1;
        self.takes_block(at, &block, state)
    }

    /// Whether a log that ends at the record that it expects was cut: it has read more, or notes say that it was longer.
    pub fn ends_short(&self, state: &State) -> bool {
        self.expects() < state.reaches().max(self.next) && !planted(PlantedBug::CutLogReadOn)
    }

    fn takes_block<'r>(&mut self, at: BlockAt, block: &Block<'r>, state: &State) -> Took<'r> {
        let offset = at.offset;
        self.last = self.last.into_iter().chain([at]).max_by_key(|at| at.offset);
        let is_known = state.copies.contains(&offset) && !planted(PlantedBug::SecondCopyForgotten);
        let is_new = !self.numbers.takes(block.collector, block.number, offset);
        let is_copy = (!is_new || is_known) && !planted(PlantedBug::SecondCopyStored);
        if is_copy && !is_known {
            self.copies.push(offset);
        }
        let frames = block.requests.iter().flat_map(|request| &request.frames);
        let found = frames.filter_map(|found| found.frame.as_ref().ok());
        self.window.prefetch(found.map(|found| found.fingerprint));
        let verdicts = self.verdicts(offset, block, state);
        let in_window = verdicts.iter().filter(|verdict| verdict.repeat.is_some()).count() as u64;
        let (mut read, mut counts) = (Vec::with_capacity(verdicts.len()), Vec::new());
        let mut verdicts = verdicts.into_iter();
        for request in &block.requests {
            let first = read.len();
            let (mut received_at, mut last) = (None, None);
            let frames = request.frames.iter().zip(&mut verdicts);
            for (Found { bytes, frame: found, is_alike }, Verdict { position, repeat }) in frames {
                let Ok(found) = found else { continue };
                // Most frames are of the batch of the frame before them.
                last = last.filter(|_| *is_alike).or_else(|| found.batch());
                let Some(repeat) = repeat else { continue };
                let Some(batch) = last.clone() else { continue };
                let frame = ReadFrame {
                    position,
                    batch,
                    received_at: found.received_at,
                    late: false,
                    repeat,
                    bytes: Cow::Borrowed(*bytes),
                };
                let frame = in_its_day(frame, state);
                // What was received is counted in the hour in which it is stored, or the hours would not be even.
                received_at = Some(frame.received_at);
                read.extend((!is_copy).then_some(frame));
            }
            if let Some(received_at) = received_at {
                let account = AccountKey::new(request.source.clone(), &request.stream);
                let received = Row { received: u64::from(request.items), ..Row::default() };
                counts.push((account, Hour::of(received_at), received));
            }
            counts.extend(read.get(first..).unwrap_or_default().chunk_by(is_counted_with).filter_map(count));
        }
        self.trail.takes(offset, in_window, is_new.then_some((block.collector, block.number)));
        if is_copy { Took::Copy(offset) } else { Took::Block { at, frames: read, counts } }
    }

    /// Takes all frames of a block into the window. Other work between two frames would keep the processor from reading
    /// several places of the window at once.
    fn verdicts(&mut self, offset: u64, block: &Block<'_>, state: &State) -> Vec<Verdict> {
        let all = block.requests.iter().map(|request| request.frames.len()).sum();
        let mut verdicts = Vec::with_capacity(all);
        let frames = block.requests.iter().flat_map(|request| &request.frames);
        for (found, index) in frames.zip(1..) {
            let position = self.position(offset, index);
            let found = found.frame.as_ref().ok().filter(|_| !state.is_unread(position));
            let repeat = found.map(|found| self.window.takes(found.fingerprint));
            verdicts.push(Verdict { position, repeat });
        }
        verdicts
    }

    fn position(&mut self, offset: u64, index: u64) -> u64 {
        self.counted += 1;
        if planted(PlantedBug::PositionsCounted) { self.counted } else { position(offset, index) }
    }

    /// The base, if `read_from` is the first position that is neither released nor left. `None` before any
    /// record is read.
    pub fn base(&self, read_from: u64) -> Option<Base> {
        let window_from = self.window_from(read_from)?;
        let numbers = self.trail.numbers_before(window_from);
        Some(Base { read_from, window_from, numbers, covered: self.covered() })
    }

    /// A record from which on the window of repeats is complete at a position, which is not before that of the
    /// last base.
    pub fn window_from(&self, position: u64) -> Option<u64> {
        self.trail.window_from(offset_of(position))
    }

    /// How far it has read, for a note.
    pub fn covered(&self) -> Covered {
        Covered { last: self.last, copies: self.copies.clone() }
    }

    /// The note of what it has read was committed.
    pub fn noted(&mut self, covered: &Covered) {
        self.copies.retain(|copy| !covered.copies.contains(copy));
    }

    /// A base was committed: what stands before it is not needed any more.
    pub fn based(&mut self, base: &Base) {
        self.noted(&base.covered);
        self.trail.forget_before(base.window_from, base.numbers.clone());
    }
}

/// The positions of frames that cannot be read and are not noted as such.
fn unreadable(block: &Block<'_>, offset: u64, state: &State) -> Vec<Range> {
    let frames = block.requests.iter().flat_map(|request| &request.frames);
    let bad = |(index, found): (u64, &Found<'_>)| {
        let position = position(offset, index);
        let is_bad = found.frame.is_err() && !state.is_unread(position);
        is_bad.then_some(Range { first: position, last: position })
    };
    Range::merge((1..).zip(frames).filter_map(bad))
}

/// A frame as it is stored: one that was received on a day that had ended before its record is as of the day
/// after.
fn in_its_day<'r>(frame: ReadFrame<'r>, state: &State) -> ReadFrame<'r> {
    let over = state.calls.days_over_at(frame.position).filter(|over| frame.batch.day <= *over);
    let frame = match over {
        Some(over) => as_of(frame, over.end()),
        None => frame,
    };
    let repeat = frame.repeat || state.is_left_out(&frame.batch, frame.position);
    ReadFrame { repeat, ..frame }
}

fn as_of(frame: ReadFrame<'_>, received_at: UnixMillis) -> ReadFrame<'_> {
    let mut bytes = frame.bytes;
    late::set_received_at(bytes.to_mut(), received_at);
    let batch = BatchKey { day: received_at.day(), ..frame.batch };
    ReadFrame { batch, received_at, late: true, bytes, ..frame }
}

fn is_counted_with(one: &ReadFrame<'_>, other: &ReadFrame<'_>) -> bool {
    one.batch == other.batch && Hour::of(one.received_at) == Hour::of(other.received_at)
}

/// What frames of one batch and hour count.
fn count(frames: &[ReadFrame<'_>]) -> Option<(AccountKey, Hour, Row)> {
    let ReadFrame { batch, received_at, .. } = frames.first()?;
    let repeated = frames.iter().filter(|frame| frame.repeat).count() as u64;
    let lines = frames.len() as u64 - repeated;
    // What was received is counted with the request.
    let row = Row { received: 0, repeated, ..Row::stored_in(&batch.stream, lines) };
    Some((AccountKey::of_batch(batch), Hour::of(*received_at), row))
}

#[cfg(test)]
mod tests;
