//! Estimates the load of a rate of calls: objects, requests, uses of KMS keys, bytes, and the spool for an
//! outage. Pure arithmetic on stated assumptions.

use serde::Serialize;

use crate::log::{FRAME_BYTES, FULL_PERCENT};
use crate::object::Encryption;
use crate::spool::share::FAILING_PERCENT;
use crate::spool::{CALLS_PERCENT_MIN, SEEN_MAX, beside_calls};

use super::finding::{CheckFinding, Remedy, Trial};
use crate::words::count::percent_of;
use crate::words::table::table;
use crate::words::{about_bytes, about_seconds, counted, grouped};

/// Calls per second if no rate is given.
pub const RATE_ASSUMED: u64 = 100;

/// The factor by which gzip compresses lines. Calls of one source are similar; many random ids reduce it.
const GZIP_RATIO: u64 = 6;
/// Bytes that the collector's own fields add to a call's line (measured: 190 bytes).
const LINE_BYTES_ADDED: u64 = 200;
/// With a bucket key one use of the KMS key serves many puts; AWS claims savings of up to 99 %.
const PUTS_PER_KEY_USE: u64 = 100;
/// Bytes in the spool's directory per call remembered to recognise repeats. Some are temporarily stored
/// twice.
const SEEN_BYTES: u64 = 28;
const DAY_SECONDS: u64 = 86_400;

/// The load to estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Calls per second of all sources together; `None`: [`RATE_ASSUMED`].
    pub calls_per_second: Option<u64>,
    /// Bytes of one call.
    pub call_bytes: u64,
    /// The duration of the store's outage.
    pub outage_seconds: u64,
}

/// The relevant part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The encryption of each source.
    pub encryptions: Vec<Encryption>,
    /// The largest object, in bytes.
    pub object_bytes: u64,
    /// The maximum age of a batch, in seconds; an hour if batches are due at a minute of each hour.
    pub max_age_seconds: u64,
    /// Bytes that the spool may use: `spool.max_bytes`.
    pub spool_bytes: u64,
    /// Bytes of the spool that its disk can hold, if known.
    pub disk_bytes: Option<u64>,
    /// Bytes of one segment, as configured.
    pub segment_bytes: u64,
}

impl Shape {
    /// The cap in force.
    fn cap(&self) -> u64 {
        self.spool_bytes.min(self.disk_bytes.unwrap_or(u64::MAX))
    }

    /// Bytes of a spool with this cap that are not available for calls.
    fn aside(&self, cap: u64, calls_per_day: u64) -> u64 {
        let remembered = calls_per_day.min(SEEN_MAX as u64).saturating_mul(SEEN_BYTES);
        beside_calls(self.segment_bytes, cap).saturating_add(remembered)
    }
}

/// The estimate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Calls per second of all sources together.
    pub calls_per_second: u64,
    /// Whether the rate was given. If not, it is assumed.
    pub rate_given: bool,
    /// Bytes of one call.
    pub call_bytes: u64,
    /// The number of sources.
    pub sources: u64,
    /// Objects per day.
    pub objects_per_day: u64,
    /// Requests to the store per day.
    pub requests_per_day: u64,
    /// Uses of KMS keys per day, for sources that request a key.
    pub kms_calls_per_day: u64,
    /// Bytes added to the store per day.
    pub stored_bytes_per_day: u64,
    /// Seconds of the outage.
    pub outage_seconds: u64,
    /// Bytes of spool needed for the calls of the outage.
    pub spool_bytes_needed: u64,
    /// Bytes of spool available: as configured, or what the disk can hold, whichever is less.
    pub spool_bytes: u64,
    /// Whether the disk limits the spool.
    pub disk_is_the_cap: bool,
    /// Whether the available spool is large enough for the outage.
    pub spool_suffices: bool,
    /// Bytes of spool that calls of failing buckets may use together while other sources are served.
    /// `None` for a single source, which may use the whole spool.
    pub failing_bytes: Option<u64>,
    /// Seconds until the parked, compressed calls of one source use all of `failing_bytes`, if only its
    /// bucket fails.
    pub failing_seconds: Option<u64>,
    /// The assumptions.
    pub assumptions: Vec<String>,
}

/// Computes the estimate. Arithmetic saturates instead of overflowing.
pub fn estimate(load: Load, shape: &Shape) -> Estimate {
    let rate = load.calls_per_second.unwrap_or(RATE_ASSUMED);
    let sources = (shape.encryptions.len() as u64).max(1);
    let calls_per_day = rate.saturating_mul(DAY_SECONDS);
    let line_bytes = load.call_bytes.saturating_add(LINE_BYTES_ADDED);
    let stored_bytes_per_day = calls_per_day.saturating_mul(line_bytes) / GZIP_RATIO;
    let of_one = objects_of_one_source(calls_per_day / sources, stored_bytes_per_day / sources, shape);
    let objects_per_day = of_one.saturating_mul(sources);

    let key_uses = |encryption: &Encryption| match encryption.kms() {
        Some(kms) if kms.bucket_key == Some(true) => of_one.div_ceil(PUTS_PER_KEY_USE),
        Some(_) => of_one,
        None => 0,
    };
    let kms_calls_per_day = shape.encryptions.iter().map(key_uses).fold(0, u64::saturating_add);

    // Includes calls that were not yet due when the outage began.
    let seconds = load.outage_seconds.saturating_add(shape.max_age_seconds);
    let frames = rate.saturating_mul(line_bytes.saturating_add(FRAME_BYTES)).saturating_mul(seconds);
    let cap = shape.cap();
    let aside = shape.aside(cap, calls_per_day);
    let needed = |cap: u64| {
        (frames.saturating_add(shape.aside(cap, calls_per_day)) / FULL_PERCENT).saturating_mul(100)
    };
    // A larger spool has larger segments, which need more space: start small, and take the first size that
    // suffices.
    let mut larger = std::iter::successors(Some(needed(0)), |bytes| Some(needed(*bytes)));
    let smallest = larger.find(|bytes| needed(*bytes) <= *bytes).unwrap_or(u64::MAX);
    let here = needed(cap);
    let spool_bytes_needed = if here <= cap { here } else { smallest };
    let for_calls = cap.saturating_sub(aside).max(percent_of(cap, CALLS_PERCENT_MIN));
    let failing_bytes = (sources > 1).then(|| percent_of(for_calls, FAILING_PERCENT));
    let parked_per_day = (stored_bytes_per_day / sources).max(1);
    let failing_seconds = failing_bytes.map(|bytes| bytes.saturating_mul(DAY_SECONDS) / parked_per_day);

    Estimate {
        calls_per_second: rate,
        rate_given: load.calls_per_second.is_some(),
        call_bytes: load.call_bytes,
        sources,
        objects_per_day,
        requests_per_day: objects_per_day,
        kms_calls_per_day,
        stored_bytes_per_day,
        outage_seconds: load.outage_seconds,
        spool_bytes_needed,
        spool_bytes: cap,
        disk_is_the_cap: cap < shape.spool_bytes,
        spool_suffices: spool_bytes_needed <= cap,
        failing_bytes,
        failing_seconds,
        assumptions: assumptions(load, shape, kms_calls_per_day > 0),
    }
}

/// Objects end by age and by size; an interval without calls produces none. The day's marker counts as one.
fn objects_of_one_source(calls: u64, stored: u64, shape: &Shape) -> u64 {
    let stretches = DAY_SECONDS.div_ceil(shape.max_age_seconds.max(1)).min(calls);
    let of_a_stretch = (stored / stretches.max(1)).div_ceil(shape.object_bytes.max(1)).max(1);
    stretches.saturating_mul(of_a_stretch).saturating_add(calls.min(1))
}

fn assumptions(load: Load, shape: &Shape, keys: bool) -> Vec<String> {
    let mut all = vec![
        "calls arrive evenly over the day and over all sources".to_owned(),
        format!("gzip makes lines {GZIP_RATIO} times smaller"),
        "the day of each source ends with a marker, which is also an object".to_owned(),
        "one request per object, unless an answer is lost".to_owned(),
        format!(
            "a call of {} becomes a line of {}, plus {FRAME_BYTES} bytes in the spool",
            about_bytes(load.call_bytes),
            about_bytes(load.call_bytes.saturating_add(LINE_BYTES_ADDED)),
        ),
        format!("up to {} of calls always wait in the spool", about_seconds(shape.max_age_seconds)),
    ];
    if keys {
        all.push(format!(
            "one use of a KMS key per object, or {PUTS_PER_KEY_USE} times fewer with bucket_key = true (AWS: up to \
             99 % fewer)"
        ));
    }
    all
}

/// Whether the spool is large enough for the outage.
pub fn judge(estimate: &Estimate) -> CheckFinding {
    let outage = about_seconds(estimate.outage_seconds);
    let (needed, there) = (about_bytes(estimate.spool_bytes_needed), about_bytes(estimate.spool_bytes));
    let rate = grouped(estimate.calls_per_second);
    let trial =
        Trial::new("spool_for_outage", format!("{rate} calls per second during an outage of {outage}"));
    let limit = if estimate.disk_is_the_cap {
        format!("the disk of spool.dir can hold {there}")
    } else {
        format!("spool.max_bytes is {there}")
    };
    if estimate.spool_suffices {
        return trial.passed(format!(
            "{rate} calls per second need {needed} for {outage} without the store; {limit}"
        ));
    }
    let found = format!("{rate} calls per second need {needed} for {outage} without the store, but {limit}");
    let gigabytes = estimate.spool_bytes_needed.div_ceil(1_000_000_000);
    let mut remedies =
        vec![Remedy::paste("enlarge the spool", format!("[spool]\nmax_bytes = \"{gigabytes} GB\""))];
    if estimate.disk_is_the_cap {
        remedies.insert(0, Remedy::say("use a larger disk for spool.dir"));
    }
    if estimate.rate_given { trial.failed(found, remedies) } else { trial.warning(found, remedies) }
}

/// The estimate as lines for people.
pub fn lines(estimate: &Estimate) -> Vec<String> {
    let given = if estimate.rate_given { "" } else { " (assumed; set --rate)" };
    let mut rows = vec![
        ["objects per day".to_owned(), grouped(estimate.objects_per_day)],
        ["requests per day".to_owned(), grouped(estimate.requests_per_day)],
        ["KMS calls per day".to_owned(), grouped(estimate.kms_calls_per_day)],
        ["stored per day".to_owned(), about_bytes(estimate.stored_bytes_per_day)],
        [
            format!("spool for {}", about_seconds(estimate.outage_seconds)),
            format!("{} of {}", about_bytes(estimate.spool_bytes_needed), about_bytes(estimate.spool_bytes)),
        ],
    ];
    if let (Some(bytes), Some(seconds)) = (estimate.failing_bytes, estimate.failing_seconds) {
        let (time, share) = (about_seconds(seconds), about_bytes(bytes));
        rows.push([
            "one source failing".to_owned(),
            format!("{time} of its calls fill its share of {share}; further calls are answered 503"),
        ]);
    }
    let mut lines = vec![format!(
        "{} calls per second{given} of {}, {}",
        grouped(estimate.calls_per_second),
        about_bytes(estimate.call_bytes),
        counted(estimate.sources, "source", "sources"),
    )];
    lines.extend(table(&rows, &[]));
    lines.push("assumed:".to_owned());
    lines.extend(estimate.assumptions.iter().map(|assumption| format!("  {assumption}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;
    use crate::object::{KmsContext, KmsKey, SseKms};

    impl Default for Load {
        fn default() -> Self {
            Self { calls_per_second: None, call_bytes: 1_000, outage_seconds: 3_600 }
        }
    }

    fn kms(bucket_key: Option<bool>) -> Encryption {
        let key = KmsKey::parse("alias/events").unwrap();
        Encryption::Kms(SseKms { key, bucket_key, context: KmsContext::default() })
    }

    fn shape(encryptions: Vec<Encryption>) -> Shape {
        Shape {
            encryptions,
            object_bytes: 100_000_000,
            max_age_seconds: 3_600,
            spool_bytes: 20_000_000_000,
            disk_bytes: None,
            segment_bytes: 64 << 20,
        }
    }

    fn of(calls_per_second: u64, shape: &Shape) -> Estimate {
        estimate(Load { calls_per_second: Some(calls_per_second), ..Load::default() }, shape)
    }

    #[test]
    fn objects_end_by_age_at_low_rates_and_by_size_at_high_rates() {
        let check = |rate, sources, objects| {
            let estimate = of(rate, &shape(vec![Encryption::SseS3; sources]));
            assert_eq!(estimate.objects_per_day, objects, "{rate} per second, {sources} sources");
        };
        // The marker of each source's day is also an object.
        check(100, 1, 25);
        check(100, 10, 250);
        // 1,000 per second of 1 KB are 720 MB per hour: 8 objects, or 2 for each of 6 sources.
        check(1_000, 1, 24 * 8 + 1);
        check(1_000, 6, (24 * 2 + 1) * 6);
        check(10_000, 1, 24 * 72 + 1);
        check(0, 3, 0);
        // Fewer calls than hours: as many objects as calls, and the marker.
        assert_eq!(objects_of_one_source(5, 10, &shape(vec![])), 6);
    }

    #[test]
    fn a_bucket_key_saves_most_uses_of_the_key() {
        let check = |encryption, uses| {
            assert_eq!(of(10_000, &shape(vec![encryption])).kms_calls_per_day, uses);
        };
        check(Encryption::SseS3, 0);
        check(Encryption::None, 0);
        check(kms(None), 1_729);
        check(kms(Some(false)), 1_729);
        check(kms(Some(true)), 18);
        assert_eq!(of(100, &shape(vec![kms(None), Encryption::SseS3])).kms_calls_per_day, 25);
    }

    #[test]
    fn the_spool_covers_the_outage_and_the_calls_already_waiting() {
        const MIB: u64 = 1 << 20;
        let one = of(1_000, &shape(vec![Encryption::SseS3]));
        // Two hours of calls of 1,280 bytes, three and a quarter segments, two manifests and the remembered
        // calls, in 95 % of the cap.
        let calls = 1_000 * 1_280 * 7_200;
        let aside = (13 * 16 + 2 * 4) * MIB + 2 * MIB * 28;
        let expected = (calls + aside) / 95 * 100;
        assert_eq!((one.spool_bytes_needed, one.spool_suffices), (expected, true));
        assert_eq!(judge(&one).outcome, Outcome::Passed);
        let more = of(5_000, &shape(vec![Encryption::SseS3]));
        assert_eq!(judge(&more).outcome, Outcome::Failed);
        let assumed = Shape { spool_bytes: 100_000_000, ..shape(vec![Encryption::SseS3]) };
        assert_eq!(judge(&estimate(Load::default(), &assumed)).outcome, Outcome::Warning);
        assert_eq!(one.stored_bytes_per_day, 17_280_000_000);
        // A small spool has short segments.
        let few = of(1, &assumed);
        let expected = (1_280 * 7_200 + (13 * 2 + 2 * 4) * MIB + 86_400 * 28) / 95 * 100;
        assert_eq!((few.spool_bytes_needed, few.spool_suffices), (expected, true));
        // Slightly more than the cap needs slightly more.
        let more = (1..60).map(|rate| of(rate, &assumed)).find(|estimate| !estimate.spool_suffices).unwrap();
        assert!(more.spool_bytes_needed < 130_000_000, "{}", more.spool_bytes_needed);
    }

    #[test]
    fn a_disk_smaller_than_the_cap_limits_the_spool() {
        let of_disk = |disk_bytes| {
            estimate(Load::default(), &Shape { disk_bytes, ..shape(vec![Encryption::SseS3; 2]) })
        };
        for disk in [None, Some(30_000_000_000)] {
            let large = of_disk(disk);
            assert_eq!((large.spool_bytes, large.disk_is_the_cap), (20_000_000_000, false));
            assert!(judge(&large).found.contains("spool.max_bytes is 20 GB"));
        }
        let small = of_disk(Some(500_000_000));
        assert_eq!(
            (small.spool_bytes, small.disk_is_the_cap, small.spool_suffices),
            (500_000_000, true, false)
        );
        let judged = judge(&small);
        assert!(judged.found.contains("the disk of spool.dir can hold 500 MB"), "{}", judged.found);
        assert_eq!(judged.remedies.len(), 2);
        assert!(small.failing_bytes < of_disk(None).failing_bytes);
    }

    #[test]
    fn a_failing_source_has_a_limited_share_of_the_spool() {
        let alone = of(1_000, &shape(vec![Encryption::SseS3]));
        assert_eq!((alone.failing_bytes, alone.failing_seconds), (None, None));
        assert!(!lines(&alone).iter().any(|line| line.starts_with("one source failing")));
        let four = of(1_000, &shape(vec![Encryption::SseS3; 4]));
        // A quarter of the 20 GB available for calls, at a quarter of 17.28 GB per day.
        let part = four.failing_bytes.unwrap();
        assert!((4_900_000_000..4_950_000_000).contains(&part), "{part}");
        assert_eq!(four.failing_seconds, Some(part * 86_400 / 4_320_000_000));
        let said = "one source failing  1 d 3 h of its calls fill its share of 4.9 GB; further calls are answered 503";
        assert!(lines(&four).contains(&said.to_owned()), "{:#?}", lines(&four));
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let load = Load { calls_per_second: Some(u64::MAX), call_bytes: u64::MAX, outage_seconds: u64::MAX };
        let all = estimate(load, &shape(vec![kms(None); 3]));
        assert!(!all.spool_suffices);
        assert!(!lines(&all).is_empty());
    }
}
