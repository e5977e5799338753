//! How delivery is run.

use std::time::Duration;

use super::staging::OBJECT_IN_MEMORY_MAX;
use crate::batch::DueRule;
use crate::object::ObjectTags;
use crate::retry::Backoff;
use crate::store::PutMode;

/// Puts under way at once to one destination (bucket, role and key). Slots are per destination, so that a hung endpoint
/// takes only its own.
pub const PUTS_PER_DESTINATION: usize = 8;
/// Of those, puts of sources that fail there. Thousands of parked objects are retried, and must not keep the slots from a
/// source that is taken.
pub const FAILING_PUTS_PER_DESTINATION: usize = PUTS_PER_DESTINATION / 2;
/// Sealed objects of one destination that are not stored or parked; more wait unencoded, in the spool.
pub const SEALED_PER_DESTINATION: usize = 64;
/// Objects encoded at once, of all destinations, at least.
pub const ENCODERS_MIN: usize = 2;
/// How often batches are looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Refusals of one destination before they are an alarm.
pub const REFUSALS_BEFORE_ALARM: u32 = 3;
/// How long no put of a destination gets through before it is an alarm. Shorter outages are ordinary, and mend themselves.
pub const UNREACHABLE_BEFORE_ALARM: Duration = Duration::from_secs(60);

/// Where work is done that waits for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskWork {
    /// On the runtime's threads for such work, so that nothing else waits for it.
    #[default]
    OnThreads,
    /// Where it is asked for. A simulation runs on one thread, and its disk never waits.
    InPlace,
}

/// Settings that hold for the life of the process.
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
    /// How long a sealed object waits for its destination before it is parked.
    pub park_after: Duration,
    /// Waits between tries.
    pub backoff: Backoff,
    /// An object longer than this is staged in a file.
    pub object_in_memory_max: usize,
    /// Where work is done that waits for the disk.
    pub disk_work: DiskWork,
    /// Objects encoded at once, of all destinations.
    pub encoders: usize,
    /// Whether days are ended and closed. Objects that are saved elsewhere than in their bucket close none.
    pub close_days: bool,
}

/// Encoders for so many cores: half of what a batch of calls costs is encoding, so half of the cores can be kept busy by it.
pub fn encoders_for(cores: usize) -> usize {
    (cores / 2).max(ENCODERS_MIN)
}

impl DeliverySettings {
    /// The defaults, with this rule.
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
