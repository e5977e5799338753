//! Bases and snapshots: where the next owner begins.

use forebay::log::notes::{CallNote, Tally};
use forebay::partition::note::Note;
use forebay::time::UnixMillis;

use super::super::env::Env;
use super::Live;
use super::transaction::After;

impl Live {
    pub(super) fn base(&mut self) {
        let read_from = self.cache.read_from(&self.state);
        let Some(base) = self.cache.reader.base(read_from) else {
            // It learns whether its term is over.
            return self.notes(vec![Note::Base(Box::new(self.state.base.clone()))], After::Nothing);
        };
        let through = self.cache.reader.read_before();
        let rows = self.cache.tally();
        let tally = Tally { through, rows, ..Default::default() };
        let base = Box::new(base);
        let (mut notes, repeats) = self.cache.repeats.notes(&self.state);
        notes.extend([Note::Call(CallNote::Tallied(tally)), Note::Base(base.clone())]);
        self.notes(notes, After::Based(base, repeats, through));
    }

    pub(super) fn snapshot(&mut self, env: &Env) {
        let notes = self.state.clone().snapshot(UnixMillis(env.now)).unwrap();
        self.notes(notes, After::Snapshot);
    }
}
