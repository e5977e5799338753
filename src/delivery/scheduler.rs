//! Looks at the batches and starts a task for each that is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::encode::{self, Job, LEVEL_AT_LEISURE, LEVEL_UNDER_LOAD};
use super::settings::LOOK_EVERY;
use super::staging::Staged;
use super::{Inner, lock, upload};
use crate::batch::{BatchKey, Reason};
use crate::object::{Destination, ObjectKey, ObjectName};
use crate::spool::note::Seal;
use crate::spool::outlet::OPEN_BATCHES_MAX;
use crate::spool::{OpenBatch, Stopped};

/// Line bytes per object byte before a source's first object: more than real lines give, so that the first object is cut
/// at its size rather than encoded twice.
const RATIO_AT_FIRST: f64 = 12.0;
/// Deadlines by batch: the generation they were computed for, and the monotonic instant.
type Deadlines = BTreeMap<BatchKey, (u64, Duration)>;

pub(super) async fn run(inner: Arc<Inner>) {
    let mut deadlines = Deadlines::new();
    let mut stopped = inner.parts.outlet.stopped();
    loop {
        look(&inner, &mut deadlines);
        inner.refresh_gauges();
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = inner.kick.notified() => {}
            () = inner.stop.cancelled() => return,
            gone = stopped.wait_for(Option::is_some) => {
                // The spool has stopped: no seal could be written, so nothing more may be put.
                drop(gone);
                inner.stop.cancel();
                return;
            }
        }
    }
}

/// Starts a task for each batch that is due and has none.
fn look(inner: &Arc<Inner>, deadlines: &mut Deadlines) {
    let open = inner.parts.outlet.open_batches();
    let pressed = pressed(inner, &open);
    let find =
        |key: &BatchKey| open.binary_search_by(|batch| batch.key.cmp(key)).ok().and_then(|at| open.get(at));
    deadlines.retain(|key, _| find(key).is_some());
    lock(&inner.asked).retain(|key, through| find(key).is_some_and(|batch| batch.first <= *through));
    for batch in open {
        if lock(&inner.busy).contains(&batch.key) {
            continue;
        }
        let reason = reason(inner, &batch, deadlines)
            .or_else(|| pressed.binary_search(&batch.key).ok().map(|_| Reason::Pressure));
        if let Some(reason) = reason {
            lock(&inner.busy).insert(batch.key.clone());
            let inner_of_task = Arc::clone(inner);
            inner.tasks.spawn(async move { deliver(inner_of_task, batch, reason).await });
        }
    }
}

/// The batches that are due for want of space or because too many are open, sorted.
fn pressed(inner: &Inner, open: &[OpenBatch]) -> Vec<BatchKey> {
    let mut pressed = inner.parts.outlet.under_pressure();
    if open.len() > OPEN_BATCHES_MAX {
        let mut by_last: Vec<&OpenBatch> = open.iter().collect();
        by_last.sort_by_key(|batch| batch.last);
        pressed.extend(by_last.iter().take(open.len() - OPEN_BATCHES_MAX).map(|batch| batch.key.clone()));
    }
    pressed.sort();
    pressed
}

fn reason(inner: &Inner, batch: &OpenBatch, deadlines: &mut Deadlines) -> Option<Reason> {
    if inner.shutting_down.load(Ordering::Acquire) {
        return Some(Reason::Shutdown);
    }
    if lock(&inner.asked).get(&batch.key).is_some_and(|through| batch.first <= *through) {
        return Some(Reason::Asked);
    }
    let elsewhere = inner.parts.outlet.destination(&batch.key.source, batch.first);
    if elsewhere.is_some_and(|(_, until)| until.is_some()) || lock(&inner.removed).contains(&batch.key.source)
    {
        return Some(Reason::Retargeted);
    }
    let (wall, monotonic) = (inner.parts.clock.wall(), inner.parts.clock.monotonic());
    let rule = inner.settings.rule;
    let known = deadlines.get(&batch.key).filter(|(generation, _)| *generation == batch.generation);
    let deadline = match known {
        Some((_, deadline)) => *deadline,
        None => {
            let deadline = rule.deadline(batch.first_received_at, wall, monotonic);
            deadlines.insert(batch.key.clone(), (batch.generation, deadline));
            deadline
        }
    };
    rule.decide(batch.key.day, deadline, estimate(inner, batch), wall, monotonic)
}

/// Bytes of the object that a batch would become.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate; the encoder measures"
)]
fn estimate(inner: &Inner, batch: &OpenBatch) -> u64 {
    let ratio = lock(&inner.ratios).get(&batch.key.source).copied().unwrap_or(RATIO_AT_FIRST);
    (batch.bytes as f64 / ratio) as u64
}

/// Learns from an object how well a source's lines compress.
#[expect(clippy::cast_precision_loss, reason = "an estimate; the encoder measures")]
fn learn(inner: &Inner, batch: &OpenBatch, bytes: u64, object: u64) {
    let ratio = bytes as f64 / object.max(1) as f64;
    lock(&inner.ratios).insert(batch.key.source.clone(), ratio);
}

/// Encodes, seals and uploads one object of a due batch.
async fn deliver(inner: Arc<Inner>, batch: OpenBatch, reason: Reason) {
    let key = batch.key.clone();
    let outcome = tokio::select! {
        outcome = one_object(&inner, &batch, reason) => outcome,
        () = inner.stop.cancelled() => Ok(()),
    };
    lock(&inner.busy).remove(&key);
    inner.kick.notify_one();
    if outcome.is_err() {
        tracing::debug!(batch = %key, "delivery ends: the spool has stopped");
    }
}

async fn one_object(inner: &Arc<Inner>, batch: &OpenBatch, reason: Reason) -> Result<(), Stopped> {
    let place = blocking(inner, {
        let (inner, batch) = (Arc::clone(inner), batch.clone());
        move || Ok(destination_of(&inner, &batch))
    })
    .await?;
    let Some((destination, until)) = place else {
        tokio::time::sleep(inner.settings.backoff.wait(3, &*inner.parts.random)).await;
        return Ok(());
    };
    let slots = inner.slots(&destination);
    let Ok(sealed_slot) = Arc::clone(&slots.sealed).acquire_owned().await else { return Ok(()) };
    let Ok(encoder) = inner.encoders.acquire().await else { return Ok(()) };
    let job = Job {
        key: batch.key.clone(),
        after: batch.sealed_through,
        through: until.map_or(u64::MAX, |until| until - 1),
        max_bytes: inner.settings.rule.max_bytes,
        level: match reason {
            Reason::Size | Reason::Pressure => LEVEL_UNDER_LOAD,
            _ => LEVEL_AT_LEISURE,
        },
    };
    let sealed = blocking(inner, {
        let (inner, batch) = (Arc::clone(inner), batch.clone());
        move || encode_and_seal(&inner, &batch, &job, destination, reason)
    })
    .await?;
    drop(encoder);
    match sealed {
        Encoding::Sealed(sealed) => {
            let (seal, staged) = *sealed;
            upload::deliver(inner, seal, Some(staged), Some(sealed_slot)).await
        }
        Encoding::FillsOn => Ok(()),
        Encoding::Failed => {
            tokio::time::sleep(inner.settings.backoff.wait(3, &*inner.parts.random)).await;
            Ok(())
        }
    }
}

/// Where the first frame that is not sealed goes, and the first position that goes elsewhere.
fn destination_of(inner: &Inner, batch: &OpenBatch) -> Option<(Destination, Option<u64>)> {
    let (outlet, source) = (&inner.parts.outlet, &batch.key.source);
    let why = match outlet.first_open(batch) {
        Ok(Some(first)) => match outlet.destination(source, first) {
            Some(place) => return Some(place),
            None => "no destination is noted for this source; configure it again to deliver what it has"
                .to_owned(),
        },
        Ok(None) => "none of its frames can be read; `forebay spool verify` tells more".to_owned(),
        Err(error) => format!("read the spool: {error}"),
    };
    tracing::error!(batch = %batch.key, "waiting to deliver: {why}");
    inner.progress.waiting(source, why);
    None
}

/// Runs work that waits for the disk off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce() -> Result<T, Stopped> + Send + 'static,
) -> Result<T, Stopped> {
    // Tracked, so that a shutdown waits for what is being written even when the task that asked for it is gone.
    let handle = inner.tasks.spawn_blocking(work);
    handle.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a delivery step panicked; this is a bug in Forebay");
        Err(Stopped)
    })
}

/// What came of an encoding.
enum Encoding {
    /// An object, sealed.
    Sealed(Box<(Seal, Staged)>),
    /// Size alone made the batch due, and it is not full yet (or has nothing).
    FillsOn,
    /// It could not be staged; nothing is sealed, so nothing is at stake.
    Failed,
}

fn encode_and_seal(
    inner: &Inner,
    batch: &OpenBatch,
    job: &Job,
    destination: Destination,
    reason: Reason,
) -> Result<Encoding, Stopped> {
    let outlet = &inner.parts.outlet;
    let object = match encode::encode(outlet, &inner.staging, job) {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(Encoding::FillsOn),
        Err(error) => {
            tracing::warn!(%error, batch = %job.key, "an object could not be staged; it is tried again");
            inner.progress.waiting(&batch.key.source, format!("stage an object: {error}"));
            return Ok(Encoding::Failed);
        }
    };
    let encoded = &object.encoded;
    learn(inner, batch, encoded.bytes, object.staged.len);
    let whole = encoded.next_received_at.is_none() && job.through == u64::MAX;
    if reason == Reason::Size && whole && !inner.settings.rule.is_full(object.staged.len) {
        return Ok(Encoding::FillsOn);
    }
    outlet.note_lost(&object.lost)?;
    let object_key = ObjectKey::of_batch(
        &destination.bucket,
        job.key.stream,
        &job.key.source,
        job.key.day,
        ObjectName {
            first_received_at: encoded.named_at,
            node: &outlet.node(),
            spool_id: &outlet.spool_id(),
            first_position: encoded.first,
        },
    );
    let seal = outlet.seal(&job.key, encoded, destination, object_key)?;
    tracing::debug!(seal = seal.number, batch = %job.key, ?reason, calls = seal.frames, "sealed");
    Ok(Encoding::Sealed(Box::new((seal, object.staged))))
}
