//! Bugs that a test plants to see that the simulation catches them: each swaps an order, skips a sync or trusts an
//! answer as a careless change would.
//!
//! They are planted for one thread, which is where a simulated world runs. Nothing but a test can plant one, and a
//! build without debug assertions holds neither the bugs nor the switch: there [`planted`] is `false` before it is
//! asked.
//!
//! A test of the real program plants panics instead: the variable `PLANTED_PANICS` names a folder, and a file there with the
//! name of a [`PlantedPanic`] makes that task panic, once.

#[cfg(debug_assertions)]
use std::{cell::Cell, path::PathBuf, sync::OnceLock};

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

/// A task that a test can kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedPanic {
    /// What accepts connections of clients.
    Accept,
    /// What accepts connections of operators.
    Admin,
    /// The spool's commit loop, with requests in its hands.
    Commit,
    /// What notices a changed configuration.
    ConfigWatcher,
    /// A delivery task before its seal.
    Delivery,
    /// What accepts connections of the S3 server inside `dev`.
    DevS3,
    /// The work of encoding, on a thread of its own.
    Encoder,
    /// What listens to SIGHUP.
    Hangups,
    /// The spool's housekeeper.
    Housekeeper,
    /// What writes the log, on a thread of its own.
    Log,
    /// What measures how well a batch compresses.
    Measure,
    /// The note that an object is stored, on a thread of its own.
    ObjectCommit,
    /// What looks for due batches.
    Scheduler,
    /// What listens to SIGTERM and SIGINT.
    Signals,
    /// What puts a changed configuration in force.
    TakeOver,
    /// What notices changed TLS files.
    TlsWatcher,
    /// A delivery task after its seal.
    Upload,
}

impl PlantedPanic {
    /// The name of the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Admin => "admin",
            Self::Commit => "commit",
            Self::ConfigWatcher => "config-watcher",
            Self::Delivery => "delivery",
            Self::DevS3 => "dev-s3",
            Self::Encoder => "encoder",
            Self::Hangups => "hangups",
            Self::Housekeeper => "housekeeper",
            Self::Log => "log",
            Self::Measure => "measure",
            Self::ObjectCommit => "object-commit",
            Self::Scheduler => "scheduler",
            Self::Signals => "signals",
            Self::TakeOver => "take-over",
            Self::TlsWatcher => "tls-watcher",
            Self::Upload => "upload",
        }
    }
}

/// Panics where a test has planted that.
///
/// # Panics
/// Then only.
#[cfg(debug_assertions)]
pub fn panic_if_planted(task: PlantedPanic) {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| std::env::var_os("PLANTED_PANICS").map(PathBuf::from));
    // Only one of several that look at once removes the file.
    let is_planted =
        folder.as_ref().is_some_and(|folder| std::fs::remove_file(folder.join(task.name())).is_ok());
    assert!(!is_planted, "planted: {}", task.name());
}

/// Does nothing in this build.
#[cfg(not(debug_assertions))]
pub const fn panic_if_planted(_: PlantedPanic) {}
