//! From a seal to its commit: what is specific to putting a sealed object.

use std::sync::Arc;
use std::time::Duration;

use super::after_put::Next;
use super::put_until_stored::{Deliverable, Pace, Ready, Tries, put_until_stored};
use super::sealed_object::{Form, SealedObject};
use crate::alarms::AlarmKind;
use crate::batch::Reason;
use crate::delivery::blocking::blocking;
use crate::delivery::failures::damage::clear_amended;
use crate::delivery::make::staging::Staged;
use crate::delivery::shared::Shared;
use crate::delivery::tasks_under_way::Hold;
use crate::disk::is_no_handle;
use crate::log::{KeptBytes, KeptObject, PendingSeal, Seal, Stopped};
use crate::metrics::KindLabel;
use crate::object::metadata::{Metadata, SHA256};
use crate::object::{ObjectKey, ObjectName, ParsedObjectKey, S3Location};
use crate::planted_bugs::{PlantedBug, PlantedPanic, panic_if_planted, planted};
use crate::sources::SourceId;
use crate::store::{Body, Fault, Head, Put, PutMode, StoreError, Stored};
use crate::words::{Told, counted};

/// Why an object is not put whose own puts do not fail.
const BEHIND_CONFLICT: &str = "another object of this source is in conflict: see the alarm";

/// Tries from which on a file that cannot be read is made again, if its log can.
const READ_AGAIN_MAX: u32 = 3;

/// Puts a sealed object until the store has it. Returns when it is committed, or when the log has stopped.
///
/// `reason`: why its batch was due, if this process sealed it.
///
/// Dropping it half-way is safe: the seal is synced, and the same object is put under the same key after the
/// next start.
pub(in crate::delivery) async fn deliver(
    shared: &Arc<Shared>,
    seal: Seal,
    staged: Option<Staged>,
    hold: Option<Hold>,
    reason: Option<Reason>,
) -> Result<(), Stopped> {
    let first_mode = shared.settings.put_mode;
    let accepted = shared.put_locations.slots(&seal.location).accepted.waiter();
    let mut object = SealedObject::new(shared, seal, staged, hold);
    object.reason = reason;
    put_until_stored(shared, &mut object, first_mode, accepted).await
}

impl Deliverable for SealedObject<'_> {
    const PACE: Pace = Pace::Objects;

    async fn ready(&mut self, tries: &Tries) -> Result<Ready, Stopped> {
        self.held = self.shared.failing.has_conflict(&self.seal.batch.source);
        if self.held {
            // It waits for a person, not for another try.
            let pending = self.shared.deps.log.pending_seal(self.seal.number);
            if pending.is_some_and(|pending| !pending.conflict) {
                let now = self.shared.deps.clock.wall();
                self.shared.waiting_puts.held(self.seal.number, BEHIND_CONFLICT, now);
            }
            return Ok(Ready::NotNow);
        }
        panic_if_planted(PlantedPanic::Upload);
        let log = &self.shared.deps.log;
        let Some(pending) = log.pending_seal(self.seal.number) else { return Ok(Ready::NotNow) };
        if !matches!(self.form, Some(Form::Staged(_))) && !log.is_at_hand(self.seal.number) {
            return Ok(Ready::Elsewhere);
        }
        if self.form.is_none() {
            self.find_form(pending).await?;
        }
        // Making it again may have found damage.
        let Some(pending) = log.pending_seal(self.seal.number) else { return Ok(Ready::NotNow) };
        let may_replace = pending.amended.is_none() || pending.overwrite || pending.aside;
        if tries.mode == PutMode::Overwrite && !may_replace {
            return Ok(Ready::Conflict);
        }
        let body = match &self.form {
            None => return Ok(Ready::NotNow),
            Some(Form::Staged(staged)) => staged.body().map(|body| (body, staged.crc32)),
            Some(Form::Parked) => log.open_for_put(&self.seal).map(body_of),
        };
        match body {
            Ok((body, crc32)) => {
                let put = Box::new(self.put_of(&pending, body, crc32, tries));
                let amended = pending.amended.map(|amend| amend.sha256);
                let ours = [self.seal.sha256.clone()].into_iter().chain(amended).collect();
                Ok(Ready::Put { put, ours, may_replace })
            }
            Err(error) => {
                if matches!(self.form, Some(Form::Parked)) && !is_no_handle(&error) {
                    self.parked_is_damaged(&error.to_string()).await?;
                }
                self.waiting(
                    Told::plain(format!("read the object to put: {error}")),
                    Fault::Local,
                    tries.number,
                );
                self.form = None;
                Ok(Ready::NotNow)
            }
        }
    }

    async fn put_once(&mut self, put: &Put) -> Result<Result<Stored, StoreError>, Stopped> {
        self.shared.waiting_puts.begins(self.seal.number);
        self.put_while_parking(put).await
    }

    fn failed(&mut self, error: &StoreError, _next: Next, tries: &Tries) {
        self.count_failure(error.fault);
        let met_expired = std::mem::replace(&mut self.met_expired, error.fault == Fault::Expired);
        // A create-only put that finds our own object is the normal end of a try whose answer was lost.
        if error.fault == Fault::Exists {
            return;
        }
        let to = self.location_now();
        self.waiting(self.why_not_put(&to, error), error.fault, tries.number);
        // A local failure is not the store's fault. An expired session fails all objects in flight at once,
        // so it counts only if the put with the next session also fails.
        let says_nothing = error.fault == Fault::Local || (error.fault == Fault::Expired && !met_expired);
        if !says_nothing {
            self.put_failed(&to, error);
        }
    }

    fn location(&self) -> S3Location {
        self.location_now()
    }

    async fn found(
        &mut self,
        head: &Result<Head, StoreError>,
        next: Next,
        tries: &Tries,
    ) -> Result<(), Stopped> {
        match head {
            Ok(head) => {
                let is_whole = head.metadata.get(SHA256) == Some(&self.seal.sha256);
                let pending = self.shared.deps.log.pending_seal(self.seal.number);
                let is_amended = pending.is_some_and(|pending| pending.amended.is_some());
                if next == Next::Commit && is_amended && is_whole { self.restored().await } else { Ok(()) }
            }
            Err(error) => {
                self.head_failed(error, tries);
                Ok(())
            }
        }
    }

    async fn commit(&mut self, put: &Put, stored: &Stored) -> Result<(), Stopped> {
        self.note_commit(put, stored).await
    }

    async fn not_yet(&mut self, next: Next, tries: &Tries) -> Result<(), Stopped> {
        self.replaced = None;
        match next {
            Next::Conflict => return self.conflict().await,
            Next::Rebuild => {
                // A parked object has no frames left in the segments, so its file is read again.
                if matches!(self.form, Some(Form::Parked)) {
                    self.parked_is_damaged("the store received bytes that differ from the parked ones")
                        .await?;
                }
                self.form = None;
            }
            // If a parked file is missing, the next try reports it. One that cannot be read again and again may be made again.
            Next::ReadAgain => {
                if matches!(self.form, Some(Form::Parked)) && tries.number >= READ_AGAIN_MAX {
                    self.is_made_again().await?;
                }
                self.form = None;
            }
            Next::Commit | Next::AskWhose | Next::Retry(_) | Next::RetryAtCap => {}
        }
        Ok(())
    }

    fn tries_again(&mut self, after: Duration) {
        let at = self.shared.deps.clock.wall().plus(after);
        self.shared.waiting_puts.waits(self.seal.number, at);
    }

    async fn wait_begins(&mut self) -> Result<(), Stopped> {
        self.park_if_due().await?;
        // Gives up the one last-resort place in memory, so that other objects can be delivered meanwhile.
        // This object is made again for its next try.
        let is_last_resort =
            |form: &mut Form| matches!(form, Form::Staged(staged) if staged.is_last_resort());
        self.gave_way = self.form.take_if(is_last_resort).is_some();
        Ok(())
    }

    async fn look_while_waiting(&mut self) -> Result<(), Stopped> {
        if self.gave_way { Ok(()) } else { self.park_if_due().await }
    }

    fn waits_no_more(&self) -> bool {
        self.held && !self.shared.failing.has_conflict(&self.seal.batch.source)
    }

    fn check_every(&self) -> Duration {
        self.park_look()
    }
}

impl SealedObject<'_> {
    fn put_of(&self, pending: &PendingSeal, body: Body, crc32: u32, tries: &Tries) -> Put {
        let seal = &self.seal;
        let (location, sealed) = (self.location_now(), self.key(tries));
        // The node's name may have changed since the key was sealed. The key's counts, so that both agree.
        let place = ParsedObjectKey::of(&location.bucket, sealed.as_str());
        let node = place.map_or_else(|| self.shared.deps.log.node(), |place| place.node);
        let metadata = Metadata {
            calls: pending.frames(),
            first_received_at: seal.first_received_at,
            last_received_at: seal.last_received_at,
            node: &node,
            first_position: seal.first,
            last_position: seal.last,
            bytes: pending.bytes(),
            sha256: pending.sha256(),
            previous_last_position: seal.previous_last,
            lost_calls: seal.frames.saturating_sub(pending.frames()),
        };
        Put {
            key: if pending.aside { sealed.of_conflict(&location.bucket) } else { sealed },
            location,
            body,
            crc32,
            content_encoding: self.shared.settings.content_encoding.then_some("gzip"),
            metadata: metadata.pairs(),
            tags: self.shared.settings.tags.pairs(&seal.batch.source, seal.batch.day),
            mode: if pending.overwrite { PutMode::Overwrite } else { tries.mode },
        }
    }

    /// The key that was sealed.
    fn key(&self, tries: &Tries) -> ObjectKey {
        let seal = &self.seal;
        let other = match () {
            () if planted(PlantedBug::RandomObjectName) => self.since.as_millis(),
            () if planted(PlantedBug::NewNameOnRetry) => u128::from(tries.number),
            () => return seal.object_key.clone(),
        };
        let (node, spool_id) = (format!("x{other}"), self.shared.deps.log.spool_id());
        let name = ObjectName {
            first_received_at: seal.first_received_at,
            node: &node,
            spool_id: &spool_id,
            first_position: seal.first,
        };
        let batch = &seal.batch;
        ObjectKey::of_batch(&seal.location.bucket, &batch.stream, &batch.source, batch.day, name)
    }

    /// Whether the object that has made room is damaged, and the log makes it again.
    async fn is_made_again(&self) -> Result<bool, Stopped> {
        let (deps, number) = (self.shared.deps.clone(), self.seal.number);
        blocking(self.shared, move || Ok(deps.log.makes_again(number))).await
    }

    /// The object that has made room cannot be put: if the log does not make it again, a person must help.
    async fn parked_is_damaged(&self, why: &str) -> Result<(), Stopped> {
        let name = self.name();
        if self.is_made_again().await? {
            tracing::warn!(%name, why, "an object cannot be put from its file, and is built again from the log");
            return Ok(());
        }
        let what = format!(
            "the parked object of {name} ({} of {}) cannot be put: {why}; it is kept and retried; if the file is damaged, \
             its calls can only be restored from a copy of the file",
            counted(self.seal.frames, "call", "calls"),
            self.seal.batch.source
        );
        self.shared.deps.alarms.raise(AlarmKind::Damage, &name, what);
        Ok(())
    }

    /// The HEAD after a 412 failed.
    fn head_failed(&self, error: &StoreError, tries: &Tries) {
        self.count_failure(error.fault);
        if error.fault == Fault::Exists {
            return;
        }
        let to = self.location_now();
        if error.fault == Fault::NotFound {
            let what = "the store reports that an object has this key, but does not find it";
            let nothing = StoreError {
                message: what.into(),
                ..StoreError::answered(Fault::Transient, 412, error.code.as_deref(), what)
            };
            self.waiting(self.why_not_put(&to, &nothing), nothing.fault, tries.number);
            self.put_failed(&to, &nothing);
        } else {
            let (key, bucket) = (&self.seal.object_key, to.bucket.bucket());
            let what = format!("check which object has the key {key} in {bucket} (after a 412): ");
            self.waiting(Told::plain(what).and(&error.told()), error.fault, tries.number);
        }
    }

    /// Notes that every line of the object was stored before some of them were damaged in the spool.
    async fn restored(&self) -> Result<(), Stopped> {
        tracing::info!(
            seal = self.seal.number,
            "the store had the whole object before its frames were damaged: nothing is lost"
        );
        let (deps, seal) = (self.shared.deps.clone(), self.seal.clone());
        blocking(self.shared, move || deps.log.restored(&seal)).await?;
        clear_amended(&self.shared.deps.alarms, &self.seal);
        Ok(())
    }

    /// Notes that a person must decide about the object, and raises the alarm.
    async fn conflict(&mut self) -> Result<(), Stopped> {
        self.held = true;
        let (deps, seal) = (self.shared.deps.clone(), self.seal.clone());
        blocking(self.shared, move || deps.log.conflict(&seal)).await?;
        if let Some(pending) = self.shared.deps.log.pending_seal(self.seal.number) {
            raise_conflict(self.shared, &pending);
        }
        Ok(())
    }

    fn why_not_put(&self, to: &S3Location, error: &StoreError) -> Told {
        let what = format!("put {} to {}: ", self.seal.object_key, to.bucket.bucket());
        Told::plain(what).and(&error.with_remedy())
    }

    fn count_failure(&self, fault: Fault) {
        self.shared.deps.metrics.upload_failures.get_or_create(&KindLabel { kind: fault.slug() }).inc();
    }
}

/// The body of a put of an object that the log keeps, and its CRC-32.
fn body_of(kept: KeptObject) -> (Body, u32) {
    let body = match kept.bytes {
        KeptBytes::File { path, len } => Body::File { path, len },
        KeptBytes::Memory(bytes) => Body::Bytes(bytes.into()),
    };
    (body, kept.crc32)
}

/// Stops all puts of the seal's source, and raises the alarm.
pub(in crate::delivery) fn raise_conflict(shared: &Shared, pending: &PendingSeal) {
    let seal = &pending.seal;
    shared.failing.set_conflict(&seal.batch.source);
    let why = match &pending.amended {
        None => "another object with different content has its key",
        Some(_) => "some of its lines were lost, so a put could replace the complete object under its key",
    };
    let what = format!(
        "seal {}: {why} {} in {}; nothing more is put for this source until a person {}",
        seal.number,
        pending.object_key(),
        seal.location.bucket.bucket(),
        shared.deps.log.how_to_decide(seal.number)
    );
    shared.waits(&seal.batch.source, what.clone());
    shared.waiting_puts.held(seal.number, &what, shared.deps.clock.wall());
    shared.deps.alarms.raise(AlarmKind::Conflict, seal.batch.source.as_str(), what);
}

/// A person has decided about a conflict of this source. Its objects are put again, unless another one waits for a
/// person too.
pub(in crate::delivery) fn follow_decision(shared: &Shared, source: &SourceId) {
    shared.failing.clear_conflict(source);
    shared.deps.alarms.clear(AlarmKind::Conflict, source.as_str());
    // Only now: a conflict that is noted meanwhile is seen here, or raised after this.
    let waiting = shared.deps.log.pending_seals().into_iter();
    waiting
        .filter(|pending| pending.conflict && pending.seal.batch.source == *source)
        .for_each(|pending| raise_conflict(shared, &pending));
    shared.kick.notify_one();
}
