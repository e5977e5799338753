//! The beginning of a term: the lock is taken, and the notes are read until the own note is met.
//!
//! Reading to the end is not enough: the end that a reader sees trails what brokers have acknowledged. What
//! stands before the own term note is all there is, and nothing of an earlier term can follow it, because the
//! brokers refuse the earlier owner from then on.

use std::time::Duration;

use super::answer::{Then, TransactionError, then};
use super::block::{self, BlockAt, BlockError};
use super::group::Metadata;
use super::note::{Note, TermNote};
use super::state::{Identity, State, Sum, SumError};
use crate::planted_bugs::{PlantedBug, planted};

/// How long the notes may end before the own note.
pub const NOTES_WAIT: Duration = Duration::from_secs(60);
/// Time between two reads that counts for it, at most: a process that slept has seen nothing.
const READ_WAIT: Duration = Duration::from_secs(5);

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Read committed notes from this offset on; `None` is their start.
    ReadNotes(Option<u64>),
    /// Ask where readers of committed notes must stop, and for the offset of the topic's next record.
    AskNotesEnd,
    /// Take over this transactional id.
    Take(String),
    /// Commit this note, alone in a transaction.
    CommitTerm(TermNote),
    /// Read the block at an offset of the log, if one is given, and ask for the log's end.
    ReadLog(Option<u64>),
    /// Nothing: the term has begun.
    Begun,
    /// Nothing: this attempt is over. If the partition is assigned, another one begins.
    Over,
    /// Nothing: the partition stops, until a person acts.
    Stopped(Stop),
}

/// What a term waits for, because it cannot read its notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitsFor {
    /// The end of an open transaction, which hides the notes from this offset on (`notes_unreadable`).
    Transaction(u64),
    /// The first note, which `forebay kafka create` writes.
    FirstNote,
}

/// Why a partition stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    /// The notes that Kafka acknowledged are not there.
    #[error(
        "notes of the partition are gone (notes_cut): a person must give the log a new id, see docs/scale.md"
    )]
    NotesCut,
    /// The log has another block, or none, where a note says which one stood.
    #[error(
        "the log was cut at offset {0} (log_cut): a person must give the log a new id, see docs/scale.md"
    )]
    LogCut(u64),
    /// The notes belong to another name or group.
    #[error("the partition belongs to name {name:?} and group {group:?}")]
    OtherName {
        /// The name that the first snapshot fixed.
        name: String,
        /// The group that it fixed.
        group: String,
    },
    /// A note cannot be read. Notes of other partitions can be.
    #[error(
        "the note at offset {0} cannot be read (notes_unreadable): run the newest release that has written to the log"
    )]
    UnreadableNote(u64),
    /// A newer release wrote the notes. Those of other partitions may be as they were.
    #[error("{0}; run that release here too")]
    NewerNotes(String),
    /// A newer release of a collector wrote a block. The log's other partitions may have none.
    #[error(
        "a newer release wrote the block at offset {offset} (version {version}); run that release here too, and \
         next time upgrade writers before collectors"
    )]
    NewerBlock {
        /// Where the block stands in the log.
        offset: u64,
        /// Its version.
        version: u8,
    },
}

impl Stop {
    /// The note that an owner commits before it stops. Without it, a later owner would go on once retention
    /// has deleted what shows that the log was cut. If it cannot be committed, the partition stops all the
    /// same.
    pub fn note(&self) -> Option<Note> {
        match self {
            Self::LogCut(offset) => Some(Note::LogCut(*offset)),
            Self::NotesCut
            | Self::OtherName { .. }
            | Self::UnreadableNote(_)
            | Self::NewerNotes(_)
            | Self::NewerBlock { .. } => None,
        }
    }

    /// From where on the log was cut, at the latest, if it may have been.
    pub fn cut_at(&self) -> Option<u64> {
        match self {
            Self::LogCut(at) => Some(*at),
            // Perhaps with the log. Nobody knows from where on.
            Self::NotesCut => Some(u64::MAX),
            Self::OtherName { .. }
            | Self::UnreadableNote(_)
            | Self::NewerNotes(_)
            | Self::NewerBlock { .. } => None,
        }
    }
}

/// Who begins a term.
#[derive(Clone, Debug)]
pub struct Who {
    /// `kafka.name`.
    pub name: String,
    /// The group.
    pub group: String,
    /// What the term note says.
    pub term: TermNote,
}

/// What stands in the log at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This block, or a record that is none.
    Record(Option<BlockAt>),
    /// A block of a newer release, with this version.
    Newer(u8),
    /// The log begins after it.
    BeforeStart,
    /// The log ends before it.
    AfterEnd,
}

impl Found {
    /// Which block the record at `offset` is.
    pub fn of_record(offset: u64, value: &[u8]) -> Self {
        match block::read(value) {
            Ok(block) => Self::Record(Some(block.at(offset))),
            Err(BlockError::Newer(version)) => Self::Newer(version),
            Err(BlockError::NoBlock | BlockError::Checksum) => Self::Record(None),
        }
    }
}

/// A term that begins.
#[derive(Clone, Debug)]
pub struct Opening {
    who: Who,
    next: Next,
    sum: Sum,
    identity: Option<Identity>,
    /// The offset of the own note. The highest number if its record was not reported.
    own: u64,
    /// The token of the term before.
    before: Option<String>,
    /// When they were last seen to end before the own note, and for how long.
    short: Option<(Duration, Duration)>,
    /// Where reading goes on once it is known where the notes end.
    read_to: u64,
    /// What it waits for, if it has for a while.
    waits_for: Option<WaitsFor>,
    /// What the group's metadata said when the term began.
    metadata: Option<Metadata>,
}

impl Opening {
    /// Begins a term. The process must be assigned the partition ([`super::answer::may_begin`]).
    pub fn new(who: Who, metadata: Option<Metadata>) -> Self {
        Self {
            who,
            next: Next::ReadNotes(None),
            sum: Sum::default(),
            identity: None,
            own: 0,
            before: None,
            short: None,
            read_to: 0,
            waits_for: None,
            metadata,
        }
    }

    /// What to do next.
    pub fn next(&self) -> &Next {
        &self.next
    }

    /// Committed notes were read: their offsets and values, in order. `end` is the offset at which reading
    /// ended.
    pub fn read(&mut self, records: &[(u64, Vec<u8>)], end: u64, now: Duration) {
        let Next::ReadNotes(_) = self.next else { return };
        match self.identity {
            None => self.look_for_snapshot(records, end, now),
            Some(_) => self.add_up(records, end, now),
        }
    }

    /// Reading has ended at `end` without what is looked for.
    fn reads_on(&mut self, end: u64, now: Duration) {
        // A read that brings notes, or passes what is none, shows that older ones are still to come.
        let brings_more = !matches!(self.next, Next::ReadNotes(Some(from)) if from >= end);
        if brings_more {
            (self.short, self.waits_for) = (None, None);
        }
        let (last, so_far) = self.short.unwrap_or((now, Duration::ZERO));
        let short = so_far + now.saturating_sub(last).min(READ_WAIT);
        self.short = Some((now, short));
        self.read_to = end;
        self.next = if short >= NOTES_WAIT { Next::AskNotesEnd } else { Next::ReadNotes(Some(end)) };
    }

    /// Where readers of committed notes must stop, and the offset of the topic's next record. If they differ, a
    /// transaction is open, or was left open by brokers: what stands behind it is there, so the term waits until
    /// it ends, for however long that takes. If not, notes that were acknowledged are gone, or there are none yet.
    pub fn notes_end(&mut self, stable: u64, end: u64, now: Duration) {
        if self.next != Next::AskNotesEnd {
            return;
        }
        self.waits_for = match &self.identity {
            _ if stable < end => Some(WaitsFor::Transaction(stable)),
            None => Some(WaitsFor::FirstNote),
            Some(_) => return self.stop(Stop::NotesCut),
        };
        // Asked again a few reads later, unless they bring something.
        self.short = Some((now, NOTES_WAIT.saturating_sub(READ_WAIT)));
        self.next = Next::ReadNotes(Some(self.read_to));
    }

    /// What the term has waited for, for a while.
    pub fn waits_for(&self) -> Option<WaitsFor> {
        self.waits_for
    }

    /// Bytes of the notes that were read since the last snapshot.
    pub fn notes_bytes(&self) -> u64 {
        self.sum.bytes_since_snapshot()
    }

    /// The transactional id was taken over, or not.
    pub fn taken(&mut self, answer: Result<(), TransactionError>, may_repeat: bool) {
        self.next = match then(answer, may_repeat) {
            Then::Counts | Then::Dropped => Next::CommitTerm(self.who.term.clone()),
            Then::Again => return,
            Then::TermOver => Next::Over,
        };
    }

    /// The transaction of the term note was committed, or not. `offset` is where the note stands, if its record
    /// was reported.
    pub fn committed(&mut self, offset: Option<u64>, answer: Result<(), TransactionError>, may_repeat: bool) {
        self.next = match then(answer, may_repeat) {
            Then::Counts | Then::Dropped => Next::ReadNotes(None),
            Then::Again => return,
            Then::TermOver => Next::Over,
        };
        self.own = offset.unwrap_or(u64::MAX);
    }

    /// Whether the log ends before what notes say of it: by that alone, it was cut. A broker that leads no more, and does not
    /// know it, says so too.
    pub fn is_short(&self, found: Option<Found>, end: u64) -> bool {
        found == Some(Found::AfterEnd) || self.sum.state().is_some_and(|state| end < state.reaches())
    }

    /// What stands where the newest note says that a block stood, and the offset of the log's next record; the least that brokers
    /// have said of a log that [ends before](Self::is_short).
    pub fn log_read(&mut self, found: Option<Found>, end: u64) {
        let Some(state) = self.sum.state() else { return };
        if let (Some(Found::Newer(version)), Some(covered)) = (found, state.covered) {
            return self.stop(Stop::NewerBlock { offset: covered.offset, version });
        }
        let is_there = match found {
            // Retention may have deleted it.
            None | Some(Found::BeforeStart) => true,
            Some(Found::Record(block)) => block == state.covered,
            Some(Found::AfterEnd | Found::Newer(_)) => false,
        };
        let is_whole = is_there && end >= state.reaches();
        self.next = match is_whole || planted(PlantedBug::CutLogReadOn) {
            true => Next::Begun,
            // What comes in from there on is new.
            false => {
                Next::Stopped(Stop::LogCut(state.covered.map_or(end, |covered| covered.offset.min(end))))
            }
        };
    }

    /// The state, once the term has begun.
    pub fn into_state(self) -> Option<State> {
        self.sum.into_state().filter(|_| self.next == Next::Begun)
    }

    /// What is noted because the partition stops, unless it is noted already. The own note counts by then.
    pub fn stop_note(&self) -> Option<Note> {
        let Next::Stopped(stop) = &self.next else { return None };
        let is_noted = self.sum.state().is_some_and(|state| state.log_cut.is_some());
        stop.note().filter(|_| !is_noted)
    }

    /// Whether a cache that this process filled in an earlier term is still what the notes say. Another owner
    /// may have ended a day at an offset that the cache has passed already.
    pub fn keeps_cache_of(&self, own_earlier_token: &str) -> bool {
        self.before.as_deref() == Some(own_earlier_token) || planted(PlantedBug::CacheKeptAcrossOwners)
    }

    fn stop(&mut self, stop: Stop) {
        self.next = Next::Stopped(stop);
    }

    /// The first snapshot names the log id, which the transactional id contains.
    fn look_for_snapshot(&mut self, records: &[(u64, Vec<u8>)], end: u64, now: Duration) {
        for (offset, value) in records {
            if let Err(error) = self.sum.takes(*offset, value) {
                return self.stop(unreadable(*offset, &error));
            }
            let Some(state) = self.sum.state() else { continue };
            let identity = state.identity.clone();
            if identity.name != self.who.name || identity.group != self.who.group {
                return self.stop(Stop::OtherName { name: identity.name, group: identity.group });
            }
            self.next = Next::Take(identity.transactional_id());
            (self.identity, self.sum) = (Some(identity), Sum::default());
            (self.short, self.waits_for) = (None, None);
            return;
        }
        self.reads_on(end, now);
    }

    fn add_up(&mut self, records: &[(u64, Vec<u8>)], end: u64, now: Duration) {
        for (offset, value) in records {
            let before = self.sum.state().and_then(|state| state.term.clone());
            match self.sum.takes(*offset, value) {
                Err(error) => return self.stop(unreadable(*offset, &error)),
                Ok(Note::Term(term)) if term.token == self.who.term.token => {
                    self.before = before;
                    return self.all_read();
                }
                // The own note was passed. A term begins with its own note, so if the first one is a
                // snapshot, its owner came later and has deleted what stood before it.
                Ok(Note::Snapshot { .. }) if *offset > self.own => {
                    self.next = Next::Over;
                    return;
                }
                Ok(_) if *offset > self.own => return self.stop(Stop::NotesCut),
                Ok(_) => {}
            }
        }
        if planted(PlantedBug::NotesReadToTheEnd) {
            return self.all_read();
        }
        self.reads_on(end, now);
    }

    fn all_read(&mut self) {
        self.waits_for = None;
        let Some(state) = self.sum.state() else { return self.stop(Stop::NotesCut) };
        // The notes were made anew while the lock was taken: it was that of the log before.
        if self.identity.as_ref() != Some(&state.identity) {
            self.next = Next::Over;
            return;
        }
        let named = self.metadata.as_ref().filter(|named| named.log_id == state.identity.log_id);
        if named.is_some_and(|named| named.base_at > state.base_at) {
            return self.stop(Stop::NotesCut);
        }
        if let Some(offset) = state.log_cut {
            return self.stop(Stop::LogCut(offset));
        }
        self.next = Next::ReadLog(state.covered.map(|covered| covered.offset));
    }
}

fn unreadable(offset: u64, error: &SumError) -> Stop {
    match error {
        SumError::Newer(_) => Stop::NewerNotes(error.to_string()),
        SumError::Unreadable(_) => Stop::UnreadableNote(offset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::block::CollectorId;
    use crate::partition::note::{Base, Covered};
    use crate::time::UnixMillis;

    const BLOCK: BlockAt = BlockAt { offset: 5, collector: CollectorId(1), number: 2 };

    fn term(token: &str) -> TermNote {
        TermNote { token: token.to_owned(), version: String::new(), host: String::new() }
    }

    /// The notes of a partition whose last owner has covered a block.
    fn notes() -> Vec<(u64, Vec<u8>)> {
        let identity = Identity::of_tests();
        let mut notes = State::new(identity).snapshot(UnixMillis(0)).unwrap();
        let covered = Covered { last: Some(BLOCK), copies: Vec::new() };
        let base = Base { covered, ..Base::default() };
        notes.extend([Note::Term(term("earlier")), Note::Base(Box::new(base))]);
        (0..).zip(notes.iter().map(Note::encode)).collect()
    }

    /// The notes of another log, of the same name and group.
    fn notes_of_another_log() -> Vec<(u64, Vec<u8>)> {
        let identity = Identity { log_id: "ab".repeat(16), ..Identity::of_tests() };
        let notes = State::new(identity).snapshot(UnixMillis(0)).unwrap();
        (0..).zip(notes.iter().map(Note::encode)).collect()
    }

    /// A term whose note is committed at offset 7.
    fn opened(metadata: Option<Metadata>) -> Opening {
        let who = Who { name: "events".into(), group: "forebay".into(), term: term("own") };
        let mut opening = Opening::new(who, metadata);
        opening.read(&notes(), 3, Duration::ZERO);
        let Next::Take(id) = opening.next() else { panic!("{:?}", opening.next()) };
        assert_eq!(id, &format!("events-{}-0", "00".repeat(16)));
        opening.taken(Err(TransactionError::Retriable), true);
        opening.taken(Ok(()), true);
        opening.committed(Some(7), Ok(()), true);
        assert_eq!(opening.next(), &Next::ReadNotes(None));
        opening
    }

    fn own() -> (u64, Vec<u8>) {
        (7, Note::Term(term("own")).encode())
    }

    /// The owner of the new log and that of the log before would not fence each other.
    #[test]
    fn a_term_whose_lock_is_that_of_the_log_before_is_over() {
        let mut opening = opened(None);
        opening.read(&notes_of_another_log(), 1, Duration::ZERO);
        opening.read(&[own()], 8, Duration::ZERO);
        assert_eq!(opening.next(), &Next::Over);
    }

    #[test]
    fn notes_are_read_until_the_own_note_and_not_to_their_end() {
        let mut opening = opened(None);
        opening.read(&notes(), 3, Duration::ZERO);
        assert_eq!(opening.next(), &Next::ReadNotes(Some(3)), "the end trails");
        opening.read(&[own()], 8, Duration::from_secs(59));
        assert_eq!(opening.next(), &Next::ReadLog(Some(5)));
        assert!(opening.keeps_cache_of("earlier") && !opening.keeps_cache_of("other"));
        opening.log_read(Some(Found::Record(Some(BLOCK))), 6);
        assert_eq!(opening.into_state().unwrap().term.as_deref(), Some("own"));
    }

    /// It was taken for a log that was cut.
    #[test]
    fn a_newer_block_where_the_notes_name_one_is_no_cut() {
        let mut opening = opened(None);
        opening.read(&[notes(), vec![own()]].concat(), 8, Duration::ZERO);
        opening.log_read(Some(Found::Newer(9)), 6);
        assert_eq!(opening.next(), &Next::Stopped(Stop::NewerBlock { offset: 5, version: 9 }));
    }

    /// It ended the process, with the partitions whose notes can be read.
    #[test]
    fn a_note_that_cannot_be_read_stops_its_partition_alone() {
        let mut opening = opened(None);
        opening.read(&[notes(), vec![(4, b"{".to_vec()), own()]].concat(), 8, Duration::ZERO);
        assert_eq!(opening.next(), &Next::Stopped(Stop::UnreadableNote(4)));
    }

    #[test]
    fn notes_that_are_gone_stop_the_partition() {
        let mut passed = opened(None);
        let later = (8, Note::Term(term("later")).encode());
        passed.read(&[notes(), vec![later]].concat(), 9, Duration::ZERO);
        assert_eq!(passed.next(), &Next::Stopped(Stop::NotesCut));
        let mut short = opened(None);
        short.read(&notes(), 3, Duration::ZERO);
        for second in 1..60 {
            short.read(&[], 3, Duration::from_secs(second));
            assert_eq!(short.next(), &Next::ReadNotes(Some(3)));
        }
        short.read(&[], 3, NOTES_WAIT);
        assert_eq!(short.next(), &Next::AskNotesEnd);
        short.notes_end(3, 3, NOTES_WAIT);
        assert_eq!(short.next(), &Next::Stopped(Stop::NotesCut));
        let metadata = Metadata { log_id: "00".repeat(16), base_at: Some(4), ..Metadata::default() };
        let mut older = opened(Some(metadata));
        older.read(&[notes(), vec![own()]].concat(), 8, Duration::ZERO);
        assert_eq!(older.next(), &Next::Stopped(Stop::NotesCut));
    }

    /// A partition whose notes another producer's open transaction hid stopped after a minute.
    #[test]
    fn notes_that_an_open_transaction_hides_are_waited_for() {
        let mut opening = opened(None);
        opening.read(&notes(), 3, Duration::ZERO);
        let mut seconds = 0;
        for _ in 0..3 {
            while opening.next() == &Next::ReadNotes(Some(3)) {
                seconds += 1;
                assert!(seconds < 600, "it never asks");
                opening.read(&[], 3, Duration::from_secs(seconds));
            }
            assert_eq!(opening.next(), &Next::AskNotesEnd);
            opening.notes_end(3, 9, Duration::from_secs(seconds));
            assert_eq!(opening.waits_for(), Some(WaitsFor::Transaction(3)));
        }
        assert_eq!(seconds, 70, "asked after a minute, and then every five seconds");
        opening.read(&[own()], 8, Duration::from_secs(3_600));
        assert_eq!((opening.next(), opening.waits_for()), (&Next::ReadLog(Some(5)), None));
    }

    #[test]
    fn a_first_snapshot_is_waited_for_whether_it_is_hidden_or_not_written() {
        let who = Who { name: "events".into(), group: "forebay".into(), term: term("own") };
        let mut opening = Opening::new(who, None);
        for second in 0..=60 {
            opening.read(&[], 0, Duration::from_secs(second));
        }
        assert_eq!(opening.next(), &Next::AskNotesEnd);
        opening.notes_end(0, 0, Duration::from_secs(60));
        assert_eq!(opening.next(), &Next::ReadNotes(Some(0)));
        assert_eq!(opening.waits_for(), Some(WaitsFor::FirstNote));
        for second in 61..=65 {
            opening.read(&[], 0, Duration::from_secs(second));
        }
        opening.notes_end(0, 4, Duration::from_secs(65));
        assert_eq!(opening.waits_for(), Some(WaitsFor::Transaction(0)));
        opening.read(&notes(), 3, Duration::from_secs(66));
        assert!(matches!(opening.next(), Next::Take(_)) && opening.waits_for().is_none());
    }

    /// Found by the simulation (seed 199): a writer that slept for an hour between two reads stopped for good.
    #[test]
    fn the_end_of_the_notes_may_trail_while_the_process_sleeps() {
        let mut opening = opened(None);
        opening.read(&notes(), 3, Duration::ZERO);
        opening.read(&[], 3, Duration::from_secs(3_600));
        opening.read(&[own()], 8, Duration::from_secs(3_601));
        assert_eq!(opening.next(), &Next::ReadLog(Some(5)));
    }

    /// Found by the simulation (seed 23866): a writer slept while it read the notes. Two owners came later,
    /// and one of them wrote a snapshot and deleted what stood before it, this writer's note too. It stopped
    /// for good.
    #[test]
    fn a_later_owner_may_delete_the_own_note() {
        let mut opening = opened(None);
        opening.read(&notes(), 3, Duration::ZERO);
        // The notes begin at the snapshot, which readers do not see yet.
        opening.read(&[], 12, Duration::from_secs(1));
        assert_eq!(opening.next(), &Next::ReadNotes(Some(12)));
        let snapshot = State::new(Identity::of_tests()).snapshot(UnixMillis(0)).unwrap().remove(0);
        opening.read(&[(12, snapshot.encode())], 13, Duration::from_secs(2));
        assert_eq!(opening.next(), &Next::Over);
    }

    /// A partition with many notes stopped, because reading them took a minute.
    #[test]
    fn reading_many_notes_may_take_longer_than_the_end_may_trail() {
        let mut opening = opened(None);
        let mut second = 0;
        for end in 0..=7 {
            // Three of them are records, the others markers of transactions.
            let here: Vec<_> = notes().into_iter().filter(|(offset, _)| *offset + 1 == end).collect();
            for records in [here.as_slice(), &[]] {
                opening.read(records, end, Duration::from_secs(second));
                assert!(matches!(opening.next(), Next::ReadNotes(Some(_))), "{end}");
                second += 10;
            }
        }
        opening.read(&[own()], 8, Duration::from_secs(second));
        assert_eq!(opening.next(), &Next::ReadLog(Some(5)));
    }

    #[test]
    fn a_log_that_was_cut_stops_the_partition() {
        let check = |found, end, stops| {
            let mut opening = opened(None);
            opening.read(&[notes(), vec![own()]].concat(), 8, Duration::ZERO);
            opening.log_read(Some(found), end);
            assert_eq!(opening.next() == &Next::Stopped(Stop::LogCut(5)), stops, "{found:?}");
        };
        check(Found::BeforeStart, 9, false);
        check(Found::Record(Some(BLOCK)), 6, false);
        check(Found::AfterEnd, 5, true);
        check(Found::BeforeStart, 5, true);
        check(Found::Record(None), 9, true);
        check(Found::Record(Some(BlockAt { number: 3, ..BLOCK })), 9, true);
        let mut opening = opened(None);
        opening.read(&[notes(), vec![own()]].concat(), 8, Duration::ZERO);
        opening.log_read(Some(Found::AfterEnd), 3);
        assert_eq!(opening.next(), &Next::Stopped(Stop::LogCut(3)));
    }

    /// Found by the simulation (seeds 22711, 25620): an owner stopped, its process ended, retention deleted
    /// the block that was another one, and the next owner went on.
    #[test]
    fn a_log_that_was_found_cut_stops_later_owners_too() {
        let note = Stop::LogCut(5).note().unwrap();
        let mut opening = opened(None);
        let found = (5, note.encode());
        opening.read(&[notes(), vec![found, own()]].concat(), 8, Duration::ZERO);
        assert_eq!(opening.next(), &Next::Stopped(Stop::LogCut(5)));
        assert_eq!(Stop::NotesCut.note(), None);
    }

    #[test]
    fn another_name_and_an_unknown_commit_begin_no_term() {
        let who = Who { name: "other".into(), group: "forebay".into(), term: term("own") };
        let mut other = Opening::new(who, None);
        other.read(&notes(), 3, Duration::ZERO);
        assert!(matches!(other.next(), Next::Stopped(Stop::OtherName { .. })));
        let mut unknown = opened(None);
        unknown.committed(Some(7), Err(TransactionError::Unknown), true);
        assert_eq!(unknown.next(), &Next::Over);
    }
}
