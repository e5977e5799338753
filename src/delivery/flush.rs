//! A flush: everything that is there now becomes due, and is waited for.

use std::sync::Arc;
use std::time::Duration;

use super::{Inner, lock};
use crate::batch::BatchKey;
use crate::sources::SourceId;

/// What a flush came to, in batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Batches that are sealed (delivered ones included).
    pub sealed: u64,
    /// Batches that are in the store.
    pub delivered: u64,
    /// Batches that are not.
    pub pending: u64,
}

/// How often a flush looks whether it is done, at most.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(super) async fn flush(inner: &Arc<Inner>, source: Option<&SourceId>, wait: Duration) -> Flushed {
    let outlet = &inner.parts.outlet;
    let wanted = |key: &BatchKey| source.is_none_or(|source| key.source == *source);
    let mut targets: Vec<(BatchKey, u64)> = outlet
        .open_batches()
        .into_iter()
        .filter(|batch| wanted(&batch.key))
        .map(|batch| (batch.key, batch.last))
        .collect();
    lock(&inner.asked).extend(targets.iter().cloned());
    for pending in outlet.pending_seals() {
        let seal = pending.seal;
        if wanted(&seal.batch) && !targets.iter().any(|(key, _)| *key == seal.batch) {
            targets.push((seal.batch, seal.last));
        }
    }
    inner.kick.notify_one();
    let deadline = tokio::time::Instant::now() + wait;
    loop {
        let flushed = look(inner, &targets);
        if flushed.pending == 0 || tokio::time::Instant::now() >= deadline || inner.stop.is_cancelled() {
            return flushed;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn look(inner: &Inner, targets: &[(BatchKey, u64)]) -> Flushed {
    let outlet = &inner.parts.outlet;
    let pending_seals = outlet.pending_seals();
    let mut flushed = Flushed::default();
    for (key, through) in targets {
        let sealed = outlet.open_batch(key).is_none_or(|batch| batch.first > *through);
        let put =
            !pending_seals.iter().any(|pending| pending.seal.batch == *key && pending.seal.first <= *through);
        flushed.sealed += u64::from(sealed);
        flushed.delivered += u64::from(sealed && put);
        flushed.pending += u64::from(!(sealed && put));
    }
    flushed
}
