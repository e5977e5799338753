//! What a rate of calls comes to: objects, requests, uses of the key, bytes, and the spool that an outage needs. Pure
//! arithmetic on stated assumptions.

use serde::Serialize;

use crate::delivery::share::FAILING_PERCENT;
use crate::object::Encryption;
use crate::spool::FRAME_BYTES;
use crate::spool::held::CALLS_PERCENT_MIN;
use crate::spool::seen::SEEN_MAX;
use crate::spool::shared::{FULL_PERCENT, beside_calls, percent_of};

use super::finding::{Finding, Remedy, Trial};
use super::words::{about_bytes, about_seconds, count};

/// Calls a second where no rate is given.
pub const RATE_ASSUMED: u64 = 100;
/// Bytes of one call where none are given.
pub const CALL_BYTES_ASSUMED: u64 = 1_000;
/// Seconds of an outage where none are given.
pub const OUTAGE_SECONDS_ASSUMED: u64 = 3_600;

/// How many times smaller gzip makes lines. Calls of one source are much alike; those with many random ids less so.
const GZIP_RATIO: u64 = 6;
/// What a line has more than the call it is of: the fields that the collector writes (seen: 190 bytes).
const LINE_BYTES_ADDED: u64 = 200;
/// With a bucket key one use of the KMS key serves many puts; AWS says that it saves up to 99 % of them.
const PUTS_PER_KEY_USE: u64 = 100;
/// Bytes for each call that is remembered so that a repeat is known, in the spool's directory. Some are there twice for a while.
const SEEN_BYTES: u64 = 28;
const DAY_SECONDS: u64 = 86_400;

/// What is estimated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Calls a second, all sources together; `None`: [`RATE_ASSUMED`].
    pub calls_per_second: Option<u64>,
    /// Bytes of one call.
    pub call_bytes: u64,
    /// How long the store is away.
    pub outage_seconds: u64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            calls_per_second: None,
            call_bytes: CALL_BYTES_ASSUMED,
            outage_seconds: OUTAGE_SECONDS_ASSUMED,
        }
    }
}

/// What of the configuration counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The encryption of each source.
    pub encryptions: Vec<Encryption>,
    /// The largest object, in bytes.
    pub object_bytes: u64,
    /// The greatest age of a batch, in seconds; an hour where batches are cut at a minute of each hour.
    pub max_age_seconds: u64,
    /// Bytes that the spool may take: `spool.max_bytes`.
    pub spool_bytes: u64,
    /// Bytes that its disk can hold of it, where that is known.
    pub disk_bytes: Option<u64>,
    /// Bytes of one of its segments, as configured.
    pub segment_bytes: u64,
}

impl Shape {
    /// The cap in force.
    fn cap(&self) -> u64 {
        self.spool_bytes.min(self.disk_bytes.unwrap_or(u64::MAX))
    }

    /// Bytes of a spool with this cap that calls do not get.
    fn aside(&self, cap: u64, calls_per_day: u64) -> u64 {
        let remembered = calls_per_day.min(SEEN_MAX as u64).saturating_mul(SEEN_BYTES);
        beside_calls(self.segment_bytes, cap).saturating_add(remembered)
    }
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Calls a second, all sources together.
    pub calls_per_second: u64,
    /// Whether that rate was given, not assumed.
    pub rate_given: bool,
    /// Bytes of one call.
    pub call_bytes: u64,
    /// Sources.
    pub sources: u64,
    /// Objects a day.
    pub objects_per_day: u64,
    /// Requests to the store a day.
    pub requests_per_day: u64,
    /// Uses of KMS keys a day, as far as keys are asked for.
    pub kms_calls_per_day: u64,
    /// Bytes that the store keeps more each day.
    pub stored_bytes_per_day: u64,
    /// Seconds of the outage.
    pub outage_seconds: u64,
    /// Bytes of spool that calls need through it.
    pub spool_bytes_needed: u64,
    /// Bytes of spool there may be: as configured, or what the disk can hold, where that is less.
    pub spool_bytes: u64,
    /// Whether the disk is the cap.
    pub disk_is_the_cap: bool,
    /// Whether that is enough.
    pub spool_suffices: bool,
    /// Bytes of spool that may be held for a destination that fails, or for all that do, while other sources are served. `None`
    /// for a source alone: it may use the whole spool.
    pub failing_bytes: Option<u64>,
    /// Seconds until the calls of one source have used them, parked and compressed, where its destination alone fails.
    pub failing_seconds: Option<u64>,
    /// What is assumed.
    pub assumptions: Vec<String>,
}

/// Works it out. Nothing overflows: what is too much is the most there can be.
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

    // What was not yet due when the store went away is there as well.
    let seconds = load.outage_seconds.saturating_add(shape.max_age_seconds);
    let frames = rate.saturating_mul(line_bytes.saturating_add(FRAME_BYTES)).saturating_mul(seconds);
    let cap = shape.cap();
    let aside = shape.aside(cap, calls_per_day);
    let needed = |cap: u64| {
        (frames.saturating_add(shape.aside(cap, calls_per_day)) / FULL_PERCENT).saturating_mul(100)
    };
    // A larger spool has larger segments, which need more: up from the smallest, the first that suffices for itself.
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

/// Each stretch of the greatest age ends an object, and so does the size; a stretch without a call makes none. The day ends
/// with its marker.
fn objects_of_one_source(calls: u64, stored: u64, shape: &Shape) -> u64 {
    let stretches = DAY_SECONDS.div_ceil(shape.max_age_seconds.max(1)).min(calls);
    let of_a_stretch = (stored / stretches.max(1)).div_ceil(shape.object_bytes.max(1)).max(1);
    stretches.saturating_mul(of_a_stretch).saturating_add(calls.min(1))
}

fn assumptions(load: Load, shape: &Shape, keys: bool) -> Vec<String> {
    let mut all = vec![
        "calls come evenly, day and night, and to all sources alike".to_owned(),
        format!("gzip makes lines {GZIP_RATIO} times smaller"),
        "the day of each source ends with a marker, an object of its own".to_owned(),
        "one request an object, as long as no answer is lost".to_owned(),
        format!(
            "a call of {} becomes a line of {}, which takes {FRAME_BYTES} bytes more in the spool",
            about_bytes(load.call_bytes),
            about_bytes(load.call_bytes.saturating_add(LINE_BYTES_ADDED)),
        ),
        format!("up to {} of calls wait in the spool anyway", about_seconds(shape.max_age_seconds)),
    ];
    if keys {
        all.push(format!(
            "one use of a KMS key an object, or {PUTS_PER_KEY_USE} times fewer with bucket_key = true (AWS: up to 99 \
             % fewer)"
        ));
    }
    all
}

/// Whether the spool is large enough for the outage.
pub fn judge(estimate: &Estimate) -> Finding {
    let outage = about_seconds(estimate.outage_seconds);
    let (needed, there) = (about_bytes(estimate.spool_bytes_needed), about_bytes(estimate.spool_bytes));
    let rate = count(estimate.calls_per_second);
    let trial =
        Trial::new("spool_for_outage", format!("{rate} calls a second through an outage of {outage}"));
    let limit = if estimate.disk_is_the_cap {
        format!("the disk of spool.dir can hold {there}")
    } else {
        format!("spool.max_bytes is {there}")
    };
    if estimate.spool_suffices {
        return trial.passed(format!(
            "{rate} calls a second need {needed} through {outage} without the store; {limit}"
        ));
    }
    let found =
        format!("{rate} calls a second need {needed} through {outage} without the store, and {limit}");
    let gigabytes = estimate.spool_bytes_needed.div_ceil(1_000_000_000);
    let mut remedies =
        vec![Remedy::paste("give the spool room", format!("[spool]\nmax_bytes = \"{gigabytes} GB\""))];
    if estimate.disk_is_the_cap {
        remedies.insert(0, Remedy::say("take a larger disk, or put spool.dir on one"));
    }
    if estimate.rate_given { trial.failed(found, remedies) } else { trial.warning(found, remedies) }
}

/// The estimate in lines for a person.
pub fn lines(estimate: &Estimate) -> Vec<String> {
    let given = if estimate.rate_given { "" } else { " (assumed: say --rate)" };
    let mut lines = vec![
        format!(
            "{} calls a second{given} of {}, {} {}",
            count(estimate.calls_per_second),
            about_bytes(estimate.call_bytes),
            count(estimate.sources),
            if estimate.sources == 1 { "source" } else { "sources" },
        ),
        format!("objects a day        {}", count(estimate.objects_per_day)),
        format!("requests a day       {}", count(estimate.requests_per_day)),
        format!("KMS calls a day      {}", count(estimate.kms_calls_per_day)),
        format!("stored a day         {}", about_bytes(estimate.stored_bytes_per_day)),
        format!(
            "spool for {}  {} of {}",
            pad(&about_seconds(estimate.outage_seconds), 9),
            about_bytes(estimate.spool_bytes_needed),
            about_bytes(estimate.spool_bytes)
        ),
    ];
    if let (Some(bytes), Some(seconds)) = (estimate.failing_bytes, estimate.failing_seconds) {
        lines.push(format!(
            "one source refused   {} of calls fill {}, its share beside others; then they are answered 503",
            about_seconds(seconds),
            about_bytes(bytes)
        ));
    }
    lines.push("assumed:".to_owned());
    lines.extend(estimate.assumptions.iter().map(|assumption| format!("  {assumption}")));
    lines
}

fn pad(text: &str, width: usize) -> String {
    format!("{text:width$}")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;
    use crate::object::{KmsContext, KmsKey, SseKms};

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
    fn objects_are_cut_by_age_until_size_cuts_them() {
        let check = |rate, sources, objects| {
            let estimate = of(rate, &shape(vec![Encryption::SseS3; sources]));
            assert_eq!(estimate.objects_per_day, objects, "{rate} a second, {sources} sources");
        };
        // The marker of each source's day is one, too.
        check(100, 1, 25);
        check(100, 10, 250);
        // 1,000 a second of 1 KB are 720 MB an hour: 8 objects, or 2 for each of 6 sources.
        check(1_000, 1, 24 * 8 + 1);
        check(1_000, 6, (24 * 2 + 1) * 6);
        check(10_000, 1, 24 * 72 + 1);
        check(0, 3, 0);
        // Fewer calls than hours: no more objects than calls, and the marker.
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
    fn the_spool_holds_the_outage_and_what_waits_anyway() {
        const MIB: u64 = 1 << 20;
        let one = of(1_000, &shape(vec![Encryption::SseS3]));
        // Two hours of 1,280 bytes; three and a quarter segments, two manifests and what is remembered; at 95 %.
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
        // A little more than there is needs a little more.
        let more = (1..60).map(|rate| of(rate, &assumed)).find(|estimate| !estimate.spool_suffices).unwrap();
        assert!(more.spool_bytes_needed < 130_000_000, "{}", more.spool_bytes_needed);
    }

    #[test]
    fn a_disk_that_is_smaller_than_the_cap_is_the_cap() {
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
    fn a_source_whose_bucket_fails_has_a_share_beside_others() {
        let alone = of(1_000, &shape(vec![Encryption::SseS3]));
        assert_eq!((alone.failing_bytes, alone.failing_seconds), (None, None));
        assert!(!lines(&alone).iter().any(|line| line.starts_with("one source refused")));
        let four = of(1_000, &shape(vec![Encryption::SseS3; 4]));
        // A quarter of 20 GB beside what calls do not get, at a quarter of 17.28 GB a day.
        let part = four.failing_bytes.unwrap();
        assert!((4_900_000_000..4_950_000_000).contains(&part), "{part}");
        assert_eq!(four.failing_seconds, Some(part * 86_400 / 4_320_000_000));
        let said = "one source refused   1 d 3 h of calls fill 4.9 GB, its share beside others; then they are answered 503";
        assert!(lines(&four).contains(&said.to_owned()), "{:#?}", lines(&four));
    }

    #[test]
    fn the_largest_numbers_do_no_harm() {
        let load = Load { calls_per_second: Some(u64::MAX), call_bytes: u64::MAX, outage_seconds: u64::MAX };
        let all = estimate(load, &shape(vec![kms(None); 3]));
        assert!(!all.spool_suffices);
        assert!(!lines(&all).is_empty());
    }
}
