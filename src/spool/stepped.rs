//! A spool without threads: whoever holds it decides when a group is committed and when the house is kept, so a simulation
//! that draws its steps from a seed is replayed by that seed. Everything else is what a spool with threads does, its queue
//! and its answers included.

use std::sync::Arc;

use super::appender::{AppendError, Appended, Appender};
use super::disk::Disk;
use super::housekeeper::Housekeeper;
use super::outlet::Outlet;
use super::recovery::{self, OpenError, Recovered};
use super::request_frames::RequestFrames;
use super::shared::{SpoolOptions, Stopped, lock};
use super::writer::{CommitError, Incoming, Outcome, Writer};
use crate::call::Fingerprinter;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::time::Clock;

/// The rooms of an open spool, to be called one after the other.
#[derive(Debug)]
pub struct Stepped {
    appender: Appender,
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
        let appender = Appender::new(Arc::clone(&opened.shared));
        let outlet = Outlet { shared: opened.shared };
        let spool = Self { appender, writer: opened.writer, housekeeper: opened.housekeeper, outlet };
        Ok((spool, opened.recovered))
    }

    /// The way in: what is appended waits for [`Stepped::turn`].
    pub fn appender(&self) -> Appender {
        self.appender.clone()
    }

    /// Makes the fingerprints that this spool compares.
    pub fn fingerprinter(&self) -> Fingerprinter {
        Fingerprinter::new(self.outlet.shared.ident.fingerprint_key)
    }

    /// Stores what waits, up to one block, and answers it: one write, one sync. Where the open segment is full the
    /// housekeeper is given its turn. Returns whether the spool still stands.
    pub fn turn(&mut self) -> bool {
        let (shared, housekeeper) = (&self.outlet.shared, &mut self.housekeeper);
        let mut make_next = || housekeeper.pass().is_ok() && lock(&shared.next_segment).prepared.is_some();
        self.appender.turn(&mut self.writer, &mut make_next)
    }

    /// Commits a group of requests that wait in no queue: one write, one sync.
    ///
    /// # Errors
    /// [`AppendError::Full`]: nothing has changed; after [`Stepped::keep`] there may be room.
    /// [`AppendError::DayOver`]: the day of one of them is over; the others are stored.
    /// [`AppendError::Stopped`]: the spool has stopped.
    pub fn append(
        &mut self,
        group: impl IntoIterator<Item = RequestFrames>,
    ) -> Result<Vec<Appended>, AppendError> {
        let mut group: Vec<Incoming> = group.into_iter().map(Incoming::from).collect();
        let appended = |outcome: Outcome| match outcome.too_late {
            true => Err(AppendError::DayOver),
            false => Ok(Appended::from(outcome)),
        };
        match self.writer.commit(&mut group) {
            Ok(outcomes) => outcomes.into_iter().map(appended).collect(),
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

    /// Stores what waits, takes no more, and ends it in order.
    ///
    /// # Errors
    /// [`Stopped`]. A spool without room for the last note is not closed in order, and loses nothing by it.
    pub fn close(mut self) -> Result<(), Stopped> {
        self.appender.close();
        while !self.appender.is_idle() {
            if !self.turn() {
                return Err(Stopped);
            }
        }
        match self.writer.close() {
            Ok(()) | Err(CommitError::NoSpace) => Ok(()),
            Err(CommitError::Stopped) => Err(Stopped),
        }
    }
}
