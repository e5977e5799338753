//! The bounds on what one request may hold.

/// Whether incomplete calls are stored or rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Validation {
    /// A call only needs to be a JSON object with a known `type`; calls that lack other fields are stored and
    /// counted.
    #[default]
    Permissive,
    /// Calls without ids, `event`, `groupId` or `previousId` go to the rejected stream.
    Strict,
}

/// Bounds on one request. A call longer than `max_event` is answered 400 on a single route, and rejected
/// otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one call as received.
    pub max_event: usize,
    /// Calls taken from one request; further ones go to the rejected stream.
    pub max_calls: usize,
    /// Nesting of arrays and objects: in a whole body, and in each item of a batch.
    pub max_depth: usize,
    /// Whether incomplete calls are stored.
    pub validation: Validation,
}

impl Limits {
    /// How much longer than `max_event` a line may be: for the fields that the collector adds and an
    /// envelope's merged context.
    pub const LINE_ALLOWANCE: usize = 32 * 1_024;
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_event: 32 * 1_024, max_calls: 2_500, max_depth: 128, validation: Validation::Permissive }
    }
}
