//! Why a whole body is refused.

use crate::object::stream::CollectionError;

/// Why a whole body is refused with 400; nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is not JSON, or not an object at the top.
    #[error("{what} at byte {at}")]
    InvalidJson {
        /// What was wrong.
        what: &'static str,
        /// The byte of the error, from the beginning of the body.
        at: usize,
    },
    /// The body is not UTF-8.
    #[error("the body is not UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// The first byte that is not UTF-8.
        at: usize,
    },
    /// Arrays and objects are nested deeper than the limit, outside the items of a batch.
    #[error("arrays and objects are nested deeper than {limit} at byte {at}")]
    TooDeep {
        /// The most levels.
        limit: usize,
        /// The byte at which the limit is passed.
        at: usize,
    },
    /// The body on a batch route has no `batch` array, and is not a call of a known type either.
    #[error("`batch` is missing or is not an array")]
    NoBatch,
    /// A request that sets objects has no `objects` array.
    #[error("`objects` is missing or is not an array")]
    NoObjects,
    /// A request that sets objects has no `collection`.
    #[error("`collection` is missing or is not a string")]
    NoCollection,
    /// The name of the collection is not valid.
    #[error(transparent)]
    Collection(#[from] CollectionError),
    /// The call on a single route is longer than `max_event`.
    #[error("the call is {len} bytes long; the limit is {limit} bytes")]
    EventTooLarge {
        /// The length of the call, in bytes.
        len: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}
