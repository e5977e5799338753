//! Where finished lines go.

/// Why an item of a good request is no call that can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// The item is no JSON object.
    NotAnObject,
    /// `type` is missing or not a string.
    MissingType,
    /// `type` is none of the six.
    UnknownType,
    /// The item is longer than `max_event`.
    EventTooLarge,
    /// The line, with what the envelope adds, is longer than `max_event` and the allowance.
    LineTooLarge,
    /// The request held more calls than `max_calls`.
    TooManyCalls,
    /// Strict validation: neither `userId` nor `anonymousId`.
    MissingId,
    /// Strict validation: a track call without `event`.
    MissingEvent,
    /// Strict validation: a group call without `groupId`.
    MissingGroupId,
    /// Strict validation: an alias call without `previousId` (or without `userId`).
    MissingPreviousId,
    /// A pixel's `data` could not be read.
    BadPixelData,
}

impl RejectReason {
    /// Every reason, for tables and metrics.
    pub const ALL: [Self; 11] = [
        Self::NotAnObject,
        Self::MissingType,
        Self::UnknownType,
        Self::EventTooLarge,
        Self::LineTooLarge,
        Self::TooManyCalls,
        Self::MissingId,
        Self::MissingEvent,
        Self::MissingGroupId,
        Self::MissingPreviousId,
        Self::BadPixelData,
    ];

    /// The slug in the rejected line's `reason` and in the metric's label.
    pub fn slug(self) -> &'static str {
        match self {
            Self::NotAnObject => "not_an_object",
            Self::MissingType => "missing_type",
            Self::UnknownType => "unknown_type",
            Self::EventTooLarge => "event_too_large",
            Self::LineTooLarge => "line_too_large",
            Self::TooManyCalls => "too_many_calls",
            Self::MissingId => "missing_id",
            Self::MissingEvent => "missing_event",
            Self::MissingGroupId => "missing_group_id",
            Self::MissingPreviousId => "missing_previous_id",
            Self::BadPixelData => "bad_pixel_data",
        }
    }
}

/// Takes lines, one at a time, without a copy: the writer appends the line's bytes (without `\n`) to [`LineSink::line`]'s
/// buffer and then closes it with [`LineSink::call`] or [`LineSink::rejected`], or takes it back with [`LineSink::discard`].
pub trait LineSink {
    /// Begins a line and returns the buffer to append to. What is in the buffer already belongs to earlier lines: only
    /// append, and never cut below the length it had.
    fn line(&mut self) -> &mut Vec<u8>;

    /// Closes the line begun as a call with this dedupe fingerprint (0: never a repeat).
    fn call(&mut self, fingerprint: u128);

    /// Closes the line begun as one for the rejected stream.
    fn rejected(&mut self, reason: RejectReason);

    /// Takes the line begun back.
    fn discard(&mut self);
}
