//! Why a whole body is refused.

use crate::object::stream::CollectionError;

/// Why a whole body is refused with 400; nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or not an object at the top.
    #[error("{what} at byte {at}")]
    InvalidJson {
        /// What was wrong.
        what: &'static str,
        /// Where, in bytes from the beginning of the body.
        at: usize,
    },
    /// Not UTF-8.
    #[error("the body is not UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// Where.
        at: usize,
    },
    /// Arrays and objects nested deeper than the limit, outside the items of a batch.
    #[error("arrays and objects are nested deeper than {limit} at byte {at}")]
    TooDeep {
        /// The limit.
        limit: usize,
        /// Where.
        at: usize,
    },
    /// A batch route without a `batch` array, and the body is not a call of a known type either.
    #[error("`batch` is missing or is not an array")]
    NoBatch,
    /// A request that sets objects has no `objects` array.
    #[error("`objects` is missing or is not an array")]
    NoObjects,
    /// A request that sets objects has no `collection`.
    #[error("`collection` is missing or is not a string")]
    NoCollection,
    /// The collection has no valid name.
    #[error(transparent)]
    Collection(#[from] CollectionError),
    /// A call on a single route that is longer than `max_event`.
    #[error("the call is {len} bytes long; the limit is {limit} bytes")]
    EventTooLarge {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
}
