//! A file that waits until its rows are delivered.

/// A file whose rows are all stored, and may not be delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Which of those of this process it is.
    pub(super) number: u64,
    pub(super) key: String,
    pub(super) version: (String, u64),
    /// The rows of the file and the calls that they became, if they are known.
    pub(super) counts: Option<(u64, u64)>,
    /// The last position that was not delivered when all was stored.
    pub(super) until: Option<u64>,
}
