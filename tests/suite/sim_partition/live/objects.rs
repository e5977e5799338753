//! Sealing objects, putting them, and leaving those that a bucket refuses.

use forebay::batch::BatchKey;
use forebay::log::notes::CallNote;
use forebay::log::{Parked, PendingSeal, Seal};
use forebay::object::{ObjectKey, ObjectName};
use forebay::partition::gone;
use forebay::partition::lines::Lines;
use forebay::partition::note::Note;
use forebay::planted_bugs::{PlantedBug, planted};

use super::super::check::truth;
use super::super::env::Env;
use super::super::store::{Object, PutError};
use super::Live;
use super::transaction::After;

/// The tries to put an object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tries {
    pub(super) failing_since: Option<i64>,
    pub(super) not_before: i64,
}

impl Live {
    pub(super) fn seal(&mut self, batch: &BatchKey, whole: bool, env: &mut Env) {
        let most = env.plan.object_lines;
        let count = if whole { most } else { 1 + env.dice.below(most) };
        let mut lines = Lines::default();
        let mut unsealed = self.cache.unsealed(batch, &self.state).peekable();
        let Some(first) = unsealed.peek() else { return };
        let Some((to, until)) = self.state.calls.location(&batch.source, first.position) else { return };
        // An object goes to one bucket.
        let of_bucket = unsealed.take_while(|frame| until.is_none_or(|until| frame.position < until));
        of_bucket.take(usize::try_from(count).unwrap()).for_each(|frame| lines.push(frame));
        let (to, encoded) = (to.clone(), lines.encoded());
        let identity = &self.state.identity;
        let (node, spool_id) = (identity.node(), identity.spool_id());
        let name = ObjectName {
            first_received_at: encoded.named_at,
            node: &node,
            spool_id: &spool_id,
            first_position: encoded.first,
        };
        let key = ObjectKey::of_batch(&to.bucket, &batch.stream, &batch.source, batch.day, name);
        let Some(seal) = self.state.calls.seal_of(batch, &encoded, to, key) else {
            return env.is_wrong(format!("a range of {batch} would be sealed twice"));
        };
        if planted(PlantedBug::PutBeforeSealCommitted) {
            let pending = PendingSeal::of(seal.clone());
            let (lines, _) = self.cache.lines_of(&seal);
            // Whatever the answer is.
            drop(env.put(Object::new(&pending, lines)));
        }
        let covered = self.cache.reader.covered();
        let (mut notes, repeats) = self.cache.repeats.notes(&self.state);
        notes.extend([Note::Call(CallNote::Sealed(seal)), Note::Covered(covered.clone())]);
        self.notes(notes, After::Sealed(covered, repeats));
    }

    pub(super) fn put(&mut self, number: u64, env: &mut Env) {
        let Some(pending) = self.state.calls.seals.get(&number).cloned() else { return };
        let seal = &pending.seal;
        let (lines, same) = match self.built.get(&number) {
            _ if pending.amended.is_some() => (Vec::new(), true),
            Some(lines) => (lines.clone(), true),
            None => self.cache.lines_of(seal),
        };
        if !same {
            return self.cannot_build(seal.clone(), env);
        }
        let now = env.now;
        let rests = i64::try_from(env.dice.log(5_000)).unwrap();
        match env.put(Object::new(&pending, lines)) {
            Ok(()) => {
                self.stored.insert(number);
            }
            Err(PutError::Exists(sha256)) if sha256 == pending.sha256() => {
                self.stored.insert(number);
            }
            Err(PutError::Exists(sha256)) if sha256 == seal.sha256 => {
                // All of an amended object is there.
                if self.transaction.is_none() {
                    let committed = CallNote::Committed { number, applied: None, seal: None, amended: None };
                    let notes = [CallNote::Restored { number }, committed].map(Note::Call);
                    self.notes(notes.into(), After::Nothing);
                }
            }
            Err(PutError::Exists(_)) => {
                let log = &env.log[self.partition as usize];
                // An owner that slept may find that a later one has put what was left after a loss.
                if !log.lost && !log.was_cut() {
                    env.is_wrong(format!("another object has the key {}", seal.object_key.as_str()));
                }
                if self.transaction.is_none() {
                    self.notes(vec![Note::Call(CallNote::Conflict { number })], After::Nothing);
                }
            }
            Err(PutError::Refused) => {
                let tries = self.tries.entry(number).or_default();
                tries.failing_since.get_or_insert(now);
                tries.not_before = now + 1_000 + rests;
                // It is built again for the next try.
                if self.state.left.contains_key(&number) {
                    self.built.remove(&number);
                }
            }
            Err(PutError::Unknown) => self.tries.entry(number).or_default().not_before = now + rests,
        }
    }

    /// The lines of a seal are not there any more. If the log has lost some of what it needs, that is named.
    pub(super) fn cannot_build(&mut self, seal: Seal, env: &mut Env) {
        let log = &env.log[self.partition as usize];
        // An owner that slept may find that a later one has put it, and retention has deleted what was needed for it.
        let still_waits = |env: &Env| truth(env, self.partition).calls.seals.contains_key(&seal.number);
        if !log.lost && !log.was_cut() && still_waits(env) {
            env.is_wrong(format!("object {} cannot be built again", seal.object_key.as_str()));
        }
        if self.transaction.is_none() {
            env.trace.count("objects lost");
            self.notes(gone::object(&seal), After::Nothing);
        }
    }

    pub(super) fn leave(&mut self, number: u64) {
        let seal = self.state.calls.seals[&number].seal.clone();
        let Some(from) = self.cache.reader.window_from(seal.first) else { return };
        let parked = Parked { len: seal.bytes, crc32: 0 };
        let left = (vec![Note::Left { number, parked, from }], After::Left(Box::new(seal.clone())));
        if planted(PlantedBug::ReadFromBeforeLeft) {
            self.cache.forget(&seal);
            self.base();
            self.next = Some(left);
            return;
        }
        self.notes(left.0, left.1);
    }
}
