//! Measures how well the lines of a batch compress, on threads that give way to those that answer.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::encode::LEVEL_UNDER_LOAD;
use super::estimate::{Estimate, Pieces, Sampled};
use super::give_way::GiveWay;
use super::scheduler::in_background;
use super::supervise::{UnderWay, Work};
use super::{Inner, lock};
use crate::batch::BatchKey;
use crate::object::gzip::Cost;
use crate::planted::{PlantedPanic, panic_if_planted};
use crate::spool::reader::{Go, Read};
use crate::spool::{OpenBatch, Outlet};
use crate::time::Clock;

impl Inner {
    /// Bytes of the object that a batch would become.
    pub(super) fn estimate(&self, batch: &OpenBatch) -> u64 {
        // Lines never grow by much: most batches need no estimate.
        if batch.bytes < self.settings.rule.max_bytes / 2 {
            return 0;
        }
        let learnt = lock(&self.ratios).get(&(batch.key.source.clone(), batch.key.stream)).copied();
        self.known_of(batch).object_bytes(batch.bytes, learnt)
    }

    fn known_of(&self, batch: &OpenBatch) -> Estimate {
        let known = lock(&self.estimates).get(&batch.key).copied();
        let same = known.filter(|estimate| estimate.sealed_through == batch.sealed_through);
        same.unwrap_or(Estimate::behind(batch.sealed_through))
    }

    /// Learns from an encoding how well a source's lines compress. What was not sealed of it is known of the batch, too.
    #[expect(clippy::cast_precision_loss, reason = "an estimate; the encoder measures")]
    pub(super) fn learn(&self, batch: &OpenBatch, bytes: u64, object: u64) {
        let ratio = bytes as f64 / object.max(1) as f64;
        lock(&self.ratios).insert((batch.key.source.clone(), batch.key.stream), ratio);
        let estimate = Estimate::encoded(batch.sealed_through, bytes, object);
        lock(&self.estimates).insert(batch.key.clone(), estimate);
    }

    /// Takes in what was measured, unless more is known already: an encoding may have been quicker.
    fn note_estimate(&self, batch: BatchKey, estimate: Estimate) {
        let mut estimates = lock(&self.estimates);
        let known = estimates.get(&batch);
        if known.is_none_or(|known| !known.knows_more_than(&estimate)) {
            estimates.insert(batch, estimate);
        }
    }

    /// Forgets batches that are not open any more. `open` is sorted by key.
    pub(super) fn forget_estimates(&self, open: &[OpenBatch]) {
        lock(&self.estimates).retain(|key, _| open.binary_search_by(|batch| batch.key.cmp(key)).is_ok());
    }
}

/// Begins to measure a batch where that is due and not under way.
pub(super) fn begin(inner: &Arc<Inner>, batch: &OpenBatch) {
    let max_bytes = inner.settings.rule.max_bytes;
    if batch.bytes < max_bytes / 2 {
        return;
    }
    let estimate = inner.known_of(batch);
    if !estimate.is_stale(batch.bytes, max_bytes) || lock(&inner.busy).contains(&batch.key) {
        return;
    }
    let Some(measuring) = Measuring::take(inner, &batch.key) else { return };
    let Some(under_way) = UnderWay::begin(inner, Work::Batch(batch.key.clone())) else { return };
    let pieces = estimate.pieces(batch.bytes, max_bytes);
    let (inner, batch) = (Arc::clone(inner), batch.clone());
    inner.tasks.spawn({
        let inner = Arc::clone(&inner);
        async move {
            let _held = (measuring, under_way);
            tokio::select! {
                biased;
                () = inner.stop.cancelled() => {}
                () = measure(&inner, batch, estimate, pieces) => {}
            }
        }
    });
}

async fn measure(inner: &Arc<Inner>, batch: OpenBatch, mut estimate: Estimate, pieces: Pieces) {
    let Ok(turn) = inner.measuring.acquire().await else { return };
    let work = {
        let (inner, batch) = (Arc::clone(inner), batch.clone());
        move || Ok(sample(&inner.parts.outlet, &*inner.parts.clock, &batch, &pieces))
    };
    // The spool has stopped.
    let Ok(sampled) = in_background(inner, work).await else { return };
    drop(turn);
    match sampled {
        Ok(sampled) => {
            estimate.measured(batch.bytes, sampled);
            tracing::debug!(batch = %batch.key, lines = batch.bytes, ?sampled, ?estimate, "measured");
            inner.note_estimate(batch.key, estimate);
            inner.kick.notify_one();
        }
        Err(error) => {
            tracing::debug!(%error, batch = %batch.key, "a batch could not be measured; it is tried again");
            tokio::time::sleep(inner.settings.backoff.wait(3, &*inner.parts.random)).await;
        }
    }
}

/// Compresses pieces of a batch.
fn sample(outlet: &Outlet, clock: &dyn Clock, batch: &OpenBatch, pieces: &Pieces) -> io::Result<Sampled> {
    panic_if_planted(PlantedPanic::Measure);
    let mut give_way = GiveWay::new(clock);
    let number = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut offsets = pieces.offsets.clone();
    if let Some(first) = offsets.first_mut() {
        *first -= pieces.before;
    }
    let mut lines: Vec<u8> = Vec::new();
    let mut wanted = number(pieces.before);
    for position in outlet.positions_at(batch, &offsets)? {
        wanted = wanted.max(lines.len()).saturating_add(number(pieces.len));
        let after = position.saturating_sub(1).max(batch.sealed_through);
        outlet.read(&batch.key, after, batch.last, &mut |read| {
            if let Read::Frame(frame) = read {
                lines.extend_from_slice(frame.payload);
                lines.push(b'\n');
            }
            Ok(if lines.len() < wanted { Go::On } else { Go::Stop })
        })?;
    }
    let (before, measured) = lines.split_at(number(pieces.before).min(lines.len()));
    let mut cost = Cost::new(LEVEL_UNDER_LOAD);
    let object = cost.of(before, measured, &mut |bytes| give_way.after(bytes));
    Ok(Sampled { lines: measured.len() as u64, object })
}

/// A batch that is being measured, until this is dropped.
struct Measuring {
    inner: Arc<Inner>,
    batch: BatchKey,
}

impl Measuring {
    fn take(inner: &Arc<Inner>, batch: &BatchKey) -> Option<Self> {
        let new = lock(&inner.measured_now).insert(batch.clone());
        new.then(|| Self { inner: Arc::clone(inner), batch: batch.clone() })
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        lock(&self.inner.measured_now).remove(&self.batch);
    }
}

/// What is known of batches that could fill an object.
pub(super) type Estimates = BTreeMap<BatchKey, Estimate>;
