//! Measures how well the lines of a batch compress, on low-priority threads.

use std::io;
use std::sync::{Arc, Mutex};

use super::estimate::{Estimate, Pieces, Sampled};
use crate::delivery::blocking::in_background;
use crate::delivery::make::encode::LEVEL_UNDER_LOAD;
use crate::delivery::shared::Shared;
use crate::delivery::tasks_under_way::Work;
use crate::give_way::GiveWay;
use crate::lock::lock;
use crate::log::{Batches, Go, OpenBatch, Read, Stopped};
use crate::object::gzip::Cost;
use crate::planted_bugs::{PlantedPanic, panic_if_planted};
use crate::time::Clock;

/// Starts to measure a batch, if that is due and not under way.
pub(in crate::delivery) fn begin(shared: &Arc<Shared>, batch: &OpenBatch) {
    let max_bytes = shared.settings.rule.max_bytes;
    if shared.sizes.is_small(batch) {
        return;
    }
    let estimate = shared.sizes.estimate(batch);
    if !estimate.is_stale(batch.bytes, max_bytes) || shared.busy.contains(&batch.key) {
        return;
    }
    let Some(measuring) = shared.sizes.measuring.take(&batch.key) else { return };
    let pieces = estimate.pieces(batch.bytes, max_bytes);
    let (shared_of_task, batch) = (Arc::clone(shared), batch.clone());
    shared.tasks.spawn(async move {
        let (shared, _measuring) = (shared_of_task, measuring);
        shared.run(Work::Batch(batch.key.clone()), measure(&shared, batch, estimate, pieces)).await;
    });
}

async fn measure(
    shared: &Arc<Shared>,
    batch: OpenBatch,
    mut estimate: Estimate,
    pieces: Pieces,
) -> Result<(), Stopped> {
    let Some(turn) = shared.sizes.turn().await else { return Ok(()) };
    let work = {
        let (shared, batch) = (Arc::clone(shared), batch.clone());
        move || {
            // Its thread goes on if the log ends meanwhile, so the thread gives the turn back.
            let _turn = turn;
            Ok(sample(&*shared.deps.log, &*shared.deps.clock, &batch, &pieces, &shared.sizes.cost))
        }
    };
    let sampled = in_background(shared, work).await?;
    match sampled {
        Ok(sampled) => {
            estimate.measured(batch.bytes, sampled);
            tracing::debug!(batch = %batch.key, lines = batch.bytes, ?sampled, ?estimate, "measured");
            shared.sizes.note(batch.key, estimate);
            shared.kick.notify_one();
        }
        Err(error) => {
            tracing::debug!(%error, batch = %batch.key, "a batch could not be measured; it is retried");
            tokio::time::sleep(shared.settings.backoff.wait(3, &*shared.deps.random)).await;
        }
    }
    Ok(())
}

/// A piece ends with a line. Few lines are longer.
const LINE_BYTES: u64 = 4 * 1_024;

/// Compresses pieces of a batch.
fn sample(
    log: &dyn Batches,
    clock: &dyn Clock,
    batch: &OpenBatch,
    pieces: &Pieces,
    cost: &Mutex<Option<Cost>>,
) -> io::Result<Sampled> {
    panic_if_planted(PlantedPanic::Measure);
    let mut give_way = GiveWay::new(clock);
    let number = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut offsets = pieces.offsets.clone();
    if let Some(first) = offsets.first_mut() {
        *first -= pieces.before;
    }
    // With room for all of them: growing by doubling would take as much memory again, once for each doubling.
    let longest = pieces.len.saturating_add(LINE_BYTES).saturating_mul(pieces.offsets.len() as u64);
    let mut lines: Vec<u8> = Vec::with_capacity(number(pieces.before.saturating_add(longest)));
    let mut wanted = number(pieces.before);
    for position in log.positions_at(batch, &offsets)? {
        wanted = wanted.max(lines.len()).saturating_add(number(pieces.len));
        let after = position.saturating_sub(1).max(batch.sealed_through);
        log.read(&batch.key, after, batch.last, &mut |read| {
            if let Read::Frame(frame) = read {
                lines.extend_from_slice(frame.payload);
                lines.push(b'\n');
            }
            Ok(if lines.len() < wanted { Go::On } else { Go::Stop })
        })?;
    }
    let (before, measured) = lines.split_at(number(pieces.before).min(lines.len()));
    let object =
        lock(cost)
            .get_or_insert_with(|| Cost::new(LEVEL_UNDER_LOAD))
            .of(before, measured, &mut |bytes| give_way.after(bytes));
    Ok(Sampled { lines: measured.len() as u64, object })
}
