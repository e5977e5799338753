//! What reads frames: batches that are to be sealed, and a second reader beside them.

use std::io;
use std::time::Duration;

use super::{SpoolLog, log_lost};
use crate::batch::BatchKey;
use crate::log::notes::{OpenFrames as _, seals};
use crate::log::{Batches, Follow, OpenBatch, Range, ReadThrough, Stopped, Visit};
use crate::spool::index::Batch;
use crate::spool::reading::{follow, reader, spread};
use crate::spool::shared::lock;

impl Batches for SpoolLog {
    fn behind(&self) -> Duration {
        Duration::ZERO
    }

    fn open_batch(&self, key: &BatchKey) -> Option<OpenBatch> {
        let index = lock(&self.shared.index);
        index.batches.get(key).filter(|batch| batch.open_frames > 0).map(|batch| open_batch_of(key, batch))
    }

    fn end_of_oldest(&self, batch: &BatchKey, after: u64) -> Option<u64> {
        let index = lock(&self.shared.index);
        let stretches = &index.batches.get(batch)?.stretches;
        stretches.iter().map(|stretch| stretch.last).find(|last| *last > after)
    }

    fn give_up(&self, batch: &OpenBatch, lost: &[Range]) -> Result<(), Stopped> {
        self.note_lost(lost)?;
        let through = lost.iter().map(|range| range.last).max().unwrap_or(0).max(batch.sealed_through);
        let mut index = lock(&self.shared.index);
        index.give_up(&batch.key, through);
        let lost = index.settle(&batch.key);
        drop(index);
        log_lost(&batch.key, lost);
        self.shared.wake_housekeeper();
        Ok(())
    }

    fn read(&self, key: &BatchKey, after: u64, through: u64, visit: &mut Visit<'_>) -> io::Result<()> {
        reader::read(&self.shared, key, after, through, visit)
    }

    fn recount(&self, batch: &OpenBatch, bytes: u64) {
        lock(&self.shared.index).recount(&batch.key, batch.last, bytes);
    }

    fn note_lost(&self, lost: &[Range]) -> Result<(), Stopped> {
        seals::note_lost(&*self.shared, lost, |note| {
            tracing::error!(?note, "the spool is damaged: these positions can no longer be read");
        })
    }

    fn positions_at(&self, batch: &OpenBatch, offsets: &[u64]) -> io::Result<Vec<u64>> {
        spread::positions_at(&self.shared, batch, offsets)
    }
}

impl Follow for SpoolLog {
    fn durable_through(&self) -> u64 {
        lock(&self.shared.index).durable_through
    }

    fn hold_after(&self, position: Option<u64>) {
        let mut index = lock(&self.shared.index);
        let fewer = position.unwrap_or(u64::MAX) > index.held_after.unwrap_or(u64::MAX);
        index.held_after = position;
        drop(index);
        let set_aside = usize::from(position.is_some());
        let is_other = std::mem::replace(&mut lock(&self.shared.next).set_aside, set_aside) != set_aside;
        if fewer || is_other {
            self.shared.wake_housekeeper();
        }
    }

    fn held_bytes(&self) -> u64 {
        lock(&self.shared.index).held_bytes()
    }

    fn held_end(&self, bytes: u64) -> u64 {
        lock(&self.shared.index).held_end(bytes)
    }

    fn follow(&self, read_through: &mut ReadThrough, visit: &mut Visit<'_>) -> io::Result<()> {
        follow::follow(&self.shared, read_through, visit)
    }
}

pub(super) fn open_batch_of(key: &BatchKey, batch: &Batch) -> OpenBatch {
    OpenBatch {
        key: key.clone(),
        frames: batch.open_frames,
        bytes: batch.open_bytes,
        first_received_at: batch.first_received_at,
        sealed_through: batch.sealed_through,
        first: batch.first_open,
        last: batch.last(),
        generation: batch.generation,
    }
}
