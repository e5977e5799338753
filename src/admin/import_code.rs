//! The error codes of answers to an import.

/// The rows are not the next ones of their file.
pub const OTHER_ROW: &str = "other_row";
/// The import is not open.
pub const NOT_OPEN: &str = "not_open";
/// Another call has the id of a row that must have its own.
pub const ID_TAKEN: &str = "id_taken";
/// Rows of the file were imported with other options.
pub const OTHER_OPTIONS: &str = "other_options";
/// The file failed too often.
pub const GIVEN_UP: &str = "given_up";
/// There is no such source.
pub const NO_SOURCE: &str = "no_source";
/// The same request may succeed later.
pub const LATER: &str = "later";
/// The request is refused for good.
pub const REFUSED: &str = "refused";
/// Access is denied.
pub const DENIED: &str = "denied";
/// The configuration has no import of a bucket with this name.
pub const UNKNOWN_IMPORT: &str = "unknown_import";
/// The import of a bucket is not enabled.
pub const PAUSED: &str = "paused";
/// An import of a bucket cannot have this name, or give it up.
pub const NAME_REFUSED: &str = "name_refused";
/// What is asked of an import of a bucket is not possible.
pub const NOT_POSSIBLE: &str = "not_possible";
/// The store of an import of a bucket refuses.
pub const STORE_DENIED: &str = "store_denied";
/// The store of an import of a bucket cannot be reached.
pub const STORE_FAILED: &str = "store_failed";
