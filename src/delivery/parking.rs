//! Objects whose destination cannot be reached for long leave the spool's segments: they are parked in files of their own.

use std::time::Duration;

use super::Inner;
use super::encode::{self, Made, Object};
use super::scheduler::blocking;
use super::staging::Staged;
use super::upload::{Source, Upload};
use crate::planted::{PlantedBug, planted};
use crate::spool::Stopped;
use crate::spool::note::{Amend, Parked, PendingSeal};

/// How often a waiting object looks whether it should be parked, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long an object may be on its way under pressure before it is parked, where no put has failed.
const PATIENCE_UNDER_PRESSURE: Duration = Duration::from_secs(10);

impl Upload<'_> {
    /// How long to wait before the next look.
    pub(super) fn park_look(&self) -> Duration {
        LOOK_EVERY.min(self.inner.settings.park_after).max(Duration::from_millis(10))
    }

    /// Parks the object if it has waited for long, or if the space is needed.
    pub(super) async fn park_if_due(&mut self) -> Result<(), Stopped> {
        let outlet = &self.inner.parts.outlet;
        if matches!(self.source, Some(Source::Parked(_))) || !self.is_to_be_parked() {
            return Ok(());
        }
        if self.source.is_none() {
            // Sealed by an earlier process, and not put since: it holds its frames all the same.
            let Some(pending) = outlet.pending_seal(self.seal.number) else { return Ok(()) };
            self.source = match pending.parked {
                Some(parked) => Some(Source::Parked(parked)),
                None => self.make_again(pending).await?.map(Source::Staged),
            };
        }
        if matches!(self.source, Some(Source::Staged(_))) { self.park().await } else { Ok(()) }
    }

    /// Whether the object has waited for so long that it is parked.
    ///
    /// Under pressure one whose puts fail is parked at once. One that may be on its way is not: it would take twice its bytes, and
    /// be in the store a moment later.
    fn is_to_be_parked(&self) -> bool {
        let waited = self.inner.parts.clock.monotonic().saturating_sub(self.since);
        let patience = if self.inner.parts.outlet.is_under_pressure() {
            PATIENCE_UNDER_PRESSURE.min(self.inner.settings.park_after)
        } else {
            self.inner.settings.park_after
        };
        let source = &self.seal.batch.source;
        waited >= patience
            || self.inner.must_leave(
                source,
                &self.inner.reach_of(&self.seal),
                &self.inner.slots(&self.seal.destination),
                waited,
            )
    }

    async fn park(&mut self) -> Result<(), Stopped> {
        let Some(Source::Staged(staged)) = self.source.take() else { return Ok(()) };
        let parked = Parked { len: staged.len, crc32: staged.crc32 };
        let (parts, seal) = (self.inner.parts.clone(), self.seal.clone());
        let (fitted, staged) = blocking(self.inner, move || {
            let fitted = parts.outlet.park(&seal, &mut staged.reader(), parked)?;
            Ok((fitted, staged))
        })
        .await?;
        if !fitted {
            self.source = Some(Source::Staged(staged));
            return Ok(());
        }
        if let Some(line) = self.inner.happened("park", self.seal.destination.bucket.bucket()) {
            tracing::warn!(
                objects = line.times,
                others = line.others,
                source = %self.seal.batch.source,
                bytes = parked.len,
                "parked: its destination does not take it"
            );
        }
        self.source = Some(Source::Parked(parked));
        // A put that is under way may still read it.
        self.replaced = Some(staged);
        // The frames are released: the batch may go on beside this object.
        self.hold = None;
        Ok(())
    }

    /// Makes the object again from the spool, after a restart or where the store received other bytes.
    pub(super) async fn make_again(&self, pending: PendingSeal) -> Result<Option<Staged>, Stopped> {
        let inner = std::sync::Arc::clone(self.inner);
        let Ok(_encoder) = self.inner.encoders.acquire().await else { return Ok(None) };
        blocking(self.inner, move || make_again(&inner, &pending)).await
    }
}

/// Makes a sealed object again. Where its content is no longer what was sealed, what is left is noted before it is put.
/// Where nothing is left it has no lines: the chain of the batch's objects stays whole.
fn make_again(inner: &Inner, pending: &PendingSeal) -> Result<Option<Staged>, Stopped> {
    let seal = &pending.seal;
    let outlet = &inner.parts.outlet;
    let made =
        encode::encode_again(outlet, &inner.staging, &*inner.parts.clock, seal).and_then(|made| match made {
            Made::Object(object) => Ok(*object),
            Made::Nothing { mut lost } => {
                // A segment that is gone names no positions.
                if lost.is_empty() {
                    lost = outlet.lost_of(seal);
                }
                encode::nothing_of(&inner.staging, seal, lost)
            }
        });
    let Object { encoded, staged, lost } = match made {
        Ok(object) => object,
        Err(error) => {
            let why = format!("make object {} again: {error}", seal.object_key);
            if let Some(line) = inner.happened("make again", seal.batch.source.as_str()) {
                tracing::warn!(times = line.times, others = line.others, "{why}");
            }
            inner.progress.waiting(&seal.batch.source, why);
            return Ok(None);
        }
    };
    let expected = pending.amended.as_ref().map_or(&seal.sha256, |amend| &amend.sha256);
    if encoded.sha256 != *expected && !planted(PlantedBug::NewRangeOnRetry) {
        tracing::error!(
            seal = seal.number,
            left = encoded.frames,
            of = seal.frames,
            ?lost,
            "a sealed range was damaged before its object was known to be stored; what is left is delivered"
        );
        let crate::spool::Encoded { frames, bytes, sha256, hours, .. } = encoded;
        let amend = Amend { frames, bytes, sha256, lost, hours };
        outlet.amend(seal, amend)?;
    }
    Ok(Some(staged))
}
