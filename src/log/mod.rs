//! The log: every call is in it from its acknowledgement until its object is in the store.
//!
//! Each other room holds the narrow trait of its subject: intake [`Append`], delivery [`Log`], reports
//! [`Reports`], importers [`Imports`], destinations [`Follow`], and who reads the configuration
//! [`SetLocations`]. The spool implements all of them; the contract suite (`tests/suite/log`) holds any other
//! log to the same promises. A log may serve no importers and no second reader.
//!
//! # What any log promises
//!
//! - `append` returns only after all frames of a request are durable. If it fails, none of them will ever be
//!   read back, unless the error is [`AppendError::Unknown`]: any of them may then be read back, also later.
//!   Whoever sends them again finds out, because repeats are not stored and a step of an import is stored
//!   once.
//! - Frames of a batch are read in the order of their positions. Positions grow; gaps are allowed.
//! - Reading takes positions and changes nothing, so readers do not disturb each other. Only
//!   [`Seals::commit`], [`Seals::make_room`] and [`Batches::give_up`] release frames, and none that a second
//!   reader (a destination beside the archive) still holds: [`Follow`].
//! - A seal is durable before `seal` returns, a commit before `commit` returns. Neither changes afterwards.
//! - A stream is a value of [`crate::object::Stream`], never a flag, so that a new stream is a new value.

mod account_key;
mod append;
mod batches;
mod days;
mod derived;
mod follow;
pub mod frame;
mod hours;
mod imports;
mod in_logs;
mod ledger_report;
mod lost;
mod new_streams;
pub mod notes;
mod range;
pub mod refusals;
mod reports;
mod request_frames;
mod seals;
mod space;
mod sums;

pub use account_key::AccountKey;
pub use append::{
    Append, AppendError, Appended, LOCATION_FULL, OUTCOME_UNKNOWN, REQUEST_BYTES_MAX, SPOOL_FULL,
};
pub use batches::{Batches, FirstOpen, Go, OpenBatch, Read, Visit};
pub use days::{Closable, DayInBucket, DayStage, Days};
pub use follow::{Follow, ReadThrough};
pub use hours::{Hour, Hours, Row};
pub use imports::{ImportKey, ImportProgress, ImportStep, Imports, OpenImport, RowsUnknown, TextBefore};
pub use in_logs::{InLog, InLogs, LogId};
pub use ledger_report::{AccountReport, Difference, Removed, Report, Rows};
pub use lost::{Lost, LostFrames};
pub use new_streams::{KnownStreams, NewStreams};
pub use range::Range;
pub use refusals::{FRAME_BYTES, Held, NOTE_BYTES};
pub use reports::{Accounts, Located, Locations, SetLocations, Standing, Status};
pub use request_frames::RequestFrames;
pub use seals::{Amend, Decision, Encoded, KeptBytes, KeptObject, Parked, PendingSeal, Seal, Seals};
pub use space::{Capacity, FULL_PERCENT, PRESSURE_PERCENT, ROWS_PERCENT, Usage};
pub use sums::{DaysReport, sum_of_undelivered};

/// What delivery needs from a log.
///
/// Every method returns at once, except those that read frames or return `Result<_, Stopped>`. These wait for
/// the disk, so do not call them on the runtime's threads.
pub trait Log: Status + Batches + Seals + Locations + Days + Capacity {}

impl<L: Status + Batches + Seals + Locations + Days + Capacity> Log for L {}

/// What status, console and metrics report about a log.
pub trait Reports: Status + Locations + Accounts {}

impl<L: Status + Locations + Accounts> Reports for L {}

/// A note was not written, so nothing has changed.
///
/// Usually the log has stopped because a write or sync failed: [`Status::stopped`] gives the reason, and
/// only a restart helps. Otherwise the disk is full, and the same call can be repeated later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the spool has stopped, or its disk is full; see the log")]
pub struct Stopped;
