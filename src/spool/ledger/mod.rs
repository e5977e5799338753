//! The ledger: for each source and hour, what came in and what became of it, so that a call that went missing would show.
//!
//! Two equations hold for each row at every instant:
//!
//! ```text
//! received = stored + rejected + repeated + suppressed
//! stored   = delivered + lost + pending        (and the same for what was rejected)
//! ```
//!
//! Their sides are counted in different places. The collector counts what is received, as items of requests. The commit loop
//! counts what is stored, frame by frame, and what repeats. The encoder counts what is delivered, as frames read back from
//! the disk. What is pending is known to the index: what the rows of a batch have open is what the index says that it has.
//!
//! # What of it is durable, and how
//!
//! Calls and rejected items are frames; repeats leave a frame of their own. So everything that came since the last tally is
//! in frames with positions behind [`Ledger::tallied_through`]. When a segment is full its counts are noted in the manifest
//! as one [`Tally`]; a commit note books what its seal holds as delivered. A start takes the manifest's ledger and counts the
//! frames behind the last tally: each exactly once, wherever they stand and however often they were copied.

mod check;
mod row;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use check::{Difference, Report, SourceReport};
pub use row::{Hour, Hours, Row};

use super::frame::{Frame, FrameKind};
use crate::batch::BatchKey;
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// Rows of single hours that are kept. Above, the oldest with nothing pending are folded. A row takes some 170 bytes of memory,
/// twice, and some 60 bytes of a manifest.
pub const ROWS_MAX: usize = 100_000;

/// What was counted since the last tally, up to a position.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// Every frame up to here is counted.
    pub through: u64,
    /// The counts.
    pub rows: Vec<(SourceId, Hour, Row)>,
}

/// One hour of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Entry {
    row: Row,
    /// Of `row`: what no tally holds yet.
    #[serde(skip)]
    new: Row,
    /// Frames in objects that are sealed and not yet confirmed: calls, and rejected ones.
    #[serde(skip)]
    sealed: [u64; 2],
}

/// All of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Account {
    /// What was folded.
    earlier: Row,
    /// By hour, in order.
    hours: Vec<(Hour, Entry)>,
}

/// What a start knows of its spool's health, which decides what it makes of counts that do not meet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// This start found that frames were lost.
    pub lost: bool,
    /// The manifest was written by a release that kept no ledger.
    pub unknown: bool,
}

/// The ledger of a spool: of the manifest's state, or of the running process.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// Whether every frame of the spool was counted since it was new, or since a start that took in what was there.
    pub began: bool,
    /// Every frame up to this position is in the rows.
    pub tallied_through: u64,
    /// Positions that were ever noted as lost. Not each held a call.
    pub lost_positions: u64,
    /// Notes were missing on this day: of days up to it not all need have been counted.
    pub doubt_through: Option<ReceivedDay>,
    /// Positions were lost up to this day: of days up to it the counts need not meet what a start finds.
    pub lost_through: Option<ReceivedDay>,
    /// [`Self::lost_positions`] when that day was noted.
    lost_seen: u64,
    accounts: BTreeMap<SourceId, Account>,
    /// Of segments that are full, for the next note.
    #[serde(skip)]
    waiting: Option<Tally>,
    /// Batches of which damage took frames whose hours are not known: their open frames are compared when they are settled.
    #[serde(skip)]
    doubtful: BTreeSet<BatchKey>,
}

fn at(stream: Stream) -> usize {
    match stream {
        Stream::Calls => 0,
        Stream::Rejected => 1,
    }
}

impl Entry {
    /// What is in no seal yet. Below zero where more is sealed, delivered or lost than was stored.
    fn open(&self, stream: Stream) -> i128 {
        let (stored, delivered, lost) = self.row.of(stream);
        let sealed = self.sealed.get(at(stream)).copied().unwrap_or(0);
        i128::from(stored) - i128::from(delivered) - i128::from(lost) - i128::from(sealed)
    }

    fn count(&mut self, counts: &Row) {
        self.row.add(counts);
        self.new.add(counts);
    }

    fn is_settled(&self) -> bool {
        self.row.is_settled() && self.new.is_zero() && self.sealed == [0; 2]
    }
}

impl Account {
    fn hour(&mut self, hour: Hour) -> &mut Entry {
        // Nearly always it is the last.
        let index = match self.hours.last() {
            Some((last, _)) if *last == hour => self.hours.len() - 1,
            _ => match self.hours.binary_search_by_key(&hour, |(hour, _)| *hour) {
                Ok(index) => index,
                Err(index) => {
                    // One by one: there may be ten thousand sources, and most have an hour or two.
                    self.hours.reserve_exact(1);
                    self.hours.insert(index, (hour, Entry::default()));
                    index
                }
            },
        };
        &mut self.hours[index].1
    }

    fn of_day(&mut self, day: ReceivedDay) -> impl Iterator<Item = (Hour, &mut Entry)> {
        self.hours.iter_mut().filter(move |(hour, _)| hour.day() == day).map(|(hour, entry)| (*hour, entry))
    }
}

impl Ledger {
    /// The ledger of a spool that is new.
    pub fn new() -> Self {
        Self { began: true, ..Self::default() }
    }

    fn entry(&mut self, source: &SourceId, hour: Hour) -> &mut Entry {
        if !self.accounts.contains_key(source) {
            self.accounts.insert(source.clone(), Account::default());
        }
        self.accounts.entry(source.clone()).or_default().hour(hour)
    }

    /// Counts what became of one request, or of one frame.
    pub fn count(&mut self, source: &SourceId, hour: Hour, counts: &Row) {
        // One look-up: it is done for each request.
        match self.accounts.get_mut(source) {
            Some(account) => account.hour(hour).count(counts),
            None => self.entry(source, hour).count(counts),
        }
    }

    /// Gathers what was counted since the last time for the next tally: every frame up to `through` is counted.
    pub fn gather(&mut self, through: u64) {
        let tally = self.waiting.get_or_insert_default();
        tally.through = tally.through.max(through);
        for (source, account) in &mut self.accounts {
            for (hour, entry) in account.hours.iter_mut().filter(|(_, entry)| !entry.new.is_zero()) {
                tally.rows.push((source.clone(), *hour, std::mem::take(&mut entry.new)));
            }
        }
    }

    /// Takes what was gathered, to be noted.
    pub fn take_gathered(&mut self) -> Option<Tally> {
        self.waiting.take()
    }

    /// A start notes up to which day counts may be wrong: `newest` where positions were lost since the last one.
    pub fn note_losses(&mut self, newest: Option<ReceivedDay>) {
        if self.lost_positions > self.lost_seen {
            self.lost_through = self.lost_through.max(newest);
            self.lost_seen = self.lost_positions;
        }
    }

    /// The newest day of which an hour is counted.
    pub fn newest_day(&self) -> Option<ReceivedDay> {
        self.accounts.values().filter_map(|account| account.hours.last()).map(|(hour, _)| hour.day()).max()
    }

    /// A tally is noted.
    pub fn tallied(&mut self, through: u64) {
        self.began = true;
        self.tallied_through = self.tallied_through.max(through);
    }

    /// Takes in a noted tally.
    pub fn take_in(&mut self, tally: &Tally) {
        self.tallied(tally.through);
        for (source, hour, counts) in &tally.rows {
            self.entry(source, *hour).row.add(counts);
        }
    }

    /// Positions are noted as lost.
    pub fn lost(&mut self, positions: u64) {
        self.lost_positions = self.lost_positions.saturating_add(positions);
    }

    /// The hours that a seal is to name for the frames that were read for it. They are what was read, but in a batch of which
    /// damage took frames whose hours are not known: there what one hour does not have is taken from the others.
    pub fn place(&self, batch: &BatchKey, read: Hours) -> Hours {
        let Some(account) = self.accounts.get(&batch.source).filter(|_| self.doubtful.contains(batch)) else {
            return read;
        };
        let of_day = account.hours.iter().filter(|(hour, _)| hour.day() == batch.day);
        let open = of_day.map(|(hour, entry)| (*hour, u64::try_from(entry.open(batch.stream)).unwrap_or(0)));
        placed(&open.collect::<Vec<_>>(), &read)
    }

    /// Frames of a batch are sealed.
    pub fn seal(&mut self, batch: &BatchKey, hours: &[(Hour, u64)]) {
        let doubtful = self.doubtful.contains(batch);
        for (hour, frames) in hours {
            let entry = self.entry(&batch.source, *hour);
            if let Some(sealed) = entry.sealed.get_mut(at(batch.stream)) {
                *sealed = sealed.saturating_add(*frames);
            }
            if doubtful {
                raise(entry, batch.stream);
            }
        }
    }

    /// The object of a seal is in the store: of what was sealed, `left` was delivered, and the rest is lost.
    pub fn deliver(&mut self, batch: &BatchKey, sealed: &[(Hour, u64)], left: &[(Hour, u64)]) {
        let left = placed(sealed, left);
        for (hour, frames) in sealed {
            let entry = self.entry(&batch.source, *hour);
            if let Some(sealed) = entry.sealed.get_mut(at(batch.stream)) {
                *sealed = sealed.saturating_sub(*frames);
            }
            let delivered = left.iter().filter(|(of, _)| of == hour).map(|(_, frames)| *frames);
            let delivered = delivered.fold(0, u64::saturating_add);
            entry.row.lose(batch.stream, frames.saturating_sub(delivered));
        }
        for (hour, frames) in left {
            self.entry(&batch.source, hour).row.deliver(batch.stream, frames);
        }
    }

    /// A batch has nothing open any more: what its rows still have open is lost, where so much is known to be. Returns how
    /// many frames that are.
    pub fn settle(&mut self, batch: &BatchKey) -> u64 {
        let doubtful = self.doubtful.remove(batch) || self.doubt_through >= Some(batch.day);
        let open: i128 = self.open_of(batch).into_iter().filter(|open| *open > 0).sum();
        if open == 0 {
            return 0;
        }
        let known = i128::from(self.lost_positions) - i128::from(self.lost_in_all());
        let Some(account) = self.accounts.get_mut(&batch.source).filter(|_| doubtful || open <= known) else {
            return 0;
        };
        for (_, entry) in account.of_day(batch.day) {
            let mut lost = Row::default();
            lost.lose(batch.stream, u64::try_from(entry.open(batch.stream)).unwrap_or(0));
            entry.count(&lost);
        }
        u64::try_from(open).unwrap_or(u64::MAX)
    }

    fn open_of(&self, batch: &BatchKey) -> Vec<i128> {
        let hours = self.accounts.get(&batch.source).map_or(&[][..], |account| &account.hours);
        let of_day = hours.iter().filter(|(hour, _)| hour.day() == batch.day);
        of_day.map(|(_, entry)| entry.open(batch.stream)).collect()
    }

    fn lost_in_all(&self) -> u64 {
        let lost = |row: &Row| row.lost.saturating_add(row.rejected_lost);
        let of = |account: &Account| {
            lost(&account.earlier) + account.hours.iter().map(|(_, entry)| lost(&entry.row)).sum::<u64>()
        };
        self.accounts.values().map(of).sum()
    }

    /// Makes the rows of a start agree with what it found, where damage or an older release explains that they do not.
    /// `open` tells what each batch of the index has open, and the hour of its first frame. Where nothing explains it
    /// nothing is changed, and [`Ledger::differences`] names it.
    pub fn reconcile(&mut self, open: &[(BatchKey, u64, Hour)], health: Health) {
        let doubt = self.doubt_through;
        let unknown = |day: ReceivedDay| health.unknown || doubt >= Some(day);
        let lost = self.lost_through;
        let explained = |day: ReceivedDay| health.lost || lost >= Some(day) || unknown(day);
        for account in self.accounts.values_mut() {
            // Delivered before the frame was lost that would have been counted again.
            for (_, entry) in account.hours.iter_mut().filter(|(hour, _)| explained(hour.day())) {
                [Stream::Calls, Stream::Rejected].into_iter().for_each(|of| raise(entry, of));
            }
        }
        for (batch, frames, first) in open.iter().filter(|(batch, ..)| explained(batch.day)) {
            let counted: i128 = self.open_of(batch).into_iter().sum();
            let missing = u64::try_from(i128::from(*frames) - counted).unwrap_or(0);
            if unknown(batch.day) && missing > 0 {
                self.count(&batch.source, *first, &Row::stored_in(batch.stream, missing));
            }
            // Also where the sums meet: two hours may be wrong by as much.
            self.doubtful.insert(batch.clone());
        }
        let indexed: BTreeSet<&BatchKey> =
            open.iter().filter(|(_, frames, _)| *frames > 0).map(|(batch, ..)| batch).collect();
        let gone: Vec<BatchKey> =
            self.open_batches().filter(|batch| !indexed.contains(batch) && explained(batch.day)).collect();
        for batch in gone {
            self.doubtful.insert(batch.clone());
            let frames = self.settle(&batch);
            tracing::error!(%batch, frames, "frames of this batch are lost");
        }
    }

    /// Batches of which some row has frames open.
    fn open_batches(&self) -> impl Iterator<Item = BatchKey> {
        let mut batches = BTreeSet::new();
        for (source, account) in &self.accounts {
            for (hour, entry) in &account.hours {
                let streams = [Stream::Calls, Stream::Rejected].into_iter();
                batches.extend(streams.filter(|stream| entry.open(*stream) > 0).map(|stream| BatchKey {
                    source: source.clone(),
                    day: hour.day(),
                    stream,
                }));
            }
        }
        batches.into_iter()
    }

    /// Rows of single hours.
    pub fn rows(&self) -> usize {
        self.accounts.values().map(|account| account.hours.len()).sum()
    }

    /// Folds rows of hours before `before` that are settled, and, where there are more than `rows_max`, the oldest that are.
    pub fn fold(&mut self, before: Hour, rows_max: usize) {
        let rows = self.rows();
        let mut before = before;
        if rows > rows_max {
            let hours = self.accounts.values().flat_map(|account| &account.hours);
            let settled = hours.filter(|(_, entry)| entry.is_settled());
            let mut settled: Vec<Hour> = settled.map(|(hour, _)| *hour).collect();
            settled.sort_unstable();
            let last = settled.get(rows - rows_max - 1).or(settled.last());
            before = before.max(last.map_or(before, |last| Hour::of(last.start().plus(HOUR))));
        }
        for account in self.accounts.values_mut() {
            let Account { earlier, hours } = account;
            hours.retain(|(hour, entry)| {
                let fold = *hour < before && entry.is_settled();
                if fold {
                    earlier.add(&entry.row);
                }
                !fold
            });
        }
    }
}

/// An hour, as a length of time.
const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Raises what was stored to what was sealed, delivered and lost of it.
fn raise(entry: &mut Entry, stream: Stream) {
    let missing = u64::try_from(-entry.open(stream)).unwrap_or(0);
    if missing > 0 {
        entry.count(&Row::stored_in(stream, missing));
    }
}

/// Puts `wanted` where there is room: each hour into itself as far as `room` has it, what is over into the others, and what
/// is still over into itself all the same.
fn placed(room: &[(Hour, u64)], wanted: &[(Hour, u64)]) -> Hours {
    let mut room: BTreeMap<Hour, u64> = room.iter().copied().collect();
    let mut placed: BTreeMap<Hour, u64> = BTreeMap::new();
    let mut over = Vec::new();
    for (hour, frames) in wanted {
        let left = room.entry(*hour).or_default();
        let here = (*frames).min(*left);
        *left -= here;
        add(&mut placed, *hour, here);
        over.push((*hour, frames - here));
    }
    for (hour, mut frames) in over {
        for (other, left) in &mut room {
            let here = frames.min(*left);
            (*left, frames) = (*left - here, frames - here);
            add(&mut placed, *other, here);
        }
        add(&mut placed, hour, frames);
    }
    placed.into_iter().filter(|(_, frames)| *frames > 0).collect()
}

fn add(to: &mut BTreeMap<Hour, u64>, hour: Hour, frames: u64) {
    let count = to.entry(hour).or_default();
    *count = count.saturating_add(frames);
}

/// What a frame counts as, where it counts: a call, a rejected item, or the repeats that it stands for.
pub fn counts_of(frame: &Frame<'_>) -> Option<Row> {
    match frame.kind {
        FrameKind::Call => Some(Row::stored_in(Stream::Calls, 1)),
        FrameKind::Rejected => Some(Row::stored_in(Stream::Rejected, 1)),
        FrameKind::Repeats => {
            let repeated = super::frame::repeats(frame.payload);
            Some(Row { received: repeated, repeated, ..Row::default() })
        }
        FrameKind::ImportProgress | FrameKind::CleanClose => None,
    }
}

/// Counts the frames of a scan that no tally holds yet.
#[derive(Clone, Debug, Default)]
pub struct FrameCounts {
    /// Every frame up to here is counted already.
    pub tallied_through: u64,
    /// By source and hour.
    pub rows: BTreeMap<(SourceId, Hour), Row>,
}

impl FrameCounts {
    /// Counts frames behind a position.
    pub fn behind(tallied_through: u64) -> Self {
        Self { tallied_through, rows: BTreeMap::new() }
    }

    /// Counts a frame.
    pub fn take(&mut self, frame: &Frame<'_>) {
        if frame.position <= self.tallied_through {
            return;
        }
        if let (Some(counts), Ok(source)) = (counts_of(frame), SourceId::new(frame.source)) {
            self.rows.entry((source, Hour::of(frame.received_at))).or_default().add(&counts);
        }
    }
}
