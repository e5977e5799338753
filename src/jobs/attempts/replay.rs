//! One pass through a log: the state of the job, and each result for a visitor.

use std::io;
use std::ops::Range;

use super::entry::{Change, Entry, Mark};
use super::frame::{Found, HEADER, Scan, VERSION, check_header};
pub use super::logged::Visit;
use super::{LOG, LOG_BYTES_MAX, LogError};
use crate::disk::{Disk, DiskFile};
use crate::jobs::job::id::JobId;
use crate::jobs::job::state::JobState;
use crate::jobs::job::wish::{Answer, WishId};
use crate::time::UnixMillis;

/// Ranges of damage that are named. The others are counted.
pub const DAMAGE_NAMED_MAX: usize = 16;

/// Bytes of a log that cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// The first [`DAMAGE_NAMED_MAX`] ranges of bytes.
    pub named: Vec<Range<u64>>,
    /// The number of ranges.
    pub ranges: u64,
    /// Bytes in all of them.
    pub bytes: u64,
}

impl Damage {
    fn add(&mut self, range: Range<u64>) {
        self.bytes += range.end.saturating_sub(range.start);
        // Two ranges that touch are one.
        if let Some(last) = self.named.last_mut()
            && last.end == range.start
        {
            last.end = range.end;
            return;
        }
        self.ranges += 1;
        if self.named.len() < DAMAGE_NAMED_MAX {
            self.named.push(range);
        }
    }
}

/// What a log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The state of the job.
    pub state: JobState,
    /// The last wish that was obeyed or refused, and its answer.
    pub last_wish: Option<(WishId, Answer)>,
    /// Results of tasks that succeeded.
    pub succeeded: u64,
    /// Results of tasks that failed.
    pub failed: u64,
    /// Attempts after which a task was tried again.
    pub attempts: u64,
    /// The last time that the log knows.
    pub last_seen: UnixMillis,
    /// What cannot be read before the end: its results are lost, and their tasks run again.
    pub damage: Damage,
    /// Bytes at the end that a crash tore.
    pub torn_bytes: u64,
    /// The place of the last change.
    pub(super) change_at: u64,
    /// The place after the last frame.
    pub(super) end: u64,
    /// The length of the file.
    pub(super) len: u64,
    /// Whether the header can be read, and is of the version that is written.
    pub(super) header_is_current: bool,
    /// Whether the log ends with a mark that says the same.
    pub(super) mark_is_right: bool,
}

/// Entries counted up to a place.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) change: Option<(u64, Change)>,
    pub(super) last_wish: Option<(WishId, Answer)>,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) attempts: u64,
    pub(super) last_seen: UnixMillis,
    pub(super) mark: Option<Mark>,
}

impl Counted {
    /// Counts an entry, and passes what there is of tasks in it. False: a part of it has no form that is known.
    /// Errors: that of the visitor.
    pub(super) fn add(
        &mut self,
        at: u64,
        entry: Entry<'_>,
        visit: &mut (impl FnMut(Visit<'_>) -> io::Result<()> + ?Sized),
    ) -> io::Result<bool> {
        match entry {
            Entry::Change(change) => {
                self.last_seen = self.last_seen.max(change.at);
                if let Some(wish) = &change.wish {
                    self.last_wish = Some(wish.clone());
                }
                self.change = Some((at, change));
            }
            Entry::Result(result) => {
                self.count(result.succeeded, 1);
                visit(Visit::Results(result, 1))?;
            }
            Entry::Attempt(attempt) => {
                self.attempts += 1;
                visit(Visit::Attempt(attempt))?;
            }
            Entry::Mark(mark) => {
                self.last_seen = self.last_seen.max(mark.at);
                self.mark = Some(mark);
            }
            Entry::Group(group) => {
                for entry in group {
                    match entry {
                        Some(Visit::Results(result, count)) => self.count(result.succeeded, count),
                        Some(Visit::Attempt(_)) => self.attempts += 1,
                        None => return Ok(false),
                    }
                    entry.map_or(Ok(()), &mut *visit)?;
                }
            }
        }
        Ok(true)
    }

    fn count(&mut self, succeeded: bool, count: u64) {
        *(if succeeded { &mut self.succeeded } else { &mut self.failed }) += count;
    }
}

/// Opens the file of a job's log, if it has a length that a log may have.
pub(super) fn open_file(disk: &dyn Disk, job: JobId) -> Result<std::sync::Arc<dyn DiskFile>, LogError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => LogError::Missing(job),
        _ => LogError::Disk("open", job, error),
    };
    let file = disk.open(LOG).map_err(failed)?;
    let len = file.len().map_err(failed)?;
    if len > LOG_BYTES_MAX { Err(LogError::Full(job)) } else { Ok(file) }
}

/// Reads a log without changing it: also that of a job that another process holds.
/// Errors: [`LogError`]; also that of the visitor.
pub fn read(
    disk: &dyn Disk,
    job: JobId,
    visit: &mut (impl FnMut(Visit<'_>) -> io::Result<()> + ?Sized),
) -> Result<Replayed, LogError> {
    replay(&*open_file(disk, job)?, job, visit)
}

pub(super) fn replay(
    file: &dyn DiskFile,
    job: JobId,
    visit: &mut (impl FnMut(Visit<'_>) -> io::Result<()> + ?Sized),
) -> Result<Replayed, LogError> {
    let unreadable = |error| LogError::Disk("read", job, error);
    let mut start = [0; HEADER];
    let read = crate::disk::read_sound(file, &mut start, 0).map_err(unreadable)?;
    let version = check_header(start.get(..read).unwrap_or_default(), job)?;
    let mut damage = Damage::default();
    if version.is_none() {
        damage.add(0..HEADER as u64);
    }
    let len = file.len().map_err(unreadable)?;
    let mut scan = Scan::new(file, job, HEADER as u64).map_err(unreadable)?;
    let mut counted = Counted::default();
    let (end, torn) = loop {
        match scan.go_on().map_err(unreadable)? {
            Found::Frame { at, body } => {
                let frame_end = at + (super::frame::FRAME_HEADER + body.len()) as u64;
                let is_read = match Entry::of(scan.body(body)) {
                    Some(entry) => {
                        counted.add(at, entry, visit).map_err(|error| LogError::Visitor(job, error))?
                    }
                    None => false,
                };
                if !is_read {
                    damage.add(at..frame_end);
                }
            }
            Found::Damage(range) => damage.add(range),
            Found::End { at, torn } => break (at, torn),
        }
    };
    let (change_at, change) = counted.change.ok_or(LogError::Damaged(job, len))?;
    let marked = counted.mark.map(|mark| (mark.succeeded, mark.failed, mark.change_at));
    Ok(Replayed {
        state: change.state,
        last_wish: counted.last_wish,
        succeeded: counted.succeeded,
        failed: counted.failed,
        attempts: counted.attempts,
        last_seen: counted.last_seen,
        damage,
        torn_bytes: if torn { len.saturating_sub(end) } else { 0 },
        change_at,
        end,
        len,
        header_is_current: version == Some(VERSION),
        mark_is_right: marked == Some((counted.succeeded, counted.failed, change_at)),
    })
}
