//! A look at the end of a log: the state and the counts of a job without a pass through all its results.

use super::entry::{Change, Entry};
use super::frame::{Found, HEADER, Scan, check_header};
use super::replay::{Counted, open_file, read};
use super::{LogError, entry};
use crate::disk::{Disk, DiskFile, read_sound};
use crate::jobs::job::id::JobId;
use crate::jobs::job::state::JobState;
use crate::time::UnixMillis;

/// Bytes at the end of a log that are looked at: first a few, then more. If they do not hold all that was written at
/// once last, or hold damage, all of the log is read.
const TAILS: [u64; 2] = [64 * 1_024, 4 * 1_024 * 1_024];

/// A job as the end of its log shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peeked {
    /// Its state.
    pub state: JobState,
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// The last time that the log knows.
    pub last_seen: UnixMillis,
}

/// Looks at the log of a job, also while another process holds it.
/// Errors: [`LogError`].
pub fn peek(disk: &dyn Disk, job: JobId) -> Result<Peeked, LogError> {
    let file = open_file(disk, job)?;
    for tail in TAILS {
        if let Some(peeked) = peek_at_end(&*file, job, tail)? {
            return Ok(peeked);
        }
    }
    let all = read(disk, job, &mut |_| Ok(()))?;
    let (succeeded, failed, last_seen) = (all.succeeded, all.failed, all.last_seen);
    Ok(Peeked { state: all.state, succeeded, failed, last_seen })
}

fn peek_at_end(file: &dyn DiskFile, job: JobId, tail: u64) -> Result<Option<Peeked>, LogError> {
    let unreadable = |error| LogError::Disk("read", job, error);
    let mut start = [0; HEADER];
    let read = read_sound(file, &mut start, 0).map_err(unreadable)?;
    check_header(start.get(..read).unwrap_or_default(), job)?;
    let len = file.len().map_err(unreadable)?;
    let from = len.saturating_sub(tail).max(HEADER as u64);
    let mut scan = Scan::new(file, job, from).map_err(unreadable)?;
    // What follows the last mark is counted on top of it.
    let mut since = Counted::default();
    // A mark counts what was written with it, and a crash may have lost a part of that.
    let mut is_whole = from == HEADER as u64;
    loop {
        match scan.go_on().map_err(unreadable)? {
            Found::Frame { at, body } => {
                if let Some(entry) = Entry::of(scan.body(body)) {
                    if let Entry::Mark(_) = entry {
                        is_whole |= since.mark.is_some();
                        since = Counted::default();
                    }
                    let all = since.add(at, entry, &mut |_| Ok(()));
                    if !all.map_err(unreadable)? {
                        return Ok(None);
                    }
                }
            }
            // The look may begin within a frame.
            Found::Damage(range) if range.start == from && !is_whole => {}
            Found::Damage(_) => return Ok(None),
            Found::End { .. } => break,
        }
    }
    let Some(mark) = since.mark.filter(|_| is_whole) else { return Ok(None) };
    let change = match since.change {
        Some((_, change)) => change,
        None => match change_at(file, job, mark.change_at).map_err(unreadable)? {
            Some(change) => change,
            None => return Ok(None),
        },
    };
    Ok(Some(Peeked {
        state: change.state,
        succeeded: mark.succeeded.saturating_add(since.succeeded),
        failed: mark.failed.saturating_add(since.failed),
        last_seen: since.last_seen.max(mark.at),
    }))
}

fn change_at(file: &dyn DiskFile, job: JobId, at: u64) -> std::io::Result<Option<Change>> {
    let mut scan = Scan::new(file, job, at)?;
    let body = match scan.go_on()? {
        Found::Frame { at: found, body } if found == at => body,
        _ => return Ok(None),
    };
    Ok(match entry::Entry::of(scan.body(body)) {
        Some(Entry::Change(change)) => Some(change),
        _ => None,
    })
}
