//! Notes on their way: a transaction, and what follows once it counts.

use forebay::log::Seal;
use forebay::partition::answer::{Then, then_of_notes};
use forebay::partition::note::{Base, Covered, Note};
use forebay::planted_bugs::{PlantedBug, planted};
use forebay::time::UnixMillis;

use super::super::env::Env;
use super::{Live, Step, TERM_OVER};

/// What follows once notes are committed.
#[derive(Clone, Debug)]
pub(super) enum After {
    Nothing,
    /// The last repeat that is noted with it.
    Sealed(Covered, u64),
    /// The positions before the last number are counted, and the repeats to the second last noted.
    Based(Box<Base>, u64, u64),
    Left(Box<Seal>),
    DayEnded,
    /// The offsets of the notes before it are deleted.
    Snapshot,
}

/// Notes on their way.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) notes: Vec<Note>,
    pub(super) sent: Option<Vec<u64>>,
    pub(super) after: After,
}

impl Live {
    /// Notes are committed next.
    pub(super) fn notes(&mut self, notes: Vec<Note>, after: After) {
        self.transaction = Some(Transaction { notes, sent: None, after });
    }

    /// The next call of the transaction.
    pub(super) fn go_on(&mut self, env: &mut Env) -> Step {
        let (partition, epoch) = (self.partition, self.epoch);
        let Some(transaction) = &mut self.transaction else { return Step::GoesOn };
        if planted(PlantedBug::NoteOutsideTransaction) {
            let values: Vec<Vec<u8>> = transaction.notes.iter().map(Note::encode).collect();
            let offsets = env.notes.0.get_mut(&partition).unwrap().plain(epoch, &values, env.now);
            transaction.sent = Some(offsets);
            self.counts(env);
            return Step::GoesOn;
        }
        let answer = match transaction.sent {
            None => env.send(partition, epoch, &transaction.notes).map(|offsets| {
                transaction.sent = Some(offsets);
            }),
            Some(_) => {
                let answer = env.commit(partition, epoch);
                match then_of_notes(answer, true) {
                    Then::Counts => self.counts(env),
                    Then::Again => {}
                    Then::TermOver => return TERM_OVER,
                    Then::Dropped => self.dropped(),
                }
                return Step::GoesOn;
            }
        };
        match then_of_notes(answer, true) {
            Then::Counts if transaction.sent.is_some() => {}
            // Only with a planted bug.
            Then::Counts => self.counts(env),
            Then::Again => {}
            Then::TermOver => return TERM_OVER,
            Then::Dropped => self.dropped(),
        }
        Step::GoesOn
    }

    fn dropped(&mut self) {
        self.transaction = None;
        self.next = None;
        self.day_end = None;
    }

    /// The notes count.
    fn counts(&mut self, env: &mut Env) {
        let Some(Transaction { notes, sent, after }) = self.transaction.take() else { return };
        self.notes_since_snapshot += notes.len();
        let first = sent.as_ref().and_then(|sent| sent.first().copied()).unwrap_or(0);
        let offsets = sent.unwrap_or_default().into_iter().chain(std::iter::repeat(0));
        match after {
            After::Snapshot => {
                self.notes_since_snapshot = 0;
                // As a new owner would read it.
                let base_at = self.state.base_at;
                self.state.snapshot(UnixMillis(env.now)).unwrap();
                self.state.base_at = base_at;
                env.notes.0.get_mut(&self.partition).unwrap().delete_before(first);
                return;
            }
            After::Sealed(covered, repeats) => {
                self.cache.reader.noted(&covered);
                self.cache.repeats.noted(repeats);
            }
            After::Based(base, repeats, tallied) => {
                self.cache.repeats.noted(repeats);
                self.cache.reader.based(&base);
                self.cache.tallied(tallied);
            }
            After::Left(seal) => self.cache.forget(&seal),
            After::DayEnded => self.day_end = None,
            After::Nothing => {}
        }
        for (note, offset) in notes.into_iter().zip(offsets) {
            self.state.apply(note, offset);
        }
        self.cache.release(&self.state);
        let pending = &self.state.calls.seals;
        self.stored.retain(|number| pending.contains_key(number));
        self.built.retain(|number, _| pending.contains_key(number));
        self.tries.retain(|number, _| pending.contains_key(number));
        self.deadlines.retain(|batch, _| self.cache.unsealed(batch, &self.state).next().is_some());
    }
}
