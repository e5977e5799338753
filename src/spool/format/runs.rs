//! Where a batch's frames are in a segment.

use std::collections::BTreeMap;

use crate::batch::BatchKey;
use crate::log::frame::Frame;
use crate::time::UnixMillis;

/// Consecutive frames of one batch in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::spool) struct Run {
    /// The offset of the first frame in the segment.
    pub offset: u32,
    /// Bytes of all frames.
    pub len: u32,
    /// Position of the first; the others follow without a gap.
    pub first: u64,
    /// The number of frames.
    pub frames: u32,
}

impl Run {
    /// The last position.
    pub(in crate::spool) fn last(&self) -> u64 {
        self.first + u64::from(self.frames) - 1
    }

    /// Adds a run if it follows without a gap, in the segment and in positions. Returns whether it does.
    pub(in crate::spool) fn join(&mut self, next: &Self) -> bool {
        let follows = self.offset + self.len == next.offset && self.last() + 1 == next.first;
        if follows {
            self.len += next.len;
            self.frames += next.frames;
        }
        follows
    }
}

/// A stretch of a batch: its frames in one segment.
#[derive(Clone, Debug)]
pub(in crate::spool) struct Stretch {
    /// The segment.
    pub segment: u64,
    /// First position.
    pub first: u64,
    /// Last position.
    pub last: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes of lines, with their `\n`.
    pub bytes: u64,
    /// When the first frame was received.
    pub first_received_at: UnixMillis,
    /// Where the runs are.
    pub runs: Runs,
}

/// Where a stretch's runs are stored.
#[derive(Clone, Debug)]
pub(in crate::spool) enum Runs {
    /// In memory: the segment is still being written.
    Open(Vec<Run>),
    /// In the segment's index file.
    File {
        /// Their offset in the file.
        offset: u64,
        /// Their number.
        count: u32,
    },
}

/// Collects runs by batch during the scan of a segment.
#[derive(Debug, Default)]
pub(in crate::spool) struct ScannedRuns {
    /// By batch: the stretch, with its counts, and its runs.
    pub(in crate::spool) runs: BTreeMap<BatchKey, (Stretch, Vec<Run>)>,
    /// Position of the last call or object set; 0 if there is none.
    pub(in crate::spool) followed_through: u64,
}

impl ScannedRuns {
    pub(in crate::spool) fn take(&mut self, offset: u64, frame: &Frame<'_>) {
        let (Some(key), Ok(offset)) = (frame.batch(), u32::try_from(offset)) else {
            return;
        };
        if key.stream.is_followed() {
            self.followed_through = frame.position;
        }
        let (stretch, runs) = self.runs.entry(key).or_insert_with(|| {
            let stretch = Stretch {
                segment: 0,
                first: frame.position,
                last: frame.position,
                frames: 0,
                bytes: 0,
                first_received_at: frame.received_at,
                runs: Runs::Open(Vec::new()),
            };
            (stretch, Vec::new())
        });
        let len = u32::try_from(frame.stored_len()).unwrap_or(u32::MAX);
        stretch.last = frame.position;
        stretch.frames += 1;
        stretch.bytes += frame.payload.len() as u64 + 1;
        match runs.last_mut() {
            Some(run) if run.last() + 1 == frame.position && run.offset + run.len == offset => {
                run.len += len;
                run.frames += 1;
            }
            _ => runs.push(Run { offset, len, first: frame.position, frames: 1 }),
        }
    }
}
