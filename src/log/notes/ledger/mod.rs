//! For each account (a source's calls and rejected items, or one of its object or dead-letter streams) and
//! hour, the ledger counts the calls received and what became of them, so that a missing call is noticed.
//!
//! Two equations hold for each row at every instant:
//!
//! ```text
//! received = stored + rejected + repeated + suppressed
//! stored   = delivered + lost + pending        (and the same for rejected items)
//! ```
//!
//! The two sides of each equation are counted in different places. The collector counts the items of requests
//! as received. The commit loop counts frames as stored, and counts repeats. The encoder counts the frames
//! that it reads back from disk as delivered. The index counts pending frames: the open frames in the rows of
//! a batch must equal the batch's open frames in the index.
//!
//! # What is durable
//!
//! Calls and rejected items are frames; repeats leave a frame of their own. So everything counted since the
//! last tally is in frames whose positions are after [`Ledger::tallied_through`]. Before frames are let go,
//! their counts are noted as one [`Tally`]. A commit note books the frames of its seal as delivered. A start
//! takes the noted ledger and counts the frames after the last tally, each exactly once, even if a frame is
//! stored twice.

mod check;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::BatchKey;
use crate::log::frame::{Frame, FrameKind};
use crate::log::lost::Added;
use crate::log::{AccountKey, Hour, Hours, ImportProgress, Removed, Row};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::ReceivedDay;
use crate::words::is_zero;

/// Limit for rows of single hours. Above it, the oldest rows with nothing pending are folded into the
/// `earlier` row of their source. A row takes about 170 bytes in each of two ledgers in memory (the
/// noted and the running one), and about 60 bytes of the written state.
pub(crate) const ROWS_MAX: usize = 100_000;

/// The counts since the last tally, up to a position.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// Every frame up to here is counted.
    pub through: u64,
    /// The counts.
    pub rows: Vec<(AccountKey, Hour, Row)>,
    /// The progress of imports, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<(u64, ImportProgress)>,
}

/// One hour of one account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Entry {
    row: Row,
    /// The part of `row` that is in no tally yet.
    #[serde(skip)]
    new: Row,
    /// Frames in sealed objects that the store has not confirmed: calls (or objects, or dead letters), and
    /// rejected items.
    #[serde(skip)]
    sealed: [u64; 2],
}

/// All rows of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Account {
    /// The sum of the folded rows.
    earlier: Row,
    /// Rows by hour, in order.
    hours: Vec<(Hour, Entry)>,
}

/// What a start knows about damage to the log. It explains counts that do not agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Health {
    /// This start found that frames were lost.
    pub lost: bool,
    /// The notes were written by a release that kept no ledger.
    pub unknown: bool,
}

/// The ledger of a log, either in the state of its notes or in the running process.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct Ledger {
    /// Whether every frame has been counted since the log was created, or since a start that counted all
    /// frames then present.
    pub began: bool,
    /// Every frame up to this position is in the rows.
    pub tallied_through: u64,
    /// Positions ever noted as lost, or as many frames where it is known how many stood there. Not every one
    /// held a call.
    pub lost_positions: u64,
    /// Further lost positions. Nobody knows whether they held frames.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost_uncounted: u64,
    /// The newest day on which notes were missing. Counts of days up to it may be incomplete.
    pub doubt_through: Option<ReceivedDay>,
    /// The newest day on which positions were lost. Counts of days up to it may differ from what a start
    /// finds.
    pub lost_through: Option<ReceivedDay>,
    /// The value of [`Self::lost_at_most`] when `lost_through` was set.
    lost_seen: u64,
    accounts: BTreeMap<AccountKey, Account>,
    /// What is left of the accounts of forgotten sources.
    #[serde(skip_serializing_if = "Removed::is_none")]
    removed: Removed,
    /// Counts gathered for the next tally.
    #[serde(skip)]
    gathered: Option<Tally>,
    /// Batches that lost frames of unknown hours to damage. Their open frames are compared only when the
    /// batch is settled.
    #[serde(skip)]
    uncertain: BTreeSet<BatchKey>,
}

fn stream_index(stream: &Stream) -> usize {
    match stream {
        Stream::Calls | Stream::Objects(_) | Stream::Dead(_) => 0,
        Stream::Rejected => 1,
    }
}

impl Entry {
    /// Frames that are in no seal yet. Negative if more was sealed, delivered or lost than was stored.
    fn open(&self, stream: &Stream) -> i128 {
        let (stored, delivered, lost) = self.row.of(stream);
        let sealed = self.sealed.get(stream_index(stream)).copied().unwrap_or(0);
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
    #[expect(clippy::indexing_slicing, reason = "the index is of an hour that was found or just inserted")]
    fn hour(&mut self, hour: Hour) -> &mut Entry {
        // The hour asked for is nearly always the last one.
        let index = match self.hours.last() {
            Some((last, _)) if *last == hour => self.hours.len() - 1,
            _ => match self.hours.binary_search_by_key(&hour, |(hour, _)| *hour) {
                Ok(index) => index,
                Err(index) => {
                    // Reserves exactly one more, because there may be ten thousand sources, most with one or
                    // two hours.
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
    /// The ledger of a new log.
    pub(crate) fn new() -> Self {
        Self { began: true, ..Self::default() }
    }

    fn entry(&mut self, account: AccountKey, hour: Hour) -> &mut Entry {
        self.accounts.entry(account).or_default().hour(hour)
    }

    fn entry_of(&mut self, batch: &BatchKey, hour: Hour) -> &mut Entry {
        self.entry(AccountKey::of_batch(batch), hour)
    }

    /// Whether it has counted lines of an account.
    pub(crate) fn knows(&self, account: &AccountKey) -> bool {
        self.accounts.contains_key(account)
    }

    /// The number of accounts of object and dead-letter streams.
    pub(crate) fn named_streams(&self) -> usize {
        self.accounts.keys().filter(|account| !account.is_of_calls()).count()
    }

    /// Adds the counts of one request or one frame.
    pub(crate) fn count(&mut self, account: &AccountKey, hour: Hour, counts: &Row) {
        // This runs for each request, so it makes only one lookup.
        match self.accounts.get_mut(account) {
            Some(account) => account.hour(hour).count(counts),
            None => self.entry(account.clone(), hour).count(counts),
        }
    }

    /// Whether a source has an account.
    pub(crate) fn knows_any_of(&self, source: &SourceId) -> bool {
        self.of_source(source).next().is_some()
    }

    /// Sources with an account.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &SourceId> {
        self.accounts.keys().map(|account| &account.source)
    }

    /// Whether the accounts of a source may be forgotten here and in `noted`, the ledger of the notes:
    /// nothing of them waits or is in doubt, and the notes have all of it.
    pub(crate) fn is_final(&self, noted: &Self, source: &SourceId) -> bool {
        let final_totals = |ledger: &Self| {
            let mut totals = Vec::new();
            for (key, account) in ledger.of_source(source) {
                let settled = account.hours.iter().all(|(_, entry)| entry.is_settled());
                let total = account.total();
                if !settled || !account.earlier.is_settled() {
                    return None;
                }
                // A request that was refused leaves an account without counts, in the running ledger alone.
                if !total.is_zero() {
                    totals.push((key.clone(), total));
                }
            }
            Some(totals)
        };
        final_totals(self).is_some_and(|totals| final_totals(noted).as_ref() == Some(&totals))
    }

    /// Whether counts of a source are in no tally yet.
    pub(crate) fn has_new(&self, source: &SourceId) -> bool {
        self.of_source(source).any(|(_, account)| account.hours.iter().any(|(_, entry)| !entry.new.is_zero()))
    }

    /// Moves the counts of these sources to those of the forgotten ones.
    pub(crate) fn forget(&mut self, sources: &BTreeSet<SourceId>) {
        for (key, account) in self.accounts.extract_if(.., |key, _| sources.contains(&key.source)) {
            self.removed.add(&key, &account.total());
        }
        self.removed.sources = self.removed.sources.saturating_add(sources.len() as u64);
        self.uncertain.retain(|batch| !sources.contains(&batch.source));
    }

    /// Drops all accounts, because another log keeps them.
    pub(crate) fn drop_accounts(&mut self) {
        self.accounts.clear();
    }

    /// Gathers the counts since the last call for the next tally, together with the progress of `imports`.
    /// Every frame up to `through` is counted.
    pub(crate) fn gather(&mut self, through: u64, imports: Vec<(u64, ImportProgress)>) {
        let tally = self.gathered.get_or_insert_default();
        tally.imports.extend(imports);
        tally.through = tally.through.max(through);
        for (key, account) in &mut self.accounts {
            for (hour, entry) in account.hours.iter_mut().filter(|(_, entry)| !entry.new.is_zero()) {
                tally.rows.push((key.clone(), *hour, std::mem::take(&mut entry.new)));
            }
        }
    }

    /// Takes the gathered counts, so that they can be noted.
    pub(crate) fn take_gathered(&mut self) -> Option<Tally> {
        self.gathered.take()
    }

    /// Records at a start that counts up to the day `newest` may be wrong, if positions were lost since this
    /// was last recorded.
    pub(crate) fn set_lost_through(&mut self, newest: Option<ReceivedDay>) {
        if self.lost_at_most() > self.lost_seen {
            self.lost_through = self.lost_through.max(newest);
            self.lost_seen = self.lost_at_most();
        }
    }

    /// The newest day that has a row.
    pub(crate) fn newest_day(&self) -> Option<ReceivedDay> {
        self.accounts.values().filter_map(|account| account.hours.last()).map(|(hour, _)| hour.day()).max()
    }

    /// Records that a tally up to `through` is noted.
    pub(crate) fn set_tallied(&mut self, through: u64) {
        self.began = true;
        self.tallied_through = self.tallied_through.max(through);
    }

    /// Adds a noted tally.
    pub(crate) fn add_tally(&mut self, tally: &Tally) {
        self.set_tallied(tally.through);
        for (account, hour, counts) in &tally.rows {
            self.entry(account.clone(), *hour).row.add(counts);
        }
    }

    /// Counts what was noted as lost.
    pub(crate) fn add_lost(&mut self, added: Added) {
        self.lost_positions = self.lost_positions.saturating_add(added.counted);
        self.lost_uncounted = self.lost_uncounted.saturating_add(added.uncounted);
    }

    /// Takes over from the ledger of the notes what they name as lost. The counts never decrease.
    pub(crate) fn learn_lost(&mut self, noted: &Self) {
        self.lost_positions = self.lost_positions.max(noted.lost_positions);
        self.lost_uncounted = self.lost_uncounted.max(noted.lost_uncounted);
    }

    /// The most frames that what was noted can have lost.
    fn lost_at_most(&self) -> u64 {
        self.lost_positions.saturating_add(self.lost_uncounted)
    }

    /// The hours that a seal names for the frames read for it. Normally these are the hours that were read.
    /// If damage hid the hours of some frames of the batch, frames beyond an hour's open frames are charged
    /// to other hours.
    pub(crate) fn hours_for_seal(&self, batch: &BatchKey, read: Hours) -> Hours {
        if !self.uncertain.contains(batch) || !self.knows(&AccountKey::of_batch(batch)) {
            return read;
        }
        let open = self.open_by_hour(batch).map(|(hour, open)| (hour, u64::try_from(open).unwrap_or(0)));
        fit_to_hours(&open.collect::<Vec<_>>(), &read)
    }

    /// Books frames of a batch as sealed.
    pub(crate) fn seal(&mut self, batch: &BatchKey, hours: &[(Hour, u64)]) {
        let uncertain = self.uncertain.contains(batch);
        for (hour, frames) in hours {
            let entry = self.entry_of(batch, *hour);
            if let Some(sealed) = entry.sealed.get_mut(stream_index(&batch.stream)) {
                *sealed = sealed.saturating_add(*frames);
            }
            if uncertain {
                raise_stored(entry, &batch.stream);
            }
        }
    }

    /// Books a seal whose object is in the store: of its `sealed` frames, those in `left` were delivered, and
    /// the others are lost.
    pub(crate) fn deliver(&mut self, batch: &BatchKey, sealed: &[(Hour, u64)], left: &[(Hour, u64)]) {
        let left = fit_to_hours(sealed, left);
        for (hour, frames) in sealed {
            let entry = self.entry_of(batch, *hour);
            if let Some(sealed) = entry.sealed.get_mut(stream_index(&batch.stream)) {
                *sealed = sealed.saturating_sub(*frames);
            }
            let delivered = left.iter().filter(|(of, _)| of == hour).map(|(_, frames)| *frames);
            let delivered = delivered.fold(0, u64::saturating_add);
            entry.row.lose(&batch.stream, frames.saturating_sub(delivered));
        }
        for (hour, frames) in left {
            self.entry_of(batch, hour).row.deliver(&batch.stream, frames);
        }
    }

    /// Writes off the open frames of a batch that has no open frames left in the index. Does so only if at
    /// least as many lost frames may not yet be booked, or if the batch's counts are uncertain. Returns the
    /// number of frames written off.
    pub(crate) fn settle(&mut self, batch: &BatchKey) -> u64 {
        let uncertain = self.uncertain.remove(batch) || self.doubt_through >= Some(batch.day);
        let open: i128 = self.open_by_hour(batch).map(|(_, open)| open).filter(|open| *open > 0).sum();
        if open == 0 {
            return 0;
        }
        let not_booked = i128::from(self.lost_at_most()) - i128::from(self.total_lost());
        let Some(account) =
            self.accounts.get_mut(&AccountKey::of_batch(batch)).filter(|_| uncertain || open <= not_booked)
        else {
            return 0;
        };
        for (_, entry) in account.of_day(batch.day) {
            let mut lost = Row::default();
            lost.lose(&batch.stream, u64::try_from(entry.open(&batch.stream)).unwrap_or(0));
            entry.count(&lost);
        }
        u64::try_from(open).unwrap_or(u64::MAX)
    }

    fn open_by_hour(&self, batch: &BatchKey) -> impl Iterator<Item = (Hour, i128)> {
        let hours = self.accounts.get(&AccountKey::of_batch(batch)).map_or(&[][..], |account| &account.hours);
        let of_day = hours.iter().filter(|(hour, _)| hour.day() == batch.day);
        of_day.map(|(hour, entry)| (*hour, entry.open(&batch.stream)))
    }

    fn total_lost(&self) -> u64 {
        let lost = |row: &Row| row.lost.saturating_add(row.rejected_lost);
        let of = |account: &Account| {
            lost(&account.earlier) + account.hours.iter().map(|(_, entry)| lost(&entry.row)).sum::<u64>()
        };
        let removed: u64 = self.removed.rows().map(lost).sum();
        self.accounts.values().map(of).sum::<u64>() + removed
    }

    /// Makes the rows agree with what a start found, if damage or an older release explains the difference.
    /// `open` lists each batch of the index with its open frames and the hour of its first frame. Differences
    /// without an explanation stay, and [`Ledger::differences`] reports them.
    pub(crate) fn reconcile(&mut self, open: &[(BatchKey, u64, Hour)], health: Health) {
        let doubt = self.doubt_through;
        let unknown = |day: ReceivedDay| health.unknown || doubt >= Some(day);
        let lost = self.lost_through;
        let explained = |day: ReceivedDay| health.lost || lost >= Some(day) || unknown(day);
        for (key, account) in &mut self.accounts {
            // A row shows more delivered than stored if a frame was delivered and then lost before it could
            // be counted again.
            for (_, entry) in account.hours.iter_mut().filter(|(hour, _)| explained(hour.day())) {
                key.streams().for_each(|of| raise_stored(entry, &of));
            }
        }
        for (batch, frames, first) in open.iter().filter(|(batch, ..)| explained(batch.day)) {
            let counted: i128 = self.open_by_hour(batch).map(|(_, open)| open).sum();
            let missing = u64::try_from(i128::from(*frames) - counted).unwrap_or(0);
            if unknown(batch.day) && missing > 0 {
                self.count(&AccountKey::of_batch(batch), *first, &Row::stored_in(&batch.stream, missing));
            }
            // Uncertain even if the sums are equal: the errors of two hours may cancel out.
            self.uncertain.insert(batch.clone());
        }
        let indexed: BTreeSet<&BatchKey> =
            open.iter().filter(|(_, frames, _)| *frames > 0).map(|(batch, ..)| batch).collect();
        let missing: Vec<BatchKey> =
            self.open_batches().filter(|batch| !indexed.contains(batch) && explained(batch.day)).collect();
        for batch in missing {
            self.uncertain.insert(batch.clone());
            let frames = self.settle(&batch);
            tracing::error!(%batch, frames, "frames of this batch are lost");
        }
    }

    /// Batches that have open frames in some row.
    fn open_batches(&self) -> impl Iterator<Item = BatchKey> {
        let mut batches = BTreeSet::new();
        for (key, account) in &self.accounts {
            for (hour, entry) in &account.hours {
                batches.extend(
                    key.streams().filter(|stream| entry.open(stream) > 0).map(|stream| BatchKey {
                        source: key.source.clone(),
                        day: hour.day(),
                        stream,
                    }),
                );
            }
        }
        batches.into_iter()
    }

    /// The number of rows of single hours.
    pub(crate) fn rows(&self) -> usize {
        self.accounts.values().map(|account| account.hours.len()).sum()
    }

    /// Folds settled rows of hours before `before`. If more than `rows_max` rows are left, folds the oldest
    /// settled ones too.
    pub(crate) fn fold(&mut self, before: Hour, rows_max: usize) {
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

const HOUR: std::time::Duration = std::time::Duration::from_secs(3_600);

/// Raises the stored count of a row to at least what was sealed, delivered and lost.
fn raise_stored(entry: &mut Entry, stream: &Stream) {
    let missing = u64::try_from(-entry.open(stream)).unwrap_or(0);
    if missing > 0 {
        entry.count(&Row::stored_in(stream, missing));
    }
}

/// Distributes the `wanted` frames over hours. Each hour has a limit, and first takes its own frames up to
/// it. The surplus goes to hours that are below their limit, and what still remains stays in its own hour.
fn fit_to_hours(limits: &[(Hour, u64)], wanted: &[(Hour, u64)]) -> Hours {
    let mut limits: BTreeMap<Hour, u64> = limits.iter().copied().collect();
    let mut fitted: BTreeMap<Hour, u64> = BTreeMap::new();
    let mut surplus = Vec::new();
    for (hour, frames) in wanted {
        let left = limits.entry(*hour).or_default();
        let here = (*frames).min(*left);
        *left -= here;
        add(&mut fitted, *hour, here);
        surplus.push((*hour, frames - here));
    }
    for (hour, mut frames) in surplus {
        for (other, left) in &mut limits {
            let here = frames.min(*left);
            (*left, frames) = (*left - here, frames - here);
            add(&mut fitted, *other, here);
        }
        add(&mut fitted, hour, frames);
    }
    fitted.into_iter().filter(|(_, frames)| *frames > 0).collect()
}

fn add(to: &mut BTreeMap<Hour, u64>, hour: Hour, frames: u64) {
    let count = to.entry(hour).or_default();
    *count = count.saturating_add(frames);
}

/// The counts of a frame in its account: a line, or the repeats that it stands for. `None` if it counts as
/// nothing.
pub(crate) fn counts_of(frame: &Frame<'_>) -> Option<Row> {
    match frame.kind {
        FrameKind::Rejected => Some(Row::stored_in(&Stream::Rejected, 1)),
        FrameKind::Call | FrameKind::ObjectSet | FrameKind::Dead => Some(Row::stored_in(&Stream::Calls, 1)),
        FrameKind::Repeats => {
            let repeated = crate::log::frame::repeats(frame.payload);
            Some(Row { received: repeated, repeated, ..Row::default() })
        }
        FrameKind::ImportProgress | FrameKind::CleanClose => None,
    }
}
