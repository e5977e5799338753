//! Changes the state by each note.

use super::note::Note;
use super::state::State;

impl State {
    /// Applies one note.
    pub fn apply(&mut self, note: Note) {
        match note {
            Note::State(state) => *self = *state,
            Note::Together(notes) => notes.into_iter().for_each(|note| self.apply(note)),
            Note::Location { source, from, location } => {
                let known = self.locations.entry(source).or_default();
                known.retain(|(at, _)| *at < from);
                // Exactly one more is reserved, because there may be ten thousand sources, nearly all with
                // one bucket.
                known.reserve_exact(1);
                known.push((from, location));
            }
            Note::Segment { number } => {
                self.next_segment = self.next_segment.max(number.saturating_add(1));
                self.segments.insert(number);
            }
            Note::Sealed(seal) => self.sealed(seal),
            Note::Committed { number, seal, amended, .. } => {
                self.sealed_if_unknown(seal);
                self.amended(number, amended);
                if let Some(pending) = self.seals.remove(&number) {
                    self.ledger.deliver(&pending.seal.batch, &pending.seal.hours(), &pending.hours());
                    self.release(&pending.seal.batch);
                    self.delivered(pending);
                }
            }
            Note::Parked { number, parked, seal, amended } => {
                self.sealed_if_unknown(seal);
                self.amended(number, amended);
                self.parked(number, parked);
            }
            Note::Conflict { number } => self.pending(number, |pending| pending.conflict = true),
            Note::Retry { number, overwrite } => {
                self.pending(number, |pending| (pending.conflict, pending.overwrite) = (false, overwrite));
            }
            Note::Restored { number } => {
                let amended = self.seals.get_mut(&number).and_then(|pending| pending.amended.take());
                let lost = amended.map(|amend| amend.lost).unwrap_or_default();
                // Only one entry is removed, because other damage may be noted as an equal range.
                for range in lost {
                    self.lost.iter().rposition(|known| *known == range).map(|at| self.lost.remove(at));
                }
            }
            Note::Amended { number, amend } => self.amended(number, Some(Box::new(amend))),
            Note::Lost(range) => {
                self.next_position = self.next_position.max(range.last.saturating_add(1));
                self.lose(range);
            }
            Note::Tallied(tally) => {
                self.next_position = self.next_position.max(tally.through.saturating_add(1));
                self.ledger.add_tally(&tally);
                for (file, progress) in tally.imports {
                    if let Some(import) = self.imports.get_mut(&file) {
                        import.progress.advance(progress);
                    }
                }
            }
            Note::ImportBegun(import) => {
                self.next_import = self.next_import.max(import.file.saturating_add(1));
                self.imports.insert(import.file, import);
            }
            Note::ImportsEnded { files } => self.imports.retain(|file, _| !files.contains(file)),
            Note::Released { number, positions } => {
                self.segments.remove(&number);
                self.next_segment = self.next_segment.max(number.saturating_add(1));
                self.next_position =
                    self.next_position.max(positions.map_or(0, |range| range.last.saturating_add(1)));
                self.released.extend(positions);
            }
            Note::Replaced { old, new } => {
                self.segments.remove(&old);
                self.segments.insert(new);
                self.next_segment = self.next_segment.max(new.saturating_add(1));
            }
            Note::DaysOver { through } => self.days_over = self.days_over.max(Some(through)),
            Note::Closed(place) => {
                self.days.remove(&place);
                let last = self.last_closed.entry((place.source, place.bucket)).or_insert(place.day);
                *last = place.day.max(*last);
            }
            Note::Forgotten { sources } => self.forget(sources),
            Note::Clock { .. } => {}
        }
    }
}
