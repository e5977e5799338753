//! Where the objects of each source go. It is in the notes before a source's first frame is sealed and at
//! each change, so every owner builds the same objects, whatever its configuration says.

use std::collections::BTreeMap;

use super::note::Note;
use super::position::position;
use super::state::State;
use crate::log::notes::CallNote;
use crate::object::S3Location;
use crate::sources::SourceId;

/// The buckets that a writer's configuration gives sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets {
    /// The bucket of each configured source.
    pub of: BTreeMap<SourceId, S3Location>,
    /// The bucket of every other source, where any write key is one. Without it, calls of a source that is not
    /// configured wait.
    pub others: Option<S3Location>,
}

impl Buckets {
    /// The bucket of a source.
    pub fn get(&self, source: &SourceId) -> Option<&S3Location> {
        self.of.get(source).or(self.others.as_ref())
    }
}

/// The notes for what a writer's configuration says and the notes do not: `wanted` is the bucket of each
/// source. `next` is the offset of the next record that the writer reads.
///
/// A source's first bucket counts for all of its frames. A later one counts from the first record on that no
/// owner has read, so frames keep the bucket under which they were read. A sealed object keeps its own.
pub fn to_note<'c>(
    state: &State,
    next: u64,
    wanted: impl IntoIterator<Item = (&'c SourceId, &'c S3Location)>,
) -> Vec<Note> {
    let unread = position(next.max(state.reaches()), 1);
    let note = |(source, location): (&SourceId, &S3Location)| {
        let known = state.calls.location(source, u64::MAX).map(|(known, _)| known);
        let from = if known.is_some() { unread } else { position(0, 1) };
        let (source, location) = (source.clone(), location.clone());
        (known != Some(&location)).then_some(Note::Call(CallNote::Location { source, from, location }))
    };
    wanted.into_iter().filter_map(note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{BucketString, Encryption};
    use crate::partition::block::{BlockAt, CollectorId};
    use crate::partition::note::Covered;
    use crate::partition::state::Identity;

    fn bucket(name: &str) -> S3Location {
        S3Location::new(BucketString::parse(name).unwrap(), Encryption::SseS3)
    }

    #[test]
    fn a_source_has_its_own_bucket_or_that_of_all_others() {
        let [web, tv] = ["web", "tv"].map(|name| SourceId::new(name).unwrap());
        let mut buckets = Buckets { of: [(web.clone(), bucket("own"))].into(), others: None };
        assert_eq!((buckets.get(&web), buckets.get(&tv)), (Some(&bucket("own")), None));
        buckets.others = Some(bucket("all"));
        assert_eq!((buckets.get(&web), buckets.get(&tv)), (Some(&bucket("own")), Some(&bucket("all"))));
    }

    #[test]
    fn frames_that_were_read_keep_their_bucket() {
        let mut state = State::new(Identity::of_tests());
        let web = SourceId::new("web").unwrap();
        let notes = |state: &mut State, next, name| {
            let notes = to_note(state, next, [(&web, &bucket(name))]);
            notes.iter().for_each(|note| state.apply(note.clone(), 0));
            notes.len()
        };
        assert_eq!(notes(&mut state, 7, "first"), 1);
        assert_eq!(notes(&mut state, 9, "first"), 0);
        // An owner that is still behind what an earlier one has read.
        let last = Some(BlockAt { offset: 11, collector: CollectorId(1), number: 1 });
        state.apply(Note::Covered(Covered { last, copies: Vec::new() }), 0);
        assert_eq!(notes(&mut state, 9, "second"), 1);
        let goes_to = |position| state.calls.location(&web, position).unwrap();
        assert_eq!(goes_to(1), (&bucket("first"), Some(position(12, 1))));
        assert_eq!(goes_to(position(12, 1)), (&bucket("second"), None));
    }
}
