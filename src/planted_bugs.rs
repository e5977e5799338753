//! Bugs that a test plants to check that the simulation finds them: each swaps an order, skips a sync or
//! trusts an answer, as a careless change would.
//!
//! A bug is planted for one thread, the one that runs a simulated world. Only tests can plant one. A build
//! without debug assertions contains neither the bugs nor the switch: there [`planted`] is always `false`.
//!
//! A test of the real program plants panics instead: the variable `PLANTED_PANICS` names a folder, and a file
//! in it with the name of a [`PlantedPanic`] makes that task panic, once.

#[cfg(debug_assertions)]
use std::{cell::Cell, path::PathBuf, sync::OnceLock};

closed_list! {
    /// A bug that can be planted.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum PlantedBug {
        /// A request is answered after its block is written, and the block is synced later.
        AnswerBeforeSync,
        /// Files get their names, but the directory is not synced.
        NoDirectorySync,
        /// A failed sync is repeated, and its success is believed.
        SyncRetried,
        /// The segment is continued after a failed sync.
        AppendedAfterFailedSync,
        /// A segment is removed once its frames are sealed, before their object is known to be stored.
        UnlinkBeforeCommit,
        /// A seal is written but not synced before its object is put.
        SealNotSynced,
        /// A retried object includes calls that came later.
        NewRangeOnRetry,
        /// An object is named after the time of its put.
        RandomObjectName,
        /// Each try to put an object uses a new name.
        NewNameOnRetry,
        /// Any existing object with the key is taken for our own.
        ExistsUnchecked,
        /// Damage in the middle of the last segment truncates it.
        MidLogCutAsTornTail,
        /// A repeat is answered while the first copy still waits for its sync.
        DedupeAnswersEarly,
        /// Checksums do not distinguish successive uses of a segment's file.
        UnsaltedWithReuse,
        /// A second process starts while the first still runs. (The lock belongs to the disk; the simulated
        /// disk does not hold it.)
        ZombieWriter,
        /// An object's day is the day on which it is sealed.
        DayFromUploadTime,
        /// Failing buckets may fill the whole spool, and no source is refused for it.
        NothingRefused,
        /// The progress of imports is not in the tally, so it is gone with the segment.
        ProgressNotTallied,
        /// A step of an import is stored whichever row it begins with.
        FirstRowUnchecked,
        /// The log forgets an import before its progress is in the journal.
        EndedBeforeJournal,
        /// What is done with an imported file is done before its rows are delivered, although instances share it.
        ActedBeforeDelivery,
        /// A file whose import was stopped is taken for one that is imported.
        StoppedTakenForDone,
        /// A claim takes the place of whichever claim is there.
        ClaimUnconditional,
        /// A release frees files that the instance has delivered, too.
        DeliveredReleased,
        /// The rejected rows of a round are removed before the record of their file names those that are left.
        RowsRemovedBeforeRecord,
        /// The kept position of a destination's function is one too far.
        PositionKeptTooFar,
        /// The log may release one call that a destination still needs.
        HeldTooFar,
        /// A call is finished before its dead letter is durable.
        BuriedBeforeDurable,
        /// Calls of one user are sent at once although their order is asked for.
        UserOutOfOrder,
        // What follows is planted in partitions, and found by their simulation.
        /// Notes of a partition are written outside a transaction.
        NoteOutsideTransaction,
        /// An object is put before its seal is committed.
        PutBeforeSealCommitted,
        /// The notes are read to their end, not to the own term note.
        NotesReadToTheEnd,
        /// A transaction with unknown outcome is taken as committed.
        UnknownTakenAsCommitted,
        /// A transaction with unknown outcome is taken as aborted, and the term goes on.
        UnknownTakenAsAborted,
        /// The position to read from passes an open frame.
        ReadFromPastOpenFrame,
        /// The position to read from moves before the note *left* is committed.
        ReadFromBeforeLeft,
        /// The window of repeats begins where an owner takes over.
        WindowFromTakeover,
        /// Frames that were left out as repeats are not in the window.
        WindowOfVerdicts,
        /// Days end for the reader by the owner's clock.
        DaysOverByClock,
        /// A second copy of a block is stored.
        SecondCopyStored,
        /// Positions are counted by the reader.
        PositionsCounted,
        /// A rebuilt object is put without comparing its hash.
        RebuiltUnchecked,
        /// A log that was cut is read on.
        CutLogReadOn,
        /// A log whose start has passed is read on at its end.
        ResetToTheEnd,
        /// A request is answered at its first report.
        AnswerBeforeLastReport,
        /// A request is answered with success at its time-out.
        AnswerAtTimeout,
        /// A term begins in a process that is not assigned the partition.
        TermWithoutAssignment,
        /// A day is closed before the log is read to its end.
        ClosedBeforeReadToEnd,
        /// The cache is kept although another owner had a term in between.
        CacheKeptAcrossOwners,
        /// A new owner forgets the numbers of blocks, and second copies.
        SecondCopyForgotten,
        /// No note has the repeats that an object leaves out.
        RepeatsNotNoted,
    }
}

impl PlantedBug {
    /// Whether it is planted in partitions, and found by their simulation.
    pub const fn is_of_partitions(self) -> bool {
        self as u8 >= Self::NoteOutsideTransaction as u8
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static PLANTED: Cell<Option<PlantedBug>> = const { Cell::new(None) };
}

/// Plants a bug for this thread, or removes it.
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

closed_list! {
    /// A task that a test can make panic, by the name of its file.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum PlantedPanic by name {
        /// Accepts connections of clients.
        Accept = "accept",
        /// Accepts connections of operators.
        Admin = "admin",
        /// The spool's commit loop, while it handles requests.
        Commit = "commit",
        /// Watches the configuration for changes.
        ConfigWatcher = "config-watcher",
        /// A delivery task before its seal.
        Delivery = "delivery",
        /// Accepts connections of the S3 server inside `dev`.
        DevS3 = "dev-s3",
        /// Encoding, on a thread of its own.
        Encoder = "encoder",
        /// Listens for SIGHUP.
        Hangups = "hangups",
        /// The spool's housekeeper.
        Housekeeper = "housekeeper",
        /// Writes the log, on a thread of its own.
        Log = "log",
        /// Measures how well a batch compresses.
        Measure = "measure",
        /// Notes that an object is stored, on a thread of its own.
        ObjectCommit = "object-commit",
        /// Looks for due batches.
        Scheduler = "scheduler",
        /// Listens for SIGTERM and SIGINT.
        Signals = "signals",
        /// Applies a changed configuration.
        TakeOver = "take-over",
        /// Watches the TLS files for changes.
        TlsWatcher = "tls-watcher",
        /// A delivery task after its seal.
        Upload = "upload",
    }
}

/// Panics if a test has planted this panic.
///
/// # Panics
/// Only in that case.
#[cfg(debug_assertions)]
pub fn panic_if_planted(task: PlantedPanic) {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| std::env::var_os("PLANTED_PANICS").map(PathBuf::from));
    // If several tasks check at once, only one of them removes the file.
    let is_planted =
        folder.as_ref().is_some_and(|folder| std::fs::remove_file(folder.join(task.name())).is_ok());
    assert!(!is_planted, "planted: {}", task.name());
}

/// Does nothing in this build.
#[cfg(not(debug_assertions))]
pub const fn panic_if_planted(_: PlantedPanic) {}
