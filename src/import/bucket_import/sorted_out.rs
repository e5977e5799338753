//! Compares a page of a listing with what the journal knows: both are in the order of the keys.

use super::admit::skip_of;
use super::decide::Skip;
use super::object_state::{IsStored, ObjectState, Stage, Standing, is_done};
use super::rules::Rules;
use super::settings::OnChange;
use crate::import::journal::{Journal, JournalError};
use crate::import::record::LastError;
use crate::store::reader::Listed;

closed_list! {
    /// What a pass would do with an object.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Would by slug {
        /// Its import would begin.
        Begin = "begin",
        /// Its import would go on at the next row.
        GoOn = "go_on",
        /// It is done, and would begin at its first row.
        Again = "again",
        /// Another version of it is imported; this one would be imported as a new file.
        Reprocess = "reprocess",
        /// Another version of it is imported; this one would be left out.
        LeaveOut = "leave_out",
    }
}

/// An object that a pass has to look at.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) listed: Listed,
    pub(super) would: Would,
    /// What the journal has of its key.
    pub(super) known: Option<Box<ObjectState>>,
}

/// The objects of a page.
#[derive(Debug, Default)]
pub(super) struct SortedOut {
    /// Objects that are done.
    pub(super) known: u64,
    /// Objects that were left out before, because another version of them is imported.
    pub(super) left_out: u64,
    /// Why others are skipped.
    pub(super) skipped: Vec<Skip>,
    /// Objects that are given up: the key, and why.
    pub(super) given_up: Vec<(String, Stage, Option<LastError>)>,
    /// The others.
    pub(super) left: Vec<Left>,
}

/// What is known of objects before they are looked at, one by one.
#[derive(Clone, Copy)]
pub(super) struct Reasons<'s> {
    /// Why an object is skipped, as far as a listing shows.
    pub(super) skips: &'s dyn Fn(&Listed) -> Option<Skip>,
    /// Whether a look at this version has shown that it was moved.
    pub(super) is_moved: &'s dyn Fn(&Listed) -> bool,
    /// Whether calls of the version that is kept are stored.
    pub(super) stored: IsStored<'s>,
}

/// Whether an object is surely done, by what the journal has of it.
fn is_known(listed: &Listed, json: &[u8]) -> bool {
    listed.etag.as_deref().is_some_and(|etag| is_done(json, etag, listed.len))
}

impl SortedOut {
    /// Compares objects with what the journal knows of them. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read.
    pub(super) fn of(
        journal: &dyn Journal,
        rules: &Rules,
        reasons: Reasons<'_>,
        listed: Vec<Listed>,
    ) -> Result<Self, JournalError> {
        let mut sorted = Self::default();
        let Some(first) = listed.first().map(|first| first.key.as_str().to_owned()) else {
            return Ok(sorted);
        };
        let with_reason = |listed: Listed| {
            let why = (reasons.skips)(&listed);
            (listed, why)
        };
        // Stores that are not S3 may list in another order.
        if !listed.is_sorted_by(|one, other| one.key.as_str() < other.key.as_str()) {
            for listed in listed {
                let known = ObjectState::read(journal, rules.id, listed.key.as_str())?;
                sorted.add(reasons, rules, with_reason(listed), known)?;
            }
            return Ok(sorted);
        }
        let mut listed = listed.into_iter().peekable();
        ObjectState::each_from(journal, rules.id, &first, &mut |key, json| {
            while let Some(unknown) = listed.next_if(|listed| listed.key.as_str() < key) {
                sorted.add(reasons, rules, with_reason(unknown), None)?;
            }
            if let Some(same) = listed.next_if(|listed| listed.key.as_str() == key) {
                let same = with_reason(same);
                if !rules.again && same.1.is_none() && is_known(&same.0, json) {
                    sorted.known += 1;
                } else {
                    sorted.add(reasons, rules, same, Some(ObjectState::of_json(key, json)?))?;
                }
            }
            Ok(listed.peek().is_some())
        })?;
        for unknown in listed {
            sorted.add(reasons, rules, with_reason(unknown), None)?;
        }
        Ok(sorted)
    }

    fn add(
        &mut self,
        reasons: Reasons<'_>,
        rules: &Rules,
        (listed, why): (Listed, Option<Skip>),
        known: Option<ObjectState>,
    ) -> Result<(), JournalError> {
        let stored = reasons.stored;
        let is_unwanted = why.is_some();
        if let Some(why) = skip_of(why, known.as_ref(), None, stored)? {
            self.skipped.push(why);
            return Ok(());
        }
        // The listing may be older than the object. Only what needs nothing for good needs no second look.
        let (Some(state), Some(etag)) = (&known, listed.etag.as_deref()) else {
            return self.leave(reasons, Left { listed, would: Would::Begin, known: known.map(Box::new) });
        };
        let standing = state.standing(etag, listed.len, &rules.options);
        let would = match standing {
            Standing::Done if rules.again => Would::Again,
            Standing::Done => {
                self.known += 1;
                return Ok(());
            }
            Standing::Poison => {
                let why = (listed.key.as_str().to_owned(), state.stage, state.error.clone());
                self.given_up.push(why);
                return Ok(());
            }
            Standing::Wanted if state.is_of(etag, listed.len) => Would::GoOn,
            _ if !stored(state, standing)? => Would::Begin,
            _ if rules.on_change == OnChange::Reprocess && !is_unwanted => Would::Reprocess,
            _ if state.has_left_out(etag) => {
                match state.stage {
                    // A part of the one before it is stored.
                    Stage::Changed => {
                        let why = (listed.key.as_str().to_owned(), state.stage, state.error.clone());
                        self.given_up.push(why);
                    }
                    _ => self.left_out += 1,
                }
                return Ok(());
            }
            _ => Would::LeaveOut,
        };
        self.leave(reasons, Left { listed, would, known: known.map(Box::new) })
    }

    /// Leaves an object to be looked at, unless a look at the same version has shown already what another one
    /// would show.
    fn leave(&mut self, reasons: Reasons<'_>, left: Left) -> Result<(), JournalError> {
        let Left { listed, known, .. } = &left;
        let moved = (reasons.is_moved)(listed).then_some(Skip::Own);
        let version = listed.etag.as_deref().map(|etag| (etag, listed.len));
        match skip_of(moved, known.as_deref(), version, reasons.stored)? {
            Some(why) => self.skipped.push(why),
            None => self.left.push(left),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::bucket_import::rejected::place::RejectsPlace;
    use crate::import::import_id::ImportId;
    use crate::import::journal::LocalJournal;
    use crate::object::ObjectKey;
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    fn listed(key: &str) -> Listed {
        Listed {
            key: ObjectKey::listed(key.to_owned()),
            len: 5,
            last_modified: None,
            etag: Some("\"a\"".to_owned()),
            storage_class: None,
            is_restored: false,
        }
    }

    #[test]
    fn a_page_is_compared_with_the_journal_in_any_order() {
        let journal = LocalJournal::over(redb::backends::InMemoryBackend::new()).unwrap();
        let (id, other) = (ImportId::of_bits(1), ImportId::of_bits(2));
        let file = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
        let write = |id, key: &str, etag: &str, stage| {
            let state = ObjectState::open(etag, 5, file).at(stage);
            state.write(&journal, id, key).unwrap();
        };
        for (key, etag, stage) in [
            ("a", "a", Stage::Done),
            ("b", "a", Stage::Waiting),
            ("between", "a", Stage::Done),
            ("c", "b", Stage::Done),
        ] {
            write(id, key, etag, stage);
        }
        write(other, "d", "a", Stage::Done);
        let mut changed = ObjectState::open("b", 5, file).at(Stage::Changed);
        changed.has_calls = true;
        changed.leave_out("a");
        changed.write(&journal, id, "e").unwrap();
        let rules = |again, on_change| Rules {
            id,
            source: SourceId::new("csv").unwrap(),
            on_change,
            options: "o".to_owned(),
            again,
            place: "s3://lake/".to_owned(),
            rejects: RejectsPlace::folder("rejects".into(), 0),
            now: UnixMillis(0),
        };
        let check = |keys: &[&str], rules: &Rules, expected: &[(&str, &str)], counts: (u64, usize)| {
            let page = keys.iter().map(|key| listed(key)).collect();
            let stored = |_: &ObjectState, standing: Standing| Ok(standing == Standing::Changed);
            let reasons = Reasons { skips: &|_| None, is_moved: &|_| false, stored: &stored };
            let sorted = SortedOut::of(&journal, rules, reasons, page).unwrap();
            let mut left: Vec<_> =
                sorted.left.iter().map(|left| (left.listed.key.as_str(), left.would.slug())).collect();
            left.sort_unstable();
            assert_eq!((left.as_slice(), (sorted.known, sorted.given_up.len())), (expected, counts));
        };
        let ignore = rules(false, OnChange::Ignore);
        let all = [("b", "go_on"), ("c", "leave_out"), ("d", "begin")];
        check(&["a", "b", "c", "d", "e"], &ignore, &all, (1, 1));
        check(&["e", "d", "c", "b", "a"], &ignore, &all, (1, 1));
        check(&["0", "z"], &ignore, &[("0", "begin"), ("z", "begin")], (0, 0));
        check(&[], &ignore, &[], (0, 0));
        let again = [("a", "again"), ("c", "reprocess")];
        check(&["a", "c"], &rules(true, OnChange::Reprocess), &again, (0, 0));
        // What is skipped stays so unless rows of it are stored and others are to come.
        let mut half = ObjectState::open("a", 5, file).at(Stage::Waiting);
        half.has_calls = true;
        half.write(&journal, id, "f").unwrap();
        for keys in [["a", "b", "f", "g"], ["g", "f", "b", "a"]] {
            for why in Skip::ALL {
                let page = keys.map(listed).to_vec();
                let stored = |_: &ObjectState, standing: Standing| Ok(standing == Standing::Changed);
                let reasons = Reasons { skips: &|_| Some(why), is_moved: &|_| false, stored: &stored };
                let sorted = SortedOut::of(&journal, &ignore, reasons, page).unwrap();
                let goes_on = !matches!(why, Skip::Archived | Skip::Missing | Skip::Changed);
                let left: Vec<_> = sorted.left.iter().map(|left| left.listed.key.as_str()).collect();
                assert_eq!(left, if goes_on { vec!["f"] } else { vec![] }, "{why:?}");
                assert_eq!((sorted.skipped.len(), sorted.known), (if goes_on { 3 } else { 4 }, 0), "{why:?}");
            }
        }
    }
}
