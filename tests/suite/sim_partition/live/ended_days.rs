//! Days that end, are settled, and are closed.

use forebay::log::notes::CallNote;
use forebay::partition::days;
use forebay::partition::note::Note;
use forebay::time::ReceivedDay;

use super::super::env::Env;
use super::transaction::After;
use super::{Live, Step};

impl Live {
    pub(super) fn end_day(&mut self, day: ReceivedDay, env: &Env) -> Step {
        let end = env.log[self.partition as usize].end();
        let note = match days::end_at(&self.state, day, end) {
            Ok(note) => note,
            Err(stop) => return Step::Stopped(stop),
        };
        self.day_end = Some((day, end));
        // A cache that is past it already has read no record after the end.
        self.notes(vec![note], After::DayEnded);
        Step::GoesOn
    }

    pub(super) fn close_day(&mut self, env: &mut Env) {
        let read_before = self.cache.reader.read_before();
        let closable = days::closable(&self.state, self.cache.batches(), read_before, &mut |_, _| true);
        let Some(first) = closable.into_iter().next() else {
            let mut notes = days::to_settle(&self.state, self.cache.batches(), read_before);
            if !notes.is_empty() {
                // The marker relies on what was read.
                let covered = self.cache.reader.covered();
                notes.push(Note::Covered(covered.clone()));
                self.notes(notes, After::Sealed(covered, 0));
            }
            return;
        };
        if env.fails() {
            return;
        }
        let key = first.marker.key(&first.location.bucket).as_str().to_owned();
        env.trace.count("days closed");
        if !env.store.put_marker(&first.place.bucket, &key, first.marker) {
            env.is_wrong(format!("another marker is at {key}"));
        }
        self.notes(vec![Note::Call(CallNote::Closed(first.place))], After::Nothing);
    }
}
