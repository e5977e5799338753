//! How a writer's cache is divided among the partitions that it owns, and what is due once a share fills.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::batch::BatchKey;

/// Bytes of a segment, at least and at most, of a share that has room for sixteen of the least.
const SEGMENT_BYTES: (u64, u64) = (8 * 1_024 * 1_024, 256 * 1_024 * 1_024);
/// Bytes of a segment of a smaller share, at least. With one long segment a share had no room for the next, and nothing
/// was read any more.
const SHORT_SEGMENT_BYTES: u64 = 1_024 * 1_024;
/// Segments of a share, if their size allows it.
const SEGMENTS: u64 = 16;
/// Percent of a share from which on batches are due that keep it from being released.
const PRESSURE_PERCENT: u64 = 70;

/// The least share of a partition in bytes, if objects have at most `object_bytes`. It has room for sixteen segments of
/// the least size. It also has room for two left objects that are at hand, one for a bucket that takes objects again and
/// one for a bucket that still refuses them; both may be from a time when the share was larger. Beside those two there is
/// room for five and a half segments of a sixteenth of the share each: the spool keeps three and a quarter of them free.
pub fn least(object_bytes: u64) -> u64 {
    (SEGMENTS * SEGMENT_BYTES.0).max(object_bytes.div_ceil(21).saturating_mul(64))
}

/// The share of each partition in bytes, by its rate in bytes a second. A partition without a rate has the [`least`]
/// for objects of `object_bytes`. All shares together are not more than `cache`.
pub fn shares(cache: u64, object_bytes: u64, rates: &BTreeMap<u32, u64>) -> BTreeMap<u32, u64> {
    let partitions = (rates.len() as u64).max(1);
    let least = least(object_bytes).min(cache / partitions);
    let rest = u128::from(cache - least * partitions);
    let all: u128 = rates.values().map(|rate| u128::from(*rate)).sum();
    let share = |rate: u64| match rest.checked_mul(u128::from(rate)).and_then(|part| part.checked_div(all)) {
        Some(part) => least + u64::try_from(part).unwrap_or(0),
        // None has a rate.
        None => cache / partitions,
    };
    rates.iter().map(|(partition, rate)| (*partition, share(*rate))).collect()
}

/// The rate of a partition that has read so many bytes since the last look. One whose cache is full reads little, and must
/// not get even less for that.
pub fn next_rate(rate: Option<u64>, read: u64, is_full: bool) -> u64 {
    let rate = rate.unwrap_or(read);
    let mean = rate / 2 + read / 2;
    if is_full { mean.max(rate) } else { mean }
}

/// How long a batch may wait in a share for its age, if its partition has `rate` bytes a second: then pressure makes it
/// due. A small source gets an object as often as that, or once in each `max_age` if that is longer.
pub fn waits(share: u64, rate: u64) -> Duration {
    let millis = (u128::from(share) * u128::from(PRESSURE_PERCENT) * 10).checked_div(u128::from(rate));
    millis.map_or(Duration::MAX, |millis| Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

/// The cache in bytes with which no batch is due before it is as old as `max_age`, at these rates in bytes a second, and
/// objects have at most `object_bytes`.
pub fn asked(max_age: Duration, object_bytes: u64, rates: &BTreeMap<u32, u64>) -> u64 {
    let rate: u128 = rates.values().map(|rate| u128::from(*rate)).sum();
    let of_age = rate.saturating_mul(max_age.as_millis()) / u128::from(PRESSURE_PERCENT * 10) + 1;
    let least = (rates.len() as u64).saturating_mul(least(object_bytes));
    least.saturating_add(u64::try_from(of_age).unwrap_or(u64::MAX))
}

/// Bytes of one segment of a share.
pub fn segment_bytes(share: u64) -> u64 {
    (share / SEGMENTS).clamp(SHORT_SEGMENT_BYTES, SEGMENT_BYTES.1)
}

/// How full a share is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// There is room.
    None,
    /// The batches that pin the oldest segment are due.
    Pinned,
    /// Reading pauses too. So an outage of a store uses the topic's retention, not the disk.
    Full,
}

/// How full a share is with `used` bytes.
pub fn pressure(used: u64, share: u64) -> Pressure {
    match () {
        () if used >= share => Pressure::Full,
        () if u128::from(used) * 100 >= u128::from(share) * u128::from(PRESSURE_PERCENT) => Pressure::Pinned,
        () => Pressure::None,
    }
}

/// The batches that pin the oldest segment which cannot be released: those with an open frame in it. `firsts`
/// is the first open frame of each batch, and `ends` the last position of each segment, in order.
pub fn pinning<'b>(
    firsts: impl Iterator<Item = (&'b BatchKey, u64)> + Clone,
    ends: impl IntoIterator<Item = u64>,
) -> BTreeSet<&'b BatchKey> {
    let Some(oldest) = firsts.clone().map(|(_, position)| position).min() else { return BTreeSet::new() };
    // The segment that is being written has no end yet.
    let end = ends.into_iter().find(|end| *end >= oldest).unwrap_or(u64::MAX);
    firsts.filter(|(_, position)| *position <= end).map(|(batch, _)| batch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Stream;
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    const GIB: u64 = 1_024 * 1_024 * 1_024;

    #[test]
    fn shares_follow_rates_and_fit() {
        let check = |cache, rates: &[u64], expected: &[u64]| {
            let rates = (0..).zip(rates.iter().copied()).collect();
            assert_eq!(shares(cache, 1_000, &rates).into_values().collect::<Vec<_>>(), expected);
        };
        let least = GIB / 8;
        check(50 * GIB, &[], &[]);
        check(50 * GIB, &[3], &[50 * GIB]);
        check(50 * GIB, &[0, 0], &[25 * GIB, 25 * GIB]);
        check(2 * GIB + 2 * least, &[3, 1], &[GIB + GIB / 2 + least, GIB / 2 + least]);
        check(2 * GIB + 2 * least, &[7, 0], &[2 * GIB + least, least]);
        check(GIB / 8, &[7, 0], &[GIB / 16, GIB / 16]);
        check(u64::MAX, &[u64::MAX, 0], &[u64::MAX - least, least]);
        assert_eq!(
            [0, least / 4, 256 * least, 8 * least].map(segment_bytes),
            [GIB / 1_024, GIB / 512, GIB / 4, GIB / 16]
        );
    }

    /// Objects of 100 MB were left while a partition had a large share, and did not fit once it was quiet.
    #[test]
    fn the_least_share_has_room_for_two_objects() {
        assert_eq!(least(1_000), GIB / 8);
        for object in [100_000_000, 1_000_000_000] {
            let share = least(object);
            assert!(share - 2 * object >= segment_bytes(share) * 11 / 2, "{object}");
        }
        assert_eq!(least(u64::MAX), u64::MAX);
        let quiet = shares(100 * GIB, 1_000_000_000, &[(0, 7), (1, 0)].into())[&1];
        assert_eq!(quiet, least(1_000_000_000));
        assert_eq!(shares(GIB, 1_000_000_000, &[(0, 7), (1, 0)].into())[&1], GIB / 2, "no room");
    }

    #[test]
    fn a_full_partition_keeps_its_rate() {
        assert_eq!([false, true].map(|is_full| next_rate(None, 100, is_full)), [100, 100]);
        assert_eq!([false, true].map(|is_full| next_rate(Some(100), 0, is_full)), [50, 100]);
        assert_eq!([false, true].map(|is_full| next_rate(Some(100), 300, is_full)), [200, 200]);
    }

    #[test]
    fn with_the_cache_that_is_asked_for_every_batch_waits_for_its_age() {
        let check = |max_age: u64, rates: &[u64]| {
            let rates: BTreeMap<u32, u64> = (0..).zip(rates.iter().copied()).collect();
            let max_age = Duration::from_secs(max_age);
            let cache = asked(max_age, 1_000, &rates);
            for (partition, share) in shares(cache, 1_000, &rates) {
                assert!(waits(share, rates[&partition]) >= max_age, "{partition} of {cache}");
            }
            cache
        };
        assert_eq!(check(3_600, &[]), 1);
        check(120, &[1_000_000, 30_000, 0]);
        check(1, &[1]);
        // 100,000 calls a second, an hour: 0.6 TB.
        let calls = check(3_600, &[110_000_000 / 12; 12]);
        assert!((560_000_000_000..580_000_000_000).contains(&calls), "{calls}");
        // With a tenth some six objects an hour, as the specification has it for 100 GB.
        let often = Duration::from_secs(3_600).div_duration_f64(waits(100_000_000_000, 110_000_000));
        assert!((5.0..6.0).contains(&often), "{often}");
        assert_eq!(
            [waits(100, 0), waits(100, 1), waits(0, 5)],
            [Duration::MAX, Duration::from_secs(70), Duration::ZERO]
        );
        assert_eq!(asked(Duration::MAX, 0, &[(0, u64::MAX)].into()), u64::MAX);
    }

    #[test]
    fn a_share_is_under_pressure_from_seven_tenths_on() {
        let found = [0, 69, 70, 99, 100, 101].map(|used| pressure(used, 100));
        use Pressure::{Full, None, Pinned};
        assert_eq!(found, [None, None, Pinned, Pinned, Full, Full]);
        assert_eq!((pressure(0, 0), pressure(u64::MAX, u64::MAX)), (Full, Full));
    }

    #[test]
    fn batches_pin_the_oldest_segment_that_has_open_frames() {
        let batch = |name: &str| BatchKey {
            source: SourceId::new(name).unwrap(),
            day: UnixMillis(0).day(),
            stream: Stream::Calls,
        };
        let [web, ios, tv] = ["web", "ios", "tv"].map(batch);
        let firsts = [(&web, 120), (&ios, 199), (&tv, 201)];
        let check = |ends: &[u64], expected: &[&BatchKey]| {
            let pinning = pinning(firsts.iter().copied(), ends.iter().copied());
            assert_eq!(pinning, expected.iter().copied().collect());
        };
        check(&[99, 200, 300], &[&web, &ios]);
        check(&[99], &[&web, &ios, &tv]);
        check(&[150, 300], &[&web]);
        assert!(pinning([].into_iter(), [1]).is_empty());
    }
}
