//! A spool without threads. The caller decides when a group is committed and when the housekeeper runs, so a
//! simulation that draws its steps from a seed can be replayed. Everything else is as in a spool with
//! threads, including its queue and its answers.

use std::ops::Deref;
use std::sync::Arc;

use crate::disk::Disk;
use crate::log::{AppendError, Appended, LogId, RequestFrames, Stopped};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::spool::handles::Handles;
use crate::spool::options::SpoolOptions;
use crate::spool::recovery::{self, OpenError, Opened, Recovered};
use crate::spool::shared::lock;
use crate::spool::writing::housekeeper::Housekeeper;
use crate::spool::writing::writer::{CommitError, Incoming, Writer};
use crate::time::Clock;

/// An open spool whose parts the caller runs one after the other.
#[derive(Debug)]
pub struct Stepped {
    handles: Handles,
    writer: Writer,
    housekeeper: Housekeeper,
}

impl Deref for Stepped {
    type Target = Handles;
    fn deref(&self) -> &Handles {
        &self.handles
    }
}

impl Stepped {
    /// Opens the spool on `disk`, recovering what an earlier process left.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: SpoolOptions,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Recovered), OpenError> {
        let Opened { shared, writer, housekeeper, recovered } =
            recovery::open(disk, options, clock, random, metrics)?;
        Ok((Self { handles: Handles::of(shared), writer, housekeeper }, recovered))
    }

    /// Stores queued requests, up to one block, and answers them, with one write and one sync. Runs the
    /// housekeeper if the open segment is full. Returns whether the spool still runs.
    pub fn turn(&mut self) -> bool {
        let (shared, housekeeper) = (&self.handles.log.shared, &mut self.housekeeper);
        let mut make_next =
            |wanted| housekeeper.pass().is_ok() && lock(&shared.next).prepared.len() >= wanted;
        self.handles.appender.turn(&mut self.writer, &mut make_next)
    }

    /// Commits a group of requests without the queue, with one write and one sync.
    /// Errors: [`AppendError::Full`]: nothing has changed; there may be space after [`Stepped::keep`].
    /// [`AppendError::DayOver`], [`AppendError::OtherRow`], [`AppendError::Known`]: one of them is refused;
    /// the others are stored. [`AppendError::Unknown`]: the write or sync of the group failed, and the spool
    /// has stopped. [`AppendError::Stopped`]: the spool had stopped.
    pub fn append(
        &mut self,
        group: impl IntoIterator<Item = RequestFrames>,
    ) -> Result<Vec<Appended>, AppendError> {
        let mut group: Vec<Incoming> = group.into_iter().map(Incoming::from).collect();
        let log = LogId(self.log.shared.ident.spool_id);
        match self.writer.commit(&mut group) {
            Ok(outcomes) => {
                let mut all = Vec::with_capacity(outcomes.len());
                for outcome in outcomes {
                    outcome.refused.map_or(Ok(()), Err)?;
                    all.push(outcome.appended_to(log));
                }
                Ok(all)
            }
            Err(CommitError::NoSpace { .. }) => Err(AppendError::Full),
            Err(CommitError::Unknown) => Err(AppendError::Unknown),
            Err(CommitError::Stopped) => Err(AppendError::Stopped),
        }
    }

    /// Puts frames into a cache, which another log numbered: those of `group` have the positions from `first`
    /// on. Nothing is synced. See [`Holds::Cache`](crate::spool::Holds::Cache). Returns the buffers of the frames.
    /// Errors: [`AppendError::Full`]: nothing has changed; there may be space after [`Stepped::keep`].
    /// [`AppendError::Unknown`]: the write failed. [`AppendError::Stopped`]: the spool had stopped, or it is
    /// no cache, finds repeats or refuses frames, or was given a position twice.
    pub fn put_numbered(
        &mut self,
        first: u64,
        group: impl IntoIterator<Item = RequestFrames>,
    ) -> Result<Vec<Vec<u8>>, AppendError> {
        let mut group: Vec<Incoming> = group.into_iter().map(Incoming::from).collect();
        match self.writer.commit_numbered(first, &mut group) {
            Ok(_) => Ok(group.into_iter().map(|incoming| incoming.bytes).collect()),
            Err(CommitError::NoSpace { .. }) => Err(AppendError::Full),
            Err(CommitError::Unknown) => Err(AppendError::Unknown),
            Err(CommitError::Stopped) => Err(AppendError::Stopped),
        }
    }

    /// Changes the cap: the maximum number of bytes in the spool's directory. New segments keep their length.
    pub fn set_max_bytes(&self, max: u64) {
        self.log.shared.capped.set_max(max);
    }

    /// Runs the housekeeper once.
    pub fn keep(&mut self) -> Result<(), Stopped> {
        self.housekeeper.pass()
    }

    /// Stores queued requests, takes no more, and closes the spool cleanly.
    /// Errors: [`Stopped`]. If the spool has no space for the clean close, nothing is lost.
    pub fn close(mut self) -> Result<(), Stopped> {
        self.appender.close();
        while !self.appender.is_idle() {
            if !self.turn() {
                return Err(Stopped);
            }
        }
        match self.writer.close() {
            Ok(()) | Err(CommitError::NoSpace { .. }) => self.housekeeper.tally_all(),
            Err(CommitError::Unknown | CommitError::Stopped) => Err(Stopped),
        }
    }
}
