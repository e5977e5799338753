//! What becomes of a message, by what became of the objects that it names. Pure.

use std::time::Duration;

use crate::import::bucket_import::{Became, Skip};
use crate::retry::Backoff;

/// How long a message is hidden that is given back: longer each time.
const GIVEN_BACK: Backoff = Backoff { first: Duration::from_secs(10), cap: Duration::from_secs(900) };

/// What became of one record of a message. In the order in which one decides about the whole message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordEnd {
    /// It tells of something else than a new object.
    Other,
    /// Its object is in another bucket, below another prefix, or has a name that the import does not read.
    Foreign,
    /// Nothing is left to do: each row of the object is stored, or the object is skipped.
    Settled,
    /// Another instance has the object, and has not delivered it.
    Elsewhere,
    /// It does not say which object it means.
    Unreadable,
    /// The object is poison, or changed while it was read: a person or a new object settles it.
    GivenUp,
    /// The object failed, and may be imported later.
    Failed,
    /// The import was stopped before the end of the object.
    Stopped,
}

closed_list! {
    /// What became of a message.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum MessageBecame by slug {
        /// Every object that it names is imported or skipped.
        Done = "done",
        /// It names objects of others alone.
        Foreign = "foreign",
        /// It tells of something else than new objects.
        Other = "other",
        /// Another instance imports an object that it names.
        Elsewhere = "elsewhere",
        /// It cannot be read, wholly or in part.
        Unreadable = "unreadable",
        /// An object that it names is given up.
        GivenUp = "given_up",
        /// An object that it names failed.
        Failed = "failed",
        /// The import was stopped before its end.
        Stopped = "stopped",
    }
}

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is removed from the queue.
    Delete,
    /// It stays in the queue, and shows again after this time.
    GiveBack(Duration),
}

/// What became of an object that was skipped.
pub(super) fn of_skip(why: Skip) -> RecordEnd {
    match why {
        Skip::Foreign => RecordEnd::Foreign,
        Skip::Own
        | Skip::Folder
        | Skip::Empty
        | Skip::TooSmall
        | Skip::TooLarge
        | Skip::Archived
        | Skip::Old
        | Skip::Missing
        | Skip::Changed => RecordEnd::Settled,
    }
}

/// What became of an object with these files.
pub fn of_files(files: impl IntoIterator<Item = Became>) -> RecordEnd {
    let of_file = |became| match became {
        Became::Done | Became::DoneBefore => RecordEnd::Settled,
        Became::Poison | Became::Changed | Became::Gone => RecordEnd::GivenUp,
        Became::Failed | Became::Missing | Became::Denied | Became::Refused => RecordEnd::Failed,
        Became::Stopped => RecordEnd::Stopped,
    };
    files.into_iter().map(of_file).max().unwrap_or(RecordEnd::Settled)
}

/// What becomes of a message with these records, which this process has given back so often before. A message
/// without records tells of nothing.
pub fn fate(records: &[RecordEnd], given_back: u32) -> (MessageBecame, Fate) {
    let back = Fate::GiveBack(GIVEN_BACK.bound(given_back.saturating_add(1)));
    match records.iter().max() {
        None | Some(RecordEnd::Other) => (MessageBecame::Other, Fate::Delete),
        Some(RecordEnd::Foreign) => (MessageBecame::Foreign, Fate::Delete),
        Some(RecordEnd::Settled) => (MessageBecame::Done, Fate::Delete),
        // The other instance can fail for good, or be replaced.
        Some(RecordEnd::Elsewhere) => (MessageBecame::Elsewhere, back),
        Some(RecordEnd::Unreadable) => (MessageBecame::Unreadable, back),
        Some(RecordEnd::GivenUp) => (MessageBecame::GivenUp, back),
        Some(RecordEnd::Failed) => (MessageBecame::Failed, back),
        // Another process, or this one after its start, goes on at once.
        Some(RecordEnd::Stopped) => (MessageBecame::Stopped, Fate::GiveBack(Duration::ZERO)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_deleted_only_if_every_record_is_settled() {
        use RecordEnd::{Elsewhere, Failed, Foreign, GivenUp, Other, Settled, Stopped, Unreadable};
        let check = |records: &[RecordEnd], became: &str, seconds: Option<u64>| {
            let (found, done) = fate(records, 0);
            let expected = seconds.map_or(Fate::Delete, |it| Fate::GiveBack(Duration::from_secs(it)));
            assert_eq!((found.slug(), done), (became, expected), "{records:?}");
        };
        check(&[], "other", None);
        check(&[Other], "other", None);
        check(&[Foreign, Other], "foreign", None);
        check(&[Settled, Foreign], "done", None);
        check(&[Settled, Settled], "done", None);
        check(&[Settled, Elsewhere], "elsewhere", Some(10));
        check(&[Settled, Unreadable, Elsewhere], "unreadable", Some(10));
        check(&[GivenUp, Settled], "given_up", Some(10));
        check(&[Settled, Failed, GivenUp], "failed", Some(10));
        check(&[Failed, Stopped], "stopped", Some(0));
        let after = |given_back| fate(&[Failed], given_back).1;
        let seconds = |it| Fate::GiveBack(Duration::from_secs(it));
        assert_eq!(
            [after(0), after(1), after(2), after(7), after(u32::MAX)],
            [10, 20, 40, 900, 900].map(seconds)
        );
    }

    #[test]
    fn an_object_is_settled_if_all_its_files_are() {
        use Became::{Changed, Denied, Done, DoneBefore, Failed, Gone, Missing, Poison, Refused, Stopped};
        let check = |files: &[Became], expected| {
            assert_eq!(of_files(files.iter().copied()), expected, "{files:?}");
        };
        check(&[Done], RecordEnd::Settled);
        check(&[DoneBefore, Done], RecordEnd::Settled);
        check(&[Done, Poison], RecordEnd::GivenUp);
        check(&[Changed, Done], RecordEnd::GivenUp);
        check(&[Gone], RecordEnd::GivenUp);
        for failed in [Failed, Missing, Denied, Refused] {
            check(&[Done, failed, Poison], RecordEnd::Failed);
        }
        check(&[Failed, Stopped], RecordEnd::Stopped);
        for why in Skip::ALL {
            let expected = if why == Skip::Foreign { RecordEnd::Foreign } else { RecordEnd::Settled };
            assert_eq!(of_skip(why), expected, "{why:?}");
        }
    }
}
