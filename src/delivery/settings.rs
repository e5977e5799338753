//! How delivery is run.

use std::time::Duration;

use crate::batch::DueRule;
use crate::object::ObjectTags;
use crate::retry::Backoff;
use crate::store::PutMode;

/// Puts under way at once to one destination (bucket, role and key). Slots are per destination, so that a hung endpoint
/// takes only its own.
pub const PUTS_PER_DESTINATION: usize = 8;
/// Sealed objects of one destination that are not stored or parked; more wait unencoded, in the spool.
pub const SEALED_PER_DESTINATION: usize = 64;
/// Objects encoded at once, of all destinations.
pub const ENCODERS: usize = 2;
/// How often batches are looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Refusals of one destination before they are an alarm.
pub const REFUSALS_BEFORE_ALARM: u32 = 3;
/// How long no put of a destination gets through before it is an alarm. Shorter outages are ordinary, and mend themselves.
pub const UNREACHABLE_BEFORE_ALARM: Duration = Duration::from_secs(300);

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
        }
    }
}
