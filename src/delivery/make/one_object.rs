//! Makes one object of a due batch: finds where it goes, encodes it, seals it, and starts its delivery.

use std::io;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::encode::{self, Job, LEVEL_AT_LEISURE, LEVEL_UNDER_LOAD, Made};
use super::staging::Staged;
use crate::batch::Reason;
use crate::delivery::blocking::{NO_SPACE_FOR_NOTE, blocking, in_background};
use crate::delivery::failures::damage::raise_lost;
use crate::delivery::put::put_object;
use crate::delivery::shared::Shared;
use crate::delivery::tasks_under_way::Work;
use crate::disk::is_no_space;
use crate::log::{FirstOpen, OpenBatch, Seal, Stopped};
use crate::object::{ObjectKey, ObjectName, S3Location};
use crate::planted_bugs::{PlantedBug, PlantedPanic, panic_if_planted, planted};

/// An object may always have this many bytes, however little space is left.
const OBJECT_BYTES_MIN: u64 = 64 * 1_024;
/// A batch that cannot be sealed for now waits as after this many tries of the backoff: about a second.
const WAIT_AS_AFTER_TRIES: u32 = 3;

/// Starts a task for a due batch, unless it has one.
pub(in crate::delivery) fn begin(shared: &Arc<Shared>, batch: OpenBatch, reason: Reason) {
    let Some(busy) = shared.busy.take(&batch.key) else { return };
    // Judged on a list of batches that was read before the claim. If another task sealed an object of the
    // batch meanwhile, the end of the claim wakes the scheduler, which judges what is left.
    let open = shared.deps.log.open_batch(&batch.key);
    if open.is_none_or(|open| open.sealed_through != batch.sealed_through) {
        return;
    }
    let shared_of_task = Arc::clone(shared);
    shared.tasks.spawn(async move {
        let shared = shared_of_task;
        let making = one_object(&shared, &batch, reason);
        let Some(Some((seal, staged, slot))) = shared.run(Work::Batch(batch.key.clone()), making).await
        else {
            return;
        };
        shared.progress.cut(reason);
        // Held until the object is delivered. No resumed task can hold it already, because that task would
        // need the batch.
        let Some(_taken) = shared.delivering.take(&seal.number) else { return };
        let (work, hold) = (Work::Seal(seal.number), Some((busy, slot)));
        shared.run(work, put_object::deliver(&shared, seal, Some(staged), hold, Some(reason))).await;
    });
}

/// Makes one object of a batch, notes its seal and takes its place at its bucket. `None` if there is none for
/// now.
async fn one_object(
    shared: &Arc<Shared>,
    batch: &OpenBatch,
    reason: Reason,
) -> Result<Option<(Seal, Staged, OwnedSemaphorePermit)>, Stopped> {
    panic_if_planted(PlantedPanic::Delivery);
    let Some(look_up) = shared.look_ups.take().await else { return Ok(None) };
    let goes_to = blocking(shared, {
        let (shared, batch) = (Arc::clone(shared), batch.clone());
        move || {
            let _look_up = look_up;
            goes_to(&shared, &batch)
        }
    })
    .await?;
    let (location, until) = match goes_to {
        GoesTo::At(location, until) => (location, until),
        GoesTo::Nothing => return Ok(None),
        GoesTo::NotYet => {
            pause(shared).await;
            return Ok(None);
        }
    };
    let slots = shared.put_locations.slots(&location);
    let Some(slot) = slots.sealed.take().await else { return Ok(None) };
    // Boxed: it takes kilobytes, and thousands of batches may wait for a slot at once.
    let sealed = Box::pin(object_at(shared, batch, reason, (location, until))).await?;
    Ok(sealed.map(|(seal, staged)| (seal, staged, slot)))
}

/// Makes one object of the frames that go to one bucket, up to the first position that goes elsewhere.
async fn object_at(
    shared: &Arc<Shared>,
    batch: &OpenBatch,
    reason: Reason,
    (location, until): (Box<S3Location>, Option<u64>),
) -> Result<Option<(Seal, Staged)>, Stopped> {
    let Some(encoder) = shared.encoders.take().await else { return Ok(None) };
    let job = job_of(shared, batch, reason, until);
    let made = in_background(shared, {
        let (shared, job) = (Arc::clone(shared), job.clone());
        move || {
            // Its thread goes on if the log ends meanwhile, so the thread gives the encoder back.
            let _encoder = encoder;
            Ok(encode_job(&shared, &job))
        }
    })
    .await?;
    let sealed = blocking(shared, {
        let (shared, batch) = (Arc::clone(shared), batch.clone());
        move || seal_made(&shared, &batch, &job, made, *location, reason)
    });
    let sealed = match sealed.await {
        Err(Stopped) if !shared.deps.log.is_stopped() => {
            shared.waits(&batch.key.source, NO_SPACE_FOR_NOTE.to_owned());
            Encoding::Failed
        }
        sealed => sealed?,
    };
    match sealed {
        Encoding::Sealed(sealed) => Ok(Some(*sealed)),
        Encoding::FillsOn => Ok(None),
        Encoding::Failed => {
            pause(shared).await;
            Ok(None)
        }
    }
}

/// Keeps the batch's task for a moment, so that the next check does not start another one.
async fn pause(shared: &Shared) {
    tokio::time::sleep(shared.settings.backoff.wait(WAIT_AS_AFTER_TRIES, &*shared.deps.random)).await;
}

/// Where the first unsealed frame of a batch goes.
enum GoesTo {
    /// To this bucket, as do those up to the first position that goes elsewhere.
    At(Box<S3Location>, Option<u64>),
    /// There is no such frame: none of them can be read, which is noted.
    Nothing,
    /// Not known for now. Or the batch's previous object must be delivered first: it is neither stored nor
    /// parked, because its task died.
    NotYet,
}

fn goes_to(shared: &Shared, batch: &OpenBatch) -> Result<GoesTo, Stopped> {
    let (log, source) = (&shared.deps.log, &batch.key.source);
    if log.has_unparked_seal(&batch.key) {
        return Ok(GoesTo::NotYet);
    }
    let why = match log.first_open(batch) {
        Ok(FirstOpen::At(first)) => match log.location(source, first) {
            Some((location, until)) => return Ok(GoesTo::At(Box::new(location), until)),
            None => "no bucket is recorded for this source; configure the source again to deliver its calls"
                .to_owned(),
        },
        Ok(FirstOpen::Nothing { lost }) => {
            // The segments of lost frames can go to quarantine, so that no other batch waits for them.
            log.give_up(batch, &lost)?;
            raise_lost(&shared.deps.alarms, &lost);
            return Ok(GoesTo::Nothing);
        }
        Err(error) => format!("read the spool: {error}"),
    };
    if let Some(line) = shared.repeated.happened("find the place", source.as_str()) {
        tracing::error!(batch = %batch.key, times = line.times, others = line.others, "waiting to deliver: {why}");
    }
    shared.waits(source, why);
    Ok(GoesTo::NotYet)
}

/// What to encode of a batch, up to the first position that goes elsewhere.
fn job_of(shared: &Shared, batch: &OpenBatch, reason: Reason, until: Option<u64>) -> Job {
    let (log, rule) = (&shared.deps.log, &shared.settings.rule);
    let end_of_segment = match reason {
        Reason::Pressure if log.is_tight() => log.end_of_oldest(&batch.key, batch.sealed_through),
        _ => None,
    };
    Job {
        key: batch.key.clone(),
        after: batch.sealed_through,
        through: until.map_or(u64::MAX, |until| until - 1).min(end_of_segment.unwrap_or(u64::MAX)),
        max_bytes: rule.max_bytes,
        // A batch that has grown beyond an object is late, whatever it is due for.
        level: match reason {
            Reason::Size | Reason::Pressure => LEVEL_UNDER_LOAD,
            _ if rule.is_full(shared.sizes.object_bytes(batch)) => LEVEL_UNDER_LOAD,
            _ => LEVEL_AT_LEISURE,
        },
    }
}

fn encode_job(shared: &Shared, job: &Job) -> io::Result<Made> {
    panic_if_planted(PlantedPanic::Encoder);
    let (log, clock) = (&shared.deps.log, &*shared.deps.clock);
    let encode = |max_bytes: u64| {
        let job = Job { max_bytes: job.max_bytes.min(max_bytes), ..job.clone() };
        encode::encode(&**log, &shared.staging, clock, &job)
    };
    // An object is staged, and copied when it is parked. If there is no space for its copy, it keeps its
    // segments. Even if the spool is not under pressure now, there may not be space for both.
    let half = || log.bytes_left() / 2;
    let in_memory = shared.settings.object_in_memory_max as u64;
    let mut most = half().max(OBJECT_BYTES_MIN).min(job.max_bytes);
    let made = loop {
        let made = encode(most);
        let least = match &made {
            // Calls or other objects have meanwhile taken the space that it needs.
            Ok(Made::Object(object)) if object.staged.len > log.bytes_left() => {
                in_memory.max(OBJECT_BYTES_MIN)
            }
            // A full disk is emptied by deliveries: an object that fits in memory can still be delivered.
            Err(error) if is_no_space(error) => {
                log.disk_is_full();
                in_memory
            }
            _ => break made,
        };
        if most <= least {
            break made;
        }
        drop(made);
        // Each try has a smaller limit, so the loop ends whatever the other objects do.
        most = half().min(most / 2).max(least);
    };
    match made {
        // The first line alone exceeds the limit.
        Ok(Made::Nothing(_)) if most < job.max_bytes => encode(u64::MAX),
        made => made,
    }
}

/// The outcome of making one object.
enum Encoding {
    /// An object, sealed.
    Sealed(Box<(Seal, Staged)>),
    /// Size alone made the batch due, and it is not full yet, or nothing of it can be read.
    FillsOn,
    /// It could not be staged, or its seal could not be noted. Nothing is sealed, so the batch is simply
    /// retried.
    Failed,
}

fn seal_made(
    shared: &Shared,
    batch: &OpenBatch,
    job: &Job,
    made: io::Result<Made>,
    location: S3Location,
    reason: Reason,
) -> Result<Encoding, Stopped> {
    let log = &shared.deps.log;
    let object = match made {
        Ok(Made::Object(object)) => object,
        Ok(Made::Nothing(_)) => return Ok(Encoding::FillsOn),
        Err(error) => {
            if let Some(line) = shared.repeated.happened("stage", job.key.source.as_str()) {
                let (times, others) = (line.times, line.others);
                tracing::warn!(%error, batch = %job.key, times, others, "an object could not be staged; it is retried");
            }
            shared.waits(&batch.key.source, format!("stage an object: {error}"));
            return Ok(Encoding::Failed);
        }
    };
    let encoded = &object.encoded;
    shared.sizes.learn(batch, encoded.bytes, object.staged.len);
    let whole = encoded.next_received_at.is_none() && job.through == u64::MAX;
    if reason == Reason::Size && whole && !shared.settings.rule.is_full(object.staged.len) {
        // The batch still counts its damaged lines. With them it would seem full at every check.
        log.recount(batch, encoded.bytes);
        return Ok(Encoding::FillsOn);
    }
    log.note_lost(&object.lost)?;
    raise_lost(&shared.deps.alarms, &object.lost);
    let object_key = ObjectKey::of_batch(
        &location.bucket,
        &job.key.stream,
        &job.key.source,
        if planted(PlantedBug::DayFromUploadTime) { shared.deps.clock.wall().day() } else { job.key.day },
        ObjectName {
            first_received_at: encoded.named_at,
            node: &log.node(),
            spool_id: &log.spool_id(),
            first_position: encoded.first,
        },
    );
    let seal = log.seal(&job.key, encoded, location, object_key)?;
    tracing::debug!(seal = seal.number, batch = %job.key, ?reason, calls = seal.frames, "sealed");
    Ok(Encoding::Sealed(Box::new((seal, object.staged))))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::alarms::Alarms;
    use crate::batch::DueRule;
    use crate::call::LineSink;
    use crate::delivery::deps::{DeliveryDeps, LogDeps};
    use crate::delivery::equipment::DeliveryEquipment;
    use crate::delivery::settings::DeliverySettings;
    use crate::disk::real_disk::RealDisk;
    use crate::log::RequestFrames;
    use crate::metrics::Metrics;
    use crate::object::{BucketString, Encryption};
    use crate::random::Random;
    use crate::sources::SourceId;
    use crate::spool::{Spool, SpoolOptions};
    use crate::store::fake::FakeStore;
    use crate::time::{Clock, UnixMillis};

    #[derive(Debug)]
    struct Noon;
    impl Clock for Noon {
        fn wall(&self) -> UnixMillis {
            UnixMillis(crate::time::DAY_MS * 20_000 + crate::time::DAY_MS / 2)
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }
    impl Random for Noon {
        fn next_u64(&self) -> u64 {
            7
        }
    }

    /// The delivery of `spool`, without its scheduler.
    fn delivery_of(spool: &Spool, store: &FakeStore) -> Arc<Shared> {
        let rule = DueRule { max_bytes: 1_000_000, max_age: Duration::from_secs(3_600), align_minute: None };
        let (clock, metrics) = (Arc::new(Noon), Arc::new(Metrics::new()));
        let deps = DeliveryDeps {
            store: Arc::new(store.clone()),
            random: Arc::new(Noon),
            alarms: Arc::new(Alarms::new(Arc::<Noon>::clone(&clock), Arc::clone(&metrics))),
            clock,
            metrics,
            hook: None,
            list: None,
            background: None,
        };
        let equipment = DeliveryEquipment::new(deps, DeliverySettings::new(rule));
        Shared::new(&equipment, LogDeps { log: spool.log(), staging: spool.staging_disk() })
    }

    /// On a busy machine a batch was sealed, parked and given back between the moment when the scheduler read
    /// the list of batches and the one when it began on this batch. The task then made the same object again,
    /// and the spool stopped.
    #[tokio::test]
    async fn a_batch_that_was_sealed_since_it_was_listed_is_left_to_the_next_check() {
        let (dir, store, source) =
            (tempfile::tempdir().unwrap(), FakeStore::new(), SourceId::new("web").unwrap());
        let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
        let options = SpoolOptions { max_bytes: 1 << 24, segment_bytes: 1 << 17, ..SpoolOptions::default() };
        let (spool, _) = Spool::open(disk, options, Arc::new(Noon), &Noon, Arc::new(Metrics::new())).unwrap();
        // Two buckets, so that one object does not empty the batch.
        for bucket in ["first", "second"] {
            let to = S3Location::new(BucketString::parse(bucket).unwrap(), Encryption::SseS3);
            spool.locations().set_locations(vec![(source.clone(), to)]).unwrap();
            let mut frames = RequestFrames::new(source.clone(), Noon.wall(), 0);
            frames.line().extend_from_slice(b"{}");
            frames.call(0);
            spool.appender().append(frames).await.unwrap();
        }
        let shared = delivery_of(&spool, &store);
        let listed = shared.deps.log.open_batches().pop().unwrap();
        for _ in 0..2 {
            begin(&shared, listed.clone(), Reason::Asked);
            shared.tasks.close();
            shared.tasks.wait().await;
            assert_eq!(*shared.deps.log.stopped().borrow(), None);
            assert_eq!(store.keys().len(), 1, "{:?}", store.keys());
        }
        let left = shared.deps.log.open_batches().pop().unwrap();
        begin(&shared, left, Reason::Asked);
        shared.tasks.close();
        shared.tasks.wait().await;
        assert_eq!((store.keys().len(), shared.deps.log.open_batches().len()), (2, 0));
    }
}
