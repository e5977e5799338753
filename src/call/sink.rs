//! Where finished lines go.

closed_list! {
    /// Why an item of an accepted request is not a valid call. The slug is the rejected line's `reason` and
    /// the metric's label.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum RejectReason by slug and of_slug {
        /// The item is not a JSON object.
        NotAnObject = "not_an_object",
        /// `type` is missing or not a string.
        MissingType = "missing_type",
        /// `type` is not one of the six kinds.
        UnknownType = "unknown_type",
        /// The item is longer than `max_event`.
        EventTooLarge = "event_too_large",
        /// The line, including what the envelope adds, is longer than `max_event` plus the allowance.
        LineTooLarge = "line_too_large",
        /// The request held more calls than `max_calls`.
        TooManyCalls = "too_many_calls",
        /// Arrays and objects in the item are nested deeper than `max_depth`.
        TooDeep = "too_deep",
        /// Strict validation: neither `userId` nor `anonymousId`.
        MissingId = "missing_id",
        /// Strict validation: a track call without `event`.
        MissingEvent = "missing_event",
        /// Strict validation: a group call without `groupId`.
        MissingGroupId = "missing_group_id",
        /// Strict validation: an alias call without `previousId` (or without `userId`).
        MissingPreviousId = "missing_previous_id",
        /// A pixel's `data` could not be read.
        BadPixelData = "bad_pixel_data",
        /// An object without an id.
        MissingObjectId = "missing_object_id",
        /// The id of an object is longer than 100 characters.
        ObjectIdTooLong = "object_id_too_long",
        /// The properties of an object are not an object, contain a list, or have two values for one name
        /// once they are flattened.
        BadProperties = "bad_properties",
        /// A property of an object is 32 KB long or longer.
        PropertyTooLarge = "property_too_large",
        /// The request set more than 100 objects.
        TooManyObjects = "too_many_objects",
    }
}

impl RejectReason {
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
