//! How an owner answers what other threads ask. The notes of many asks are committed in one transaction.

use std::collections::BTreeSet;

use super::asks::{Answer, Ask};
use super::cache::Unusable;
use super::owner::{End, Owner};
use crate::batch::BatchKey;
use crate::log::notes::CallNote;
use crate::log::{Decision, Encoded, Parked, PendingSeal, Seal};
use crate::object::{ObjectKey, S3Location};
use crate::partition::gone;
use crate::partition::note::Note;

/// What is answered once the notes of a group count.
enum Reply {
    Sealed(Box<Seal>, Answer<Seal>),
    Noted(Answer<()>),
    Left(Answer<bool>, bool),
    Decided(Decided, Answer<Decided>),
}

/// A seal about which a person decided, or the seals that have a conflict if this one has none.
type Decided = Result<Box<PendingSeal>, Vec<u64>>;

impl Reply {
    fn send(self) {
        // Whoever asked may have ended meanwhile.
        let sent = match self {
            Self::Sealed(seal, answer) => answer.send(*seal).is_ok(),
            Self::Noted(answer) => answer.send(()).is_ok(),
            Self::Left(answer, is_left) => answer.send(is_left).is_ok(),
            Self::Decided(decided, answer) => answer.send(decided).is_ok(),
        };
        if !sent {
            tracing::debug!("nobody waits for an answer of the owner");
        }
    }
}

/// Asks whose notes are committed together.
#[derive(Default)]
struct Group {
    notes: Vec<Note>,
    replies: Vec<Reply>,
    /// Batches with a seal among them.
    sealed: BTreeSet<BatchKey>,
    /// Whether one of the notes relies on what was read.
    covers: bool,
}

impl Group {
    fn note(&mut self, note: CallNote) {
        self.notes.push(Note::Call(note));
    }
}

impl Owner {
    /// Answers asks, in order.
    /// Errors: [`End`]: those that are not answered yet learn that the term is over.
    pub(super) fn answer(&mut self, asks: impl IntoIterator<Item = Ask>) -> Result<(), End> {
        let mut group = Group::default();
        for ask in asks {
            match ask {
                Ask::Seal { batch, encoded, location, key, answer } => {
                    // The next seal of a batch follows from the one before.
                    if group.sealed.contains(&batch) {
                        self.commit(std::mem::take(&mut group))?;
                    }
                    let seal = self.seal_of(&group, &batch, &encoded, *location, key)?;
                    group.note(CallNote::Sealed(seal.clone()));
                    group.covers = true;
                    group.sealed.insert(batch);
                    group.replies.push(Reply::Sealed(Box::new(seal), answer));
                }
                Ask::Commit { number, applied, answer } => {
                    if self.shared.read().state.calls.seals.contains_key(&number) {
                        group.note(CallNote::Committed { number, applied, seal: None, amended: None });
                    }
                    group.replies.push(Reply::Noted(answer));
                }
                Ask::Leave { number, parked, answer } => {
                    let note = self.note_of_left(number, parked);
                    group.replies.push(Reply::Left(answer, note.is_some()));
                    group.notes.extend(note);
                }
                Ask::Note { note, answer } => {
                    group.note(*note);
                    group.replies.push(Reply::Noted(answer));
                }
                Ask::Decide { number, decision, answer } => {
                    // What was asked before may be about this seal.
                    self.commit(std::mem::take(&mut group))?;
                    let decided = self.decide(number, decision)?;
                    Reply::Decided(decided, answer).send();
                }
                Ask::Closed { place, answer } => {
                    group.note(CallNote::Closed(place));
                    group.covers = true;
                    group.replies.push(Reply::Noted(answer));
                }
                Ask::EndDays { through, answer } => {
                    self.commit(std::mem::take(&mut group))?;
                    if let Some(day) = self.day_to_end(self.day_grace).filter(|day| *day <= through) {
                        self.end_day(day)?;
                    }
                    Reply::Noted(answer).send();
                }
                Ask::BeginsAt(start, at_hand) => group.notes.extend(self.notes_of_gone(start, &at_hand)),
                Ask::Broken(why) => return Err(Unusable(why).into()),
            }
        }
        self.commit(group)
    }

    /// Commits the notes of a group, and only then answers.
    fn commit(&mut self, group: Group) -> Result<(), End> {
        let Group { notes: of_group, replies, covers, .. } = group;
        let covered = covers.then(|| self.reader.covered());
        let (mut notes, through) = match covers {
            true => self.cache.repeats.notes(&self.shared.read().state),
            false => Default::default(),
        };
        notes.extend(of_group);
        notes.extend(covered.clone().map(Note::Covered));
        self.note(notes)?;
        if let Some(covered) = covered {
            self.reader.noted(&covered);
            self.cache.repeats.noted(through);
        }
        replies.into_iter().for_each(Reply::send);
        Ok(())
    }

    /// Notes what a person decided about a conflict.
    fn decide(&mut self, number: u64, decision: Decision) -> Result<Decided, End> {
        let conflicts: Vec<u64> = {
            let known = self.shared.read();
            let seals = known.state.calls.seals.values();
            seals.filter(|pending| pending.conflict).map(|pending| pending.seal.number).collect()
        };
        if !conflicts.contains(&number) {
            return Ok(Err(conflicts));
        }
        let (overwrite, aside) = (decision == Decision::Overwrite, decision == Decision::KeepTheirs);
        self.note(vec![Note::Call(CallNote::Retry { number, overwrite, aside })])?;
        let decided = self.shared.read().state.calls.seals.get(&number).cloned();
        Ok(decided.map(Box::new).ok_or(conflicts))
    }

    /// The next seal, behind those of the group.
    fn seal_of(
        &self,
        group: &Group,
        batch: &BatchKey,
        encoded: &Encoded,
        location: S3Location,
        key: ObjectKey,
    ) -> Result<Seal, End> {
        let known = self.shared.read();
        let seal = known.state.calls.seal_of(batch, encoded, location, key);
        let Some(seal) = seal else {
            return Err(Unusable(format!("it has frames of {batch} that are sealed already")).into());
        };
        Ok(Seal { number: seal.number + group.sealed.len() as u64, ..seal })
    }

    /// The note that an object stays in the log, because its bucket refuses it. `None` if it does not.
    fn note_of_left(&self, number: u64, parked: Parked) -> Option<Note> {
        let known = self.shared.read();
        let pending = known.state.calls.seals.get(&number)?;
        let may = pending.amended.is_none() && !known.state.left.contains_key(&number);
        if !may || !self.cache.has_sealed(number) {
            return None;
        }
        let from = self.reader.window_from(pending.seal.first)?;
        Some(Note::Left { number, parked, from })
    }

    /// The notes that left objects are lost, because the log begins after what they are built of, and they are not at
    /// hand. Each is put without lines.
    fn notes_of_gone(&self, start: u64, at_hand: &BTreeSet<u64>) -> Vec<Note> {
        let known = self.shared.read();
        let left = known.state.left.keys().filter(|number| !at_hand.contains(number));
        let left = left.filter_map(|number| known.state.calls.seals.get(number));
        let gone = left.filter(|pending| pending.amended.is_none() && gone::is_gone(&pending.seal, start));
        gone.flat_map(|pending| {
            let seal = &pending.seal;
            tracing::error!(
                partition = known.state.identity.partition,
                source = %seal.batch.source,
                key = %seal.object_key,
                first = seal.first,
                last = seal.last,
                calls = seal.frames,
                "the log does not have the calls of an object any more that its bucket has refused: lost"
            );
            gone::object(seal)
        })
        .collect()
    }
}
