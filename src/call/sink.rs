//! Where finished lines go.

/// Why an item of an accepted request is not a valid call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// The item is not a JSON object.
    NotAnObject,
    /// `type` is missing or not a string.
    MissingType,
    /// `type` is not one of the six kinds.
    UnknownType,
    /// The item is longer than `max_event`.
    EventTooLarge,
    /// The line, including what the envelope adds, is longer than `max_event` plus the allowance.
    LineTooLarge,
    /// The request held more calls than `max_calls`.
    TooManyCalls,
    /// Arrays and objects in the item are nested deeper than `max_depth`.
    TooDeep,
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
    /// An object without an id.
    MissingObjectId,
    /// The id of an object is longer than 100 characters.
    ObjectIdTooLong,
    /// The properties of an object are not an object, contain a list, or have two values for one name once
    /// they are flattened.
    BadProperties,
    /// A property of an object is 32 KB long or longer.
    PropertyTooLarge,
    /// The request set more than 100 objects.
    TooManyObjects,
}

impl RejectReason {
    /// Every reason, for tables and metrics.
    pub const ALL: [Self; 17] = [
        Self::NotAnObject,
        Self::MissingType,
        Self::UnknownType,
        Self::EventTooLarge,
        Self::LineTooLarge,
        Self::TooManyCalls,
        Self::TooDeep,
        Self::MissingId,
        Self::MissingEvent,
        Self::MissingGroupId,
        Self::MissingPreviousId,
        Self::BadPixelData,
        Self::MissingObjectId,
        Self::ObjectIdTooLong,
        Self::BadProperties,
        Self::PropertyTooLarge,
        Self::TooManyObjects,
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
            Self::TooDeep => "too_deep",
            Self::MissingId => "missing_id",
            Self::MissingEvent => "missing_event",
            Self::MissingGroupId => "missing_group_id",
            Self::MissingPreviousId => "missing_previous_id",
            Self::BadPixelData => "bad_pixel_data",
            Self::MissingObjectId => "missing_object_id",
            Self::ObjectIdTooLong => "object_id_too_long",
            Self::BadProperties => "bad_properties",
            Self::PropertyTooLarge => "property_too_large",
            Self::TooManyObjects => "too_many_objects",
        }
    }

    /// The reason with this slug.
    pub fn of_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.slug() == slug)
    }

    /// The reason as a sentence.
    pub fn why(self) -> &'static str {
        match self {
            Self::NotAnObject => "the item is not a JSON object",
            Self::MissingType => "`type` is missing or is not a string",
            Self::UnknownType => "`type` is not track, identify, page, screen, group or alias",
            Self::EventTooLarge => "the item is longer than collector.max_event",
            Self::LineTooLarge => {
                "the call is too long together with what its batch adds to it, such as a context"
            }
            Self::TooManyCalls => "its request held more calls than one request may have",
            Self::TooDeep => "its arrays and objects are nested too deeply",
            Self::MissingId => "it has neither `userId` nor `anonymousId`",
            Self::MissingEvent => "it is a track call without `event`",
            Self::MissingGroupId => "it is a group call without `groupId`",
            Self::MissingPreviousId => "it is an alias call without `previousId` or `userId`",
            Self::BadPixelData => "the pixel's `data` could not be read",
            Self::MissingObjectId => "the object has no id",
            Self::ObjectIdTooLong => "the object's id is longer than 100 characters",
            Self::BadProperties => {
                "the object's properties are not an object, contain a list, or have two values for one name"
            }
            Self::PropertyTooLarge => "a property of the object is 32 KB long or longer",
            Self::TooManyObjects => "its request set more than 100 objects",
        }
    }
}

/// Takes lines, one at a time, without a copy. The writer appends the line's bytes (without `\n`) to the
/// buffer of [`LineSink::line`], then closes the line with [`LineSink::call`] or [`LineSink::rejected`], or
/// drops it with [`LineSink::discard`].
pub trait LineSink {
    /// Begins a line and returns the buffer to append to. The buffer already holds earlier lines: only
    /// append, and never truncate below its present length.
    fn line(&mut self) -> &mut Vec<u8>;

    /// Closes the current line as a call with this dedupe fingerprint (0: never a repeat).
    fn call(&mut self, fingerprint: u128);

    /// Closes the current line as one of the rejected stream.
    fn rejected(&mut self, reason: RejectReason);

    /// Drops the current line.
    fn discard(&mut self);
}
