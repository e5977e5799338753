//! The bounds on what one request may hold.

/// Whether incomplete calls are stored or rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Validation {
    /// Only "a JSON object with a known `type`" is asked of a call; what else is missing is stored and counted.
    #[default]
    Permissive,
    /// Calls without ids, `event`, `groupId` or `previousId` go to the rejected stream.
    Strict,
}

/// Bounds on one request. Over `max_event`: 400 on a single route, else the call is rejected.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one call as received.
    pub max_event: usize,
    /// Calls taken from one request; what is over goes to the rejected stream.
    pub max_calls: usize,
    /// Nesting of arrays and objects.
    pub max_depth: usize,
    /// Whether incomplete calls are stored.
    pub validation: Validation,
}

impl Limits {
    /// What a line may be longer than `max_event`: fields the collector adds and an envelope's merged context.
    pub const LINE_ALLOWANCE: usize = 32 * 1_024;
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_event: 32 * 1_024, max_calls: 2_500, max_depth: 128, validation: Validation::Permissive }
    }
}
