//! Changes the state by each note.

use super::note::CallNote;
use super::state::CallState;

impl CallState {
    /// Applies one note.
    pub fn apply(&mut self, note: CallNote) {
        match note {
            CallNote::Location { source, from, location } => {
                let known = self.locations.entry(source).or_default();
                known.retain(|(at, _)| *at < from);
                // Exactly one more is reserved, because there may be ten thousand sources, nearly all with
                // one bucket.
                known.reserve_exact(1);
                known.push((from, location));
            }
            CallNote::Sealed(seal) => self.sealed(seal),
            CallNote::Committed { number, seal, amended, .. } => {
                self.sealed_if_unknown(seal);
                self.amended(number, amended);
                if let Some(pending) = self.seals.remove(&number) {
                    self.ledger.deliver(&pending.seal.batch, &pending.seal.hours(), &pending.hours());
                    self.release(&pending.seal.batch);
                    self.delivered(pending);
                }
            }
            CallNote::Conflict { number } => self.pending(number, |pending| pending.conflict = true),
            CallNote::Retry { number, overwrite } => {
                self.pending(number, |pending| (pending.conflict, pending.overwrite) = (false, overwrite));
            }
            CallNote::Restored { number } => {
                let amended = self.seals.get_mut(&number).and_then(|pending| pending.amended.take());
                let lost = amended.map(|amend| amend.lost).unwrap_or_default();
                // Only one entry is removed, because other damage may be noted as an equal range.
                for range in lost {
                    self.lost.iter().rposition(|known| *known == range).map(|at| self.lost.remove(at));
                }
            }
            CallNote::Amended { number, amend } => self.amended(number, Some(Box::new(amend))),
            CallNote::Lost(range) => {
                self.assigned_through(range.last);
                self.lose(range);
            }
            CallNote::Tallied(tally) => {
                self.assigned_through(tally.through);
                self.ledger.add_tally(&tally);
            }
            CallNote::DaysOver { through } => self.days_over = self.days_over.max(Some(through)),
            CallNote::Closed(place) => {
                self.days.remove(&place);
                let last = self.last_closed.entry((place.source, place.bucket)).or_insert(place.day);
                *last = place.day.max(*last);
            }
            CallNote::Forgotten { sources } => self.forget(sources),
            CallNote::Clock { .. } => {}
        }
    }
}
