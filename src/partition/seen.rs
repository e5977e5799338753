//! What a look at the brokers has found, for [`crate::check`] to judge.

use std::collections::BTreeMap;

use super::state::Identity;
use super::topics::{Right, Topic, User};

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tried<T> {
    /// This.
    Found(T),
    /// The brokers refused it: a right is missing.
    Denied,
    /// It failed, for this reason.
    Failed(String),
    /// It was not tried, for this reason.
    NotTried(&'static str),
}

impl<T> Tried<T> {
    /// The value, if there is one.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(value) => Some(value),
            Self::Denied | Self::Failed(_) | Self::NotTried(_) => None,
        }
    }

    /// The same with another value.
    pub fn map<U>(self, of: impl FnOnce(T) -> U) -> Tried<U> {
        match self {
            Self::Found(value) => Tried::Found(of(value)),
            Self::Denied => Tried::Denied,
            Self::Failed(why) => Tried::Failed(why),
            Self::NotTried(why) => Tried::NotTried(why),
        }
    }
}

/// A topic, as brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSeen {
    /// Its partitions.
    pub partitions: u32,
    /// Copies of the partition that has the fewest.
    pub replication: u16,
    /// Partitions without a leader.
    pub without_leader: Vec<u32>,
    /// Its settings, by name.
    pub settings: Tried<BTreeMap<String, String>>,
}

/// What the notes of all partitions begin with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirstNotesSeen {
    /// Partitions without first notes.
    pub without: Vec<u32>,
    /// The first partition whose notes belong to another log, and whose they are.
    pub other: Option<Identity>,
}

/// What the brokers say and allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// For whom it was tried.
    pub user: User,
    /// The topics; `None` of one that is not there.
    pub topics: BTreeMap<Topic, Tried<Option<TopicSeen>>>,
    /// The topic in which Kafka keeps transactions: the lock of each partition.
    pub transactions: Tried<Option<TopicSeen>>,
    /// What the notes of all partitions begin with.
    pub first_notes: Tried<FirstNotesSeen>,
    /// Whether the group has the log id, for collectors.
    pub has_log_id: Tried<bool>,
    /// An empty block in the log. Owners read it and pass it by.
    pub empty_block: Tried<()>,
    /// A transaction that was aborted, under an id that no partition has.
    pub transaction: Tried<()>,
    /// The rights that the user needs, each as it was tried.
    pub rights: Vec<(Right, Tried<()>)>,
    /// By how many milliseconds this machine's clock is ahead of a broker's, and how long the answer took.
    pub clock: Tried<(i64, u64)>,
}
