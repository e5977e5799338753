//! How topics are made and grow: the notes of a partition begin before its first record can be written.

use std::collections::BTreeSet;

/// What the brokers have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    /// Partitions of the log.
    pub log: u32,
    /// Partitions of the notes.
    pub notes: u32,
    /// Partitions whose notes begin with a snapshot.
    pub snapshots: BTreeSet<u32>,
    /// Partitions of the log that have, or had, a record, and should have notes.
    pub with_records: BTreeSet<u32>,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Give the notes so many partitions.
    GrowNotes(u32),
    /// Write the first snapshot of a partition, under its lock.
    Snapshot(u32),
    /// Give the log so many partitions. From then on collectors write to them.
    GrowLog(u32),
    /// Nothing.
    Done,
}

/// Why topics are not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotGrow {
    /// Partitions cannot be taken away: their calls and notes would be gone.
    #[error("the topics have {0} partitions, and cannot have fewer")]
    Fewer(u32),
    /// Without its notes, all that the log still has of a partition would be stored again.
    #[error("the notes of partition {0} are gone, and its log has records")]
    NotesGone(u32),
}

/// What to do next until both topics have `wanted` partitions. The notes come first, then their snapshots,
/// and the log last, so the work can end and begin again after each step.
/// Errors: [`CannotGrow`], before anything is changed.
pub fn next(topics: &Topics, wanted: u32) -> Result<Next, CannotGrow> {
    let most = topics.log.max(topics.notes);
    if wanted < most {
        return Err(CannotGrow::Fewer(most));
    }
    if let Some(partition) = topics.with_records.difference(&topics.snapshots).next() {
        return Err(CannotGrow::NotesGone(*partition));
    }
    if topics.notes < wanted {
        return Ok(Next::GrowNotes(wanted));
    }
    let missing = (0..wanted).find(|partition| !topics.snapshots.contains(partition));
    Ok(match missing {
        Some(partition) => Next::Snapshot(partition),
        None if topics.log < wanted => Next::GrowLog(wanted),
        None => Next::Done,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_leaves_topics_that_writers_and_collectors_can_use() {
        let mut topics = Topics::default();
        for (wanted, steps) in [(2, 4), (2, 0), (3, 3)] {
            for _ in 0..steps {
                match next(&topics, wanted).unwrap() {
                    Next::GrowNotes(to) => topics.notes = to,
                    Next::Snapshot(of) => assert!(topics.snapshots.insert(of)),
                    Next::GrowLog(to) => topics.log = to,
                    Next::Done => panic!("too few steps"),
                }
                assert!((0..topics.log).all(|partition| topics.snapshots.contains(&partition)));
                assert_ne!(topics.notes, 0, "the log is never alone");
            }
            assert_eq!(next(&topics, wanted), Ok(Next::Done));
            assert_eq!((topics.log, topics.notes), (wanted, wanted));
        }
        assert_eq!(next(&topics, 2), Err(CannotGrow::Fewer(3)));
        topics.with_records.insert(1);
        assert_eq!(next(&topics, 4), Ok(Next::GrowNotes(4)));
        topics.snapshots.remove(&1);
        assert_eq!(next(&topics, 4), Err(CannotGrow::NotesGone(1)));
    }
}
