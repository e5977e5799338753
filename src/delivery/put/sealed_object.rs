//! A sealed object on its way to the store.

use std::sync::Arc;
use std::time::Duration;

use crate::batch::Reason;
use crate::delivery::busy_batches::Hold;
use crate::delivery::make::staging::Staged;
use crate::delivery::shared::Shared;
use crate::log::Seal;
use crate::object::S3Location;
use crate::store::{Fault, StoreError};
use crate::words::Told;

/// The form in which the object exists.
pub(in crate::delivery) enum Form {
    Staged(Staged),
    /// The log keeps it.
    Parked,
}

/// A sealed object that one task delivers.
pub(in crate::delivery) struct SealedObject<'a> {
    pub(in crate::delivery) shared: &'a Arc<Shared>,
    pub(in crate::delivery) seal: Seal,
    /// `None` if it must be made again from the spool.
    pub(in crate::delivery) form: Option<Form>,
    /// `None` once it is parked.
    pub(in crate::delivery) hold: Option<Hold>,
    /// The staged object that was parked during the put in flight, which may still read it.
    pub(in crate::delivery) replaced: Option<Staged>,
    /// Whether the last put failed because its credentials had expired.
    pub(in crate::delivery) met_expired: bool,
    /// Whether it gave up its place in memory to other objects during the present wait. It is then not made
    /// again before the next put.
    pub(in crate::delivery) gave_way: bool,
    /// When this process began to deliver it.
    pub(in crate::delivery) since: Duration,
    /// How long the put took that the store accepted.
    pub(in crate::delivery) put_took: Option<Duration>,
    /// Why its batch was due, if this process sealed it.
    pub(in crate::delivery) reason: Option<Reason>,
}

impl<'a> SealedObject<'a> {
    pub(in crate::delivery) fn new(
        shared: &'a Arc<Shared>,
        seal: Seal,
        staged: Option<Staged>,
        hold: Option<Hold>,
    ) -> Self {
        Self {
            shared,
            seal,
            form: staged.map(Form::Staged),
            hold,
            replaced: None,
            met_expired: false,
            gave_way: false,
            since: shared.deps.clock.monotonic(),
            put_took: None,
            reason: None,
        }
    }

    /// Its name in alarms.
    pub(in crate::delivery) fn name(&self) -> String {
        format!("seal {}", self.seal.number)
    }

    /// Where it is put now.
    pub(in crate::delivery) fn location_now(&self) -> S3Location {
        self.shared.location_now(&self.seal)
    }

    /// Counts a failed put against its source and bucket.
    pub(in crate::delivery) fn put_failed(&self, to: &S3Location, error: &StoreError) {
        let now = self.shared.deps.clock.monotonic();
        self.shared.failing.put_failed(&self.seal.batch.source, to, error, now);
    }

    /// Reports why it waits. `tries` is the number of puts so far.
    pub(in crate::delivery) fn waiting(&self, told: Told, fault: Fault, tries: u32) {
        let now = self.shared.deps.clock.wall();
        let why = told.masked().to_owned();
        self.shared.waiting_puts.failed(self.seal.number, told, fault, tries, now);
        if let Some(line) = self.shared.repeated.happened("put", self.seal.location.bucket.bucket()) {
            tracing::warn!(
                failures = line.times,
                others = line.others,
                tries,
                source = %self.seal.batch.source,
                "waiting to deliver: {why}"
            );
        }
        self.shared.waits(&self.seal.batch.source, why);
    }
}
