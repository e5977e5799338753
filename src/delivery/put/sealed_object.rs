//! A sealed object on its way to the store. If its bucket accepts nothing for long, it is parked: it makes
//! room in the log, which keeps it elsewhere.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::batch::Reason;
use crate::delivery::blocking::blocking;
use crate::delivery::make::staging::Staged;
use crate::delivery::shared::Shared;
use crate::delivery::tasks_under_way::Hold;
use crate::log::{Parked, Seal, Stopped};
use crate::object::S3Location;
use crate::store::{Fault, Put, StoreError, Stored};
use crate::words::Told;

/// Maximum time between two checks whether to park a waiting object.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Minimum time between two such checks, however short `park_after` is.
const CHECK_EVERY_LEAST: Duration = Duration::from_millis(10);
/// How long an object may be in flight under pressure before it is parked, if no put has failed.
const PATIENCE_UNDER_PRESSURE: Duration = Duration::from_secs(10);

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
    /// Whether its last try was given up because a conflict of its source waits for a person.
    pub(in crate::delivery) held: bool,
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
            held: false,
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

    /// The time until the next check whether to park it.
    pub(in crate::delivery) fn park_look(&self) -> Duration {
        CHECK_EVERY.min(self.shared.settings.park_after).max(CHECK_EVERY_LEAST)
    }

    /// Puts once, in one of the bucket's slots. An endpoint that hangs keeps its slots occupied, but no
    /// space in the segments: the object is parked meanwhile.
    pub(in crate::delivery) async fn put_while_parking(
        &mut self,
        put: &Put,
    ) -> Result<Result<Stored, StoreError>, Stopped> {
        let shared = Arc::clone(self.shared);
        let slots = shared.put_locations.slots(&self.seal.location);
        let (source, to) = (self.seal.batch.source.clone(), self.location_now());
        // Set once the put has its slots: time spent waiting for a slot is not caused by the store.
        let began = OnceLock::new();
        let trying = async {
            let failing = shared.failing.is_failing(&source, &to);
            let _turn = if failing { Some(slots.failing_puts.take().await?) } else { None };
            let _slot = slots.puts.take().await?;
            let before = *began.get_or_init(|| shared.deps.clock.monotonic());
            let answer = shared.deps.store.put(put).await;
            let took = shared.deps.clock.monotonic().saturating_sub(before);
            if answer.is_ok() {
                shared.deps.metrics.upload_seconds.observe(took);
            }
            Some((answer, took))
        };
        tokio::pin!(trying);
        loop {
            tokio::select! {
                biased;
                answered = &mut trying => {
                    let (answer, took) = answered.ok_or(Stopped)?;
                    self.put_took = answer.is_ok().then_some(took);
                    return Ok(answer);
                }
                () = tokio::time::sleep(self.park_look()) => {
                    if let Some(began) = began.get() {
                        let now = shared.deps.clock.monotonic();
                        shared.failing.under_way(&source, &to, *began, now);
                    }
                    self.park_if_due().await?;
                }
            }
        }
    }

    /// Parks the object if it has waited for long, or if the space is needed.
    pub(in crate::delivery) async fn park_if_due(&mut self) -> Result<(), Stopped> {
        if matches!(self.form, Some(Form::Parked)) || !self.is_to_be_parked() {
            return Ok(());
        }
        if self.form.is_none() {
            // An earlier process sealed the object, and this one has not put it yet. It still holds its
            // frames.
            let Some(pending) = self.shared.deps.log.pending_seal(self.seal.number) else { return Ok(()) };
            self.find_form(pending).await?;
        }
        if matches!(self.form, Some(Form::Staged(_))) { self.park().await } else { Ok(()) }
    }

    /// Whether the object has waited for so long that it is parked.
    ///
    /// Under pressure it is parked at once if its puts fail, but not while it may be in flight: parking would
    /// take twice its bytes, and it may be in the store a moment later.
    fn is_to_be_parked(&self) -> bool {
        let waited = self.shared.deps.clock.monotonic().saturating_sub(self.since);
        let pressure = self.shared.deps.log.is_under_pressure();
        let park_after = self.shared.settings.park_after;
        let patience = if pressure { PATIENCE_UNDER_PRESSURE.min(park_after) } else { park_after };
        waited >= patience || {
            let places_left = self.shared.put_locations.slots(&self.seal.location).sealed.free();
            let (source, to) = (&self.seal.batch.source, self.location_now());
            self.shared.failing.must_leave(source, &to, (pressure, places_left), waited)
        }
    }

    async fn park(&mut self) -> Result<(), Stopped> {
        let Some(Form::Staged(staged)) = self.form.take() else { return Ok(()) };
        let parked = Parked { len: staged.len, crc32: staged.crc32 };
        let (deps, seal) = (self.shared.deps.clone(), self.seal.clone());
        let (fitted, staged) = blocking(self.shared, move || {
            let fitted = deps.log.make_room(&seal, &mut staged.reader(), parked)?;
            Ok((fitted, staged))
        })
        .await?;
        if !fitted {
            self.form = Some(Form::Staged(staged));
            return Ok(());
        }
        if let Some(line) = self.shared.repeated.happened("park", self.seal.location.bucket.bucket()) {
            tracing::warn!(
                objects = line.times,
                others = line.others,
                source = %self.seal.batch.source,
                bytes = parked.len,
                "an object is parked, because its bucket does not take it now; it is kept and tried again"
            );
        }
        self.form = Some(Form::Parked);
        self.replaced = Some(staged);
        // The frames are released: the batch can continue.
        self.hold = None;
        Ok(())
    }
}
