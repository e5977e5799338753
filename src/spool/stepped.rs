//! A spool without threads: whoever holds it decides when a group is committed and when the house is kept, so a simulation
//! that draws its steps from a seed is replayed by that seed.

use std::sync::Arc;

use super::appender::{AppendError, Appended};
use super::disk::Disk;
use super::housekeeper::Housekeeper;
use super::outlet::Outlet;
use super::recovery::{self, OpenError, Recovered};
use super::request_frames::RequestFrames;
use super::shared::{SpoolOptions, Stopped};
use super::writer::{CommitError, Incoming, Outcome, Writer};
use crate::metrics::Metrics;
use crate::random::Random;
use crate::time::Clock;

/// The rooms of an open spool, to be called one after the other.
#[derive(Debug)]
pub struct Stepped {
    writer: Writer,
    housekeeper: Housekeeper,
    outlet: Outlet,
}

impl Stepped {
    /// Opens the spool on `disk`, recovering what an earlier process left.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        disk: Arc<dyn Disk>,
        options: SpoolOptions,
        clock: Arc<dyn Clock>,
        random: &dyn Random,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Recovered), OpenError> {
        let opened = recovery::open(disk, options, clock, random, metrics)?;
        let outlet = Outlet { shared: opened.shared };
        Ok((Self { writer: opened.writer, housekeeper: opened.housekeeper, outlet }, opened.recovered))
    }

    /// Commits a group of requests: one write, one sync.
    ///
    /// # Errors
    /// [`AppendError::Full`]: nothing has changed; after [`Stepped::keep`] there may be room.
    /// [`AppendError::Stopped`]: the spool has stopped.
    pub fn append(
        &mut self,
        group: impl IntoIterator<Item = RequestFrames>,
    ) -> Result<Vec<Appended>, AppendError> {
        let incoming = |frames: RequestFrames| Incoming {
            source: Some(frames.source().clone()),
            received_at: frames.received_at(),
            bytes: frames.into_bytes(),
        };
        let mut group: Vec<Incoming> = group.into_iter().map(incoming).collect();
        let appended = |outcome: Outcome| Appended { stored: outcome.stored, repeats: outcome.repeats };
        match self.writer.commit(&mut group) {
            Ok(outcomes) => Ok(outcomes.into_iter().map(appended).collect()),
            Err(CommitError::NoSpace) => Err(AppendError::Full),
            Err(CommitError::Stopped) => Err(AppendError::Stopped),
        }
    }

    /// Does what the housekeeper has to do now.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn keep(&mut self) -> Result<(), Stopped> {
        self.housekeeper.pass()
    }

    /// The way out.
    pub fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// [`Stopped`]. A spool without room for the last note is not closed in order, and loses nothing by it.
    pub fn close(self) -> Result<(), Stopped> {
        match self.writer.close() {
            Ok(()) | Err(CommitError::NoSpace) => Ok(()),
            Err(CommitError::Stopped) => Err(Stopped),
        }
    }
}
