//! What was done with imported objects, and with which ones nothing is done yet.

use std::collections::BTreeMap;

use crate::words::Told;

/// The most objects that are named, for each reason.
const NAMED_MAX: usize = 10;

closed_list! {
    /// What was done with an object.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum AfterDone by slug {
        /// It has the tag.
        Tagged = "tagged",
        /// It is below the prefix.
        Moved = "moved",
        /// It is deleted.
        Deleted = "deleted",
        /// It was gone already.
        Gone = "gone",
    }
}

closed_list! {
    /// Why nothing is done with an imported object yet.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum AfterWaits by slug {
        /// It is done with this pass or a later one.
        Due = "due",
        /// Access is denied.
        Denied = "denied",
        /// The store refuses it for another reason, or another import would read it again where it would be moved to.
        Refused = "refused",
        /// The store could not be reached, or was busy.
        Unreachable = "unreachable",
        /// Rows of it were rejected.
        Rejected = "rejected_rows",
        /// Another object has its key now.
        Changed = "changed",
        /// It is longer than one request can copy.
        TooLarge = "too_large",
        /// Its new key would be longer than a key may be.
        LongKey = "long_key",
        /// It has as many tags as an object may have.
        ManyTags = "too_many_tags",
        /// What the journal keeps of it cannot be read.
        Unreadable = "unreadable",
    }
}

/// An object with which nothing is done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: AfterWaits,
    /// What the store said, or more about it.
    pub error: Option<Told>,
}

/// What was done with imported objects, and with which ones nothing is done yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AfterReport {
    /// How many objects this pass did it for.
    pub done: BTreeMap<AfterDone, u64>,
    /// How many objects wait, each for one reason.
    pub waiting: BTreeMap<AfterWaits, u64>,
    /// Rows that were rejected of the objects that wait because of them.
    pub rejected_rows: u64,
    /// The first of the objects that wait for a person or for the store.
    pub first: Vec<Waiting>,
}

impl AfterReport {
    /// Counts an object with which nothing is done.
    pub(super) fn wait(&mut self, name: impl FnOnce() -> String, why: AfterWaits, error: Option<Told>) {
        *self.waiting.entry(why).or_default() += 1;
        let named = self.first.iter().filter(|first| first.why == why).count();
        if why != AfterWaits::Due && named < NAMED_MAX {
            self.first.push(Waiting { name: name(), why, error });
        }
    }

    /// Counts an object that was counted as due before as one that waits for another reason.
    pub(super) fn wait_instead(&mut self, name: String, why: AfterWaits, error: Option<Told>) {
        if let Some(due) = self.waiting.get_mut(&AfterWaits::Due) {
            *due = due.saturating_sub(1);
        }
        self.waiting.retain(|_, count| *count > 0);
        self.wait(|| name, why, error);
    }

    /// How many objects wait for this reason.
    pub fn waiting_for(&self, why: AfterWaits) -> u64 {
        self.waiting.get(&why).copied().unwrap_or(0)
    }
}
