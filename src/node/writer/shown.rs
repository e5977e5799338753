//! What a writer says of its partitions, in words of a status.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::place::{Live, Place, Standing};
use super::shared::Shared;
use crate::admin::DaysOfLog;
use crate::admin::kafka_status::{
    ElsewhereStatus, KafkaCacheStatus, KafkaStatus, PartitionStatus, PinStatus,
};
use crate::kafka::serve::{Pin, Pinned};
use crate::lock::lock;
use crate::log::Status as _;
use crate::node::kafka_owners;
use crate::partition::days;
use crate::partition::position::offset_of;
use crate::time::UnixMillis;
use crate::words::rfc3339;

/// Percent of a cache from which on batches are cut early.
const CUT_AT_PERCENT: f64 = 70.0;
/// Seconds of an hour.
const HOUR: f64 = 3_600.0;

/// The log as the writers of a process see it. `max_age` is the age at which batches are due.
pub(super) fn kafka(writers: &[Arc<Shared>], max_age: Duration) -> KafkaStatus {
    let places: BTreeMap<u32, Arc<Place>> = writers.iter().flat_map(|writer| writer.places()).collect();
    let owned: Vec<PartitionStatus> =
        places.iter().map(|(partition, place)| self::partition(*partition, place)).collect();
    let rates = places.values().map(|place| {
        let share = place.cache_bytes.load(Ordering::Acquire);
        lock(&place.seen).rates.map(|(_, bytes)| (share, bytes))
    });
    let settings = writers.first().map(|writer| &writer.deps.settings);
    let of_log = || writers.iter().map(|writer| *lock(&writer.of_log));
    let mut live = writers.iter().flat_map(|writer| writer.live());
    let (elsewhere, heard_ms) = elsewhere(writers, &places);
    KafkaStatus {
        role: "writer".to_owned(),
        topic: settings.map(|settings| settings.topic.clone()).unwrap_or_default(),
        group: settings.map(|settings| settings.group.clone()).unwrap_or_default(),
        log_id: live.next().map(|(_, _, live)| live.served.identity().0),
        partitions: of_log().find_map(|of| of.partitions),
        retention_seconds: of_log().find_map(|of| of.retention).map(|retention| retention.as_secs()),
        sending: None,
        elsewhere,
        heard_ms,
        cache: Some(KafkaCacheStatus {
            used_bytes: owned.iter().map(|one| one.cache_used_bytes).sum(),
            max_bytes: cache_bytes(writers),
            objects_an_hour: objects_an_hour(rates, max_age),
        }),
        owned,
    }
}

/// The partitions that no writer of the process has. Each writer hears of the same ones.
fn elsewhere(
    writers: &[Arc<Shared>],
    places: &BTreeMap<u32, Arc<Place>>,
) -> (Vec<ElsewhereStatus>, Option<i64>) {
    let partitions = writers.iter().find_map(|writer| lock(&writer.of_log).partitions).unwrap_or(0);
    let owners = writers.first().and_then(|writer| lock(&writer.owners).clone());
    kafka_owners::elsewhere(partitions, owners, |partition| places.contains_key(&partition))
}

/// The part of the log whose days the writers of a process know, if these are their terms.
pub(super) fn days_of_log(writers: &[Arc<Shared>], live: &[(u32, Arc<Place>, Box<Live>)]) -> DaysOfLog {
    let read_through = |(partition, place, live): &(u32, Arc<Place>, Box<Live>)| {
        let (progress, seen) = (live.served.progress(), *lock(&place.seen));
        let through = days::read_through(progress.read_before, seen.end.zip(seen.end_at), progress.read_at);
        (*partition, through.map(|at| at.0))
    };
    DaysOfLog {
        topic: writers.first().map(|writer| writer.deps.settings.topic.clone()).unwrap_or_default(),
        partitions: writers.iter().find_map(|writer| lock(&writer.of_log).partitions),
        read_through: live.iter().map(read_through).collect(),
    }
}

/// Bytes of all caches.
pub(super) fn cache_bytes(writers: &[Arc<Shared>]) -> u64 {
    writers.iter().map(|writer| writer.deps.cache_bytes).sum()
}

/// Objects an hour of a small source: as many as its partition's share of the cache fills to 70 %, and those by age.
/// `None` while the rate of no partition is known.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate for people"
)]
fn objects_an_hour(shares: impl Iterator<Item = Option<(u64, f64)>>, max_age: Duration) -> Option<u64> {
    let by_age = HOUR / max_age.as_secs_f64().max(1.0);
    let by_cache =
        |(share, bytes): (u64, f64)| bytes * HOUR / (share as f64 * CUT_AT_PERCENT / 100.0).max(1.0);
    let most = shares.flatten().map(by_cache).max_by(f64::total_cmp)?;
    Some(most.max(by_age).ceil() as u64)
}

/// One partition.
fn partition(partition: u32, place: &Arc<Place>) -> PartitionStatus {
    let count = |counter: &AtomicU64| counter.load(Ordering::Acquire);
    let status = PartitionStatus {
        partition,
        terms: count(&place.terms),
        ended: count(&place.ended),
        cut_early: count(&place.cut_early),
        cache_max_bytes: count(&place.cache_bytes),
        takeover_seconds: lock(&place.takeover).map(|took| took.as_secs()),
        ..PartitionStatus::default()
    };
    match place.standing() {
        Standing::Begins => PartitionStatus { standing: "begins".to_owned(), ..status },
        Standing::Waits(why) => {
            PartitionStatus { standing: "waits".to_owned(), why: Some(why.to_string()), ..status }
        }
        Standing::Stopped(stop) => {
            PartitionStatus { standing: "stopped".to_owned(), why: Some(stop.to_string()), ..status }
        }
        Standing::Live(live) => delivers(status, place, &live),
    }
}

/// One that is delivered.
fn delivers(status: PartitionStatus, place: &Place, live: &Live) -> PartitionStatus {
    let (progress, seen) = (live.served.progress(), *lock(&place.seen));
    let read_offset = offset_of(progress.read_before);
    PartitionStatus {
        standing: "delivers".to_owned(),
        read_offset,
        // The end is seen from time to time, and read on meanwhile.
        end_offset: seen.end.map(|end| end.max(read_offset)),
        lag_seconds: if progress.behind == Duration::MAX { 0 } else { progress.behind.as_secs() },
        kept_from_offset: progress.kept_from,
        time_left_seconds: seen.time_left.flatten().map(|left| left.as_secs()),
        time_is_short: seen.is_short,
        pinned_by: live.served.pin().map(|pin| pinned(pin, live)),
        left_objects: progress.left as u64,
        cache_used_bytes: live.served.log.usage().used,
        window_seconds: seen.rates.and_then(|(frames, _)| window(live.served.identity().1, frames)),
        second_copies: progress.copies,
        late: progress.late,
        without_bucket: progress.without_bucket.iter().map(ToString::to_string).collect(),
        ..status
    }
}

/// How far back repeats are found at this rate of frames. `None` if nothing is read.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate for people"
)]
fn window(frames: u64, rate: f64) -> Option<u64> {
    (rate > 0.0).then(|| (frames as f64 / rate) as u64)
}

fn pinned(pin: Pin, live: &Live) -> PinStatus {
    let Pin { source, since, what } = pin;
    let failed = live.delivery.progress().of(&source).waiting;
    let failed = failed.map(|why| format!(": {why}")).unwrap_or_default();
    let waits_for = match what {
        Pinned::Open(batch) => {
            let UnixMillis(due) = live.delivery.due_at(&batch);
            format!("its batch, which is due by age at {}", rfc3339(UnixMillis(due)))
        }
        Pinned::NoBucket => "a bucket: the configuration does not have this source".to_owned(),
        Pinned::Put => format!("a put{failed}"),
        Pinned::Left => format!("its bucket, which refuses it{failed}"),
        Pinned::Conflict(how) => {
            format!("a decision, because another object has the key of its object: a person {how}")
        }
    };
    PinStatus { source: source.to_string(), since_ms: since.0, waits_for }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_sources_have_more_objects_than_by_age_once_the_cache_is_short() {
        let check = |shares: &[Option<(u64, f64)>], minutes: u64, expected: Option<u64>| {
            let found = objects_an_hour(shares.iter().copied(), Duration::from_secs(60 * minutes));
            assert_eq!(found, expected, "{shares:?}");
        };
        check(&[None], 60, None);
        check(&[Some((1_000_000_000, 0.0))], 60, Some(1));
        check(&[Some((1_000_000_000, 0.0)), None], 10, Some(6));
        // 70 % of 1 GB are full six times an hour.
        check(&[Some((1_000_000_000, 1_166_666.0)), Some((1_000_000_000, 10.0))], 60, Some(6));
        assert_eq!((window(262_144, 8_000.0), window(262_144, 0.0)), (Some(32), None));
    }
}
