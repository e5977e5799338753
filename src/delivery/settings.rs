//! The settings of delivery.

use std::time::Duration;

use super::make::staging::OBJECT_IN_MEMORY_MAX;
use crate::batch::DueRule;
use crate::object::ObjectTags;
use crate::retry::Backoff;
use crate::store::PutMode;

/// Puts in flight at once to one bucket (bucket string, role and key). Slots are per bucket, so that an
/// endpoint that hangs occupies only its own.
pub const PUTS_PER_LOCATION: usize = 8;
/// Of those, puts of sources that fail there. Thousands of parked objects are retried, and must not take all
/// slots from a source whose puts succeed.
pub const FAILING_PUTS_PER_LOCATION: usize = PUTS_PER_LOCATION / 2;
/// Sealed objects of one bucket that are neither stored nor parked. Further batches wait in the spool,
/// not encoded.
pub const SEALED_PER_LOCATION: usize = 64;
/// The most due batches that look up their location at once, over all buckets and logs. Each may keep a thread
/// that waits for the disk. Without the limit, a backlog would take all threads.
pub const LOOK_UPS: usize = 32;
/// Minimum for the number of objects encoded at once, over all buckets.
pub const ENCODERS_MIN: usize = 2;
/// How often all batches are checked.
pub const CHECK_EVERY: Duration = Duration::from_millis(100);
/// Refusals in a row that raise an alarm.
pub const REFUSALS_BEFORE_ALARM: u32 = 3;
/// An alarm is raised if no put to a bucket succeeds for this long. Shorter outages are common, and end
/// without help.
pub const UNREACHABLE_BEFORE_ALARM: Duration = Duration::from_secs(60);

/// Where work that waits for the disk runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskWork {
    /// On the runtime's threads for blocking work, so that no other task waits for it.
    #[default]
    OnThreads,
    /// On the thread that asks for it. A simulation runs on one thread, and its disk never waits.
    InPlace,
}

/// Settings that do not change while the process runs.
#[derive(Clone, Copy, Debug)]
pub struct DeliverySettings {
    /// When batches are due.
    pub rule: DueRule,
    /// Whether puts may replace objects.
    pub put_mode: PutMode,
    /// Whether objects carry `Content-Encoding: gzip`.
    pub content_encoding: bool,
    /// Which tags objects carry.
    pub tags: ObjectTags,
    /// How long a sealed object waits for its bucket before it is parked.
    pub park_after: Duration,
    /// Waits between tries.
    pub backoff: Backoff,
    /// An object longer than this is staged in a file.
    pub object_in_memory_max: usize,
    /// Where work that waits for the disk runs.
    pub disk_work: DiskWork,
    /// Objects encoded at once, of all buckets.
    pub encoders: usize,
    /// Whether days are ended and closed. No day is closed if objects are saved anywhere other than in their
    /// bucket.
    pub close_days: bool,
}

/// Encoders for this many cores: encoding is half of the cost of a call, so it can keep half of the cores
/// busy.
pub fn encoders_for(cores: usize) -> usize {
    (cores / 2).max(ENCODERS_MIN)
}

impl DeliverySettings {
    /// The default settings with this rule.
    pub fn new(rule: DueRule) -> Self {
        Self {
            rule,
            put_mode: PutMode::CreateOnly,
            content_encoding: true,
            tags: ObjectTags::default(),
            park_after: Duration::from_secs(600),
            backoff: Backoff::DELIVERY,
            object_in_memory_max: OBJECT_IN_MEMORY_MAX,
            disk_work: DiskWork::default(),
            encoders: ENCODERS_MIN,
            close_days: true,
        }
    }
}
