//! What is known about the sizes of objects: learnt from encodings, and measured on pieces of batches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::sync::OwnedSemaphorePermit;

use super::estimate::{Estimate, ratio};
use crate::batch::BatchKey;
use crate::delivery::in_turn::Turns;
use crate::delivery::tasks_under_way::Claims;
use crate::lock::lock;
use crate::log::OpenBatch;
use crate::object::Stream;
use crate::object::gzip::Cost;
use crate::sources::SourceId;

/// The sizes of all batches.
#[derive(Debug)]
pub(in crate::delivery) struct Sizes {
    /// Maximum bytes of an object.
    max_bytes: u64,
    known: Mutex<Known>,
    /// Batches that are being measured.
    pub(in crate::delivery) measuring: Arc<Claims<BatchKey>>,
    turns: Turns,
    /// What measures, once something was measured. A new compressor costs as much as what it would measure.
    pub(in crate::delivery) cost: Arc<Mutex<Option<Cost>>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Line bytes per object byte of the last object of each source and stream.
    ratios: BTreeMap<(SourceId, Stream), f64>,
    estimates: BTreeMap<BatchKey, Estimate>,
}

impl Known {
    fn of(&self, batch: &OpenBatch) -> Estimate {
        let known = self.estimates.get(&batch.key).copied();
        let same = known.filter(|estimate| estimate.sealed_through == batch.sealed_through);
        same.unwrap_or(Estimate::unknown_after(batch.sealed_through))
    }
}

impl Sizes {
    pub(in crate::delivery) fn new(max_bytes: u64, turns: Turns, cost: Arc<Mutex<Option<Cost>>>) -> Self {
        Self { max_bytes, known: Mutex::default(), measuring: Claims::new(None), turns, cost }
    }

    /// Lines never grow by much when they are compressed, so a batch this small fills no object and needs no
    /// estimate.
    pub(in crate::delivery) fn is_small(&self, batch: &OpenBatch) -> bool {
        batch.bytes < self.max_bytes / 2
    }

    /// Bytes of the object that a batch would become; 0 if it is small.
    pub(in crate::delivery) fn object_bytes(&self, batch: &OpenBatch) -> u64 {
        if self.is_small(batch) { 0 } else { self.likely(batch) }
    }

    /// Bytes of the object that a batch of any size would become, for people.
    pub(in crate::delivery) fn likely(&self, batch: &OpenBatch) -> u64 {
        let known = lock(&self.known);
        let learnt = known.ratios.get(&(batch.key.source.clone(), batch.key.stream.clone())).copied();
        known.of(batch).object_bytes(batch.bytes, learnt)
    }

    /// What is known of a batch.
    pub(in crate::delivery) fn estimate(&self, batch: &OpenBatch) -> Estimate {
        lock(&self.known).of(batch)
    }

    /// Learns from an encoding how well a source's lines compress. Also keeps the figures as the batch's
    /// estimate, in case the encoding is not sealed.
    pub(in crate::delivery) fn learn(&self, batch: &OpenBatch, bytes: u64, object: u64) {
        let estimate = Estimate::encoded(batch.sealed_through, bytes, object);
        let mut known = lock(&self.known);
        known.ratios.insert((batch.key.source.clone(), batch.key.stream.clone()), ratio(bytes, object));
        known.estimates.insert(batch.key.clone(), estimate);
    }

    /// Records a measurement, unless more is known already: an encoding may have been faster.
    pub(in crate::delivery) fn note(&self, batch: BatchKey, estimate: Estimate) {
        let estimates = &mut lock(&self.known).estimates;
        if estimates.get(&batch).is_none_or(|known| !known.knows_more_than(&estimate)) {
            estimates.insert(batch, estimate);
        }
    }

    /// Forgets the batches that are no longer open. `open` is sorted by key.
    pub(in crate::delivery) fn forget_closed(&self, open: &[OpenBatch]) {
        let is_open = |key: &BatchKey| open.binary_search_by(|batch| batch.key.cmp(key)).is_ok();
        lock(&self.known).estimates.retain(|key, _| is_open(key));
    }

    /// Forgets how well the lines of these sources compress.
    pub(in crate::delivery) fn forget(&self, sources: &BTreeSet<SourceId>) {
        lock(&self.known).ratios.retain(|(source, _), _| !sources.contains(source));
    }

    /// Waits for its turn to measure. `None` never comes: the semaphore is never closed.
    pub(in crate::delivery) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.take().await
    }
}
