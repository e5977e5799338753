//! Commits a sealed object that the store has.

use super::sealed_object::SealedObject;
use crate::alarms::AlarmKind;
use crate::batch::BatchKey;
use crate::delivery::blocking::noted;
use crate::delivery::deps::Delivered;
use crate::log::Stopped;
use crate::metrics::SourceLabel;
use crate::object::{AppliedEncryption, Stream};
use crate::planted_bugs::{PlantedPanic, panic_if_planted};
use crate::store::{Body, Put, Stored};
use crate::time::whole_millis;

impl SealedObject<'_> {
    /// Notes that the store has the object. `stored` is its answer to `put`.
    pub(in crate::delivery) async fn note_commit(&self, put: &Put, stored: &Stored) -> Result<(), Stopped> {
        let (deps, seal) = (self.shared.deps.clone(), self.seal.clone());
        let applied = stored.applied.clone();
        let calls = deps.log.pending_seal(seal.number).map_or(seal.frames, |pending| pending.frames());
        let len = match &put.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { len, .. } => *len,
        };
        // Counted on the thread that writes the note: this task may end before that thread returns.
        let commit = move || {
            panic_if_planted(PlantedPanic::ObjectCommit);
            deps.log.commit(&seal, applied.clone())?;
            deps.metrics.objects.inc();
            deps.metrics.object_bytes.inc_by(len);
            let delivered = match seal.batch.stream {
                Stream::Calls => Some(&deps.metrics.delivered),
                Stream::Objects(_) => Some(&deps.metrics.object_sets_delivered),
                Stream::Rejected | Stream::Dead(_) => None,
            };
            if let Some(delivered) = delivered {
                let source = seal.batch.source.to_string();
                delivered.get_or_create(&SourceLabel { source }).inc_by(calls);
            }
            Ok(())
        };
        noted(self.shared, Some(&self.seal.batch.source), commit).await?;
        self.shared.put_locations.slots(&self.seal.location).accepted.notify();
        let BatchKey { source, day, stream } = self.seal.batch.clone();
        let object = Delivered {
            delivered_at: self.shared.deps.clock.wall(),
            source,
            stream,
            day,
            bucket: self.seal.location.bucket.clone(),
            key: put.key.clone(),
            calls,
            bytes: len,
            encryption: stored.applied.clone(),
            first_received_at: self.seal.first_received_at,
            put_ms: self.put_took.map(whole_millis),
            reason: self.reason.map(|reason| reason.slug().to_owned()),
        };
        if let Some(list) = &self.shared.deps.list {
            list.add(object.clone());
        }
        self.shared.waiting_puts.stored(self.seal.number);
        self.shared.progress.delivered(object);
        self.taken(put, stored.applied.as_ref());
        self.shared.deps.alarms.clear(AlarmKind::Damage, &self.name());
        self.log_delivered(put, calls, len);
        Ok(())
    }

    /// Writes a line about the delivered object: one for each (decision 0168).
    fn log_delivered(&self, put: &Put, calls: u64, bytes: u64) {
        let seconds = self.shared.deps.clock.wall().since(self.seal.first_received_at).as_secs();
        tracing::info!(
            source = %self.seal.batch.source,
            calls,
            bytes,
            seconds,
            bucket = %put.location.bucket.bucket(),
            key = %put.key,
            "delivered"
        );
    }

    /// Records that puts of its source to the location of `put` no longer fail. `applied` is the encryption that
    /// the store reported.
    fn taken(&self, put: &Put, applied: Option<&AppliedEncryption>) {
        let (shared, to) = (self.shared, &put.location);
        let now = shared.deps.clock.monotonic();
        let failed_before = shared.failing.health().taken(&self.seal.batch.source, to, now);
        if shared.mismatches.compare(to, put.key.as_str(), applied, &shared.deps.alarms) {
            shared.forget_mismatches();
        }
        if failed_before {
            shared.kick.notify_one();
        }
    }
}
