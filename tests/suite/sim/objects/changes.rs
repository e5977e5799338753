//! What an import does with objects that it has imported: only once all of their rows are safe.
//!
//! One instance may act once the log has acknowledged the rows. Of two, the one that has a file acts once the rows are
//! in its archive: if its disk were lost before, the other one would need the object.

use std::collections::BTreeSet;
use std::io::Read as _;

use forebay::import::bucket_import::{After, moved_key};

use super::{File, Objects, PREFIX, State};
use crate::sim::clients::Line;
use crate::sim::world::Violation;

impl Objects {
    /// The version that is there now is about to be tagged, copied or deleted.
    pub(in crate::sim) fn is_about_to_change(&self, what: &str, key: &str) {
        self.trace.note("an object is about to be", what, &[]);
        let delivered = self.is_shared().then(|| self.delivered());
        let mut state = self.lock();
        let checked = state.is_safe((self.instance, key), delivered.as_ref());
        state.violated(checked.map_err(|why| format!("I12: {key} is {what}, and {why}")));
    }

    /// The version that is there now is deleted.
    pub(in crate::sim) fn goes_after_import(&self, key: &str) {
        let mut state = self.lock();
        let Some(version) = state.now.remove(key) else { return };
        state.gone.push(version);
        let Some(After::Move(to)) = &self.after else { return };
        let copy = self.lake.object("lake", &moved_key(PREFIX, to, key));
        let is_same = copy.is_some_and(|copy| copy.bytes == state.versions[version].bytes);
        let checked = if is_same { Ok(()) } else { Err(format!("I12: {key} is moved, and is not there")) };
        state.violated(checked);
    }

    /// The messages that are in the archive of this instance.
    fn delivered(&self) -> BTreeSet<usize> {
        let (mut delivered, foreign) = (BTreeSet::new(), self.store.foreign());
        for place in self.store.fake.keys().into_iter().filter(|place| !foreign.contains(place)) {
            let object = self.store.fake.object(&place.0, &place.1).unwrap();
            let mut text = String::new();
            // Markers of days are no gzip.
            if flate2::read::GzDecoder::new(&object.bytes[..]).read_to_string(&mut text).is_ok() {
                let lines = text.lines().filter_map(|line| Line::read(line.as_bytes()).ok());
                delivered.extend(lines.map(|line| line.message));
            }
        }
        delivered
    }
}

impl State {
    /// Whether an instance has stored all rows of an object, and in its archive if that is asked for.
    fn is_safe(
        &self,
        (instance, key): (usize, &str),
        delivered: Option<&BTreeSet<usize>>,
    ) -> Result<(), Violation> {
        let version = &self.versions[*self.now.get(key).ok_or("is not there")?];
        if version.is_broken {
            return Err("nothing of it is imported".to_owned());
        }
        for at in &version.files {
            let file: &File = &self.files[*at];
            let rows = file.kinds.len() as u64;
            let of_file = || {
                let of_instance = self.known.iter().filter(|((of, _), _)| *of == instance);
                of_instance.map(|(_, known)| known).filter(|known| known.file == Some(*at))
            };
            if !of_file().any(|known| !known.is_round && known.progress.next_row == rows) {
                return Err(format!("rows of {file:?} are not stored"));
            }
            let [calls, later, bad] = file.counts(rows);
            let settled: u64 = of_file().map(|known| known.progress.stored).sum();
            if bad > 0 || settled != calls + later {
                return Err(format!("rows of {file:?} were rejected"));
            }
            let missing = |message: &usize| delivered.is_some_and(|delivered| !delivered.contains(message));
            if let Some(missing) = (0..file.kinds.len()).flat_map(|row| file.messages(row)).find(missing) {
                return Err(format!("message {missing} of {file:?} is not delivered"));
            }
        }
        Ok(())
    }
}
