//! Bugs that a test plants to see that the simulation catches them: each swaps an order, skips a sync or trusts an
//! answer as a careless change would.
//!
//! They are planted for one thread, which is where a simulated world runs. Nothing but a test can plant one, and a
//! build without debug assertions holds neither the bugs nor the switch: there [`planted`] is `false` before it is
//! asked.

#[cfg(debug_assertions)]
use std::cell::Cell;

/// A bug that can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// A request is answered when its block is written, and the block is synced later.
    AnswerBeforeSync,
    /// Files get their names, and the directory is not synced.
    NoDirectorySync,
    /// A sync that failed is tried again, and believed.
    SyncRetried,
    /// The segment is written on behind a sync that failed.
    AppendedAfterFailedSync,
    /// A segment goes when its frames are sealed, before their object is known to be stored.
    UnlinkBeforeCommit,
    /// A seal is written and not synced before its object is put.
    SealNotSynced,
    /// An object that is made again takes in what has come since.
    NewRangeOnRetry,
    /// An object is named by when it is put.
    RandomObjectName,
    /// Each try to put has a name of its own.
    NewNameOnRetry,
    /// Whatever has the key is taken for ours.
    ExistsUnchecked,
    /// Damage in the middle of the last segment ends it.
    MidLogCutAsTornTail,
    /// A repeat is answered while the first copy still waits for its sync.
    DedupeAnswersEarly,
    /// Checksums do not tell the lives of a segment's file apart.
    UnsaltedWithReuse,
    /// A second process starts while the first still runs. (The lock is the disk's: the simulated one does not hold
    /// it.)
    ZombieWriter,
    /// An object's day is that in which it is sealed.
    DayFromUploadTime,
    /// What fails may hold all of the spool, and nobody is refused for it.
    NothingRefused,
}

impl PlantedBug {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::AnswerBeforeSync,
        Self::NoDirectorySync,
        Self::SyncRetried,
        Self::AppendedAfterFailedSync,
        Self::UnlinkBeforeCommit,
        Self::SealNotSynced,
        Self::NewRangeOnRetry,
        Self::RandomObjectName,
        Self::NewNameOnRetry,
        Self::ExistsUnchecked,
        Self::MidLogCutAsTornTail,
        Self::DedupeAnswersEarly,
        Self::UnsaltedWithReuse,
        Self::ZombieWriter,
        Self::DayFromUploadTime,
        Self::NothingRefused,
    ];
}

#[cfg(debug_assertions)]
thread_local! {
    static PLANTED: Cell<Option<PlantedBug>> = const { Cell::new(None) };
}

/// Plants a bug for this thread, or takes it back.
#[cfg(debug_assertions)]
pub fn plant(bug: Option<PlantedBug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted.
#[cfg(debug_assertions)]
pub fn planted(bug: PlantedBug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is planted: never in this build.
#[cfg(not(debug_assertions))]
pub const fn planted(_: PlantedBug) -> bool {
    false
}
