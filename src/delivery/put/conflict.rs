//! Conflicts: another object has the key of a sealed object.

use super::sealed_object::SealedObject;
use crate::alarms::AlarmKind;
use crate::delivery::blocking::blocking;
use crate::delivery::failures::damage::clear_amended;
use crate::delivery::shared::Shared;
use crate::log::{PendingSeal, Stopped};

impl SealedObject<'_> {
    /// Notes that every line of the object was stored before some of them were damaged in the spool.
    pub(in crate::delivery) async fn restored(&self) -> Result<(), Stopped> {
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
    pub(in crate::delivery) async fn conflict(&self) -> Result<(), Stopped> {
        let (deps, seal) = (self.shared.deps.clone(), self.seal.clone());
        blocking(self.shared, move || deps.log.conflict(&seal)).await?;
        if let Some(pending) = self.shared.deps.log.pending_seal(self.seal.number) {
            raise_conflict(self.shared, &pending);
        }
        Ok(())
    }
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
        "seal {}: {why} {} in {}; nothing more is put for this source until a person decides with `forebay spool \
         resolve`",
        seal.number,
        seal.object_key,
        seal.location.bucket.bucket()
    );
    shared.waits(&seal.batch.source, what.clone());
    shared.waiting_puts.held(seal.number, &what, shared.deps.clock.wall());
    shared.deps.alarms.raise(AlarmKind::Conflict, seal.batch.source.as_str(), what);
}
