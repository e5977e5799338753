//! The log of a job that this process holds: appends are collected, and a sync makes them count.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::entry::{Change, Mark, change_body, mark_body};
use super::frame::{BODY_MAX, FRAME_HEADER, header, push_frame};
use super::group::Entries;
use super::replay::{Replayed, Visit, open_file, replay};
use super::{LOG, LOG_BYTES_MAX, LogError};
use crate::disk::{self, Disk, DiskFile, write_durably};
use crate::jobs::job::id::JobId;
#[cfg(test)]
use crate::jobs::task::TaskResult;
use crate::time::UnixMillis;

/// Bytes that may wait for a sync. At the limit an append is refused until the next one.
pub const PENDING_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// The number of a result among those that this process appended, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResultNumber(pub u64);

/// What is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// Every result up to this number is durable, and may be counted.
    pub through: ResultNumber,
    /// Tasks that succeeded, in the whole log.
    pub succeeded: u64,
    /// Tasks that failed, in the whole log.
    pub failed: u64,
}

/// The open log.
///
/// Invariant: what is in the file before `end` is synced. Only [`AttemptsLog::sync`] moves `end`.
#[derive(Debug)]
pub struct AttemptsLog {
    job: JobId,
    file: Arc<dyn DiskFile>,
    end: u64,
    pending: Vec<u8>,
    appended: ResultNumber,
    /// Counts of the whole log with what is pending, and the place of the last change.
    mark: Mark,
    synced: Synced,
    is_stopped: bool,
    is_ended: bool,
}

/// Makes the log of a new job, with its first state, durably.
/// Errors: [`LogError`].
pub fn create(disk: &dyn Disk, job: JobId, first: &Change) -> Result<(), LogError> {
    let failed = |error| LogError::Disk("write", job, error);
    let body = change_body(first).map_err(|error| failed(error.into()))?;
    if body.len() > BODY_MAX {
        return Err(LogError::TooLong(job, body.len()));
    }
    let mut bytes = header(job);
    let change_at = bytes.len() as u64;
    let mark = Mark { at: first.at, change_at, ..Mark::default() };
    for body in [&body, &body, &mark_body(mark)] {
        let at = bytes.len() as u64;
        push_frame(&mut bytes, job, at, body);
    }
    write_durably(disk, LOG, &bytes).map_err(failed)
}

impl AttemptsLog {
    /// Opens a log in one pass: `visit` sees each result. What a crash tore at the end is cut off, and what
    /// was written and perhaps not synced is synced before it counts.
    /// Errors: [`LogError`]; also that of the visitor.
    pub fn open(
        disk: &dyn Disk,
        job: JobId,
        visit: &mut (impl FnMut(Visit<'_>) -> io::Result<()> + ?Sized),
    ) -> Result<(Self, Replayed), LogError> {
        let file = open_file(disk, job)?;
        let replayed = replay(&*file, job, visit)?;
        let (succeeded, failed) = (replayed.succeeded, replayed.failed);
        let mark = Mark { at: replayed.last_seen, succeeded, failed, change_at: replayed.change_at };
        // After a crash the last mark may count results that were lost, and the end of the log must be right.
        let mut end_mark = Vec::new();
        if !replayed.mark_is_right {
            push_frame(&mut end_mark, job, replayed.end, &mark_body(mark));
        }
        let repair = || {
            if !replayed.header_is_current {
                file.write_at(&[IoSlice::new(&header(job))], 0)?;
            }
            if replayed.torn_bytes > 0 {
                disk::write_zeros(&*file, replayed.end, replayed.torn_bytes)?;
            }
            if !end_mark.is_empty() {
                file.write_at(&[IoSlice::new(&end_mark)], replayed.end)?;
            }
            file.sync()
        };
        repair().map_err(|error| LogError::Disk("repair", job, error))?;
        let synced = Synced { through: ResultNumber(0), succeeded, failed };
        let log = Self {
            job,
            file,
            end: replayed.end + end_mark.len() as u64,
            pending: Vec::new(),
            appended: ResultNumber(0),
            mark,
            synced,
            is_stopped: false,
            is_ended: false,
        };
        Ok((log, replayed))
    }

    /// Appends the final result of a task. It counts once a sync covers its number.
    /// Errors: [`LogError`]; the log is then as before.
    #[cfg(test)]
    pub fn append_result(&mut self, result: &TaskResult) -> Result<ResultNumber, LogError> {
        let mut one = Entries::default();
        one.result(result);
        self.append_entries(&one, 0)?;
        Ok(self.appended)
    }

    /// Appends entries, the bodies from this one on, until all are there or the log wants a sync first. How many bodies
    /// were appended, with those before; `None`: all. They count once a sync covers them.
    /// Errors: [`LogError`]; none of them was appended.
    pub fn append_entries(&mut self, entries: &Entries, from: usize) -> Result<Option<usize>, LogError> {
        for (at, (body, counts)) in (from..).zip(entries.bodies(from)) {
            match self.check_bounds(body.len(), 1) {
                Err(LogError::SyncFirst(_)) if at > from => return Ok(Some(at)),
                checked => checked?,
            }
            self.push(body);
            self.mark.succeeded += counts.succeeded;
            self.mark.failed += counts.failed;
            self.appended.0 += counts.succeeded + counts.failed;
        }
        Ok(None)
    }

    /// Appends an attempt after which the task is tried again.
    /// Errors: [`LogError`]; the log is then as before.
    #[cfg(test)]
    pub fn append_attempt(&mut self, row: u64, attempts: u32, cause: &str) -> Result<(), LogError> {
        let mut one = Entries::default();
        one.attempt(row, attempts, cause);
        self.append_entries(&one, 0).map(drop)
    }

    /// Appends a change of the job. Act on it only after the next sync.
    /// Errors: [`LogError`]; the log is then as before.
    pub fn append_change(&mut self, change: &Change) -> Result<(), LogError> {
        let body = change_body(change).map_err(|error| LogError::Disk("write", self.job, error.into()))?;
        self.check_bounds(body.len(), 2)?;
        // Twice: results that are lost run again, but a lost change could let a cancelled job go on.
        self.mark.change_at = self.end + self.pending.len() as u64;
        self.push(&body);
        self.push(&body);
        Ok(())
    }

    /// Appends a change, and makes it and all before it durable.
    /// Errors: [`LogError`]; the change is then not to be acted on.
    pub fn change(&mut self, change: &Change) -> Result<Synced, LogError> {
        self.append_change(change)?;
        self.sync(change.at)
    }

    /// Makes durable what was appended. The owner calls it every 200 ms while there is something.
    /// Errors: [`LogError`]. After a failed write it may be called again; a failed sync is final, because
    /// nobody knows what the disk then holds.
    pub fn sync(&mut self, at: UnixMillis) -> Result<Synced, LogError> {
        self.check_open()?;
        if !self.is_dirty() {
            return Ok(self.synced);
        }
        // A clock that was set back must not make the log end before it began.
        self.mark.at = self.mark.at.max(at);
        let mut mark = Vec::new();
        push_frame(&mut mark, self.job, self.end + self.pending.len() as u64, &mark_body(self.mark));
        let written = self.file.write_at(&[IoSlice::new(&self.pending), IoSlice::new(&mark)], self.end);
        written.map_err(|error| LogError::Disk("write", self.job, error))?;
        if let Err(error) = self.file.sync() {
            self.is_stopped = true;
            return Err(LogError::Disk("sync", self.job, error));
        }
        self.end += (self.pending.len() + mark.len()) as u64;
        self.pending.clear();
        let Mark { succeeded, failed, .. } = self.mark;
        self.synced = Synced { through: self.appended, succeeded, failed };
        Ok(self.synced)
    }

    /// What is durable now.
    pub fn synced(&self) -> Synced {
        self.synced
    }

    /// Writes nothing from now on, whoever asks: others may hold the job.
    pub fn end(&mut self) {
        self.is_ended = true;
    }

    /// Whether a sync failed: nobody knows what the disk holds.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Whether something waits for a sync.
    pub fn is_dirty(&self) -> bool {
        !self.pending.is_empty()
    }

    fn check_open(&self) -> Result<(), LogError> {
        match (self.is_ended, self.is_stopped) {
            (true, _) => Err(LogError::Ended(self.job)),
            (false, true) => Err(LogError::Stopped(self.job)),
            (false, false) => Ok(()),
        }
    }

    fn push(&mut self, body: &[u8]) {
        let at = self.end + self.pending.len() as u64;
        push_frame(&mut self.pending, self.job, at, body);
    }

    /// Whether so many frames with a body of this length may be appended beside what waits.
    fn check_bounds(&self, body_len: usize, copies: usize) -> Result<(), LogError> {
        let waiting = self.pending.len();
        let bytes = (FRAME_HEADER + body_len) * copies;
        self.check_open()?;
        if body_len > BODY_MAX {
            Err(LogError::TooLong(self.job, body_len))
        } else if self.end + (waiting + bytes + BODY_MAX) as u64 > LOG_BYTES_MAX {
            Err(LogError::Full(self.job))
        } else if waiting + bytes > PENDING_BYTES_MAX {
            Err(LogError::SyncFirst(self.job))
        } else {
            Ok(())
        }
    }
}
