//! The log of a job: its changes of state, and how its tasks ended. It is appended to and never rewritten.
//!
//! ```text
//! log    := header frame* zeros
//! header := "FBJOBLOG" | version u32 | job id 16 bytes | crc u32
//! frame  := body_len u32 | crc u32 | body
//! body   := 1 | change as JSON                                          a change of the job's state
//!         | 2 | row u64 | ended u8 | status u16 | code_len u8 | code | message     a final result (version 1)
//!         | 3 | row u64 | attempts u32 | cause                          an attempt that failed (version 1)
//!         | 4 | at i64 | succeeded u64 | failed u64 | change_at u64      a mark
//!         | 5 | entry*                                                  results and failed attempts: see `group`
//! ```
//!
//! Integers are little-endian. The checksum is CRC-32C; that of the header covers the bytes before it, that
//! of a frame its job id, its place in the file, `body_len` and the body. So neither a frame of another job
//! nor bytes in a message of a function are ever taken for a frame. `ended` is 1 for a task that succeeded
//! and 0 for one that failed; `status` is 0 without an answer. A change is written twice, one frame after the
//! other. A mark ends what is written at once: it counts the results before it, and names the place of the
//! last change, so that a process can show a job by the end of its log.
//!
//! A log of version 1 has each result in a frame of its own, and one of version 2 has each result of a group in full. Both
//! become one of version 3 when they are opened to be written to.
//!
//! What is appended counts once it is synced. A write goes out only after the one before it is synced, so
//! only the end of the file can be torn: it is overwritten with zeros when the log is opened. A frame that
//! cannot be read before the end is damage: it is counted and named, and the frames around it are kept.

pub mod entry;
pub mod frame;
pub mod group;
pub mod log;
pub mod logged;
pub mod peek;
pub mod replay;

#[cfg(test)]
mod crash_tests;

/// The file, in the job's folder.
pub const LOG: &str = "log";
/// The longest log, in bytes: 2^40. A job whose log is as long is refused further results.
pub const LOG_BYTES_MAX: u64 = 1 << 40;

use std::io;

use crate::disk::is_no_space;
use crate::jobs::job::id::JobId;

/// Why a log cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk reported an error.
    #[error("{0} the log of job {1}")]
    Disk(&'static str, JobId, #[source] io::Error),
    /// The visitor of a replay failed.
    #[error("use the log of job {0}")]
    Visitor(JobId, #[source] io::Error),
    /// There is none. It never means that nothing was done.
    #[error(
        "the log of job {0} is missing, and only it knows which tasks are done; restore it, or make a new job with the \
         same manifest"
    )]
    Missing(JobId),
    /// Another version of the program wrote it.
    #[error(
        "the log of job {0} is of version {1}, which this program does not know; use the release that wrote it"
    )]
    OtherVersion(JobId, u32),
    /// It belongs to another job.
    #[error("the log in the folder of job {0} is that of job {1}; put the right one back")]
    OtherJob(JobId, JobId),
    /// No state of the job can be read.
    #[error(
        "the log of job {0} is damaged: no state of the job can be read in its {1} bytes; restore it, or make a new job \
         with the same manifest"
    )]
    Damaged(JobId, u64),
    /// It is longer than any log may be.
    #[error(
        "the log of job {0} has reached {LOG_BYTES_MAX} bytes, its bound; split the manifest into several jobs"
    )]
    Full(JobId),
    /// More was appended than may wait for a sync.
    #[error("the log of job {0} waits for a sync, with as much appended as its bound allows")]
    SyncFirst(JobId),
    /// A frame is longer than its bound.
    #[error("an entry of {1} bytes for the log of job {0} is longer than its bound")]
    TooLong(JobId, usize),
    /// A sync failed before.
    #[error(
        "the log of job {0} stopped at a failed sync; end this process, and go on with the job by another"
    )]
    Stopped(JobId),
    /// It is not open any longer.
    #[error("the log of job {0} is not open in this process any longer; ask for the same again")]
    Ended(JobId),
}

impl LogError {
    /// Whether a write found no space. What was appended is kept, and a later sync writes it.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Disk("write", _, error) if is_no_space(error))
    }
}
