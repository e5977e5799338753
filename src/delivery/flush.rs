//! A flush makes everything that is in the spool now due, and waits until it is delivered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::shared::Shared;
use crate::batch::BatchKey;
use crate::sources::SourceId;

/// The outcome of a flush, in batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Batches that are sealed (delivered ones included).
    pub sealed: u64,
    /// Batches that are in the store.
    pub delivered: u64,
    /// Batches that are not in the store.
    pub pending: u64,
}

impl Flushed {
    /// The outcome of flushes of several logs.
    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), |sum, one| Self {
            sealed: sum.sealed.saturating_add(one.sealed),
            delivered: sum.delivered.saturating_add(one.delivered),
            pending: sum.pending.saturating_add(one.pending),
        })
    }
}

/// Minimum time between two checks whether a flush is done.
const CHECK_EVERY: Duration = Duration::from_millis(20);
/// A check is late by at most this part of the flush, and by at most [`LATE_MAX`].
const LATE_BY: u32 = 10;
/// The longest time between two checks, unless there are many batches.
const LATE_MAX: Duration = Duration::from_millis(250);
/// How long to rest after a check, for each batch checked.
const REST_PER_BATCH: Duration = Duration::from_micros(50);

pub(super) async fn flush(shared: &Arc<Shared>, source: Option<&SourceId>, wait: Duration) -> Flushed {
    let log = &shared.deps.log;
    let wanted = |key: &BatchKey| source.is_none_or(|source| key.source == *source);
    // The last position of each batch.
    let mut targets: BTreeMap<BatchKey, u64> = log
        .open_batches()
        .into_iter()
        .filter(|batch| wanted(&batch.key))
        .map(|batch| (batch.key, batch.last))
        .collect();
    shared.requests.ask(targets.clone());
    for pending in log.pending_seals() {
        let seal = pending.seal;
        if wanted(&seal.batch) {
            let last = targets.entry(seal.batch).or_default();
            *last = seal.last.max(*last);
        }
    }
    shared.kick.notify_one();
    // Someone who asks has often just fixed what failed.
    shared.put_locations.retry_all();
    let rest = REST_PER_BATCH.saturating_mul(u32::try_from(targets.len()).unwrap_or(u32::MAX));
    let began = tokio::time::Instant::now();
    loop {
        let flushed = look(shared, &targets);
        let waited = began.elapsed();
        if flushed.pending == 0 || waited >= wait || shared.stop.is_cancelled() {
            return flushed;
        }
        let late = (waited / LATE_BY).min(LATE_MAX);
        tokio::time::sleep(CHECK_EVERY.max(rest).max(late)).await;
    }
}

fn look(shared: &Shared, targets: &BTreeMap<BatchKey, u64>) -> Flushed {
    let log = &shared.deps.log;
    // Read before the seals: if a batch is sealed here, its seal is among those read below, or its object is
    // in the store.
    let sealed: Vec<bool> = targets
        .iter()
        .map(|(key, through)| log.open_batch(key).is_none_or(|batch| batch.first > *through))
        .collect();
    // The first position of each batch's oldest object that is not in the store.
    let mut unput: BTreeMap<BatchKey, u64> = BTreeMap::new();
    for pending in log.pending_seals() {
        let first = unput.entry(pending.seal.batch).or_insert(pending.seal.first);
        *first = pending.seal.first.min(*first);
    }
    let mut flushed = Flushed::default();
    for ((key, through), sealed) in targets.iter().zip(sealed) {
        let put = unput.get(key).is_none_or(|first| first > through);
        flushed.sealed += u64::from(sealed);
        flushed.delivered += u64::from(sealed && put);
        flushed.pending += u64::from(!(sealed && put));
    }
    flushed
}
